//! A checkout that was being advanced when we died: files of both commits, a stale lock, the index as
//! it was, the branch moved or not. Not moved, the files are put back to the old commit, from where an
//! advance works again; moved, the index and what a power cut made empty follow. Nothing that is in
//! neither commit is touched, and then nothing at all is.

use std::path::Path;
use std::time::UNIX_EPOCH;

use longhaul_acts::files;

use crate::fsx;
use crate::git::GitError;
use crate::lock::IndexLock;
use crate::path::RepoPath;
use crate::repo::{Head, read_head};

use super::checkout::{Change, Checkout, look};
use super::follow::FollowIntent;

/// How many bytes of a file are compared with what git was writing.
const COMPARED: usize = 256 << 20;

impl Checkout<'_> {
    /// Puts right what a crash left of an advance. `Some` says what stands in the way of that; nothing
    /// was touched then.
    pub(super) fn recover(
        &self,
        base: &str,
        intent: &FollowIntent,
    ) -> Result<Option<String>, GitError> {
        if let Some(why) = self.clear_lock(intent)? {
            return Ok(Some(why));
        }
        let Some(lock) = IndexLock::try_take(&self.site.git_dir)? else {
            let path = self.path().display();
            return Ok(Some(format!("another git works in {path}")));
        };
        // Whatever the user has done since, it was done with the lock taken away by hand.
        let now = match read_head(&self.site)? {
            Head::Branch { name, tip } if base.strip_prefix("refs/heads/") == Some(&name) => tip,
            _ => return Ok(None),
        };
        let changes = self.changes(&intent.from, &intent.to)?;
        if now == intent.to {
            return self.complete(lock, intent, &changes);
        }
        if let Some(why) = self.busy(base, &now)? {
            return Ok(Some(why));
        }
        self.put_back(intent, &changes)
    }

    /// Puts the files back to the old commit, whose entries the index still has, if git touched any.
    pub(super) fn put_back(
        &self,
        intent: &FollowIntent,
        changes: &[Change],
    ) -> Result<Option<String>, GitError> {
        if let Some(why) = self.unfit(changes)? {
            return Ok(Some(why));
        }
        let unlike_old = self.unlike(changes, |c| c.old.as_ref())?;
        let unlike_new = self.unlike(changes, |c| c.new.as_ref())?;
        let mut touched = false;
        let mut other = None;
        let mut write = Vec::new();
        let mut remove = Vec::new();
        for change in changes {
            let there = self.is_there(&change.path)?;
            let old = match change.old {
                Some(_) => there && !unlike_old.contains(&change.path),
                None => !there,
            };
            if old {
                continue;
            }
            // Written, or gone: as the new commit has it, or taken away before it was to be written anew.
            let new = change.new.is_some() && there && !unlike_new.contains(&change.path);
            if new || !there || self.is_begun(change)? {
                touched = true;
            } else {
                other.get_or_insert(&change.path);
            }
            match change.old {
                Some(_) => write.push(&change.path),
                None => remove.push(&change.path),
            }
        }
        if !touched {
            return Ok(None);
        }
        if let Some(path) = other {
            let why = format!("{path} is neither as it was nor as it was to be");
            return Ok(Some(why));
        }
        if let Some(path) = self.staged(&intent.from, changes)?.into_iter().next() {
            return Ok(Some(format!("{path} has staged changes")));
        }
        tracing::warn!(checkout = %self.path().display(), "putting a half-written checkout back");
        for path in remove {
            self.remove(path)?;
        }
        self.write_from_index(&self.index(), &write)?;
        Ok(None)
    }

    /// The branch was moved, so all files had been written; the index may be the old one still, and a
    /// power cut may have left files empty.
    fn complete(
        &self,
        lock: IndexLock,
        intent: &FollowIntent,
        changes: &[Change],
    ) -> Result<Option<String>, GitError> {
        if self.unfit(changes)?.is_some() || !self.staged(&intent.from, changes)?.is_empty() {
            return Ok(None);
        }
        let next = self.next_index()?;
        self.site
            .files(Some(&next))
            .args(["read-tree", "-i", "-m"])
            .args([intent.from.as_str(), intent.to.as_str()])
            .ok()?;
        let unlike_new = self.unlike(changes, |c| c.new.as_ref())?;
        let mut begun = Vec::new();
        for change in changes.iter().filter(|c| unlike_new.contains(&c.path)) {
            if self.is_there(&change.path)? && self.is_begun(change)? {
                begun.push(&change.path);
            }
        }
        self.write_from_index(&next, &begun)?;
        lock.write(&next)?;
        lock.commit()?;
        fsx::remove_file_if_there(&next)?;
        Ok(None)
    }

    /// Writes these files as an index has them.
    fn write_from_index(&self, index: &Path, paths: &[&RepoPath]) -> Result<(), GitError> {
        if paths.is_empty() {
            return Ok(());
        }
        let mut list = Vec::new();
        for path in paths {
            list.extend_from_slice(path.as_bytes());
            list.push(0);
        }
        self.site
            .files(Some(index))
            .args(["checkout-index", "--force", "--quiet", "-z", "--stdin"])
            .stdin(list)
            .ok()?;
        Ok(())
    }

    /// Takes the lock of the index away if it came after the intent and nobody is left who holds it.
    fn clear_lock(&self, intent: &FollowIntent) -> Result<Option<String>, GitError> {
        let lock = self.site.git_dir.join("index.lock");
        if let Some(meta) = look(&lock)? {
            let made = meta.modified().ok();
            let made = made.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
            // File systems keep times a little behind the clock.
            let ours = made.is_some_and(|at| at.as_millis() + 20 >= u128::from(intent.at));
            if !ours {
                let lock = lock.display();
                return Ok(Some(format!("{lock} is older than our work there")));
            }
        }
        self.site.wait_for_index()?;
        Ok(None)
    }

    /// There is a file or link at that very path: none of its folders is a link or file.
    pub(super) fn is_there(&self, path: &RepoPath) -> Result<bool, GitError> {
        let bytes = path.as_bytes();
        let slashes = bytes.iter().enumerate().filter(|(_, b)| **b == b'/');
        for (at, _) in slashes {
            let folder = RepoPath::from_bytes(&bytes[..at]).under(self.path());
            if !look(&folder)?.is_some_and(|m| m.is_dir()) {
                return Ok(false);
            }
        }
        Ok(look(&path.under(self.path()))?.is_some_and(|m| !m.is_dir()))
    }

    /// The file holds nothing but the beginning of what git was writing: nothing is lost with it.
    fn is_begun(&self, change: &Change) -> Result<bool, GitError> {
        let Some(new) = change.new.as_ref().filter(|b| b.mode.starts_with(b"100")) else {
            return Ok(false);
        };
        let limit = u64::try_from(COMPARED).unwrap_or(u64::MAX);
        let file = change.path.under(self.path());
        let Some(found) = fsx::read_small(&file, limit).map_err(GitError::file("read", &file))?
        else {
            return Ok(false);
        };
        let mut path = b"--path=".to_vec();
        path.extend_from_slice(change.path.as_bytes());
        let written = self
            .site
            .files(None)
            .args(["cat-file", "--filters"])
            .arg(<std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(path))
            .arg(new.id.as_str())
            .ok()?;
        Ok(written.stdout.starts_with(&found))
    }

    /// Takes an added file away, and the folders that were made for it.
    fn remove(&self, path: &RepoPath) -> Result<(), GitError> {
        let file = path.under(self.path());
        fsx::remove_file_if_there(&file)?;
        let mut folder = file.parent();
        while let Some(at) = folder.filter(|at| *at != self.path()) {
            if !empty(at) || files::remove_dir("vcs.follow.folder", at).is_err() {
                break;
            }
            folder = at.parent();
        }
        Ok(())
    }
}

fn empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}
