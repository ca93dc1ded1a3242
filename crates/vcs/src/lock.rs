//! Locks: ours per repository (released by the kernel when we die), and git's own lock files, which
//! are waited for and taken away only when no live process can hold them. Not a queue.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant, SystemTime};

use longhaul_acts::files;
use rustix::fs::FlockOperation;

use crate::fsx;
use crate::git::GitError;
use crate::procs;

const OUR_LOCK_WAIT: Duration = Duration::from_secs(120);
const GIT_LOCK_WAIT: Duration = Duration::from_secs(20);
/// A lock file younger than this is never called stale: its owner may just have been forked.
const STALE_AFTER: Duration = Duration::from_millis(1500);

/// Held while it lives; the kernel lets it go if this process dies.
#[must_use = "the lock is let go when this is dropped"]
#[derive(Debug)]
pub(crate) struct Held {
    _file: File,
}

/// Takes an exclusive lock on a file of ours, made if needed.
pub(crate) fn exclusive(path: &Path) -> Result<Held, GitError> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    let file =
        files::open("vcs.lock", &options, path).map_err(GitError::file("open the lock", path))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => return Ok(Held { _file: file }),
        Err(rustix::io::Errno::WOULDBLOCK) => {}
        Err(errno) => return Err(GitError::file("lock", path)(errno.into())),
    }
    // In line with everybody else: who only looks now and then is overtaken for ever by those who came
    // later and look more often. The kernel knows no time limit here, so a thread of its own stands in
    // line; if it gets the lock too late it lets go of it again.
    let (sender, receiver) = channel();
    std::thread::Builder::new()
        .name("lock".to_owned())
        .stack_size(64 * 1024)
        .spawn(move || {
            let locked = loop {
                match rustix::fs::flock(&file, FlockOperation::LockExclusive) {
                    Err(rustix::io::Errno::INTR) => {}
                    done => break done,
                }
            };
            sender.send(locked.map(|()| Held { _file: file })).ok();
        })
        .map_err(GitError::file("wait for the lock", path))?;
    match receiver.recv_timeout(OUR_LOCK_WAIT) {
        Ok(locked) => locked.map_err(|errno| GitError::file("lock", path)(errno.into())),
        Err(_) => Err(GitError::Locked {
            path: crate::RepoPath::from(path).to_string(),
        }),
    }
}

/// Waits until a lock file of git's is gone. One that a dead process left is removed: it is older
/// than a moment, nobody has it open, and no git works in the given folders.
pub(crate) fn wait_for_git(lock: &Path, folders: &[&Path]) -> Result<(), GitError> {
    let deadline = Instant::now() + GIT_LOCK_WAIT;
    let mut pause = Duration::from_millis(5);
    loop {
        match std::fs::symlink_metadata(lock) {
            Err(error) if fsx::is_absent(&error) => return Ok(()),
            Err(error) => return Err(GitError::file("look at", lock)(error)),
            Ok(meta) => {
                let age = meta
                    .modified()
                    .ok()
                    .and_then(|at| SystemTime::now().duration_since(at).ok())
                    .unwrap_or_default();
                if age >= STALE_AFTER && !procs::lock_may_be_live(lock, folders) {
                    tracing::warn!(lock = %lock.display(), "removing a lock that a dead git left");
                    return longhaul_acts::around("vcs.lock.stale", || {
                        fsx::remove_file_if_there(lock)
                    });
                }
            }
        }
        if Instant::now() >= deadline {
            return Err(GitError::Locked {
                path: crate::RepoPath::from(lock).to_string(),
            });
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(200));
    }
}

/// Replaces a git folder's `index` by a ready-made one, by git's own locking rules.
pub(crate) fn replace_index(git_dir: &Path, work_tree: &Path, from: &Path) -> Result<(), GitError> {
    let mut tries = 0;
    let lock = loop {
        wait_for_git(&git_dir.join("index.lock"), &[git_dir, work_tree])?;
        match IndexLock::try_take(git_dir)? {
            Some(lock) => break lock,
            None if tries < 100 => tries += 1,
            None => {
                let path = crate::RepoPath::from(&*git_dir.join("index.lock")).to_string();
                return Err(GitError::Locked { path });
            }
        }
    };
    lock.write(from)?;
    lock.commit()
}

/// Git's own lock of an index: while it lives, no git that would write the index, or a commit from it,
/// gets further than saying so. Dropped without [`IndexLock::commit`], the index is as it was.
#[must_use = "the lock is let go when this is dropped"]
#[derive(Debug)]
pub(crate) struct IndexLock {
    path: PathBuf,
    /// Open as long as the lock is held: this is what tells a live lock from a dead one.
    file: File,
    held: bool,
}

impl IndexLock {
    /// The lock, or none if it is held already.
    pub(crate) fn try_take(git_dir: &Path) -> Result<Option<Self>, GitError> {
        let path = git_dir.join("index.lock");
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        match files::open("vcs.index.lock", &options, &path) {
            Ok(file) => Ok(Some(Self {
                path,
                file,
                held: true,
            })),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(GitError::file("lock", &path)(error)),
        }
    }

    /// Writes what the index is to be, durably; it is not yet.
    pub(crate) fn write(&self, from: &Path) -> Result<(), GitError> {
        let read = || Ok((std::fs::read(from)?, std::fs::metadata(from)?.modified()?));
        let (bytes, time) = read().map_err(GitError::file("read", from))?;
        let write = || -> std::io::Result<()> {
            files::write_all("vcs.index.write", &mut &self.file, &bytes)?;
            // As old as its entries: see `fsx::copy_index`.
            files::set_modified("vcs.index.replace-time", &self.file, time)?;
            files::sync_all("vcs.index.flush", &self.file)
        };
        write().map_err(GitError::file("write", &self.path))
    }

    /// What was written becomes the index, and the lock is gone.
    pub(crate) fn commit(mut self) -> Result<(), GitError> {
        files::rename("vcs.index.rename", &self.path, self.path.with_extension(""))
            .map_err(GitError::file("write", &self.path))?;
        self.held = false;
        Ok(())
    }
}

impl Drop for IndexLock {
    fn drop(&mut self) {
        if self.held
            && let Err(leftover) = fsx::remove_file_if_there(&self.path)
        {
            tracing::warn!(%leftover, "cannot take back an index lock");
        }
    }
}
