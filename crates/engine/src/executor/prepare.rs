//! The workspace of an attempt: made or found, files placed, ports leased, `setup` run, drift noticed.

use std::collections::BTreeSet;
use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_core::fact::{News, WorkspaceFault};
use longhaul_core::ids::{SpawnKey, TaskId};
use longhaul_core::spec::{TaskSpec, WorkspaceKind};
use longhaul_core::task::{StateWord, Task, WorkspaceRef};
use longhaul_hosts::{JobLog, JobSpec, Outcome, Stream};
use longhaul_vcs::{
    EnsureError, ErrorClass, FileRules, GitError, IncludeLimits, Made, Oid, OpenError, Repo,
    RepoPath, StartPoint, WorkspacePlan, Worktree,
};

use super::desk::chain;
use super::job::{self, JobEnd};
use super::seal::Trouble;
use super::{Desk, again, env, ports, sandbox};
use crate::event::Event;
use crate::machine::Dispatch;

/// `setup` may take this long.
const SETUP_TIMEOUT_SECS: u64 = 30 * 60;
/// Marks a workspace whose `setup` has passed.
const SETUP_DONE: &str = "setup-done";

/// Why there is no workspace.
struct Fault {
    fault: WorkspaceFault,
    detail: String,
    remedy: String,
    /// Nobody knows whether `setup` runs: the same attempt has to ask again, another one would run it
    /// a second time beside the first.
    unsettled: bool,
}

impl Fault {
    fn new(fault: WorkspaceFault, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            fault,
            detail: detail.into(),
            remedy: remedy.into(),
            unsettled: false,
        }
    }

    fn git(error: &GitError) -> Self {
        let fault = match error.class() {
            ErrorClass::Transient => WorkspaceFault::Transient,
            ErrorClass::Permanent => WorkspaceFault::Permanent,
        };
        Self::new(
            fault,
            chain(error),
            "see what git said, then `longhaul retry`",
        )
    }

    fn io(what: &str, error: &std::io::Error) -> Self {
        let detail = format!("{what}: {error}");
        Self::new(
            WorkspaceFault::Transient,
            detail,
            "make room or mend the folder's rights",
        )
    }
}

/// What the next step needs of a prepared workspace.
struct Prepared {
    workspace: WorkspaceRef,
    drift: Option<String>,
    conflict: Option<String>,
}

pub(super) fn prepare(desk: &Desk, d: &Dispatch) -> Vec<Event> {
    let spec = match desk.spec(d.effect.task) {
        Ok(spec) => spec,
        Err(unread) if !unread.for_good => return vec![again(&d.effect, &unread.why)],
        Err(unread) => {
            let news = News::WorkspaceFailed {
                fault: WorkspaceFault::Permanent,
                detail: unread.why,
                remedy: "cancel the task and add it again".to_owned(),
            };
            return vec![Event::news(d.effect.task, d.effect.fence, news)];
        }
    };
    let news = match prepared(desk, d, &spec) {
        Ok(p) => News::WorkspaceReady {
            workspace: p.workspace,
            drift: p.drift,
            conflict: p.conflict,
        },
        Err(fault) if fault.unsettled => return vec![again(&d.effect, &fault.detail)],
        Err(Fault {
            fault,
            detail,
            remedy,
            ..
        }) => News::WorkspaceFailed {
            fault,
            detail,
            remedy,
        },
    };
    vec![Event::news(d.effect.task, d.effect.fence, news)]
}

fn prepared(desk: &Desk, d: &Dispatch, spec: &TaskSpec) -> Result<Prepared, Fault> {
    let mut prepared = match spec.workspace {
        WorkspaceKind::Worktree => worktree(desk, &d.task, spec)?,
        WorkspaceKind::InPlace => in_place(desk, &d.task, spec)?,
    };
    if prepared.workspace.port_base.is_none() {
        prepared.workspace.port_base = ports::lease(&desk.dirs.ports(), d.effect.task, |owner| {
            is_over(desk, owner)
        })
        .map_err(|error| Fault::io("cannot lease ports", &error))?;
    }
    if let Some(dir) = &spec.dir {
        let folder = Utf8Path::new(&prepared.workspace.path).join(dir);
        if !folder.is_dir() {
            return Err(Fault::new(
                WorkspaceFault::Permanent,
                format!("`dir` {dir} does not exist in the workspace"),
                "name a folder that exists on the base branch, and add the task again",
            ));
        }
    }
    setup(desk, d, spec, &prepared.workspace)?;
    Ok(prepared)
}

fn worktree(desk: &Desk, task: &Task, spec: &TaskSpec) -> Result<Prepared, Fault> {
    let repo = open(desk, &spec.repo)?;
    let (base, start, conflict) = match &task.carry.workspace {
        Some(known) => (oid(&known.base)?, oid(&known.start)?, None),
        None => start_point(desk, &repo, task, spec)?,
    };
    let (path, branch) = match &task.carry.workspace {
        Some(known) => (
            Utf8PathBuf::from(&known.path),
            known.branch.clone().unwrap_or_default(),
        ),
        None => (
            desk.dirs
                .workspaces()
                .join(format!("{}-{}", folder_name(&spec.repo), repo.short_hash()))
                .join(format!("{}-{}", spec.name, task.id.short())),
            format!(
                "{}/{}-{}",
                desk.practice.branch_prefix,
                spec.name,
                task.id.short()
            ),
        ),
    };
    let restore = match &task.carry.snapshot {
        Some(name) => repo.ref_commit(name).map_err(|e| Fault::git(&e))?,
        None => None,
    };
    let plan = WorkspacePlan {
        path: path.clone().into_std_path_buf(),
        branch: branch.clone(),
        base: start.clone(),
        lock_reason: format!("longhaul task {}", task.id),
        restore,
    };
    let ensured = repo
        .ensure_worktree(&plan)
        .map_err(|error| ensure_fault(&error))?;
    for note in &ensured.notes {
        tracing::info!(task = %task.id, ?note, "workspace");
    }
    let placed = repo
        .place_included(&ensured.worktree, &base, IncludeLimits::default())
        .map_err(|e| Fault::git(&e))?;
    if !placed.not_placed.is_empty() || placed.over_limit {
        tracing::warn!(task = %task.id, not_placed = placed.not_placed.len(), over_limit = placed.over_limit, ".worktreeinclude");
    }
    remember_placed(desk, task.id, &placed.files)
        .map_err(|error| Fault::io("cannot note the placed files", &error))?;
    if ensured.made != Made::Existing {
        forget_setup(desk, task.id).map_err(|e| Fault::io("cannot note the set-up", &e))?;
    }
    let drift = match &task.carry.end_tree {
        Some(end) if ensured.made == Made::Existing => {
            drift(&repo, &ensured.worktree, &rules(desk, spec, task.id), end)?
        }
        _ => None,
    };
    Ok(Prepared {
        workspace: WorkspaceRef {
            path: path.into_string(),
            branch: Some(branch),
            base: base.to_string(),
            start: start.to_string(),
            start_tree: start.to_string(),
            port_base: task.carry.workspace.as_ref().and_then(|w| w.port_base),
        },
        drift,
        conflict,
    })
}

/// Base, commit to start from, and the report of a conflict between dependencies (T3).
fn start_point(
    desk: &Desk,
    repo: &Repo,
    task: &Task,
    spec: &TaskSpec,
) -> Result<(Oid, Oid, Option<String>), Fault> {
    let base = match &spec.base {
        Some(branch) => repo.resolve(branch),
        None => repo
            .current_branch()
            .and_then(|branch| repo.resolve(&branch)),
    }
    .map_err(|error| Fault::new(WorkspaceFault::Permanent, chain(&error), error.remedy()))?;
    let mut results = Vec::new();
    for dep in &task.terms.depends_on {
        let stored = desk.read(|r| r.task(*dep)).map_err(|e| {
            Fault::new(
                WorkspaceFault::Transient,
                e.to_string(),
                "see `longhaul doctor`",
            )
        })?;
        let Some(stored) = stored.filter(|s| s.task.terms.repo == task.terms.repo) else {
            continue;
        };
        debug_assert_eq!(
            stored.task.state.word(),
            StateWord::Done,
            "a dependency is done"
        );
        let commit = stored.task.attempt.and_then(|a| a.sealed).map(|s| s.commit);
        if let Some(commit) = commit.filter(|c| !c.is_empty()) {
            results.push(oid(&commit)?);
        }
    }
    match repo
        .merge_bases_for_start(&base, &results)
        .map_err(|e| Fault::git(&e))?
    {
        StartPoint::Commit(start) => Ok((base, start, None)),
        StartPoint::Conflict {
            merged,
            with,
            report,
            ..
        } => {
            let report = format!("git merge {with}\n\n{report}");
            Ok((base, merged, Some(report)))
        }
    }
}

fn in_place(desk: &Desk, task: &Task, spec: &TaskSpec) -> Result<Prepared, Fault> {
    let (repo, worktree) = in_place_repo(desk, spec)?;
    let files = rules(desk, spec, task.id);
    let tree = repo
        .tree_of(&worktree, &files)
        .map_err(|e| Fault::git(&e))?;
    let drift = match &task.carry.end_tree {
        Some(end) => drift(&repo, &worktree, &files, end)?,
        None => None,
    };
    let start_tree = match &task.carry.workspace {
        Some(known) => known.start_tree.clone(),
        None => tree.to_string(),
    };
    Ok(Prepared {
        workspace: WorkspaceRef {
            path: spec.repo.to_string(),
            branch: None,
            base: String::new(),
            start: String::new(),
            start_tree,
            port_base: task.carry.workspace.as_ref().and_then(|w| w.port_base),
        },
        drift,
        conflict: None,
    })
}

/// The folder of in-place work as a repository: the user's own, or one beside it for a plain folder.
pub(super) fn in_place_repo_of(
    desk: &Desk,
    folder: &Utf8Path,
) -> Result<(Repo, Worktree), Trouble> {
    let repo = match desk.repo(folder) {
        Ok(repo) if repo.checkout() == folder.as_std_path() => repo,
        // No repository, one without files, or a folder inside of one. Any other trouble is none of
        // these: a repository that cannot be opened now must not be taken for a plain folder, whose
        // objects lie elsewhere.
        Ok(_) | Err(OpenError::NotARepository { .. } | OpenError::Bare { .. }) => Repo::open_plain(
            &desk.git,
            folder.as_std_path(),
            desk.dirs.repos().as_std_path(),
        )?,
        Err(error) => return Err(error.into()),
    };
    let worktree = repo.in_place();
    Ok((repo, worktree))
}

fn in_place_repo(desk: &Desk, spec: &TaskSpec) -> Result<(Repo, Worktree), Fault> {
    in_place_repo_of(desk, &spec.repo).map_err(|trouble| {
        let fault = if trouble.transient {
            WorkspaceFault::Transient
        } else {
            WorkspaceFault::Permanent
        };
        Fault::new(fault, trouble.detail, "check the path of `repo`")
    })
}

fn drift(
    repo: &Repo,
    worktree: &Worktree,
    files: &FileRules,
    end: &str,
) -> Result<Option<String>, Fault> {
    let end = oid(end)?;
    let now = repo.tree_of(worktree, files).map_err(|e| Fault::git(&e))?;
    if now == end {
        return Ok(None);
    }
    let changes = repo.changes(&end, &now).map_err(|e| Fault::git(&e))?;
    Ok(Some(changes.summary(10)))
}

fn setup(
    desk: &Desk,
    d: &Dispatch,
    spec: &TaskSpec,
    workspace: &WorkspaceRef,
) -> Result<(), Fault> {
    let Some(command) = &spec.setup else {
        return Ok(());
    };
    let done = desk.dirs.task(d.effect.task).join(SETUP_DONE);
    if done.exists() {
        return Ok(());
    }
    let environment = env::of_job(desk, d.effect.task, spec, workspace)
        .map_err(|m| Fault::new(WorkspaceFault::Permanent, m.detail(), m.remedy()))?;
    let key = SpawnKey::setup(d.effect.task, d.effect.fence);
    let job = shell_job(desk, spec, &key, command, workspace, environment)
        .map_err(|e| Fault::io("cannot make the set-up's folder", &e))?;
    let remedy = "mend `setup` or what it needs, then `longhaul retry`";
    match job::run(
        desk,
        &job,
        std::time::Duration::from_secs(SETUP_TIMEOUT_SECS),
    ) {
        JobEnd::Exited(record) if record.is_zero() => {
            let made = done.parent().map_or(Ok(()), fs::create_dir_all);
            made.and_then(|()| fs::write(&done, b""))
                .map_err(|e| Fault::io("cannot note the set-up", &e))
        }
        JobEnd::Exited(record) if record.stop_requested => {
            Err(Fault::new(WorkspaceFault::Stopped, "stopped", ""))
        }
        JobEnd::Exited(record) => {
            let how = outcome_words(&record.outcome);
            let tail = log_tail(desk, &key, 2048);
            let detail = format!("`setup` failed ({how}): {}", last_lines(&tail, 5));
            Err(Fault::new(WorkspaceFault::Setup, detail, remedy))
        }
        JobEnd::TimedOut(_) => Err(Fault::new(
            WorkspaceFault::Setup,
            "`setup` took longer than 30 minutes",
            remedy,
        )),
        JobEnd::Lost | JobEnd::OtherBoot => Err(Fault::new(
            WorkspaceFault::Transient,
            "`setup` was interrupted",
            remedy,
        )),
        JobEnd::Impossible(why) => Err(Fault::new(WorkspaceFault::Setup, why, remedy)),
        JobEnd::Unsettled(why) => Err(Fault {
            unsettled: true,
            ..Fault::new(WorkspaceFault::Transient, why, remedy)
        }),
    }
}

/// A shell command of the user's in the workspace: both outputs in one stream, as a person sees them.
pub(super) fn shell_job(
    desk: &Desk,
    spec: &TaskSpec,
    key: &SpawnKey,
    command: &str,
    workspace: &WorkspaceRef,
    mut environment: std::collections::BTreeMap<String, String>,
) -> std::io::Result<JobSpec> {
    let temp = desk.dirs.jobs().join(key.as_str()).join("tmp");
    fs::create_dir_all(&temp)?;
    environment.insert("TMPDIR".to_owned(), temp.to_string());
    let argv = vec![
        "/bin/sh".to_owned(),
        "-c".to_owned(),
        format!("exec 2>&1\n{command}"),
    ];
    let mut writable = workspace_paths(desk, spec, workspace);
    writable.push(temp);
    let mut job = JobSpec::new(key.as_str(), argv, workdir(spec, workspace));
    job.env = environment.into_iter().collect();
    job.sandbox = sandbox::confinement(desk, spec, writable, vec![]);
    job.stop_grace_ms = u64::try_from(desk.practice.stop_grace.as_millis()).unwrap_or(u64::MAX);
    Ok(job)
}

/// Where agent, setup and checks run.
pub(super) fn workdir(spec: &TaskSpec, workspace: &WorkspaceRef) -> Utf8PathBuf {
    let top = Utf8PathBuf::from(&workspace.path);
    match &spec.dir {
        Some(dir) => top.join(dir),
        None => top,
    }
}

/// What a session must be able to write of its workspace and repository (T25).
pub(super) fn workspace_paths(
    desk: &Desk,
    spec: &TaskSpec,
    workspace: &WorkspaceRef,
) -> Vec<Utf8PathBuf> {
    let top = Utf8PathBuf::from(&workspace.path);
    let mut paths = vec![top.clone()];
    if workspace.branch.is_some() {
        let found = desk.repo(&spec.repo).ok().and_then(|repo| {
            let worktree = repo.worktree_at(top.as_std_path()).ok().flatten()?;
            repo.session_write_paths(&worktree).ok()
        });
        paths.extend(
            found
                .into_iter()
                .flatten()
                .filter_map(|p| Utf8PathBuf::from_path_buf(p).ok()),
        );
    }
    paths
}

/// Which files of a workspace count.
pub(super) fn rules(desk: &Desk, spec: &TaskSpec, task: TaskId) -> FileRules {
    FileRules {
        placed: placed(desk, task),
        keep: spec.keep.clone(),
        max_total_bytes: desk.practice.snapshot_max_bytes,
        ..FileRules::default()
    }
}

fn placed(desk: &Desk, task: TaskId) -> BTreeSet<RepoPath> {
    let path = desk.dirs.task(task).join("placed.json");
    fs::read(path)
        .ok()
        .and_then(|b| serde_json::from_slice(&b).ok())
        .unwrap_or_default()
}

fn remember_placed(desk: &Desk, task: TaskId, files: &BTreeSet<RepoPath>) -> std::io::Result<()> {
    let folder = desk.dirs.task(task);
    fs::create_dir_all(&folder)?;
    let mut all = placed(desk, task);
    all.extend(files.iter().cloned());
    let bytes = serde_json::to_vec(&all)?;
    super::seal::write_whole(&folder.join("placed.json"), &bytes)
}

fn forget_setup(desk: &Desk, task: TaskId) -> std::io::Result<()> {
    match fs::remove_file(desk.dirs.task(task).join(SETUP_DONE)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn open(desk: &Desk, path: &Utf8Path) -> Result<Repo, Fault> {
    desk.repo(path).map_err(|error| {
        let fault = match error.class() {
            ErrorClass::Transient => WorkspaceFault::Transient,
            ErrorClass::Permanent => WorkspaceFault::Permanent,
        };
        Fault::new(fault, chain(&error), error.remedy())
    })
}

fn ensure_fault(error: &EnsureError) -> Fault {
    let fault = match error.class() {
        ErrorClass::Transient => WorkspaceFault::Transient,
        ErrorClass::Permanent => WorkspaceFault::Permanent,
    };
    Fault::new(fault, chain(error), error.remedy())
}

fn oid(text: &str) -> Result<Oid, Fault> {
    text.parse().map_err(|_| {
        let detail = format!("{text:?} is stored as an object id and is none");
        Fault::new(
            WorkspaceFault::Permanent,
            detail,
            "cancel the task and add it again",
        )
    })
}

/// True if a task needs no ports any more; what cannot be read is in use.
fn is_over(desk: &Desk, task: TaskId) -> bool {
    match desk.read(|r| r.task(task)) {
        Ok(Some(stored)) => stored.task.state.word().is_final(),
        Ok(None) => true,
        Err(_) => false,
    }
}

/// A folder name from the repository's own.
fn folder_name(repo: &Utf8Path) -> String {
    let name = repo.file_name().unwrap_or("repo");
    let clean: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') {
                c
            } else {
                '-'
            }
        })
        .take(40)
        .collect();
    clean.trim_start_matches('.').to_owned()
}

/// The end of a job's output as clean text.
pub(super) fn log_tail(desk: &Desk, key: &SpawnKey, limit: usize) -> String {
    let dir = desk.dirs.jobs().join(key.as_str());
    let log = JobLog::new(dir.as_std_path(), Stream::Out);
    let bytes = log.tail(limit).unwrap_or_else(|error| {
        tracing::warn!(%key, %error, "a log cannot be read");
        Vec::new()
    });
    let mut start = 0;
    while start < bytes.len().min(4) && bytes[start] & 0xC0 == 0x80 {
        start += 1;
    }
    longhaul_agents::clean_text(&String::from_utf8_lossy(&bytes[start..]))
}

fn last_lines(text: &str, n: usize) -> String {
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(n)..].join(" / ")
}

/// How a process ended, in words.
pub(super) fn outcome_words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Exited { code } => format!("exit {code}"),
        Outcome::Signalled { signal, .. } => format!("killed by signal {signal}"),
        Outcome::SpawnFailed { message, .. } => format!("could not be run: {message}"),
    }
}
