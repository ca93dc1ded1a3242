//! What a confined session must be able to write for its work and its commits (T25), and no more:
//! not config, hooks, info, other worktrees, other people's branches, tags or the stash.

use std::path::PathBuf;

use super::Worktree;
use crate::git::GitError;
use crate::repo::Repo;

impl Repo {
    /// The folders that a session in this worktree must be able to write. They exist afterwards.
    ///
    /// With them `git add`, `commit`, `rebase`, `merge`, `reset` and new branches beside the task's
    /// branch work. Branches elsewhere, tags, `git stash` and everything that changes `.git/config`
    /// do not. In a repository with the reftable format all refs are one folder, which is included.
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
        paths.push(common.join("objects"));
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
