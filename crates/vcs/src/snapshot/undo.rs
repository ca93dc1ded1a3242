//! The way back: listing a task's snapshots and restoring one, after the present state was
//! snapshotted itself (I5).

use std::collections::BTreeSet;

use super::{Snapshot, SnapshotRequest};
use crate::branch::{BranchState, stand};
use crate::fsx;
use crate::git::{ErrorClass, GitError};
use crate::oid::Oid;
use crate::path::{RepoPath, split_nul};
use crate::repo::Repo;
use crate::worktree::Worktree;

/// One stored snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotRef {
    /// Full name of its ref.
    pub reference: String,
    /// The last part of its name: `3` is of the end of turn 3, `3.1` the first one after that which
    /// a person's order made.
    pub name: String,
    /// The turn it is of; `None` if a person's order made it.
    pub number: Option<u64>,
    /// Its commit.
    pub commit: Oid,
    /// When it was made: seconds since the epoch, UTC.
    pub made_unix_s: i64,
    /// Why it was made, without control characters.
    pub reason: String,
}

impl SnapshotRef {
    /// The turn, and how manieth order of a person after it.
    fn place(&self) -> Option<(u64, u64)> {
        match self.name.split_once('.') {
            None => Some((self.name.parse().ok()?, 0)),
            Some((turn, order)) => Some((turn.parse().ok()?, order.parse().ok()?)),
        }
    }

    /// The name of the next snapshot that a person's order makes. No turn ever has it: turns count on
    /// meanwhile, and each keeps a name of its own.
    #[must_use]
    pub fn next_by_order(known: &[Self]) -> String {
        let (turn, order) = known.iter().filter_map(Self::place).max().unwrap_or((0, 0));
        format!("{turn}.{}", order + 1)
    }
}

/// How much is brought back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreScope {
    /// The files; the branch keeps its commits.
    Files,
    /// The files, and the task's branch goes back to where HEAD stood. Later commits stay reachable
    /// from the snapshot that is made first.
    FilesAndBranch,
}

/// A restored workspace.
#[derive(Clone, Debug)]
pub struct Restored {
    /// What was there before.
    pub before: Snapshot,
    /// The branch was moved back.
    pub branch_moved: bool,
}

/// Why a snapshot cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Files that no snapshot can hold would be overwritten.
    #[error("{} files that are too large for a snapshot, or unreadable, may be overwritten", .paths.len())]
    WouldLose {
        /// The files (at most 200).
        paths: Vec<RepoPath>,
    },
    /// The branch has commits that the present HEAD does not hold.
    #[error("the task's branch and the worktree's HEAD went separate ways")]
    BranchLeft,
    /// A run of git failed.
    #[error(transparent)]
    Git(#[from] GitError),
}

impl RestoreError {
    /// Whether a repetition can help.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::WouldLose { .. } | Self::BranchLeft => ErrorClass::Permanent,
            Self::Git(error) => error.class(),
        }
    }
}

impl Repo {
    /// The snapshots under a prefix such as `refs/longhaul/snap/<task>`, oldest first.
    ///
    /// # Errors
    /// If git cannot list refs.
    pub fn snapshots(&self, prefix: &str) -> Result<Vec<SnapshotRef>, GitError> {
        let site = self.objects()?;
        let output = site
            .call()
            .arg("for-each-ref")
            .arg(
                "--format=%(refname)%00%(objectname)%00%(committerdate:unix)%00%(contents:subject)",
            )
            .arg(format!("{}/", prefix.trim_end_matches('/')))
            .ok()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let mut found = Vec::new();
        for line in text.lines() {
            let fields: Vec<&str> = line.splitn(4, '\0').collect();
            let [reference, oid, seconds, subject] = fields[..] else {
                return Err(output.malformed("four fields for each ref"));
            };
            let reason = subject
                .strip_prefix("longhaul snapshot: ")
                .unwrap_or(subject);
            let name = reference.rsplit('/').next().unwrap_or_default();
            found.push(SnapshotRef {
                number: name.parse().ok(),
                name: name.to_owned(),
                reference: reference.to_owned(),
                commit: oid.parse().map_err(|_| output.malformed("object ids"))?,
                made_unix_s: seconds.parse().unwrap_or(0),
                reason: reason.chars().filter(|c| !c.is_control()).collect(),
            });
        }
        found.sort_by(|a, b| (a.place(), &a.reference).cmp(&(b.place(), &b.reference)));
        Ok(found)
    }

    /// Puts a workspace back to a snapshot: its files, untracked ones included. The present state is
    /// snapshotted first; files that are not in the snapshot are removed only because that one holds
    /// them. Ignored and placed files stay. Repeating it after a crash is harmless.
    ///
    /// # Errors
    /// [`RestoreError`]; nothing was changed then, unless git itself failed half-way.
    pub fn restore(
        &self,
        worktree: &Worktree,
        snapshot: &Oid,
        before: &SnapshotRequest,
        scope: RestoreScope,
    ) -> Result<Restored, RestoreError> {
        let seen = self.look(worktree, &before.files)?;
        let kept = self.keep(before, &seen)?;
        let objects = self.objects()?;
        let wanted = objects.tree_of(snapshot)?;
        self.refuse_loss(&kept, &wanted)?;
        let in_place = worktree.git_dir == self.checkout_git_dir();
        let site = self.site(&worktree.git_dir, &worktree.path)?;
        let stand = stand(&site, worktree, &seen.head)?;
        let target = match scope {
            RestoreScope::FilesAndBranch if !in_place => {
                site.resolve(&format!("{snapshot}^1"), "commit")?
            }
            RestoreScope::Files | RestoreScope::FilesAndBranch => None,
        };
        if let (Some(_), Some(tip), Some(head)) = (&target, &stand.tip, &seen.head_commit)
            && !site.is_ancestor(tip, head)?
        {
            return Err(RestoreError::BranchLeft);
        }
        // The private index holds exactly the present state: what is in it and not wanted goes.
        let index = self.private_index(&worktree.path);
        site.files(Some(&index))
            .args(["read-tree", "--reset", "-u", wanted.as_str()])
            .ok()?;
        let mut branch_moved = false;
        if let Some(target) = &target {
            let name = format!("refs/heads/{}", worktree.branch);
            branch_moved = site.move_ref(&name, target, stand.tip.as_ref(), "longhaul: undo")?;
            if branch_moved && stand.state != BranchState::Ok {
                site.call()
                    .args(["symbolic-ref", "-m", "longhaul: undo", "HEAD", &name])
                    .ok()?;
            }
        }
        if !in_place {
            self.reset_index(worktree)?;
        }
        Ok(Restored {
            before: kept,
            branch_moved,
        })
    }

    /// Files that the first snapshot could not take must not be in the way of the wanted ones.
    fn refuse_loss(&self, kept: &Snapshot, wanted: &Oid) -> Result<(), RestoreError> {
        if kept.skipped_total == 0 {
            return Ok(());
        }
        let site = self.objects()?;
        let listing = site
            .call()
            .args([
                "ls-tree",
                "-r",
                "-z",
                "--full-tree",
                "--name-only",
                wanted.as_str(),
            ])
            .ok()?;
        let names: BTreeSet<RepoPath> = split_nul(&listing.stdout).collect();
        let paths: Vec<RepoPath> = kept
            .skipped
            .iter()
            .map(|s| s.path.clone())
            .filter(|p| names.contains(p))
            .collect();
        if paths.is_empty() && kept.skipped_total == kept.skipped.len() {
            return Ok(());
        }
        Err(RestoreError::WouldLose { paths })
    }

    /// Makes the worktree's own index say what HEAD holds.
    fn reset_index(&self, worktree: &Worktree) -> Result<(), GitError> {
        let site = self.site(&worktree.git_dir, &worktree.path)?;
        site.wait_for_index()?;
        let reset = || {
            site.files(None)
                .args(["read-tree", "--reset", "HEAD"])
                .output()
        };
        let mut output = reset()?;
        if output.code != Some(0) {
            fsx::remove_file_if_there(&worktree.git_dir.join("index"))?;
            output = reset()?;
        }
        if output.code != Some(0) {
            return Err(output.failure());
        }
        // Exit 1 only says that files differ from the index, which is the point of a restored state.
        site.files(None)
            .args(["update-index", "-q", "--refresh"])
            .output()?;
        Ok(())
    }

    /// Deletes the snapshots that `expired` names, but never one whose commits no branch, tag or
    /// remote branch holds (I5). Gives the refs that were deleted.
    ///
    /// # Errors
    /// If git cannot list or delete refs.
    pub fn prune_snapshots(
        &self,
        prefix: &str,
        mut expired: impl FnMut(&SnapshotRef) -> bool,
    ) -> Result<Vec<String>, GitError> {
        let mut deleted = Vec::new();
        let site = self.objects()?;
        for snapshot in self.snapshots(prefix)? {
            if !expired(&snapshot) {
                continue;
            }
            if let Some(head) = site.resolve(&format!("{}^1", snapshot.commit), "commit")? {
                let unreachable = site
                    .call()
                    .args(["rev-list", "--max-count=1", head.as_str()])
                    .args(["--not", "--branches", "--tags", "--remotes"])
                    .ok()?;
                if !unreachable.stdout.is_empty() {
                    continue;
                }
            }
            site.call()
                .args(["update-ref", "--no-deref", "-d", &snapshot.reference])
                .arg(snapshot.commit.as_str())
                .ok()?;
            deleted.push(snapshot.reference);
        }
        Ok(deleted)
    }
}
