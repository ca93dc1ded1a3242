//! A user's checkout of the base branch, right before it is advanced: everything that could be lost by
//! it stands in the way (L14; facts of git: a fast-forward overwrites ignored files without a word, and
//! believes what `assume-unchanged` says).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::branch::unfinished;
use crate::fsx;
use crate::git::GitError;
use crate::oid::Oid;
use crate::path::{RepoPath, split_nul};
use crate::repo::read_head;
use crate::site::Site;
use crate::worktree::Worktree;

use super::follow::{FollowIntent, stands_at};

/// One path that differs between two commits.
pub(super) struct Change {
    pub(super) path: RepoPath,
    /// Mode and blob there; none where it is not.
    pub(super) old: Option<Blob>,
    pub(super) new: Option<Blob>,
}

/// What a commit holds at a path.
pub(super) struct Blob {
    pub(super) mode: Vec<u8>,
    pub(super) id: Oid,
}

/// A checkout of the base branch.
pub(super) struct Checkout<'r> {
    pub(super) site: Site<'r>,
    /// A private index for questions; made anew for each.
    pub(super) scratch: PathBuf,
}

impl<'r> Checkout<'r> {
    pub(super) const fn new(site: Site<'r>, scratch: PathBuf) -> Self {
        Self { site, scratch }
    }

    pub(super) fn path(&self) -> &Path {
        &self.site.work_tree
    }

    /// What stands in the way of advancing this checkout, in a sentence.
    pub(super) fn blocked(
        &self,
        base: &str,
        intent: &FollowIntent,
    ) -> Result<Option<String>, GitError> {
        if let Some(why) = self.busy(base, &intent.from)? {
            return Ok(Some(why));
        }
        let changes = self.changes(&intent.from, &intent.to)?;
        if let Some(why) = self.unfit(&changes)? {
            return Ok(Some(why));
        }
        let why = self.in_danger(intent, &changes)?;
        if why.is_none() {
            return Ok(None);
        }
        // What is there already, staged too, is not written. The user may have committed in the moment in
        // which a fast-forward had written all but the branch.
        let staged = self.staged(&intent.to, &changes)?;
        let unlike = self.unlike(&changes, |c| c.new.as_ref())?;
        let mut left = Vec::new();
        for change in changes {
            let written = match change.new {
                Some(_) => !unlike.contains(&change.path),
                None => !self.is_there(&change.path)?,
            };
            if !written || staged.contains(&change.path) {
                left.push(change);
            }
        }
        self.in_danger(intent, &left)
    }

    /// What of the user's would be lost by writing these, in a sentence.
    fn in_danger(
        &self,
        intent: &FollowIntent,
        changes: &[Change],
    ) -> Result<Option<String>, GitError> {
        if let Some(path) = self.staged(&intent.from, changes)?.into_iter().next() {
            return Ok(Some(format!("{path} has staged changes")));
        }
        if let Some(path) = self.unlike(changes, |c| c.old.as_ref())?.into_iter().next() {
            return Ok(Some(format!("{path} is modified")));
        }
        let gone: BTreeSet<&RepoPath> = changes
            .iter()
            .filter(|c| c.new.is_none())
            .map(|c| &c.path)
            .collect();
        let added = changes.iter().filter(|c| c.old.is_none());
        for change in added {
            if let Some(path) = self.in_the_way(&change.path, &gone)? {
                return Ok(Some(format!("{path} is there and not committed")));
            }
        }
        Ok(None)
    }

    /// HEAD is elsewhere, or git is in the middle of something.
    pub(super) fn busy(&self, base: &str, at: &Oid) -> Result<Option<String>, GitError> {
        let path = self.path().display();
        if !stands_at(&read_head(&self.site)?, base, at) {
            return Ok(Some(format!("{path} has just been switched")));
        }
        let worktree = Worktree {
            path: self.path().to_owned(),
            git_dir: self.site.git_dir.clone(),
            branch: String::new(),
        };
        let busy = unfinished(&self.site, &worktree)?;
        Ok(busy.map(|what| format!("{path} is in the middle of a {}", what.word())))
    }

    /// What a fast-forward does there cannot be foreseen.
    pub(super) fn unfit(&self, changes: &[Change]) -> Result<Option<String>, GitError> {
        if self.site.settings.sparse {
            return Ok(Some("it is a sparse checkout".to_owned()));
        }
        let module = |blob: &Option<Blob>| blob.as_ref().is_some_and(|b| b.mode == b"160000");
        if let Some(change) = changes.iter().find(|c| module(&c.old) || module(&c.new)) {
            return Ok(Some(format!("the submodule {} changed", change.path)));
        }
        if let Some(change) = changes.iter().find(|c| !c.path.is_plain()) {
            return Ok(Some(format!("{} cannot be a file's name", change.path)));
        }
        // git believes such flags and would write over what they hide.
        let listing = self.site.call().args(["ls-files", "-v", "-z"]).ok()?;
        let paths: BTreeSet<&[u8]> = changes.iter().map(|c| c.path.as_bytes()).collect();
        let hidden = listing.stdout.split(|b| *b == 0).find_map(|record| {
            let (flag, path) = (record.first()?, record.get(2..)?);
            let hides = flag.is_ascii_lowercase() || *flag == b'S';
            (hides && paths.contains(path)).then(|| RepoPath::from_bytes(path))
        });
        Ok(hidden.map(|path| format!("{path} is marked as assumed unchanged or skipped")))
    }

    /// All paths that differ between two commits.
    pub(super) fn changes(&self, from: &Oid, to: &Oid) -> Result<Vec<Change>, GitError> {
        let output = self
            .site
            .call()
            .args([
                "diff-tree",
                "-r",
                "-z",
                "--raw",
                "--no-renames",
                "--no-abbrev",
            ])
            .args([from.as_str(), to.as_str()])
            .ok()?;
        let mut fields = output.stdout.split(|b| *b == 0);
        let mut changes = Vec::new();
        while let Some(record) = fields.next().filter(|f| !f.is_empty()) {
            let path = fields.next().map(RepoPath::from_bytes);
            let change = path.and_then(|path| parse_change(record, path));
            changes.push(change.ok_or_else(|| output.malformed("changed paths"))?);
        }
        Ok(changes)
    }

    /// The changed paths whose entry in the user's index is not the commit's.
    pub(super) fn staged(
        &self,
        commit: &Oid,
        changes: &[Change],
    ) -> Result<BTreeSet<RepoPath>, GitError> {
        let output = self
            .site
            .call()
            .args([
                "diff-index",
                "--cached",
                "--name-only",
                "-z",
                "--no-renames",
            ])
            .args(["--ignore-submodules=none", commit.as_str(), "--"])
            .ok()?;
        let differ: BTreeSet<RepoPath> = split_nul(&output.stdout).collect();
        let changed = changes.iter().map(|c| &c.path);
        Ok(changed.filter(|p| differ.contains(*p)).cloned().collect())
    }

    /// The changed paths whose file is not what one side of the change holds; git's filters applied, and
    /// nothing that the user's index says believed. Paths that this side does not hold are not looked at.
    pub(super) fn unlike<'c>(
        &self,
        changes: &'c [Change],
        side: impl Fn(&'c Change) -> Option<&'c Blob>,
    ) -> Result<BTreeSet<RepoPath>, GitError> {
        let mut entries = Vec::new();
        for change in changes {
            let Some(blob) = side(change) else { continue };
            entries.extend_from_slice(&blob.mode);
            entries.extend_from_slice(format!(" {}\t", blob.id).as_bytes());
            entries.extend_from_slice(change.path.as_bytes());
            entries.push(0);
        }
        if entries.is_empty() {
            return Ok(BTreeSet::new());
        }
        for file in ["", ".lock"] {
            let mut name = self.scratch.clone().into_os_string();
            name.push(file);
            fsx::remove_file_if_there(Path::new(&name))?;
        }
        let call = || self.site.files(Some(&self.scratch));
        call()
            .args(["update-index", "-z", "--index-info"])
            .stdin(entries)
            .ok()?;
        // Ends with 1 if files differ.
        call()
            .args(["update-index", "-q", "--really-refresh"])
            .output()?;
        let differ = call().args(["diff-files", "--name-only", "-z"]).ok()?;
        fsx::remove_file_if_there(&self.scratch)?;
        Ok(split_nul(&differ.stdout).collect())
    }

    /// Something at an added path, or in the place of one of its folders, that the change does not
    /// itself take away.
    fn in_the_way(
        &self,
        path: &RepoPath,
        gone: &BTreeSet<&RepoPath>,
    ) -> Result<Option<RepoPath>, GitError> {
        let bytes = path.as_bytes();
        let slashes = bytes.iter().enumerate().filter(|(_, b)| **b == b'/');
        for (at, _) in slashes {
            let folder = RepoPath::from_bytes(&bytes[..at]);
            match look(&folder.under(self.path()))? {
                None => return Ok(None),
                Some(meta) if meta.is_dir() => {}
                Some(_) if gone.contains(&folder) => return Ok(None),
                Some(_) => return Ok(Some(folder)),
            }
        }
        match look(&path.under(self.path()))? {
            None => Ok(None),
            Some(meta) if meta.is_dir() => self.left_in(path, gone),
            Some(_) => Ok(Some(path.clone())),
        }
    }

    /// A file in a folder that the change does not take away.
    fn left_in(
        &self,
        folder: &RepoPath,
        gone: &BTreeSet<&RepoPath>,
    ) -> Result<Option<RepoPath>, GitError> {
        let path = folder.under(self.path());
        let entries = fs::read_dir(&path).map_err(GitError::file("list", &path))?;
        for entry in entries {
            let entry = entry.map_err(GitError::file("list", &path))?;
            let mut inner = folder.as_bytes().to_vec();
            inner.push(b'/');
            inner.extend_from_slice(entry.file_name().as_encoded_bytes());
            let inner = RepoPath::from_bytes(inner);
            let is_dir = entry.file_type().is_ok_and(|t| t.is_dir());
            let left = if is_dir {
                self.left_in(&inner, gone)?
            } else {
                (!gone.contains(&inner)).then_some(inner)
            };
            if left.is_some() {
                return Ok(left);
            }
        }
        Ok(None)
    }
}

/// What is at a path, links not followed.
pub(super) fn look(path: &Path) -> Result<Option<fs::Metadata>, GitError> {
    match fs::symlink_metadata(path) {
        Ok(meta) => Ok(Some(meta)),
        Err(error) if fsx::is_absent(&error) => Ok(None),
        Err(error) => Err(GitError::file("look at", path)(error)),
    }
}

/// `:oldmode newmode oldid newid letter`.
pub(super) fn parse_change(record: &[u8], path: RepoPath) -> Option<Change> {
    let mut words = record.strip_prefix(b":")?.split(|b| *b == b' ');
    let (old_mode, new_mode) = (words.next()?, words.next()?);
    let (old_id, new_id) = (words.next()?, words.next()?);
    let blob = |mode: &[u8], id: &[u8]| {
        let id = Oid::parse(id).ok()?;
        let mode = mode.to_vec();
        (mode != b"000000").then_some(Blob { mode, id })
    };
    Some(Change {
        path,
        old: blob(old_mode, old_id),
        new: blob(new_mode, new_id),
    })
}
