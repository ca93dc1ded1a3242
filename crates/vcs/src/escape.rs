//! Noticing that a session left its workspace (L4): a mark of the user's checkout before a turn,
//! compared after it. Nothing of it is ever put back. Git's settings are in `settings`, refs in `refs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::fsx;
use crate::git::GitError;
use crate::path::{RepoPath, split_nul};
use crate::repo::{Head, Repo, read_head};

/// The user's checkout as it was at one moment. Can be stored, so that a check survives a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckoutMark {
    head: Head,
    /// Digest of mode, content and path of all entries; a mere refresh of file times is no change.
    index: String,
    /// Tracked files that differ from the index, with their state on disk.
    tracked: BTreeMap<RepoPath, String>,
}

/// One thing that differs between two marks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Difference {
    /// HEAD stands elsewhere, or its branch moved.
    Head {
        /// Before.
        from: Head,
        /// After.
        to: Head,
    },
    /// Something was staged or unstaged.
    Index,
    /// A tracked file has other content.
    TrackedFile {
        /// The file.
        path: RepoPath,
    },
}

impl CheckoutMark {
    /// Everything in which `after` differs.
    #[must_use]
    pub fn compare(&self, after: &Self) -> Vec<Difference> {
        let mut found = Vec::new();
        if self.head != after.head {
            found.push(Difference::Head {
                from: self.head.clone(),
                to: after.head.clone(),
            });
        }
        if self.index != after.index {
            found.push(Difference::Index);
        }
        let tracked = differing(&self.tracked, &after.tracked);
        found.extend(
            tracked
                .into_iter()
                .map(|path| Difference::TrackedFile { path }),
        );
        found
    }
}

pub(crate) fn differing<V: PartialEq>(
    before: &BTreeMap<RepoPath, V>,
    after: &BTreeMap<RepoPath, V>,
) -> BTreeSet<RepoPath> {
    before
        .keys()
        .chain(after.keys())
        .filter(|path| before.get(*path) != after.get(*path))
        .cloned()
        .collect()
}

impl Repo {
    /// Marks the user's checkout. Costs three runs of git.
    ///
    /// # Errors
    /// If git cannot read the checkout, for example because its config was broken; then put git's
    /// settings back first ([`crate::SettingsMark`]).
    pub fn mark_checkout(&self) -> Result<CheckoutMark, GitError> {
        if self.is_plain() {
            let head = Head::Broken;
            return Ok(CheckoutMark {
                head,
                index: String::new(),
                tracked: BTreeMap::new(),
            });
        }
        let site = self.objects()?;
        let entries = site.files(None).args(["ls-files", "-s", "-z"]).ok()?;
        let changed = site
            .files(None)
            .args(["diff-files", "--name-only", "-z", "--ignore-submodules=all"])
            .ok()?;
        let tracked = split_nul(&changed.stdout)
            .map(|path| {
                let state = disk_state(&path.under(self.checkout()));
                (path, state)
            })
            .collect();
        Ok(CheckoutMark {
            head: read_head(&site)?,
            index: fsx::digest(&entries.stdout),
            tracked,
        })
    }
}

/// What the disk says about a file without reading it: any write changes it.
pub(crate) fn disk_state(path: &Path) -> String {
    match fs::symlink_metadata(path) {
        Err(_) => "absent".to_owned(),
        Ok(meta) => {
            let link = fs::read_link(path)
                .map(|t| fsx::digest(t.as_os_str().as_bytes()))
                .unwrap_or_default();
            format!(
                "{:o} {} {} {}.{} {}.{} {link}",
                meta.mode(),
                meta.ino(),
                meta.size(),
                meta.mtime(),
                meta.mtime_nsec(),
                meta.ctime(),
                meta.ctime_nsec()
            )
        }
    }
}
