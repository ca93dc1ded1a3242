//! The seal of an attempt: its tree ended, its work snapshotted and committed, its trespasses found.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_core::attempt::{AttemptEnd, Sealed};
use longhaul_core::fact::News;
use longhaul_core::ids::{Fence, SpawnKey, TaskId};
use longhaul_core::spec::{CommitMode, TaskSpec, WorkspaceKind};
use longhaul_core::task::{RunStep, State, WorkspaceRef};
use longhaul_hosts::{BundleState, ConfinementLevel, JobIdentity, SweepOutcome};
use longhaul_vcs::{
    BranchRepair, BranchState, CheckoutMark, Difference, ErrorClass, GitError, Oid, OpenError,
    Protect, Repo, RepoPath, SealRequest, SnapshotRequest, Worktree,
};

use super::check::{Finding, Ruling};
use super::desk::chain;
use super::{Desk, again, prepare, tidy};
use crate::event::Event;
use crate::machine::Dispatch;

/// Bytes of the diff that a seal looks at for its summary.
const DIFF_BYTES: usize = 64 * 1024;
/// Lines of a diffstat.
const STAT_LINES: usize = 30;

pub(super) fn seal(desk: &Desk, d: &Dispatch) -> Vec<Event> {
    let (task, fence) = (d.effect.task, d.effect.fence);
    let spec = match desk.spec(task) {
        Ok(spec) => spec,
        Err(unread) if !unread.for_good => return vec![again(&d.effect, &unread.why)],
        Err(unread) => {
            if let Err(why) = end_leftovers(desk, &SpawnKey::session(task, fence)) {
                return vec![again(&d.effect, &why)];
            }
            let news = News::SealFailed {
                detail: unread.why,
                transient: false,
            };
            return vec![Event::news(task, fence, news)];
        }
    };
    if let Err(why) = end_leftovers(desk, &SpawnKey::session(task, fence)) {
        return vec![again(&d.effect, &why)];
    }
    tidy::forget_temp(desk, &SpawnKey::session(task, fence));
    let Some(workspace) = d.task.carry.workspace.clone() else {
        return vec![Event::news(
            task,
            fence,
            News::Sealed {
                sealed: Sealed::default(),
            },
        )];
    };
    let sealed = match spec.workspace {
        WorkspaceKind::Worktree => worktree(desk, d, &spec, &workspace),
        WorkspaceKind::InPlace => in_place(desk, d, &spec, &workspace),
    };
    match sealed {
        Ok(sealed) => vec![Event::news(task, fence, News::Sealed { sealed })],
        Err(Trouble {
            detail,
            transient: true,
        }) => vec![again(&d.effect, &detail)],
        Err(Trouble {
            detail,
            transient: false,
        }) => {
            vec![Event::news(
                task,
                fence,
                News::SealFailed {
                    detail,
                    transient: false,
                },
            )]
        }
    }
}

/// Why something could not be done with a repository, and whether trying again can help.
pub(super) struct Trouble {
    pub(super) detail: String,
    pub(super) transient: bool,
}

impl From<GitError> for Trouble {
    fn from(error: GitError) -> Self {
        Self {
            detail: chain(&error),
            transient: error.class() == ErrorClass::Transient,
        }
    }
}

impl From<OpenError> for Trouble {
    fn from(error: OpenError) -> Self {
        Self {
            detail: chain(&error),
            transient: error.class() == ErrorClass::Transient,
        }
    }
}

impl Trouble {
    /// What it means for a check: asked again where that can help, else FAIL (I13).
    pub(super) fn finding(self) -> Finding {
        if self.transient {
            Finding::Unsettled(self.detail)
        } else {
            Finding::Judged(Ruling::fail(self.detail))
        }
    }

    pub(super) fn for_good(detail: impl Into<String>) -> Self {
        Self {
            detail: detail.into(),
            transient: false,
        }
    }
}

/// Sees to it that nothing of a job lives any more (I8), whatever became of its shim.
pub(super) fn end_leftovers(desk: &Desk, key: &SpawnKey) -> Result<(), String> {
    let bundle = desk.launcher.bundle(key.as_str()).map_err(|e| chain(&e))?;
    match bundle.survey().map_err(|e| chain(&e))? {
        BundleState::Exited(_)
        | BundleState::OtherBoot(_)
        | BundleState::Absent
        | BundleState::NotStarted => Ok(()),
        BundleState::Lost(lost) => match lost.tree().sweep(desk.practice.stop_grace).outcome {
            SweepOutcome::Clean => Ok(()),
            SweepOutcome::Survivors => Err("a process does not end even by SIGKILL".to_owned()),
            SweepOutcome::Unknown => {
                Err("nobody can tell what is left of the session's tree".to_owned())
            }
        },
        BundleState::Starting => Err("the session's shim is still starting".to_owned()),
        BundleState::Live(shim) => {
            shim.stop(desk.practice.stop_grace).map_err(|e| chain(&e))?;
            Err("the session is still ending".to_owned())
        }
    }
}

fn worktree(
    desk: &Desk,
    d: &Dispatch,
    spec: &TaskSpec,
    workspace: &WorkspaceRef,
) -> Result<Sealed, Trouble> {
    let (task, fence) = (d.effect.task, d.effect.fence);
    // First of all: what git would run or read by the session's doing is put back (L20).
    let put_back = restored(desk, d)?;
    let repo = desk.repo(&spec.repo).map_err(|e| Trouble {
        transient: e.class() == ErrorClass::Transient,
        detail: chain(&e),
    })?;
    let mut escaped = trespasses(desk, d, &repo, put_back)?;
    let folder = Utf8Path::new(&workspace.path);
    let Some(worktree) = repo.worktree_at(folder.as_std_path())? else {
        return Err(Trouble::for_good(format!(
            "the workspace {folder} is not there any more"
        )));
    };
    let finished = matches!(
        &d.task.state,
        State::Running {
            step: RunStep::Sealing {
                end: AttemptEnd::Completed { .. }
            }
        }
    );
    let request = SealRequest {
        snapshot: SnapshotRequest {
            reference: snapshot_name(task, fence),
            reason: format!("{}: end of attempt {}", spec.name, number(d)),
            files: prepare::rules(desk, spec, task),
        },
        start: parse(&workspace.start)?,
        base: parse(&workspace.start)?,
        message: commit_message(spec, number(d)),
        task: task.to_string(),
        // What an interrupted turn left is kept by the snapshot and stays uncommitted, so that the
        // next attempt finds it as it was.
        commit: if finished {
            spec.commit
        } else {
            CommitMode::Agent
        },
        sign: desk.practice.sign,
        protect: protection(&repo, spec)?,
        diff_limit: DIFF_BYTES,
    };
    let sealed = repo.seal(&worktree, &request).map_err(|e| Trouble {
        transient: e.class() == ErrorClass::Transient,
        detail: chain(&e),
    })?;
    if let Some(what) = sealed.tampered {
        escaped.push(format!("git's folder of the workspace: {what} (put right)"));
    }
    let branch_problem = match (&sealed.branch, sealed.repair, &sealed.unfinished) {
        (_, _, Some(what)) => Some(format!(
            "git was left in the middle of something ({what:?})"
        )),
        (_, BranchRepair::Diverged, _) => Some(
            "the session's commits and the task's branch went separate ways; both are kept"
                .to_owned(),
        ),
        (BranchState::Broken, _, _) => Some("HEAD of the workspace cannot be read".to_owned()),
        _ if sealed.end_commit.is_none() => Some("the branch is gone".to_owned()),
        _ if sealed.rewritten => Some(
            "the session rewrote history: the branch does not hold the commit it started from"
                .to_owned(),
        ),
        _ => None,
    };
    Ok(Sealed {
        commit: sealed
            .end_commit
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        tree: sealed.end_tree.to_string(),
        snapshot: Some(sealed.snapshot.reference.clone()),
        changed_files: u32::try_from(sealed.changed.paths.len()).unwrap_or(u32::MAX),
        diffstat: sealed.changed.summary(STAT_LINES),
        protected: sealed
            .protected_touched
            .iter()
            .take(20)
            .map(ToString::to_string)
            .collect(),
        uncommitted: finished && !sealed.leftovers.paths.is_empty(),
        branch_problem: branch_problem.filter(|_| finished),
        escaped,
    })
}

fn in_place(
    desk: &Desk,
    d: &Dispatch,
    spec: &TaskSpec,
    workspace: &WorkspaceRef,
) -> Result<Sealed, Trouble> {
    let escaped = restored(desk, d)?;
    let (repo, worktree) = prepare::in_place_repo_of(desk, &spec.repo)?;
    let request = SnapshotRequest {
        reference: snapshot_name(d.effect.task, d.effect.fence),
        reason: format!("{}: end of attempt {}", spec.name, number(d)),
        files: prepare::rules(desk, spec, d.effect.task),
    };
    let snapshot = repo.snapshot(&worktree, &request)?;
    let start = parse(&workspace.start_tree)?;
    let changes = repo.changes(&start, &snapshot.tree)?;
    let protect = protection(&repo, spec)?;
    let protected: Vec<String> = changes
        .paths
        .iter()
        .filter(|c| protect.covers(&c.path))
        .take(20)
        .map(|c| c.path.to_string())
        .collect();
    Ok(Sealed {
        commit: snapshot.commit.to_string(),
        tree: snapshot.tree.to_string(),
        snapshot: Some(snapshot.reference.clone()),
        changed_files: u32::try_from(changes.paths.len()).unwrap_or(u32::MAX),
        diffstat: changes.summary(STAT_LINES),
        protected,
        uncommitted: false,
        branch_problem: None,
        escaped,
    })
}

fn snapshot_name(task: TaskId, fence: Fence) -> String {
    format!("refs/longhaul/snap/{task}/{fence}")
}

fn number(d: &Dispatch) -> u32 {
    d.task.attempt.as_ref().map_or(0, |a| a.number)
}

fn parse(oid: &str) -> Result<Oid, Trouble> {
    oid.parse()
        .map_err(|_| Trouble::for_good(format!("{oid:?} is no object id")))
}

/// Subject from the prompt's first line.
fn commit_message(spec: &TaskSpec, attempt: u32) -> String {
    let line = spec
        .prompt
        .lines()
        .find(|l| !l.trim().is_empty())
        .unwrap_or("work");
    let line = longhaul_agents::excerpt(line.trim(), 60);
    format!(
        "{}: {line}\n\nWork of attempt {attempt}, committed by Longhaul.",
        spec.name
    )
}

fn protection(repo: &Repo, spec: &TaskSpec) -> Result<Protect, Trouble> {
    let task_file = spec.task_file.as_ref().and_then(|file| {
        let relative = file.as_std_path().strip_prefix(repo.checkout()).ok()?;
        Some(RepoPath::from(relative))
    });
    Protect::new(&spec.protect, task_file)
        .map_err(|e| Trouble::for_good(format!("`protect` is not a usable pattern: {e}")))
}

/// Notes how the user's checkout and git's settings look before the session starts.
pub(super) fn mark(desk: &Desk, d: &Dispatch, spec: &TaskSpec) -> Result<(), String> {
    let path = mark_path(desk, d);
    if path.exists() {
        return Ok(());
    }
    let repo = match spec.workspace {
        WorkspaceKind::Worktree => desk.repo(&spec.repo).map_err(|e| chain(&e))?,
        WorkspaceKind::InPlace => {
            prepare::in_place_repo_of(desk, &spec.repo)
                .map_err(|t| t.detail)?
                .0
        }
    };
    let mark = repo.mark_checkout().map_err(|e| chain(&e))?;
    let bytes = serde_json::to_vec(&mark).map_err(|e| e.to_string())?;
    let made = path.parent().map_or(Ok(()), fs::create_dir_all);
    made.and_then(|()| write_whole(&path, &bytes))
        .map_err(|e| format!("cannot write {path}: {e}"))
}

fn mark_path(desk: &Desk, d: &Dispatch) -> Utf8PathBuf {
    desk.dirs
        .task(d.effect.task)
        .join(format!("mark-{}.json", d.effect.fence))
}

fn read_mark(desk: &Desk, d: &Dispatch) -> Option<CheckoutMark> {
    let bytes = fs::read(mark_path(desk, d)).ok()?;
    serde_json::from_slice(&bytes)
        .map_err(|error| tracing::warn!(task = %d.effect.task, %error, "the mark is unreadable"))
        .ok()
}

/// Puts git's settings back and names what was changed (L20). Before anything else: a repository whose
/// settings were turned against it cannot even be opened. What is put back is noted first, so that a
/// second run after a crash, which finds all as it was, still tells of it.
fn restored(desk: &Desk, d: &Dispatch) -> Result<Vec<String>, Trouble> {
    if could_not_reach_git_settings(desk, d) {
        return Ok(vec![]);
    }
    let Some(before) = read_mark(desk, d) else {
        return Ok(vec![]);
    };
    let notes = desk
        .dirs
        .task(d.effect.task)
        .join(format!("restored-{}.json", d.effect.fence));
    let mut told: BTreeSet<String> = fs::read(&notes)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let changed = before.guarded_changes()?;
    if !changed.is_empty() {
        told.extend(changed.iter().map(ToString::to_string));
        serde_json::to_vec(&told)
            .map_err(io::Error::from)
            .and_then(|bytes| write_whole(&notes, &bytes))
            .map_err(|error| Trouble {
                detail: format!("cannot write {notes}: {error}"),
                transient: true,
            })?;
        before
            .restore_guarded()
            .map_err(|e| Trouble::for_good(chain(&e)))?;
    }
    if told.is_empty() {
        return Ok(vec![]);
    }
    let all: Vec<String> = told.into_iter().collect();
    Ok(vec![format!(
        "in the git folder (put back): {}",
        all.join(", ")
    )])
}

/// Whether the kernel kept the session from git's settings: what changed there meanwhile is the user's
/// own doing (`git remote add`, `git push -u`) and left alone (L4). In-place work has them within reach.
fn could_not_reach_git_settings(desk: &Desk, d: &Dispatch) -> bool {
    let in_worktree = d
        .task
        .carry
        .workspace
        .as_ref()
        .is_some_and(|w| w.branch.is_some());
    let key = SpawnKey::session(d.effect.task, d.effect.fence);
    let record = desk.dirs.jobs().join(key.as_str()).join("identity.json");
    let confinement = fs::read(record)
        .ok()
        .and_then(|bytes| serde_json::from_slice::<JobIdentity>(&bytes).ok())
        .and_then(|identity| identity.confinement);
    in_worktree && matches!(confinement, Some(ConfinementLevel::Landlock { .. }))
}

/// What the session did outside its workspace: git's settings (put back), and changes of the user's
/// checkout that its tool calls name; other changes are the user's own (L4).
fn trespasses(
    desk: &Desk,
    d: &Dispatch,
    repo: &Repo,
    put_back: Vec<String>,
) -> Result<Vec<String>, Trouble> {
    let mut found = put_back;
    let Some(before) = read_mark(desk, d) else {
        return Ok(found);
    };
    let after = repo.mark_checkout()?;
    let differences = before.compare(&after);
    if differences.is_empty() {
        return Ok(found);
    }
    let named = names_checkout(desk, d, repo);
    for difference in differences {
        let words = match &difference {
            Difference::Guarded { .. } => continue,
            Difference::Head { .. } => "HEAD of your checkout moved".to_owned(),
            Difference::Index => "the index of your checkout changed".to_owned(),
            Difference::TrackedFile { path } => format!("{path} in your checkout changed"),
        };
        if named {
            found.push(words);
        } else {
            tracing::info!(task = %d.effect.task, %words, "not by the session, left alone");
        }
    }
    Ok(found)
}

/// Whether the session's output names the user's checkout as a path of its own (not as the beginning
/// of the workspace's path).
fn names_checkout(desk: &Desk, d: &Dispatch, repo: &Repo) -> bool {
    let key = SpawnKey::session(d.effect.task, d.effect.fence);
    let log = desk.dirs.jobs().join(key.as_str()).join("out.log");
    let Ok(bytes) = read_start(&log, 64 << 20) else {
        return false;
    };
    let text = String::from_utf8_lossy(&bytes);
    let checkout = repo.checkout().to_string_lossy();
    let own = [
        desk.dirs.state.to_string(),
        format!("{checkout}/.git/worktrees"),
    ];
    names(&text, &checkout, &own)
}

/// Whether a text names a path, or something below it that is not below one of `own`: the state folder
/// may lie in the checkout (a repository of the whole home), and a worktree's git points into it.
fn names(text: &str, path: &str, own: &[String]) -> bool {
    let ends = |at: usize| {
        let next = text[at..].chars().next();
        matches!(
            next,
            Some('/' | '"' | '\'' | ' ' | '\\' | ';' | '&' | ')' | '\n') | None
        )
    };
    text.match_indices(path).any(|(at, m)| {
        let is_own = |own: &String| text[at..].starts_with(own.as_str()) && ends(at + own.len());
        ends(at + m.len()) && !own.iter().any(is_own)
    })
}

fn read_start(path: &Utf8Path, limit: u64) -> io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes a file that is either whole or absent after a crash.
pub(super) fn write_whole(path: &Utf8Path, bytes: &[u8]) -> io::Result<()> {
    let temp = Utf8PathBuf::from(format!("{path}.tmp"));
    write_private(&temp, bytes)?;
    fs::rename(&temp, path)
}

/// Writes a file that only its owner can read.
pub(super) fn write_private(path: &Utf8Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// The worktree of a task, for checks.
pub(super) fn find_worktree(
    repo: &Repo,
    workspace: &WorkspaceRef,
) -> Result<Option<Worktree>, GitError> {
    repo.worktree_at(Utf8Path::new(&workspace.path).as_std_path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l4_only_a_path_of_the_checkouts_own_names_it() {
        let own = [
            "/home/u/.local/state/longhaul".to_owned(),
            "/home/u/.git/worktrees".to_owned(),
        ];
        for text in [
            "cd /home/u && make",
            "edit \"/home/u/src/a.rs\"",
            "git -C /home/u",
            "/home/u/.local/state/longhaul-other/x",
        ] {
            assert!(names(text, "/home/u", &own), "{text}");
        }
        for text in [
            "edit /home/u/.local/state/longhaul/workspaces/r-1/t/a.rs",
            "gitdir: /home/u/.git/worktrees/t",
            "/home/user/a",
        ] {
            assert!(!names(text, "/home/u", &own), "{text}");
        }
    }
}
