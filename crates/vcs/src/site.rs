//! One place where git works: an explicit git folder, common folder and work tree. Everything that
//! a replaced `.git` file, `commondir` file or `core.worktree` could redirect is said outright (L20).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::git::{Call, Git, GitError, Settings};
use crate::lock;
use crate::oid::Oid;
use crate::worktree::admin;

/// A guarded view of one work tree. Its settings are read once, when it is made, so it is made anew
/// for each operation.
pub(crate) struct Site<'r> {
    pub(crate) git: &'r Git,
    pub(crate) git_dir: PathBuf,
    pub(crate) common_dir: &'r Path,
    pub(crate) work_tree: PathBuf,
    pub(crate) settings: Arc<Settings>,
}

impl<'r> Site<'r> {
    /// Reads the config that counts here and takes the repository's programs away.
    pub(crate) fn open(
        git: &'r Git,
        git_dir: &Path,
        common_dir: &'r Path,
        work_tree: &Path,
        trusted: bool,
    ) -> Result<Self, GitError> {
        let mut site = Self {
            git,
            git_dir: git_dir.to_owned(),
            common_dir,
            work_tree: work_tree.to_owned(),
            settings: Arc::default(),
        };
        site.settings = Settings::of(git, (git_dir, common_dir), trusted, || site.call())?;
        Ok(site)
    }

    /// A call on objects, refs and indexes; needs no files of the work tree. It runs outside of any
    /// work tree, where git cannot take a folder for a prefix of paths.
    pub(crate) fn call(&self) -> Call<'r> {
        self.at(Path::new("/"))
    }

    /// A call that reads or writes files of the work tree, with an index of its own.
    pub(crate) fn files(&self, index: Option<&Path>) -> Call<'r> {
        let call = self.at(&self.work_tree);
        match index {
            Some(index) => call.env("GIT_INDEX_FILE", index),
            None => call,
        }
    }

    /// A call of `git worktree`. It reads what every worktree of the repository is registered as, so torn
    /// registrations are mended first.
    pub(crate) fn worktrees(&self) -> Result<Call<'r>, GitError> {
        admin::mend_torn(self.common_dir)?;
        Ok(self.call().args(["worktree"]))
    }

    fn at(&self, folder: &Path) -> Call<'r> {
        let mut call = Call::new(self.git, folder)
            .env("GIT_DIR", &self.git_dir)
            .env("GIT_WORK_TREE", &self.work_tree);
        if self.git_dir != self.common_dir {
            call = call.env("GIT_COMMON_DIR", self.common_dir);
        }
        for (key, value) in &self.settings.variables {
            call = call.env(key, value);
        }
        call
    }

    /// The object of that type that a revision names, if there is one.
    pub(crate) fn resolve(&self, revision: &str, kind: &str) -> Result<Option<Oid>, GitError> {
        let output = self
            .call()
            .args(["rev-parse", "--verify", "--quiet", "--end-of-options"])
            .arg(format!("{revision}^{{{kind}}}"))
            .output()?;
        Ok(if output.code == Some(0) {
            Oid::parse(&output.stdout).ok()
        } else {
            None
        })
    }

    /// The tree of a commit or tree.
    pub(crate) fn tree_of(&self, object: &Oid) -> Result<Oid, GitError> {
        self.resolve(object.as_str(), "tree")?
            .ok_or_else(|| GitError::Malformed {
                command: "rev-parse".into(),
                expected: "a tree: the object is missing",
            })
    }

    /// The tree without entries, in this repository's hash format.
    pub(crate) fn empty_tree(&self) -> Result<Oid, GitError> {
        self.call()
            .args(["hash-object", "-w", "-t", "tree", "--stdin"])
            .stdin([])
            .oid()
    }

    /// True if `old` is reachable from `new`, or the same.
    pub(crate) fn is_ancestor(&self, old: &Oid, new: &Oid) -> Result<bool, GitError> {
        let output = self
            .call()
            .args(["merge-base", "--is-ancestor", old.as_str(), new.as_str()])
            .output()?;
        match output.code {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            _ => Err(output.failure()),
        }
    }

    /// Moves a ref by compare-and-swap; `from` none means that it must not exist. `Ok(false)` if the
    /// ref stands elsewhere. Already standing at `to` counts as done, so repeats are harmless (I4).
    pub(crate) fn move_ref(
        &self,
        name: &str,
        to: &Oid,
        from: Option<&Oid>,
        reason: &str,
    ) -> Result<bool, GitError> {
        let old = from.map_or_else(|| to.zero(), |oid| oid.as_str().to_owned());
        let mut again = true;
        loop {
            let output = self
                .call()
                .args(["update-ref", "-m", reason, "--no-deref"])
                .args([name, to.as_str(), &old])
                .output()?;
            if output.code == Some(0) {
                return Ok(true);
            }
            match self.resolve(name, "object")? {
                Some(now) if now == *to => return Ok(true),
                // It stands where it should and did not move: perhaps a git that was killed left a lock.
                now if now.as_ref() == from && again => {
                    self.wait_for_ref(name)?;
                    again = false;
                }
                now if now.as_ref() == from => return Err(output.failure()),
                Some(_) | None => return Ok(false),
            }
        }
    }

    /// Waits for the locks that moving a ref takes, taking dead ones away.
    fn wait_for_ref(&self, name: &str) -> Result<(), GitError> {
        let folders = [&*self.git_dir, self.common_dir, &*self.work_tree];
        for lock in [
            self.git_dir.join("HEAD.lock"),
            self.common_dir.join(format!("{name}.lock")),
            self.common_dir.join("packed-refs.lock"),
        ] {
            lock::wait_for_git(&lock, &folders)?;
        }
        Ok(())
    }

    /// Waits for the lock of this work tree's own index, taking a dead one away.
    pub(crate) fn wait_for_index(&self) -> Result<(), GitError> {
        lock::wait_for_git(
            &self.git_dir.join("index.lock"),
            &[&self.git_dir, &self.work_tree],
        )
    }

    /// Makes a commit object. With `date` (as git's `@seconds +0000`) the same input gives the same
    /// commit.
    pub(crate) fn commit_tree(&self, commit: &NewCommit<'_>) -> Result<Oid, GitError> {
        let mut call = self.call();
        if commit.longhaul_author || !self.settings.identity {
            for role in ["AUTHOR", "COMMITTER"] {
                call = call
                    .env(format!("GIT_{role}_NAME"), "Longhaul")
                    .env(format!("GIT_{role}_EMAIL"), "longhaul@localhost");
            }
        }
        if let Some(date) = commit.date {
            call = call
                .env("GIT_AUTHOR_DATE", date)
                .env("GIT_COMMITTER_DATE", date);
        }
        if let Some(author) = commit.author {
            call = call
                .env("GIT_AUTHOR_NAME", OsStr::from_bytes(author.name))
                .env("GIT_AUTHOR_EMAIL", OsStr::from_bytes(author.email))
                .env("GIT_AUTHOR_DATE", OsStr::from_bytes(author.date));
        }
        if let Some(encoding) = commit.encoding {
            call = self.with_setting(call, "i18n.commitEncoding", encoding);
        }
        call = call.arg("commit-tree").arg(commit.tree.as_str());
        if commit.sign {
            call = call.arg("-S");
        }
        for parent in commit.parents {
            call = call.args(["-p", parent.as_str()]);
        }
        call.args(["-F", "-"]).stdin(commit.message).oid()
    }

    /// One more setting than every call has.
    fn with_setting(&self, call: Call<'r>, key: &str, value: &[u8]) -> Call<'r> {
        let count = self
            .settings
            .variables
            .iter()
            .find(|(k, _)| k == "GIT_CONFIG_COUNT");
        let n = count
            .and_then(|(_, n)| n.to_str()?.parse::<usize>().ok())
            .unwrap_or(0);
        call.env("GIT_CONFIG_COUNT", (n + 1).to_string())
            .env(format!("GIT_CONFIG_KEY_{n}"), key)
            .env(format!("GIT_CONFIG_VALUE_{n}"), OsStr::from_bytes(value))
    }
}

/// A commit to be made by plumbing: no hooks, and signed only if asked.
#[derive(Clone, Copy)]
pub(crate) struct NewCommit<'a> {
    pub(crate) tree: &'a Oid,
    pub(crate) parents: &'a [&'a Oid],
    pub(crate) message: &'a [u8],
    pub(crate) date: Option<&'a str>,
    pub(crate) sign: bool,
    /// Ours even if git has an identity: snapshots and merges that nobody wrote.
    pub(crate) longhaul_author: bool,
    /// Another author than the committer.
    pub(crate) author: Option<Author<'a>>,
    /// What the message is written in, if not UTF-8.
    pub(crate) encoding: Option<&'a [u8]>,
}

/// Who wrote a change, as git keeps it.
#[derive(Clone, Copy)]
pub(crate) struct Author<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) email: &'a [u8],
    /// `@seconds zone`.
    pub(crate) date: &'a [u8],
}
