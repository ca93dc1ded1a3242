//! A task's workspace brought up to what has landed by a person's order (L21): by a merge commit, or with
//! the task's own commits made anew on top. Worked out on objects first; the workspace is touched only if
//! that went well, or if the person wants the conflicts in its files, and is snapshotted before (I5).

use longhaul_core::queue::ConflictReport;

use crate::branch::{BranchRepair, Unfinished, stand, unfinished};
use crate::fsx;
use crate::git::GitError;
use crate::merge::{Sides, merge};
use crate::oid::Oid;
use crate::path::RepoPath;
use crate::queue::{Position, Words, conflict_report};
use crate::replay::{Replay, replay};
use crate::repo::{Head, Repo, read_head};
use crate::rework::{MergeBegun, Merging};
use crate::site::{NewCommit, Site};
use crate::snapshot::{Seen, SnapshotRequest};
use crate::worktree::Worktree;

/// How a workspace is brought up to another commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatchUpStyle {
    /// One merge commit on the task's branch.
    Merge {
        /// Where it conflicts, the merge is begun all the same and the conflicts left in the files.
        leave_conflicts: bool,
    },
    /// The task's commits are made anew on top; the old ones stay reachable from the snapshot.
    Rebase,
}

/// An order to bring a workspace up to a commit.
#[derive(Clone, Debug)]
pub struct CatchUp<'a> {
    /// The commit.
    pub to: &'a Oid,
    /// How.
    pub style: CatchUpStyle,
    /// The snapshot made before anything is touched.
    pub before: &'a SnapshotRequest,
    /// Subject of a merge commit.
    pub message: &'a str,
    /// Sign what is made as the user's git config says.
    pub sign: bool,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaughtUp {
    /// The workspace holds the commit already.
    Contained,
    /// Its branch and files have it now.
    Done {
        /// The branch's new tip.
        commit: Oid,
        /// How many commits were made anew; `None` for a merge.
        replayed: Option<usize>,
    },
    /// A merge is in progress; these conflicts are to be resolved in the files.
    Begun(Box<ConflictReport>),
    /// A merge that was begun before still has conflicts here.
    Unresolved(Vec<RepoPath>),
    /// It conflicts; nothing was touched.
    Conflicts {
        /// The commit that does not apply by itself; `None` for a merge.
        commit: Option<Oid>,
        /// Where.
        report: Box<ConflictReport>,
    },
    /// A merge is among the task's commits, or they are too many to be made anew; nothing was touched.
    NotPlain,
    /// There is work that is not committed, or an ignored file where one would be written.
    Dirty,
    /// git is in the middle of something else there.
    Busy(Unfinished),
    /// HEAD is not on the task's branch.
    Elsewhere,
}

impl From<MergeBegun> for CaughtUp {
    fn from(begun: MergeBegun) -> Self {
        match begun {
            MergeBegun::Contained => Self::Contained,
            MergeBegun::Begun { report } => Self::Begun(report),
            MergeBegun::Dirty => Self::Dirty,
            MergeBegun::Busy(what) => Self::Busy(what),
            MergeBegun::Elsewhere => Self::Elsewhere,
        }
    }
}

impl Repo {
    /// Brings a workspace whose session has ended up to a commit. Repeating it after a crash goes on; a
    /// merge that was begun before and is resolved now is committed.
    ///
    /// # Errors
    /// If git cannot be run, or the commits cannot be merged at all.
    pub fn catch_up(&self, worktree: &Worktree, order: &CatchUp<'_>) -> Result<CaughtUp, GitError> {
        let site = self.site(&worktree.git_dir, &worktree.path)?;
        let ours = match read_head(&site)? {
            Head::Branch { name, tip } if name == worktree.branch => tip,
            _ => return Ok(CaughtUp::Elsewhere),
        };
        let seen = self.look(worktree, &order.before.files)?;
        match self.merging(&site, worktree, &ours, &seen.captured.work)? {
            Merging::Resolved { theirs: None } => self.end_merge(worktree)?,
            Merging::Resolved {
                theirs: Some(theirs),
            } => {
                self.secure(order, &seen)?;
                return self.commit_merge(&site, worktree, (&ours, &theirs), &seen, order);
            }
            Merging::Unresolved(paths) => return Ok(CaughtUp::Unresolved(paths)),
            Merging::None => {}
        }
        if site.is_ancestor(order.to, &ours)? {
            return Ok(CaughtUp::Contained);
        }
        match order.style {
            CatchUpStyle::Merge { leave_conflicts } => {
                self.merge_in(&site, worktree, &ours, &seen, leave_conflicts, order)
            }
            CatchUpStyle::Rebase => self.rebase(&site, worktree, &ours, &seen, order),
        }
    }

    /// What a task's changes are compared with: the last commit that was brought into its workspace, or
    /// `start`.
    ///
    /// # Errors
    /// If git cannot be run.
    pub fn compared_with(&self, worktree: &Worktree, start: &Oid) -> Result<Oid, GitError> {
        let head = self.head_of(worktree)?;
        let site = self.objects()?;
        let taken = self.taken_in(&site, worktree, head.as_ref())?;
        Ok(taken.unwrap_or_else(|| start.clone()))
    }

    /// Makes the snapshot. A file that is too large for it counts as changed or is not touched.
    fn secure(&self, order: &CatchUp<'_>, seen: &Seen) -> Result<(), GitError> {
        self.keep(order.before, seen).map(drop)
    }

    fn merge_in(
        &self,
        site: &Site<'_>,
        worktree: &Worktree,
        ours: &Oid,
        seen: &Seen,
        leave_conflicts: bool,
        order: &CatchUp<'_>,
    ) -> Result<CaughtUp, GitError> {
        let sides = Sides {
            base: None,
            ours,
            theirs: order.to,
        };
        let merged = merge(site, sides)?;
        if !merged.clean && !leave_conflicts {
            return Ok(CaughtUp::Conflicts {
                commit: None,
                report: Box::new(conflict_report(site, &merged, sides)?),
            });
        }
        self.secure(order, seen)?;
        match self.begin_merge(worktree, order.to)? {
            MergeBegun::Begun { report } if report.paths.is_empty() => {
                let seen = self.look(worktree, &order.before.files)?;
                self.commit_merge(site, worktree, (ours, order.to), &seen, order)
            }
            begun => Ok(begun.into()),
        }
    }

    /// Commits the files as they were seen as the merge of both.
    fn commit_merge(
        &self,
        site: &Site<'_>,
        worktree: &Worktree,
        (ours, theirs): (&Oid, &Oid),
        seen: &Seen,
        order: &CatchUp<'_>,
    ) -> Result<CaughtUp, GitError> {
        let commit = site.commit_tree(&NewCommit {
            tree: &seen.captured.work,
            parents: &[ours, theirs],
            message: order.message.as_bytes(),
            date: None,
            sign: order.sign,
            longhaul_author: false,
            author: None,
            encoding: None,
        })?;
        let stand = stand(site, worktree, &seen.head)?;
        if self.follow(site, worktree, &stand, &commit)? == BranchRepair::Diverged {
            return Ok(CaughtUp::Elsewhere);
        }
        self.refresh_index(site, worktree, &commit)?;
        self.end_merge(worktree)?;
        fsx::flush_disk_of(self.common_dir())?;
        Ok(CaughtUp::Done {
            commit,
            replayed: None,
        })
    }

    fn rebase(
        &self,
        site: &Site<'_>,
        worktree: &Worktree,
        ours: &Oid,
        seen: &Seen,
        order: &CatchUp<'_>,
    ) -> Result<CaughtUp, GitError> {
        if let Some(what) = unfinished(site, worktree)? {
            return Ok(CaughtUp::Busy(what));
        }
        let half = self.half_brought(worktree, ours, order.to)?;
        if !half && seen.captured.work != site.tree_of(ours)? {
            return Ok(CaughtUp::Dirty);
        }
        let onto = Position {
            commit: order.to.clone(),
            tree: site.tree_of(order.to)?,
        };
        let make = |words: &Words, tree: &Oid, parent: &Oid| {
            site.commit_tree(&NewCommit {
                tree,
                parents: &[parent],
                message: &words.message,
                date: None,
                sign: order.sign,
                longhaul_author: false,
                author: Some(words.author()),
                encoding: words.encoding.as_deref(),
            })
        };
        let (at, count) = match replay(site, &onto, ours, make)? {
            Replay::Done { at, count } => (at, count),
            Replay::Contained => (onto.clone(), 0),
            Replay::NotPlain => return Ok(CaughtUp::NotPlain),
            Replay::Conflict { commit, merged } => {
                let sides = Sides {
                    base: None,
                    ours: order.to,
                    theirs: &commit,
                };
                return Ok(CaughtUp::Conflicts {
                    report: Box::new(conflict_report(site, &merged, sides)?),
                    commit: Some(commit),
                });
            }
        };
        if !half && self.overwrites(site, worktree, ours, &at.tree)? {
            return Ok(CaughtUp::Dirty);
        }
        self.secure(order, seen)?;
        // The files first: with the branch first, a crash in between would leave files that take back what
        // has landed.
        let note = self.note_brought(site, worktree, (ours, order.to), &at.tree)?;
        site.wait_for_index()?;
        let check_out = |tree: &Oid| {
            site.files(None)
                .args(["read-tree", "--reset", "-u", tree.as_str()])
                .ok()
        };
        check_out(&at.tree)?;
        fsx::flush_disk_of(&worktree.path)?;
        let name = format!("refs/heads/{}", worktree.branch);
        if !site.move_ref(&name, &at.commit, Some(ours), "longhaul: rebase")? {
            check_out(&site.tree_of(ours)?)?;
            return Ok(CaughtUp::Elsewhere);
        }
        self.brought(worktree, note)?;
        fsx::flush_disk_of(self.common_dir())?;
        Ok(CaughtUp::Done {
            commit: at.commit,
            replayed: Some(count),
        })
    }
}
