//! Throwing away a checkout that never held anybody's work: a reviewer's. Workspaces of tasks go
//! through the plan of `gc` instead (L6).

use std::path::Path;

use crate::disk;
use crate::git::GitError;
use crate::oid::Oid;
use crate::repo::Repo;

impl Repo {
    /// Removes a disposable checkout with its branch. Refused unless the branch still stands at
    /// `made_at`, the commit it was made from: commits that somebody made there are kept.
    ///
    /// Returns whether it was removed. Repeating it after a crash goes on.
    ///
    /// # Errors
    /// If git or a file operation fails.
    pub fn discard_checkout(&self, path: &Path, made_at: &Oid) -> Result<bool, GitError> {
        let Some(worktree) = self.worktree_at(path)? else {
            return Ok(true);
        };
        let name = format!("refs/heads/{}", worktree.branch);
        if self.ref_commit(&name)?.is_some_and(|tip| tip != *made_at) {
            return Ok(false);
        }
        crate::crash::point("vcs.discard.before");
        disk::remove_tree(path).map_err(GitError::file("remove", path))?;
        self.deregister(&worktree)?;
        if self.ref_commit(&name)?.is_some() {
            let site = self.objects()?;
            crate::crash::point("vcs.discard.branch");
            site.call()
                .args(["update-ref", "--no-deref", "-d", &name, made_at.as_str()])
                .ok()?;
        }
        Ok(true)
    }
}
