//! `.worktreeinclude`: untracked files of the user's checkout that a worktree needs (L2), copied and
//! never linked into the checkout. What was placed is told to the caller and never committed (T8).

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Component, Path, PathBuf};

use longhaul_acts::files;

use crate::fsx;
use crate::git::GitError;
use crate::oid::Oid;
use crate::path::{RepoPath, split_nul};
use crate::repo::Repo;
use crate::snapshot::pattern_file;
use crate::worktree::Worktree;

const FILE: &str = ".worktreeinclude";
const FILE_LIMIT: usize = 1 << 20;
const LISTED: usize = 200;

/// How much may be placed (I16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IncludeLimits {
    /// The most files.
    pub max_files: usize,
    /// The most bytes altogether.
    pub max_bytes: u64,
}

impl Default for IncludeLimits {
    /// 100,000 files and 8 GiB.
    fn default() -> Self {
        Self {
            max_files: 100_000,
            max_bytes: 8 << 30,
        }
    }
}

/// Why a file that matches was not placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotPlaced {
    /// A symbolic link that leads out of the checkout, or into it by an absolute path.
    LeadsOutside,
    /// A repository of its own; name its files instead.
    Repository,
    /// The base commit has a file of that name.
    Tracked,
    /// It would have to be written through a symbolic link.
    BehindLink,
    /// Not a file or link.
    Special,
    /// It could not be read.
    Unreadable,
}

/// What was placed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "placed files must be kept out of snapshots and commits"]
pub struct Placed {
    /// Every file that matches and is in the worktree now; store it for snapshots and seals.
    pub files: BTreeSet<RepoPath>,
    /// Bytes that were copied by this call.
    pub copied_bytes: u64,
    /// Files that match and were not placed (at most 200 are named).
    pub not_placed: Vec<(RepoPath, NotPlaced)>,
    /// A limit was reached: files beyond it are missing.
    pub over_limit: bool,
}

impl Repo {
    /// Places the files that `.worktreeinclude` names. The list is read from the base commit (L20),
    /// or from the user's checkout if the base has none. Repeating it copies only what is missing;
    /// what exists in the worktree is never overwritten.
    ///
    /// # Errors
    /// If the checkout cannot be listed or the worktree not written.
    pub fn place_included(
        &self,
        worktree: &Worktree,
        base: &Oid,
        limits: IncludeLimits,
    ) -> Result<Placed, GitError> {
        let mut placed = Placed::default();
        let name = RepoPath::from_bytes(FILE);
        let patterns = match self.file_at(base, &name, FILE_LIMIT)? {
            Some(patterns) => patterns,
            None => {
                let file = self.checkout().join(FILE);
                let limit = u64::try_from(FILE_LIMIT).unwrap_or(u64::MAX);
                match fsx::read_small(&file, limit).map_err(GitError::file("read", &file))? {
                    Some(patterns) => patterns,
                    None => return Ok(placed),
                }
            }
        };
        let tracked = self.tracked_at(base)?;
        for path in self.matching(&patterns)? {
            if placed.files.len() >= limits.max_files || placed.copied_bytes > limits.max_bytes {
                placed.over_limit = true;
                break;
            }
            let left = limits.max_bytes - placed.copied_bytes;
            let outcome = if tracked.contains(&path) {
                Err(NotPlaced::Tracked)
            } else {
                self.place(worktree, &path, left)?
            };
            match outcome {
                Ok(Some(bytes)) => {
                    placed.copied_bytes += bytes;
                    placed.files.insert(path);
                }
                Ok(None) => placed.over_limit = true,
                Err(why) if placed.not_placed.len() < LISTED => {
                    placed.not_placed.push((path, why));
                }
                Err(_) => {}
            }
        }
        Ok(placed)
    }

    fn tracked_at(&self, base: &Oid) -> Result<BTreeSet<RepoPath>, GitError> {
        let site = self.objects()?;
        let listing = site
            .call()
            .args([
                "ls-tree",
                "-r",
                "-z",
                "--full-tree",
                "--name-only",
                base.as_str(),
            ])
            .ok()?;
        Ok(split_nul(&listing.stdout).collect())
    }

    fn matching(&self, patterns: &[u8]) -> Result<Vec<RepoPath>, GitError> {
        let file = pattern_file(patterns)?;
        let site = self.objects()?;
        let listing = site
            .files(None)
            .args(["ls-files", "--others", "--ignored", "-z", "--exclude-from"])
            .arg(file.path())
            .ok()?;
        Ok(split_nul(&listing.stdout).collect())
    }

    /// Places one file: its size, or none if it does not fit, or why not.
    fn place(
        &self,
        worktree: &Worktree,
        path: &RepoPath,
        left: u64,
    ) -> Result<Result<Option<u64>, NotPlaced>, GitError> {
        if path.as_bytes().ends_with(b"/") {
            return Ok(Err(NotPlaced::Repository));
        }
        if !path.is_plain() {
            return Ok(Err(NotPlaced::Special));
        }
        let from = path.under(self.checkout());
        let to = path.under(&worktree.path);
        let Ok(meta) = fs::symlink_metadata(&from) else {
            return Ok(Err(NotPlaced::Unreadable));
        };
        if meta.is_symlink() {
            let Ok(target) = fs::read_link(&from) else {
                return Ok(Err(NotPlaced::Unreadable));
            };
            if !stays_inside(path.as_path(), &target) {
                return Ok(Err(NotPlaced::LeadsOutside));
            }
        } else if !meta.is_file() {
            return Ok(Err(NotPlaced::Special));
        } else if meta.len() > left {
            return Ok(Ok(None));
        }
        if !make_parents(&worktree.path, path)? {
            return Ok(Err(NotPlaced::BehindLink));
        }
        if fs::symlink_metadata(&to).is_ok() {
            return Ok(Ok(Some(0)));
        }
        if meta.is_symlink() {
            let target = fs::read_link(&from).map_err(GitError::file("read", &from))?;
            files::symlink("vcs.include.link", target, &to)
                .map_err(GitError::file("write", &to))?;
            return Ok(Ok(Some(0)));
        }
        let Ok(source) = File::open(&from) else {
            return Ok(Err(NotPlaced::Unreadable));
        };
        self.copy(&source, &meta, &to)
            .map_err(GitError::file("write", &to))?;
        Ok(Ok(Some(meta.len())))
    }

    /// Copies beside our state first, so that a crash never leaves half a file in a worktree.
    fn copy(&self, source: &File, meta: &fs::Metadata, to: &Path) -> std::io::Result<()> {
        let attempt = |folder: &Path| -> std::io::Result<Option<std::io::Error>> {
            let temporary = tempfile::Builder::new()
                .prefix(".longhaul-")
                .tempfile_in(folder)?;
            clone_or_copy(source, temporary.as_file())?;
            files::set_permissions("vcs.include.mode", temporary.path(), meta.permissions())?;
            files::set_modified("vcs.include.time", temporary.as_file(), meta.modified()?)?;
            #[expect(clippy::disallowed_methods, reason = "its points are right here")]
            let named =
                longhaul_acts::around("vcs.include.rename", || temporary.persist_noclobber(to));
            match named {
                Ok(_) => Ok(None),
                Err(error) => Ok(Some(error.error)),
            }
        };
        match attempt(self.state())? {
            Some(error) if error.kind() == std::io::ErrorKind::CrossesDevices => {
                match attempt(to.parent().unwrap_or(Path::new("/")))? {
                    Some(error) => Err(error),
                    None => Ok(()),
                }
            }
            Some(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

/// Shares the blocks where the file system can, else copies.
fn clone_or_copy(mut source: &File, mut to: &File) -> std::io::Result<()> {
    use std::io::{Seek, SeekFrom};
    #[cfg(target_os = "linux")]
    if rustix::fs::ioctl_ficlone(to, source).is_ok() {
        return Ok(());
    }
    source.seek(SeekFrom::Start(0))?;
    #[expect(clippy::disallowed_methods, reason = "its points are right here")]
    longhaul_acts::around("vcs.include.copy", || std::io::copy(&mut source, &mut to))?;
    Ok(())
}

/// True if a relative link, read by text alone, ends inside the folder that `path` is relative to.
pub(crate) fn stays_inside(path: &Path, target: &Path) -> bool {
    let mut depth: usize = path.components().count().saturating_sub(1);
    for part in target.components() {
        match part {
            Component::Normal(name) if name.eq_ignore_ascii_case(".git") => return false,
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    true
}

/// Makes the folders above a path; false if one of them is a link or file.
fn make_parents(top: &Path, path: &RepoPath) -> Result<bool, GitError> {
    let mut folder: PathBuf = top.to_owned();
    let parents = path.as_path().parent().unwrap_or(Path::new(""));
    for part in parents.components() {
        folder.push(part);
        match fs::symlink_metadata(&folder) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => return Ok(false),
            Err(error) if fsx::is_absent(&error) => {
                match files::create_dir("vcs.include.folder", &folder) {
                    Ok(()) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                    Err(error) => return Err(GitError::file("create the folder", &folder)(error)),
                }
            }
            Err(error) => return Err(GitError::file("look at", &folder)(error)),
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l2_links_may_not_lead_out() {
        let inside = |path, target| stays_inside(Path::new(path), Path::new(target));
        assert!(inside("a/b", "../c") && inside("a", "b/c") && inside("x/y/z", "../../q"));
        assert!(!inside("a", "../c") && !inside("a/b", "../../c") && !inside("a", "/etc/passwd"));
        assert!(!inside("a", ".git/config") && !inside("a/b", "c/../../../d"));
    }
}
