//! Work in the user's own folder: a repository, or a plain folder with one of ours beside it.

use std::collections::BTreeSet;

use camino::Utf8Path;
use longhaul_core::spec::TaskSpec;
use longhaul_core::task::WorkspaceRef;
use longhaul_vcs::{OpenError, Repo, Worktree};

use super::super::Desk;
use super::super::trouble::Trouble;
use super::fault::Fault;
use super::files::rules;
use super::setup::known_tree;
use super::{Prepared, drift};
use crate::machine::Dispatch;

pub(super) fn in_place(desk: &Desk, d: &Dispatch, spec: &TaskSpec) -> Result<Prepared, Fault> {
    let task = &d.task;
    let (repo, worktree) = in_place_repo(desk, spec)?;
    let files = rules(desk, spec, task.id);
    let tree = repo
        .tree_of(&worktree, &files)
        .map_err(|e| Fault::git(&e))?;
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
