//! Throwing away what is nobody's work: a reviewer's checkout, files that a check left. Workspaces of
//! tasks go through the plan of `gc` instead (L6).

use std::fs;
use std::path::Path;

use longhaul_acts::files;

use super::Worktree;
use crate::disk;
use crate::fsx;
use crate::git::GitError;
use crate::path::RepoPath;
use crate::repo::Repo;

impl Repo {
    /// Removes single files of a workspace, and the folders that are empty by it. The caller has
    /// snapshotted them (I5). A link is removed, never followed, also as a folder on the way. Repeating
    /// it is harmless.
    ///
    /// # Errors
    /// If a file cannot be removed.
    pub fn remove_files(&self, worktree: &Worktree, paths: &[&RepoPath]) -> Result<(), GitError> {
        let top = worktree.path.as_path();
        for path in paths {
            let file = path.under(top);
            let folders = || file.ancestors().skip(1).take_while(|f| *f != top);
            let real = |f: &Path| fs::symlink_metadata(f).is_ok_and(|m| m.is_dir());
            if !path.is_plain() || !folders().all(real) {
                continue;
            }
            fsx::remove_file_if_there(&file)?;
            // From the innermost outwards, as far as they are empty.
            let _emptied = folders()
                .take_while(|f| files::remove_dir("vcs.leftover.folder", f).is_ok())
                .count();
        }
        Ok(())
    }

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
