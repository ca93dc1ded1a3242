//! Work that conflicts with what has landed: the merge is begun in its workspace, so that the agent finds
//! the conflict in its files (L12).

use std::fs;

use camino::Utf8PathBuf;
use longhaul_acts::files;
use longhaul_core::fact::WorkspaceFault;
use longhaul_core::spec::TaskSpec;
use longhaul_core::task::RetryReason;
use longhaul_vcs::{Repo, Worktree};

use super::super::Desk;
use super::super::desk::chain;
use super::super::files::write_whole;
use super::fault::Fault;
use super::files::rules;
use super::oid;
use crate::machine::Dispatch;

/// Begins the merge, if the attempt is for one, and gives the tree that the workspace has then: what the
/// merge changed is no drift. A workspace that is not fit for it is left alone; the prompt says what to
/// merge.
pub(super) fn begin(
    desk: &Desk,
    d: &Dispatch,
    spec: &TaskSpec,
    repo: &Repo,
    worktree: &Worktree,
) -> Result<Option<String>, Fault> {
    let Some(RetryReason::LandConflict { tip, .. }) = &d.task.carry.reason else {
        return Ok(None);
    };
    let fault = |e: longhaul_vcs::GitError| {
        Fault::new(
            WorkspaceFault::Transient,
            chain(&e),
            "look at the workspace, then `longhaul retry`",
        )
    };
    // Before it is begun: whoever dies in between must not take it for drift.
    let note = note(desk, d);
    let made = note.parent().map_or(Ok(()), |folder| {
        files::create_dir_all("engine.rework.folder", folder)
    });
    made.and_then(|()| write_whole(&note, d.effect.fence.to_string().as_bytes()))
        .map_err(|e| Fault::io("cannot note the merge", &e))?;
    let begun = longhaul_acts::around("engine.rework.begin", || {
        repo.begin_merge(worktree, &oid(tip)?).map_err(fault)
    })?;
    tracing::info!(task = %d.task.id, ?begun, "the merge of what has landed");
    let tree = repo.tree_of(worktree, &rules(desk, spec, d.task.id));
    Ok(Some(tree.map_err(fault)?.to_string()))
}

/// Whether this attempt's merge was begun, as far as anybody can tell.
pub(super) fn is_begun(desk: &Desk, d: &Dispatch) -> bool {
    fs::read_to_string(note(desk, d)).is_ok_and(|fence| fence == d.effect.fence.to_string())
}

/// Where it is noted for which attempt a merge was begun.
fn note(desk: &Desk, d: &Dispatch) -> Utf8PathBuf {
    desk.dirs.task(d.effect.task).join("merge-begun")
}
