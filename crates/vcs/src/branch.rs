//! Where a session left its branch, and bringing the task's branch to its work where that is safe
//! (L7). Never moves a branch away from a commit that it holds.

use crate::git::GitError;
use crate::oid::Oid;
use crate::repo::{Head, Repo};
use crate::site::Site;
use crate::worktree::Worktree;

/// Where HEAD of a worktree stood when a turn ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BranchState {
    /// On the task's branch.
    Ok,
    /// On another branch, while the task's branch exists.
    Switched {
        /// The other branch.
        to: String,
    },
    /// On another branch, and the task's branch is gone: renamed, or deleted after a switch.
    Renamed {
        /// The branch it is on.
        to: String,
    },
    /// On no branch.
    Detached,
    /// On no branch, and the task's branch is gone.
    Deleted,
    /// HEAD cannot be read.
    Broken,
}

/// What was done about a branch that the session left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BranchRepair {
    /// Nothing was needed.
    None,
    /// The task's branch was moved forward, or made again, to the session's commits, and HEAD put
    /// back on it. The other branch is left as it is.
    Followed,
    /// The task's branch holds commits that the session's do not: both are kept, nothing is moved.
    Diverged,
}

/// Work that git holds half-done in a worktree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// Paths with conflicts.
    Conflicts,
    /// `git merge`.
    Merge,
    /// `git rebase` or `git am`.
    Rebase,
    /// `git cherry-pick`.
    CherryPick,
    /// `git revert`.
    Revert,
    /// `git bisect`.
    Bisect,
}

impl Unfinished {
    /// A word for people.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Conflicts | Self::Merge => "merge",
            Self::Rebase => "rebase",
            Self::CherryPick => "cherry-pick",
            Self::Revert => "revert",
            Self::Bisect => "bisection",
        }
    }
}

/// A worktree's branch as it was found, and the commit that its work stands at.
pub(crate) struct Stand {
    pub(crate) state: BranchState,
    /// Tip of the task's branch, if that exists.
    pub(crate) tip: Option<Oid>,
    /// Where HEAD stands, or the task's branch if HEAD is broken.
    pub(crate) at: Option<Oid>,
}

pub(crate) fn stand(site: &Site<'_>, worktree: &Worktree, head: &Head) -> Result<Stand, GitError> {
    let tip = site.resolve(&format!("refs/heads/{}", worktree.branch), "commit")?;
    let (state, at) = match head {
        Head::Branch { name, tip } if *name == worktree.branch => {
            (BranchState::Ok, Some(tip.clone()))
        }
        Head::Branch { name, tip: at } => {
            let to = name.clone();
            let state = if tip.is_some() {
                BranchState::Switched { to }
            } else {
                BranchState::Renamed { to }
            };
            (state, Some(at.clone()))
        }
        Head::Detached { at } if tip.is_some() => (BranchState::Detached, Some(at.clone())),
        Head::Detached { at } => (BranchState::Deleted, Some(at.clone())),
        Head::Unborn { name } if *name == worktree.branch => (BranchState::Deleted, None),
        Head::Unborn { name } => (BranchState::Switched { to: name.clone() }, tip.clone()),
        Head::Broken => (BranchState::Broken, tip.clone()),
    };
    Ok(Stand { state, tip, at })
}

/// Whether git is in the middle of something in this worktree.
pub(crate) fn unfinished(
    site: &Site<'_>,
    worktree: &Worktree,
) -> Result<Option<Unfinished>, GitError> {
    let has = |name: &str| worktree.git_dir.join(name).symlink_metadata().is_ok();
    for (name, what) in [
        ("rebase-merge", Unfinished::Rebase),
        ("rebase-apply", Unfinished::Rebase),
        ("CHERRY_PICK_HEAD", Unfinished::CherryPick),
        ("REVERT_HEAD", Unfinished::Revert),
        ("MERGE_HEAD", Unfinished::Merge),
        ("BISECT_LOG", Unfinished::Bisect),
    ] {
        if has(name) {
            return Ok(Some(what));
        }
    }
    let unmerged = site
        .call()
        .args(["ls-files", "--unmerged", "-z"])
        .output()?;
    let conflicts = unmerged.code == Some(0) && !unmerged.stdout.is_empty();
    Ok(conflicts.then_some(Unfinished::Conflicts))
}

impl Repo {
    /// Moves the task's branch to `target` and puts HEAD on it, if nothing is left behind by that.
    pub(crate) fn follow(
        &self,
        site: &Site<'_>,
        worktree: &Worktree,
        stand: &Stand,
        target: &Oid,
    ) -> Result<BranchRepair, GitError> {
        let name = format!("refs/heads/{}", worktree.branch);
        if let Some(tip) = &stand.tip
            && !site.is_ancestor(tip, target)?
        {
            return Ok(BranchRepair::Diverged);
        }
        if stand.tip.as_ref() != Some(target)
            && !site.move_ref(&name, target, stand.tip.as_ref(), "longhaul: end of turn")?
        {
            return Ok(BranchRepair::Diverged);
        }
        if stand.state == BranchState::Ok {
            return Ok(BranchRepair::None);
        }
        site.call()
            .args([
                "symbolic-ref",
                "-m",
                "longhaul: back on the task's branch",
                "HEAD",
                &name,
            ])
            .ok()?;
        Ok(BranchRepair::Followed)
    }
}
