//! The seal of a turn (T8): snapshot, then the leftovers committed on the task's branch by plumbing,
//! then what changed, which protected paths were touched, and where the branch was left.

use longhaul_core::spec::CommitMode;

use crate::branch::{BranchRepair, BranchState, Stand, Unfinished, stand, unfinished};
use crate::diff::{Changes, DiffText, changes};
use crate::fsx;
use crate::git::{ErrorClass, GitError};
use crate::lock;
use crate::oid::Oid;
use crate::path::RepoPath;
use crate::protect::Protect;
use crate::repo::{Head, Repo};
use crate::rework::Merging;
use crate::site::{NewCommit, Site};
use crate::snapshot::{Seen, Snapshot, SnapshotRequest};
use crate::worktree::{Worktree, admin};

/// What is to be sealed and how.
#[derive(Clone, Debug)]
pub struct SealRequest {
    /// The snapshot that comes first.
    pub snapshot: SnapshotRequest,
    /// The commit or tree at which the turn started.
    pub start: Oid,
    /// The commit that the task's branch was made from; protection is judged against it.
    pub base: Oid,
    /// Subject (and body) of the commit of leftovers, without trailers.
    pub message: String,
    /// Value of the `Longhaul-Task:` trailer.
    pub task: String,
    /// Who commits leftovers.
    pub commit: CommitMode,
    /// Sign the commit as the user's git config says.
    pub sign: bool,
    /// Paths that may not be changed.
    pub protect: Protect,
    /// The most of the diff that is given as text, in bytes.
    pub diff_limit: usize,
}

/// A sealed turn.
#[derive(Clone, Debug)]
#[must_use = "it says what the turn left and whether it can be judged"]
pub struct Sealed {
    /// The snapshot: it holds everything, whatever else happened.
    pub snapshot: Snapshot,
    /// The commit that the turn's work stands at; none only if the branch and HEAD are destroyed.
    pub end_commit: Option<Oid>,
    /// Tree of all files at the end, committed or not, ignored ones that are kept included.
    pub end_tree: Oid,
    /// A commit of leftovers was made by this call.
    pub committed_leftovers: bool,
    /// Files that are not in `end_commit`, if they were not to be committed.
    pub leftovers: Changes,
    /// What changed from the start of the turn to its end; kept ignored files are no change.
    pub changed: Changes,
    /// The end differs from the base's tree: there is something to check or land.
    pub differs_from_base: bool,
    /// Protected paths that differ from the base.
    pub protected_touched: Vec<RepoPath>,
    /// Files that Longhaul placed and the session committed all the same.
    pub placed_committed: Vec<RepoPath>,
    /// Where the session left the branch.
    pub branch: BranchState,
    /// What was done about it.
    pub repair: BranchRepair,
    /// git was left in the middle of something; nothing was committed then. A merge that we began is
    /// finished by the seal if its conflicts are resolved.
    pub unfinished: Option<Unfinished>,
    /// Paths of a merge that we began whose conflicts are not resolved.
    pub unresolved: Vec<RepoPath>,
    /// git's folder of the worktree was changed as git does not do; it was put right.
    pub tampered: Option<&'static str>,
    /// The branch does not hold its base any more: the session rewrote its history.
    pub rewritten: bool,
    /// The diff from start to end, bounded.
    pub diff: DiffText,
}

/// Why a turn could not be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Only worktrees are sealed: in-place work is never committed (T8).
    #[error("work in the user's own folder is never committed")]
    InPlace,
    /// A run of git failed.
    #[error(transparent)]
    Git(#[from] GitError),
}

impl SealError {
    /// Whether a repetition can help.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::InPlace => ErrorClass::Permanent,
            Self::Git(error) => error.class(),
        }
    }
}

/// The commit of these leftovers that an earlier try made, whose HEAD had not yet followed: another one,
/// a second later, would stand beside it.
fn made_before(
    site: &Site<'_>,
    stand: &Stand,
    at: &Oid,
    seen: &Seen,
) -> Result<Option<Oid>, GitError> {
    let Some(tip) = stand.tip.as_ref().filter(|tip| *tip != at) else {
        return Ok(None);
    };
    let on_top = site.resolve(&format!("{tip}^1"), "commit")?.as_ref() == Some(at);
    Ok((on_top && site.tree_of(tip)? == seen.captured.work).then(|| tip.clone()))
}

impl Repo {
    /// Seals the end of a turn in a worktree whose session has ended. Repeating it changes nothing
    /// more (I4).
    ///
    /// # Errors
    /// [`SealError`]; the snapshot may exist all the same.
    pub fn seal(&self, worktree: &Worktree, request: &SealRequest) -> Result<Sealed, SealError> {
        if self.is_plain() || worktree.git_dir == self.checkout_git_dir() {
            return Err(SealError::InPlace);
        }
        let tampered = admin::tampered(&worktree.git_dir, self.common_dir());
        let seen = self.look(worktree, &request.snapshot.files)?;
        let snapshot = self.keep(&request.snapshot, &seen)?;
        // A worktree whose own git files are destroyed is read through the repository's; nothing is
        // committed then.
        let (site, whole) = match self.site(&worktree.git_dir, &worktree.path) {
            Ok(site) if seen.head != Head::Broken => (site, true),
            Ok(_) | Err(_) => (self.objects()?, false),
        };
        let stand = stand(&site, worktree, &seen.head)?;
        let mut pending = if whole {
            unfinished(&site, worktree)?
        } else {
            None
        };
        let merging = match (&stand.at, whole) {
            (Some(at), true) => self.merging(&site, worktree, at, &seen.captured.work)?,
            _ => Merging::None,
        };
        if request.commit == CommitMode::Auto && matches!(merging, Merging::Resolved { .. }) {
            pending = None;
        }
        let mut end = stand.at.clone();
        let mut committed = false;
        let mut repair = BranchRepair::None;
        if let (Some(at), true, None) = (&stand.at, whole, pending) {
            let target = match request.commit {
                CommitMode::Auto => match made_before(&site, &stand, at, &seen)? {
                    Some(commit) => Some(commit),
                    None => self.commit_leftovers(&site, at, &merging, &seen, request)?,
                },
                CommitMode::Agent => None,
            };
            committed = target.is_some();
            let target = target.unwrap_or_else(|| at.clone());
            repair = self.follow(&site, worktree, &stand, &target)?;
            if repair == BranchRepair::Diverged {
                committed = false;
            } else {
                if request.commit == CommitMode::Auto {
                    self.refresh_index(&site, worktree, &target)?;
                    if let Merging::Resolved { .. } = merging {
                        self.end_merge(worktree)?;
                    }
                }
                end = Some(target);
            }
        }
        // Before anybody is told: git flushes what it writes but not the names, and the session's own
        // commits may not be flushed at all.
        fsx::flush_disk_of(self.common_dir())?;
        Ok(Sealed {
            branch: stand.state,
            repair,
            unfinished: pending,
            unresolved: merging.unresolved(),
            tampered,
            ..self.report(
                &site,
                worktree,
                request,
                (snapshot, &seen.captured.work),
                end,
                committed,
            )?
        })
    }

    /// Commits the captured files over `at` if they differ from it.
    fn commit_leftovers(
        &self,
        site: &Site<'_>,
        at: &Oid,
        merging: &Merging,
        seen: &Seen,
        request: &SealRequest,
    ) -> Result<Option<Oid>, GitError> {
        let tree = &seen.captured.work;
        let merged = merging.to_commit();
        if merged.is_none() && site.tree_of(at)? == *tree {
            return Ok(None);
        }
        let mut parents = vec![at];
        parents.extend(merged);
        let message = format!(
            "{}\n\nLonghaul-Task: {}\n",
            request.message.trim_end(),
            request.task.replace(['\n', '\r'], " ")
        );
        let commit = site.commit_tree(&NewCommit {
            tree,
            parents: &parents,
            message: message.as_bytes(),
            date: None,
            sign: request.sign,
            longhaul_author: false,
            author: None,
            encoding: None,
        })?;
        Ok(Some(commit))
    }

    /// Gives the worktree an index that says what HEAD holds, so that `git status` is clean. The
    /// index is looked at even if nothing was committed: an earlier run may have died in between.
    pub(crate) fn refresh_index(
        &self,
        site: &Site<'_>,
        worktree: &Worktree,
        head: &Oid,
    ) -> Result<(), GitError> {
        let index = self.private_index(&worktree.path);
        let same = site
            .call()
            .args([
                "diff-index",
                "--cached",
                "--quiet",
                "--ignore-submodules=none",
            ])
            .args([head.as_str(), "--"])
            .output()?;
        if same.code == Some(0) || !index.exists() {
            return Ok(());
        }
        lock::replace_index(&site.git_dir, &worktree.path, &index)
    }

    fn report(
        &self,
        site: &Site<'_>,
        worktree: &Worktree,
        request: &SealRequest,
        (snapshot, work): (Snapshot, &Oid),
        end: Option<Oid>,
        committed: bool,
    ) -> Result<Sealed, GitError> {
        // What we merged in came from the queue: it is nothing that the task changed.
        let taken_in = self.taken_in(site, worktree, end.as_ref())?;
        let base = taken_in.as_ref().unwrap_or(&request.base);
        let from_base = changes(site, base, work)?;
        let leftovers = match &end {
            Some(commit) => changes(site, commit, work)?,
            None => Changes::default(),
        };
        let touched = from_base
            .paths
            .iter()
            .filter(|c| request.protect.covers(&c.path));
        let placed = &request.snapshot.files.placed;
        let rewritten = match &end {
            Some(commit) => !site.is_ancestor(&request.base, commit)?,
            None => false,
        };
        Ok(Sealed {
            protected_touched: touched.map(|c| c.path.clone()).collect(),
            placed_committed: from_base
                .paths
                .iter()
                .filter(|c| placed.contains(&c.path))
                .map(|c| c.path.clone())
                .collect(),
            differs_from_base: !from_base.paths.is_empty(),
            changed: changes(site, &request.start, work)?,
            diff: self.diff_for_prompt(&request.start, work, request.diff_limit)?,
            end_commit: end,
            end_tree: snapshot.tree.clone(),
            committed_leftovers: committed,
            leftovers,
            snapshot,
            branch: BranchState::Ok,
            repair: BranchRepair::None,
            unfinished: None,
            unresolved: Vec::new(),
            tampered: None,
            rewritten,
        })
    }
}
