//! What a turn left in its workspace, secured: a snapshot, the leftovers committed, the branch judged.

use camino::Utf8Path;
use longhaul_core::attempt::{AttemptEnd, Sealed};
use longhaul_core::ids::{Fence, TaskId};
use longhaul_core::spec::{CommitMode, TaskSpec};
use longhaul_core::task::{RunStep, State, WorkspaceRef};
use longhaul_vcs::{
    BranchRepair, BranchState, ErrorClass, Oid, Protect, Repo, RepoPath, SealRequest, Snapshot,
    SnapshotRequest,
};

use super::super::desk::chain;
use super::super::trouble::Trouble;
use super::super::{Desk, prepare};
use super::escape::{restore_settings, told, trespasses, was_confined};
use super::refs;
use crate::machine::Dispatch;

/// Bytes of the diff that a seal looks at for its summary.
const DIFF_BYTES: usize = 64 * 1024;
/// Lines of a diffstat.
const STAT_LINES: usize = 30;

pub(super) fn worktree(
    desk: &Desk,
    d: &Dispatch,
    spec: &TaskSpec,
    workspace: &WorkspaceRef,
) -> Result<Sealed, Trouble> {
    let (task, fence) = (d.effect.task, d.effect.fence);
    // Approved work was sealed before; what changed since is a person's own doing.
    let approving = d.task.carry.approving.as_ref();
    // First of all: what git would run or read by the session's doing is put back (L20).
    if approving.is_none() {
        restore_settings(desk, d)?;
    }
    let repo = desk.repo(&spec.repo).map_err(|e| Trouble {
        transient: e.class() == ErrorClass::Transient,
        detail: chain(&e),
    })?;
    let mut escaped = Vec::new();
    if approving.is_none() {
        refs::put_back(desk, d, spec, &repo, was_confined(desk, d))?;
        escaped = trespasses(desk, d, spec, &repo)?;
    }
    let folder = Utf8Path::new(&workspace.path);
    let Some(worktree) = repo.worktree_at(folder.as_std_path())? else {
        return Err(Trouble::for_good(format!(
            "the workspace {folder} is not there any more"
        )));
    };
    if let Some(tree) = approving {
        let files = prepare::rules(desk, spec, task);
        let now = repo.tree_of(&worktree, &files)?.to_string();
        if now != *tree {
            return Err(Trouble::for_good(
                "the workspace changed since the work was shown, so it is not what was approved",
            ));
        }
    } else {
        refs::put_own_back(desk, d, spec, &repo, &worktree)?;
    }
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
        commit: match approving {
            Some(_) => CommitMode::Auto,
            None if finished => spec.commit,
            None => CommitMode::Agent,
        },
        sign: desk.practice_or_own(&spec.repo).sign,
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
        // With `keep`, what is missing may be an ignored file that no commit would hold.
        _ if sealed.snapshot.skipped_total > 0 && spec.keep.is_empty() => {
            Some(left_out(&sealed.snapshot))
        }
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
        loose: !sealed.leftovers.paths.is_empty(),
        branch_problem: branch_problem.filter(|_| finished),
        escaped,
    })
}

pub(super) fn in_place(
    desk: &Desk,
    d: &Dispatch,
    spec: &TaskSpec,
    workspace: &WorkspaceRef,
) -> Result<Sealed, Trouble> {
    restore_settings(desk, d)?;
    let (repo, worktree) = prepare::in_place_repo_of(desk, &spec.repo)?;
    refs::put_back(desk, d, spec, &repo, false)?;
    let escaped = told(desk, d);
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
        loose: false,
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

/// What neither snapshot nor commit could take up, in words: it would be missing from the result.
fn left_out(snapshot: &Snapshot) -> String {
    let named: Vec<String> = snapshot
        .skipped
        .iter()
        .take(5)
        .map(|file| format!("{} ({} bytes)", file.path, file.bytes))
        .collect();
    let more = snapshot.skipped_total - named.len();
    let more = if more > 0 {
        format!(", and {more} more")
    } else {
        String::new()
    };
    format!(
        "too large for a snapshot (`snapshot_max`), or unreadable, and so missing from the commit: {}{more}; commit, ignore or delete them",
        named.join(", ")
    )
}
