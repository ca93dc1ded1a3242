//! A checkout whose fast-forward was killed: files of both commits, a stale lock, the branch where it
//! was. It is put back to the old commit, from where a plain fast-forward works again. Nothing that is
//! in neither commit is touched, and then nothing at all is.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::UNIX_EPOCH;

use longhaul_acts::files;

use crate::fsx;
use crate::git::GitError;
use crate::path::RepoPath;

use super::checkout::{Change, Checkout, look};
use super::follow::FollowIntent;

/// How many bytes of a file are compared with what git was writing.
const COMPARED: usize = 256 << 20;

impl Checkout<'_> {
    /// Puts the checkout back to `from`, or moves the branch if only that is left. `Some` says what
    /// stands in the way of that; nothing was touched then. Unless we `crashed`, a file that is merely
    /// gone is the user's doing.
    pub(super) fn recover(
        &self,
        base: &str,
        intent: &FollowIntent,
        crashed: bool,
    ) -> Result<Option<String>, GitError> {
        if crashed && let Some(why) = self.clear_lock(intent)? {
            return Ok(Some(why));
        }
        if let Some(why) = self.busy(base, intent)? {
            return Ok(Some(why));
        }
        let changes = self.changes(&intent.from, &intent.to)?;
        if let Some(why) = self.unfit(&changes)? {
            return Ok(Some(why));
        }
        let unlike_old = self.unlike(&changes, |c| c.old.as_ref())?;
        let unlike_new = self.unlike(&changes, |c| c.new.as_ref())?;
        let staged = self.staged(&intent.from, &changes)?;
        let mut written = false;
        let mut other = None;
        let mut write = Vec::new();
        let mut remove = Vec::new();
        for change in &changes {
            let there = self.is_there(&change.path)?;
            let old = match change.old {
                Some(_) => there && !unlike_old.contains(&change.path),
                None => !there,
            };
            let new = change.new.is_some() && there && !unlike_new.contains(&change.path);
            if old {
                continue;
            }
            written |= new;
            // Gone, as the new commit has it, or taken away before it was to be written anew; or begun.
            if !new && there && !self.is_begun(change)? {
                other.get_or_insert(&change.path);
            }
            match change.old {
                Some(_) => write.push(&change.path),
                None => remove.push(&change.path),
            }
        }
        if !crashed && !written {
            return Ok(None);
        }
        if let Some(path) = other {
            let why = format!("{path} is neither as it was nor as it was to be, since a crash");
            return Ok(Some(why));
        }
        // Everything was written, the index too: git itself sees that nothing is left but the branch.
        let finished = self.staged(&intent.to, &changes)?.is_empty();
        if finished && (staged.len() == changes.len()) {
            return self.finish(base, intent, &changes, &unlike_new);
        }
        if let Some(path) = staged.into_iter().next() {
            return Ok(Some(format!("{path} has staged changes")));
        }
        if write.is_empty() && remove.is_empty() {
            return Ok(None);
        }
        tracing::warn!(checkout = %self.path().display(), "putting a half-written checkout back");
        for path in remove {
            self.remove(path)?;
        }
        let mut list = Vec::new();
        for path in write {
            list.extend_from_slice(path.as_bytes());
            list.push(0);
        }
        self.site
            .files(None)
            .args(["checkout-index", "--force", "--quiet", "-z", "--stdin"])
            .stdin(list)
            .ok()?;
        Ok(None)
    }

    /// The branch alone was left behind.
    fn finish(
        &self,
        base: &str,
        intent: &FollowIntent,
        changes: &[Change],
        unlike_new: &BTreeSet<RepoPath>,
    ) -> Result<Option<String>, GitError> {
        for change in changes {
            let stays = change.new.is_none() && self.is_there(&change.path)?;
            if stays || unlike_new.contains(&change.path) {
                let path = &change.path;
                return Ok(Some(format!("{path} was changed since a crash")));
            }
        }
        let reason = "longhaul: finish a fast-forward";
        let moved = self
            .site
            .move_ref(base, &intent.to, Some(&intent.from), reason)?;
        Ok((!moved).then(|| "the branch has just moved".to_owned()))
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
