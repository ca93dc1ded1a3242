//! Throwing away a checkout that never held anybody's work: a reviewer's. Workspaces of tasks go
//! through the plan of `gc` instead (L6).

use std::path::Path;

use crate::disk;
use crate::git::GitError;
use crate::repo::Repo;

impl Repo {
    /// Removes a disposable checkout with its branch, whatever was committed there: nobody's work is
    /// in it. Refs elsewhere are not touched. Repeating it after a crash goes on.
    ///
    /// # Errors
    /// If git or a file operation fails.
    pub fn discard_checkout(&self, path: &Path) -> Result<(), GitError> {
        let Some(worktree) = self.worktree_at(path)? else {
            return Ok(());
        };
        let name = format!("refs/heads/{}", worktree.branch);
        disk::remove_tree(path).map_err(GitError::file("remove", path))?;
        if let Some(tip) = self.ref_commit(&name)? {
            let site = self.objects()?;
            site.call()
                .args(["update-ref", "--no-deref", "-d", &name, tip.as_str()])
                .ok()?;
        }
        // Last, since the record of the worktree is what names the branch.
        self.deregister(&worktree)?;
        self.forget(&worktree.path)
    }
}
