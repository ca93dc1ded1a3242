//! A user's checkout of the base branch is brought from one commit to the next (L14): git writes the
//! files, we hold git's own lock of the user's index meanwhile. `git merge --ff-only` reads the index
//! before it takes that lock, and so takes back what the user stages in between.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::fsx;
use crate::git::GitError;
use crate::lock::IndexLock;
use crate::oid::Oid;
use crate::repo::{Head, read_head};

use super::checkout::Checkout;
use super::follow::FollowIntent;

/// Inode, size and times of an index.
type IndexStamp = [i128; 6];

/// How an attempt to advance a checkout ended.
pub(super) enum Advance {
    /// Files, index and branch stand at the new commit.
    Done,
    /// Something of the user's is in the way, in a sentence; nothing was touched.
    Blocked(String),
    /// Not this time, and nothing is left of it.
    Again,
}

impl Checkout<'_> {
    /// Looks at every guard, then moves files, index and branch. Nobody who keeps git's rules commits,
    /// stages or switches in between. The guards ask git a lot, so the user's index is only locked for
    /// them if `lock_first`: else it has to be the same file after them, which it never is while
    /// somebody stages all the time.
    pub(super) fn advance(
        &self,
        base: &str,
        intent: &FollowIntent,
        lock_first: bool,
    ) -> Result<Advance, GitError> {
        let lock = if lock_first {
            let Some(lock) = IndexLock::try_take(&self.site.git_dir)? else {
                return Ok(Advance::Again);
            };
            Some(lock)
        } else {
            None
        };
        let looked_at = self.index_stamp()?;
        if let Some(why) = self.blocked(base, intent)? {
            return Ok(Advance::Blocked(why));
        }
        if looked_at.is_none() {
            let why = format!("{} is not there", self.index().display());
            return Ok(Advance::Blocked(why));
        }
        let next = self.next_index()?;
        // The times that the index has of files may be old ones, of the same content. Ends with 1 if
        // the user has changed files.
        self.site
            .files(Some(&next))
            .args(["update-index", "-q", "--refresh"])
            .output()?;
        let lock = match lock {
            Some(lock) => Some(lock),
            None => IndexLock::try_take(&self.site.git_dir)?,
        };
        let end = match lock {
            Some(lock) if self.index_stamp()? == looked_at => {
                self.advance_locked(base, intent, lock, &next)
            }
            _ => Ok(Advance::Again),
        };
        fsx::remove_file_if_there(&next)?;
        end
    }

    /// With the guards seen to, and a copy of the index at `next`.
    fn advance_locked(
        &self,
        base: &str,
        intent: &FollowIntent,
        lock: IndexLock,
        next: &Path,
    ) -> Result<Advance, GitError> {
        if let Some(why) = self.busy(base, &intent.from)? {
            return Ok(Advance::Blocked(why));
        }
        let written = longhaul_acts::around("vcs.follow.files", || {
            self.write_files(next, &intent.from, &intent.to)
        })?;
        let moved = if written {
            lock.write(next).and_then(|()| {
                longhaul_acts::around("vcs.follow.base", || self.move_base(base, intent))
            })
        } else {
            Ok(false)
        };
        if matches!(moved, Ok(true)) {
            lock.commit()?;
            return Ok(Advance::Done);
        }
        // The index is the old one still, and the user cannot have written it.
        let stuck = self.put_back(intent, &self.changes(&intent.from, &intent.to)?)?;
        moved?;
        Ok(stuck.map_or(Advance::Again, Advance::Blocked))
    }

    /// Writes the files that differ between two commits, and the index `next` with them; false if git
    /// refused or gave up. No excludes: what git is told to ignore is the user's as well.
    fn write_files(&self, next: &Path, from: &Oid, to: &Oid) -> Result<bool, GitError> {
        let output = self
            .site
            .files(Some(next))
            .args(["read-tree", "-m", "-u", from.as_str(), to.as_str()])
            .output()?;
        Ok(output.code == Some(0))
    }

    /// `git switch -c` asks for no lock: begun before an advance and done after it, it leaves the user on
    /// a new branch at the old commit, with what has landed staged. Then files and index go back there.
    pub(super) fn step_back_if_switched(
        &self,
        base: &str,
        intent: &FollowIntent,
    ) -> Result<(), GitError> {
        let elsewhere = |head: &Head| match head {
            Head::Branch { name, tip } => {
                base.strip_prefix("refs/heads/") != Some(name) && *tip == intent.from
            }
            Head::Detached { at } => *at == intent.from,
            Head::Unborn { .. } | Head::Broken => false,
        };
        if !elsewhere(&read_head(&self.site)?) {
            return Ok(());
        }
        let Some(lock) = IndexLock::try_take(&self.site.git_dir)? else {
            return Ok(());
        };
        let changes = self.changes(&intent.from, &intent.to)?;
        if !elsewhere(&read_head(&self.site)?) || !self.staged(&intent.to, &changes)?.is_empty() {
            return Ok(());
        }
        let next = self.next_index()?;
        if self.write_files(&next, &intent.to, &intent.from)? {
            lock.write(&next)?;
            lock.commit()?;
        }
        fsx::remove_file_if_there(&next)
    }

    /// A copy of the user's index, to be changed.
    pub(super) fn next_index(&self) -> Result<PathBuf, GitError> {
        let beside = |suffix: &str| {
            let mut name = self.scratch.clone().into_os_string();
            name.push(suffix);
            PathBuf::from(name)
        };
        // A git that was killed may have left this one.
        fsx::remove_file_if_there(&beside(".next.lock"))?;
        let (index, next) = (self.index(), beside(".next"));
        fsx::copy_index(&index, &next).map_err(GitError::file("copy", &index))?;
        Ok(next)
    }

    /// Moves the branch by compare-and-swap.
    fn move_base(&self, base: &str, intent: &FollowIntent) -> Result<bool, GitError> {
        let reason = "longhaul: follow what has landed";
        self.site
            .move_ref(base, &intent.to, Some(&intent.from), reason)
    }

    pub(super) fn index(&self) -> PathBuf {
        self.site.git_dir.join("index")
    }

    /// What tells one state of the user's index from another; none if there is no index.
    fn index_stamp(&self) -> Result<Option<IndexStamp>, GitError> {
        let index = self.index();
        match fs::symlink_metadata(&index) {
            Ok(meta) => Ok(Some([
                meta.ino().into(),
                meta.size().into(),
                meta.mtime().into(),
                meta.mtime_nsec().into(),
                meta.ctime().into(),
                meta.ctime_nsec().into(),
            ])),
            Err(error) if fsx::is_absent(&error) => Ok(None),
            Err(error) => Err(GitError::file("look at", &index)(error)),
        }
    }
}
