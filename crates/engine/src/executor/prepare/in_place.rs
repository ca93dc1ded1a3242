//! Work in the user's own folder: a repository, or a plain folder with one of ours beside it.

use std::collections::BTreeSet;

use camino::Utf8Path;
use longhaul_core::spec::TaskSpec;
use longhaul_core::task::WorkspaceRef;
use longhaul_vcs::{FileRules, Oid, OpenError, Repo, SnapshotRef, SnapshotRequest, Worktree};

use super::super::Desk;
use super::super::tidy::SNAPSHOTS;
use super::super::trouble::Trouble;
use super::fault::Fault;
use super::files::rules;
use super::setup::{known_tree, setup_began};
use super::{Prepared, drift};
use crate::machine::Dispatch;

/// Name of the snapshot of what was there before the first attempt: turns count from 1.
pub const BEFORE_FIRST: &str = "0";

pub(super) fn in_place(desk: &Desk, d: &Dispatch, spec: &TaskSpec) -> Result<Prepared, Fault> {
    let task = &d.task;
    let (repo, worktree) = in_place_repo(desk, spec)?;
    let files = rules(desk, spec, task.id);
    let tree = secure(desk, d, &repo, &worktree, files.clone())?;
    let drift = match known_tree(desk, d, spec) {
        Some(end) => drift(&repo, &worktree, &files, &end, &BTreeSet::new())?,
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
        tree: None,
    })
}

/// Snapshots what the next attempt finds, where no snapshot of the task holds it yet (I5): the user's own
/// files before the first one, and what was changed by hand between two. Gives the tree.
fn secure(
    desk: &Desk,
    d: &Dispatch,
    repo: &Repo,
    worktree: &Worktree,
    files: FileRules,
) -> Result<Oid, Fault> {
    // No session follows a preparation for checks. In one that was cut short what is there now is the
    // set-up's, and what that found is kept.
    if d.task.carry.resume_checks.is_some() || setup_began(desk, d) {
        return repo.tree_of(worktree, &files).map_err(|e| Fault::git(&e));
    }
    let prefix = format!("{SNAPSHOTS}/{}", d.task.id);
    let number = d.task.attempt.as_ref().map_or(0, |a| a.number);
    // Repeated for the first attempt it is the same one, which saves the time of a look.
    let known = match number {
        0 | 1 => Vec::new(),
        _ => repo.snapshots(&prefix).map_err(|e| Fault::git(&e))?,
    };
    let (name, when) = match known.last() {
        Some(last) => {
            let now = repo.tree_of(worktree, &files).map_err(|e| Fault::git(&e))?;
            let changes = repo.changes(&last.commit, &now);
            if changes.map_err(|e| Fault::git(&e))?.paths.is_empty() {
                return Ok(now);
            }
            let name = SnapshotRef::next_by_order(&known);
            (name, format!("before attempt {number}"))
        }
        None => (
            BEFORE_FIRST.to_owned(),
            "before the first attempt".to_owned(),
        ),
    };
    let request = SnapshotRequest {
        reference: format!("{prefix}/{name}"),
        reason: format!("{}: {when}", d.task.name),
        files,
    };
    let kept = repo
        .snapshot_now(worktree, &request)
        .map_err(|e| Fault::git(&e))?;
    Ok(kept.tree)
}

/// The folder of in-place work as a repository: the user's own, or one beside it for a plain folder.
pub(in crate::executor) fn in_place_repo_of(
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
    in_place_repo_of(desk, &spec.repo)
        .map_err(|trouble| Fault::trouble(trouble, "check the path of `repo`"))
}
