//! Files that checks leave in a worktree: no work of the agent's. They are remembered, said in the
//! verdict, and taken away before the next attempt begins, or when the last check has passed; a
//! snapshot holds them (T9, I5). Between the checks of one attempt they stay: one may build what the
//! next one runs.

use std::collections::BTreeSet;
use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_core::ids::{Fence, TaskId};
use longhaul_core::spec::{TaskSpec, WorkspaceKind};
use longhaul_core::task::WorkspaceRef;
use longhaul_vcs::{ChangeKind, Oid, Repo, RepoPath, SnapshotRef, SnapshotRequest, Worktree};
use serde::{Deserialize, Serialize};

use super::files::write_whole;
use super::prepare::rules;
use super::trouble::Trouble;
use super::{Desk, seal};
use crate::machine::Dispatch;

/// Names given in a verdict.
const NAMED: usize = 5;

/// What the checks of one attempt left.
#[derive(Default, Serialize, Deserialize)]
struct Record {
    /// The attempt.
    fence: u64,
    /// Untracked files that were not there before.
    made: BTreeSet<RepoPath>,
    /// Tree of the workspace after the last check: a file that differs from it is somebody's work.
    tree: String,
    /// For which attempt they were taken away: what appears later is that one's.
    cleared: Option<u64>,
}

/// Notes what a check left, and says it in words. Before the check's news are told, so that no crash
/// forgets it.
pub(super) fn note(desk: &Desk, d: &Dispatch, spec: &TaskSpec) -> Result<Option<String>, Trouble> {
    let Some((repo, worktree)) = place(desk, spec, d.task.carry.workspace.as_ref())? else {
        return Ok(None);
    };
    let Some(before) = d
        .task
        .carry
        .end_tree
        .as_ref()
        .and_then(|t| t.parse::<Oid>().ok())
    else {
        return Ok(None);
    };
    let work = repo.work_of(&worktree, &rules(desk, spec, d.effect.task))?;
    let new = added(&repo, &before, &work)?;
    let fence = d.effect.fence.0;
    let mut record = read(desk, d.effect.task).filter(|r| r.fence == fence);
    if new.is_empty() && record.is_none() {
        return Ok(None);
    }
    let record = record.get_or_insert_with(|| Record {
        fence,
        ..Record::default()
    });
    record.made.extend(new.iter().cloned());
    record.tree = work.to_string();
    write(desk, d.effect.task, record)?;
    if new.is_empty() {
        return Ok(None);
    }
    let names: Vec<String> = new.iter().take(NAMED).map(ToString::to_string).collect();
    let more = if new.len() > NAMED { ", …" } else { "" };
    let files = if new.len() == 1 { "file" } else { "files" };
    Ok(Some(format!(
        "it left {} untracked {files} that will not be committed: {}{more}",
        new.len(),
        names.join(", ")
    )))
}

/// Takes away what the checks of an earlier attempt left, before this one begins. Where its own checks
/// go on (after a stop or a judge that was away) their files stay.
pub(super) fn clear_before(
    desk: &Desk,
    d: &Dispatch,
    spec: &TaskSpec,
    workspace: &WorkspaceRef,
) -> Result<BTreeSet<RepoPath>, Trouble> {
    let (task, fence) = (d.effect.task, d.effect.fence);
    match read(desk, task) {
        Some(record) if record.fence == fence.0 && record.cleared.is_none() => Ok(BTreeSet::new()),
        _ => clear(desk, task, fence, spec, workspace),
    }
}

/// Takes away what checks left, for the attempt `fence` (its own, or the one before), after a snapshot. Gives the files
/// that are gone by it: they are no drift.
pub(super) fn clear(
    desk: &Desk,
    task: TaskId,
    fence: Fence,
    spec: &TaskSpec,
    workspace: &WorkspaceRef,
) -> Result<BTreeSet<RepoPath>, Trouble> {
    let Some(mut record) = read(desk, task) else {
        return Ok(BTreeSet::new());
    };
    match record.cleared {
        Some(at) if at != fence.0 => return Ok(BTreeSet::new()),
        Some(_) => return Ok(record.made),
        None => {}
    }
    let Some((repo, worktree)) = place(desk, spec, Some(workspace))? else {
        return Ok(BTreeSet::new());
    };
    let (Ok(left), files) = (record.tree.parse::<Oid>(), rules(desk, spec, task)) else {
        return Ok(BTreeSet::new());
    };
    let now = repo.work_of(&worktree, &files)?;
    let touched: BTreeSet<RepoPath> = repo
        .changes(&left, &now)?
        .paths
        .into_iter()
        .map(|c| c.path)
        .collect();
    let untracked = match repo.head_of(&worktree)? {
        Some(head) => added(&repo, &head, &now)?,
        None => BTreeSet::new(),
    };
    let gone: Vec<&RepoPath> = record
        .made
        .iter()
        .filter(|path| !touched.contains(*path) && untracked.contains(*path))
        .collect();
    if !gone.is_empty() {
        let prefix = format!("refs/longhaul/snap/{task}");
        let name = SnapshotRef::next_by_order(&repo.snapshots(&prefix)?);
        let request = SnapshotRequest {
            reference: format!("{prefix}/{name}"),
            reason: format!("{}: before files of checks are taken away", spec.name),
            files,
        };
        let kept = repo.snapshot(&worktree, &request)?;
        tracing::info!(%task, files = gone.len(), snapshot = kept.reference, "files of checks taken away");
        repo.remove_files(&worktree, &gone)?;
    }
    record.cleared = Some(fence.0);
    write(desk, task, &record)?;
    Ok(record.made)
}

fn added(repo: &Repo, from: &Oid, to: &Oid) -> Result<BTreeSet<RepoPath>, Trouble> {
    let changes = repo.changes(from, to)?;
    let new = changes.paths.into_iter();
    Ok(new
        .filter(|c| c.kind == ChangeKind::Added)
        .map(|c| c.path)
        .collect())
}

/// Where files may be taken away: a worktree of ours that is there.
fn place(
    desk: &Desk,
    spec: &TaskSpec,
    workspace: Option<&WorkspaceRef>,
) -> Result<Option<(Repo, Worktree)>, Trouble> {
    let there = |w: &&WorkspaceRef| Utf8Path::new(&w.path).is_dir();
    let Some(workspace) = workspace.filter(there) else {
        return Ok(None);
    };
    if spec.workspace != WorkspaceKind::Worktree {
        return Ok(None);
    }
    let repo = desk.repo(&spec.repo)?;
    let found = seal::find_worktree(&repo, workspace)?;
    Ok(found.map(|worktree| (repo, worktree)))
}

fn file(desk: &Desk, task: TaskId) -> Utf8PathBuf {
    desk.dirs.task(task).join("leftovers.json")
}

fn read(desk: &Desk, task: TaskId) -> Option<Record> {
    let bytes = fs::read(file(desk, task)).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn write(desk: &Desk, task: TaskId, record: &Record) -> Result<(), Trouble> {
    let file = file(desk, task);
    // Its folder is there since the mark of its session was made.
    let write = || write_whole(&file, &serde_json::to_vec(record)?);
    write().map_err(|error| Trouble {
        detail: format!("cannot write {file}: {error}"),
        transient: true,
    })
}
