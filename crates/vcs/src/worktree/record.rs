//! What Longhaul remembers of each worktree it made, in its own state folder, out of a session's
//! reach: the proof that a folder and branch are ours, and how far their making got (I4).

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::admin;
use crate::fsx;
use crate::git::GitError;
use crate::oid::Oid;
use crate::path::RepoPath;
use crate::repo::Repo;

const LIMIT: u64 = 1 << 20;

/// One worktree of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) version: u32,
    /// Branch name without `refs/heads/`.
    pub(crate) branch: String,
    /// The commit it was made from.
    pub(crate) base: Oid,
    /// Name of git's admin folder for it, below `.git/worktrees`, once it is known.
    pub(crate) admin: Option<RepoPath>,
    /// Its files were all written once; from then on they belong to the session.
    pub(crate) ready: bool,
}

impl Repo {
    fn key(path: &Path) -> String {
        fsx::digest(path.as_os_str().as_bytes())[..24].to_owned()
    }

    fn record_file(&self, path: &Path) -> PathBuf {
        self.state()
            .join("worktrees")
            .join(format!("{}.json", Self::key(path)))
    }

    /// Where it is kept what we merged into a worktree.
    pub(crate) fn merge_file(&self, path: &Path) -> PathBuf {
        self.record_file(path).with_extension("merge")
    }

    /// Our private index for a work tree: a cache of what its files were when we last looked, which
    /// no session can reach, so a session cannot hide a change in it.
    pub(crate) fn private_index(&self, path: &Path) -> PathBuf {
        self.state().join("index").join(Self::key(path))
    }

    pub(crate) fn record(&self, path: &Path) -> Result<Option<Record>, GitError> {
        let file = self.record_file(path);
        let bytes = fsx::read_small(&file, LIMIT).map_err(GitError::file("read", &file))?;
        match bytes.map(|b| serde_json::from_slice::<Record>(&b)) {
            None => Ok(None),
            Some(Ok(record)) => Ok(Some(record)),
            Some(Err(error)) => Err(GitError::file("understand", &file)(error.into())),
        }
    }

    /// git's admin folder for a worktree of ours: as registered, else as recorded, so that a session
    /// that overwrote the registration does not lose us its worktree.
    pub(crate) fn admin_folder(
        &self,
        path: &Path,
        record: Option<&Record>,
    ) -> Result<Option<PathBuf>, GitError> {
        if let Some(admin) = admin::find(self.common_dir(), path)? {
            return Ok(Some(admin));
        }
        // Cut off with the power before git's words were on the disk: its branch tells whose it is.
        if let Some(record) = record
            && let Some(admin) = admin::find_torn(self.common_dir(), &record.branch)?
        {
            admin::write_registration(&admin, path)?;
            return Ok(Some(admin));
        }
        let Some(name) = record
            .and_then(|r| r.admin.as_ref())
            .filter(|name| name.is_plain())
        else {
            return Ok(None);
        };
        let admin = name.under(&self.common_dir().join("worktrees"));
        let others = admin::registered_path(&admin)
            .is_some_and(|other| other.join(".git").symlink_metadata().is_ok());
        if !admin.join("HEAD").is_file() || others {
            return Ok(None);
        }
        admin::write_registration(&admin, path)?;
        Ok(Some(admin))
    }

    pub(crate) fn write_record(&self, path: &Path, record: &Record) -> Result<(), GitError> {
        let bytes = serde_json::to_vec(record).expect("a record has only strings and numbers");
        fsx::write_durably(&self.record_file(path), &bytes)
    }

    /// Drops our record of a worktree that is gone, and its private index.
    pub(crate) fn forget(&self, path: &Path) -> Result<(), GitError> {
        fsx::remove_file_if_there(&self.private_index(path))?;
        fsx::remove_file_if_there(&self.merge_file(path))?;
        fsx::remove_file_if_there(&self.record_file(path))
    }
}
