//! What a confined session must be able to write for its work and its commits (T25), and no more:
//! not config, hooks, info, other worktrees, other people's branches, tags or the stash.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use longhaul_acts::files;

use super::Worktree;
use crate::git::GitError;
use crate::repo::Repo;

/// Keeps a folder of single objects there: git removes it when it packs what is in it, and a rule of
/// the kernel would be gone with it. Git takes a file of this name for one that a dead process left, says
/// nothing of it, and removes it two weeks after it was last touched.
const KEEPER: &str = "tmp_obj_longhaul";
/// A keeper is touched again when it is as old as this.
const KEEPER_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// The folders that new objects are written to.
fn object_folders(objects: &Path) -> Result<Vec<PathBuf>, GitError> {
    if is_partial(objects) {
        return Ok(vec![objects.to_owned()]);
    }
    let mut folders = Vec::with_capacity(256);
    for first in 0..=u8::MAX {
        let folder = objects.join(format!("{first:02x}"));
        let keeper = folder.join(KEEPER);
        let touched = fs::symlink_metadata(&keeper).and_then(|m| m.modified());
        let age = touched.ok().and_then(|at| at.elapsed().ok());
        if age.is_none_or(|age| age > KEEPER_AGE) {
            files::create_dir_all("vcs.keeper.folder", &folder)
                .map_err(GitError::file("create the folder", &folder))?;
            let mut options = fs::OpenOptions::new();
            options.create(true).truncate(false).write(true);
            files::open("vcs.keeper.file", &options, &keeper)
                .and_then(|file| files::set_modified("vcs.keeper.time", &file, SystemTime::now()))
                .map_err(GitError::file("write", &keeper))?;
        }
        folders.push(folder);
    }
    Ok(folders)
}

/// True where missing objects are fetched when they are needed.
fn is_partial(objects: &Path) -> bool {
    let packs = fs::read_dir(objects.join("pack")).into_iter().flatten();
    packs
        .flatten()
        .any(|entry| entry.path().extension().is_some_and(|e| e == "promisor"))
}

impl Repo {
    /// The folders that a session in this worktree must be able to write. They exist afterwards.
    ///
    /// With them `git add`, `commit`, `rebase`, `merge`, `reset` and new branches beside the task's
    /// branch work. Branches elsewhere, tags, `git stash` and everything that changes `.git/config`
    /// do not. In a repository with the reftable format all refs are one folder, which is included.
    ///
    /// Of the objects it is the folders of single ones: packs, which hold what the user had before, and
    /// the list of foreign object folders stay closed. A partial clone fetches into packs; there it is
    /// all of them.
    ///
    /// # Errors
    /// If a folder cannot be made.
    pub fn session_write_paths(&self, worktree: &Worktree) -> Result<Vec<PathBuf>, GitError> {
        let common = self.common_dir();
        let mut paths = vec![worktree.path.clone()];
        if self.is_plain() {
            return Ok(paths);
        }
        if worktree.git_dir == self.checkout_git_dir() {
            // In-place work is done in the user's own checkout, whose git the session may not move.
            return Ok(paths);
        }
        paths.push(worktree.git_dir.clone());
        paths.extend(object_folders(&common.join("objects"))?);
        let reftable = common.join("reftable");
        if reftable.is_dir() {
            paths.push(reftable);
            return Ok(paths);
        }
        let family = worktree
            .branch
            .rsplit_once('/')
            .map_or("", |(family, _)| family);
        for top in ["refs/heads", "logs/refs/heads"] {
            let folder = common.join(top).join(family);
            // git removes an empty folder of refs when it packs them, and a rule of the kernel would
            // be gone with it; a hidden folder, which git passes over, keeps it.
            let keeper = folder.join(".keep");
            longhaul_acts::files::create_dir_all("vcs.keeper", &keeper)
                .map_err(GitError::file("create the folder", &keeper))?;
            paths.push(folder);
        }
        Ok(paths)
    }
}
