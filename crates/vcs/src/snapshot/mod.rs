//! Snapshots: the whole state of a workspace under a hidden ref, untracked files included (L5, I5),
//! and the way back (`undo`).

mod capture;
mod known;
mod loose;
mod undo;

use std::collections::BTreeSet;
use std::io::ErrorKind;

pub(crate) use capture::{CaptureRules, Captured, capture, pattern_file};
pub use capture::{SkipReason, Skipped};
pub use undo::{RestoreError, RestoreScope, Restored, SnapshotRef};

use crate::git::GitError;
use crate::oid::Oid;
use crate::path::RepoPath;
use crate::repo::{Head, Repo};
use crate::site::{NewCommit, Site};
use crate::worktree::Worktree;

/// What a snapshot shall hold and where it is kept.
#[derive(Clone, Debug)]
pub struct SnapshotRequest {
    /// Full name of the hidden ref: `refs/longhaul/snap/<task>/<n>`.
    pub reference: String,
    /// Why it is made; the commit's subject.
    pub reason: String,
    /// Which files are taken up.
    pub files: FileRules,
}

/// Which files of a workspace count.
#[derive(Clone, Debug)]
pub struct FileRules {
    /// Files that Longhaul placed by `.worktreeinclude`: never taken up (T8).
    pub placed: BTreeSet<RepoPath>,
    /// Patterns, as in `.gitignore`, of ignored files that are taken up all the same.
    pub keep: Vec<String>,
    /// The largest single file, in bytes; larger ones are left out and said.
    pub max_file_bytes: u64,
    /// The most new content altogether, in bytes (`snapshot_max`, L21).
    pub max_total_bytes: u64,
}

impl Default for FileRules {
    /// Nothing placed or kept; 256 MiB for a file, 1 GiB altogether.
    fn default() -> Self {
        Self {
            placed: BTreeSet::new(),
            keep: Vec::new(),
            max_file_bytes: 256 << 20,
            max_total_bytes: 1 << 30,
        }
    }
}

/// A snapshot that exists.
#[derive(Clone, Debug)]
#[must_use = "it says which files it does not hold"]
pub struct Snapshot {
    /// The ref that holds it.
    pub reference: String,
    /// Its commit; the first parent is the commit that HEAD stood at.
    pub commit: Oid,
    /// Its tree.
    pub tree: Oid,
    /// Where HEAD stood, if it stood anywhere.
    pub head: Option<Oid>,
    /// Files that it does not hold (at most 200 are named).
    pub skipped: Vec<Skipped>,
    /// How many files it does not hold.
    pub skipped_total: usize,
    /// Folders that are repositories of their own; their files are in it, their history is not.
    pub nested: Vec<RepoPath>,
    /// git's files of the worktree were broken, and it was made without them.
    pub damaged: bool,
}

/// Files captured together with where HEAD stood.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) head: Head,
    pub(crate) head_commit: Option<Oid>,
    pub(crate) captured: Captured,
    pub(crate) damaged: bool,
}

impl Repo {
    /// Snapshots a workspace under its hidden ref, without touching its index, stash or files (L5).
    /// Repeating it without a change keeps the snapshot; with a change the ref moves to a new
    /// commit that holds the old one as a parent. Works on a worktree whose index, `.git` file or
    /// admin folder is destroyed.
    ///
    /// # Errors
    /// If the folder is gone, or git cannot write objects.
    pub fn snapshot(
        &self,
        worktree: &Worktree,
        request: &SnapshotRequest,
    ) -> Result<Snapshot, GitError> {
        let seen = self.look_well(worktree, &request.files, true)?;
        self.keep(request, &seen)
    }

    /// The same without a moment's wait for files that were changed just now, which only saves the next look
    /// its time: for a program that is about to start.
    ///
    /// # Errors
    /// As for [`Repo::snapshot`].
    pub fn snapshot_now(
        &self,
        worktree: &Worktree,
        request: &SnapshotRequest,
    ) -> Result<Snapshot, GitError> {
        let seen = self.look(worktree, &request.files)?;
        self.keep(request, &seen)
    }

    /// The tree that a snapshot would have, for comparing a workspace with what it was (drift).
    ///
    /// # Errors
    /// As for [`Repo::snapshot`].
    pub fn tree_of(&self, worktree: &Worktree, files: &FileRules) -> Result<Oid, GitError> {
        Ok(self.look(worktree, files)?.captured.tree)
    }

    /// The tree that a commit of all files would have: without ignored ones, kept or not.
    ///
    /// # Errors
    /// As for [`Repo::snapshot`].
    pub fn work_of(&self, worktree: &Worktree, files: &FileRules) -> Result<Oid, GitError> {
        Ok(self.look(worktree, files)?.captured.work)
    }

    /// The commit that HEAD of a workspace stands at, if it stands anywhere.
    ///
    /// # Errors
    /// If git cannot be run.
    pub fn head_of(&self, worktree: &Worktree) -> Result<Option<Oid>, GitError> {
        let site = self.site(&worktree.git_dir, &worktree.path)?;
        let head = self.head_at(&site)?;
        self.commit_of(&site, &head, &worktree.branch)
    }

    /// True if the files are those of the commit that HEAD stands at, with nothing untracked.
    ///
    /// # Errors
    /// As for [`Repo::snapshot`]: an unreadable workspace is never called clean.
    pub fn is_clean(&self, worktree: &Worktree, files: &FileRules) -> Result<bool, GitError> {
        let seen = self.look(worktree, files)?;
        let committed = match &seen.head_commit {
            Some(commit) => self.objects()?.tree_of(commit)?,
            None => self.objects()?.empty_tree()?,
        };
        Ok(!seen.damaged && seen.captured.skipped_total == 0 && seen.captured.tree == committed)
    }

    pub(crate) fn look(&self, worktree: &Worktree, files: &FileRules) -> Result<Seen, GitError> {
        self.look_well(worktree, files, false)
    }

    /// The same; with `patient` it may take a moment longer so that the next look need not ask git.
    fn look_well(
        &self,
        worktree: &Worktree,
        files: &FileRules,
        patient: bool,
    ) -> Result<Seen, GitError> {
        // A link in the place of the folder would show us somebody else's files.
        let real = std::fs::symlink_metadata(&worktree.path).and_then(|m| {
            if m.is_dir() {
                Ok(())
            } else {
                Err(ErrorKind::NotADirectory.into())
            }
        });
        real.map_err(GitError::file("look into", &worktree.path))?;
        let index = self.private_index(&worktree.path);
        let rules = CaptureRules {
            exclude: &files.placed,
            keep: &files.keep,
            max_file_bytes: files.max_file_bytes,
            max_total_bytes: files.max_total_bytes,
        };
        let normal = || -> Result<Seen, GitError> {
            let site = self.site(&worktree.git_dir, &worktree.path)?;
            let before = known::Question::ask(self, &site, &rules, patient);
            if let Some(seen) = before.as_ref().and_then(known::Question::answer) {
                return Ok(seen);
            }
            let head = self.head_at(&site)?;
            let head_commit = self.commit_of(&site, &head, &worktree.branch)?;
            let captured = capture(&site, head_commit.as_ref(), &index, &rules)?;
            let damaged = captured.index_unreadable || head == Head::Broken;
            let seen = Seen {
                head,
                head_commit,
                captured,
                damaged,
            };
            if let Some(before) = before {
                before.answered(self, &seen);
            }
            Ok(seen)
        };
        match normal() {
            // git's files of this worktree are unusable: the repository's own serve instead.
            Err(GitError::Failed {
                command, stderr, ..
            }) if worktree.git_dir != self.checkout_git_dir() && worktree.path.is_dir() => {
                tracing::warn!(%command, %stderr, "snapshot goes around a damaged worktree");
                let site = self.site(self.common_dir(), &worktree.path)?;
                let head_commit = self.commit_of(&site, &Head::Broken, &worktree.branch)?;
                let captured = capture(&site, head_commit.as_ref(), &index, &rules)?;
                Ok(Seen {
                    head: Head::Broken,
                    head_commit,
                    captured,
                    damaged: true,
                })
            }
            result => result,
        }
    }

    fn commit_of(
        &self,
        site: &Site<'_>,
        head: &Head,
        branch: &str,
    ) -> Result<Option<Oid>, GitError> {
        match head {
            Head::Branch { tip, .. } => Ok(Some(tip.clone())),
            Head::Detached { at } => Ok(Some(at.clone())),
            Head::Unborn { .. } | Head::Broken if branch.is_empty() => Ok(None),
            Head::Unborn { .. } | Head::Broken => {
                site.resolve(&format!("refs/heads/{branch}"), "commit")
            }
        }
    }

    pub(crate) fn keep(
        &self,
        request: &SnapshotRequest,
        seen: &Seen,
    ) -> Result<Snapshot, GitError> {
        let site = self.objects()?;
        let tree = &seen.captured.tree;
        let done = |commit: Oid| Snapshot {
            reference: request.reference.clone(),
            commit,
            tree: tree.clone(),
            head: seen.head_commit.clone(),
            skipped: seen.captured.skipped.clone(),
            skipped_total: seen.captured.skipped_total,
            nested: seen.captured.nested.clone(),
            damaged: seen.damaged,
        };
        loop {
            let before = if self.surely_lacks(&request.reference) {
                None
            } else {
                site.resolve(&request.reference, "commit")?
            };
            if let Some(before) = &before {
                let same_tree = site.tree_of(before)? == *tree;
                let parent = site.resolve(&format!("{before}^1"), "commit")?;
                if same_tree && parent == seen.head_commit {
                    return Ok(done(before.clone()));
                }
            }
            let message = format!("longhaul snapshot: {}\n", request.reason);
            if before.is_none()
                && let Some(commit) = self.keep_without_git(&site, request, seen, &message)
            {
                return Ok(done(commit));
            }
            let parents: Vec<&Oid> = seen.head_commit.iter().chain(before.iter()).collect();
            let commit = site.commit_tree(&NewCommit {
                tree,
                parents: &parents,
                message: message.as_bytes(),
                date: None,
                sign: false,
                longhaul_author: true,
                author: None,
                encoding: None,
            })?;
            if site.move_ref(
                &request.reference,
                &commit,
                before.as_ref(),
                "longhaul: snapshot",
            )? {
                return Ok(done(commit));
            }
        }
    }

    /// The same for a ref that is not there, by writing the files that git would write. `None` where that
    /// takes git.
    fn keep_without_git(
        &self,
        site: &Site<'_>,
        request: &SnapshotRequest,
        seen: &Seen,
        message: &str,
    ) -> Option<Oid> {
        let name = &request.reference;
        if !site.settings.usual_writes || !self.surely_has_room_for(name) {
            return None;
        }
        let head = seen.head_commit.as_ref();
        let commit = loose::commit(self.common_dir(), &seen.captured.tree, head, message)?;
        let is_free = || self.surely_has_room_for(name);
        loose::new_ref(self.common_dir(), name, &commit, is_free).then_some(commit)
    }
}
