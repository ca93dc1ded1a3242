//! What waits in a line: a commit that somebody wants on the base branch.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::{Fence, TaskId};
use crate::spec::Priority;
use crate::time::{SpanMs, UnixMs};

use super::fact::ConflictReport;

/// Identity of an entry. A task's entry has the task's own id, so that it keeps its age when it comes
/// back after another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EntryId(pub Uuid);

impl EntryId {
    /// The entry of a task.
    #[must_use]
    pub const fn of_task(task: TaskId) -> Self {
        Self(task.uuid())
    }

    /// The last eight hexadecimal digits, as for tasks.
    #[must_use]
    pub fn short(self) -> String {
        TaskId::from_uuid(self.0).short()
    }
}

/// Where an entry comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "origin", rename_all = "snake_case")]
pub enum Origin {
    /// A task with `land = true` whose checks passed.
    Task {
        /// The task.
        task: TaskId,
        /// The attempt whose sealed commit this is.
        fence: Fence,
    },
    /// `queue add BRANCH`.
    Branch {
        /// Its name, without `refs/heads/`.
        name: String,
    },
    /// `queue undo ENTRY`: takes a landing back.
    Undo {
        /// What is taken back.
        of: EntryId,
        /// The commit that landed it.
        landed: String,
    },
}

/// How an entry's commits come onto the base branch (L15).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MergeStyle {
    /// One merge commit for all entries of a candidate; their own commits stay as they are.
    #[default]
    Merge,
    /// One commit with all changes of the entry.
    Squash,
    /// The entry's commits, made anew on the tip.
    Rebase,
}

/// A command that must succeed on the merged tree (L9).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LandCheck {
    /// Its name.
    pub name: String,
    /// For `/bin/sh -c`.
    pub command: String,
    /// After which it is a FAIL.
    pub timeout: SpanMs,
    /// Digest of everything beside the tree that its verdict depends on: command, folder, set-up,
    /// environment, sandbox. Verdicts are remembered by (tree, key).
    pub key: String,
    /// The entry whose settings it runs with.
    pub of: EntryId,
}

/// Something that wants to land.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Identity.
    pub id: EntryId,
    /// Where it comes from.
    pub origin: Origin,
    /// What people call it: the task's name, or the branch.
    pub title: String,
    /// The commit to land.
    pub commit: String,
    /// Base priority; age raises it.
    pub priority: Priority,
    /// When it first entered; kept when it comes back.
    pub since: UnixMs,
    /// How it lands.
    pub style: MergeStyle,
    /// What must pass on the merged tree.
    pub checks: Vec<LandCheck>,
    /// It may land without any check (T27).
    pub land_unverified: bool,
    /// A person holds it.
    pub held: bool,
    /// Why it was passed over, if it was; looked at anew when the tip is another.
    pub wait: Option<Wait>,
}

/// Why an entry is passed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// The tip for which this is known.
    pub tip: String,
    /// What stands in the way.
    pub on: WaitOn,
}

/// What an entry waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "on", rename_all = "snake_case")]
pub enum WaitOn {
    /// It conflicts with what has landed, and nobody but a person can mend it (a branch that was
    /// added by hand).
    Tip {
        /// Where.
        report: ConflictReport,
    },
    /// It conflicts with an entry before it.
    Entry {
        /// That entry.
        with: EntryId,
        /// Where.
        report: ConflictReport,
    },
    /// It holds commits of a task that has not landed (L21).
    Unlanded {
        /// That task, for people.
        dependency: String,
    },
    /// It failed its checks, and nobody but a person can mend it.
    Red {
        /// The check.
        check: String,
        /// The verdict in a sentence.
        reason: String,
    },
}

impl Entry {
    /// The task that it comes from, if it does.
    #[must_use]
    pub const fn task(&self) -> Option<TaskId> {
        match self.origin {
            Origin::Task { task, .. } => Some(task),
            Origin::Branch { .. } | Origin::Undo { .. } => None,
        }
    }

    /// Whether anything verifies it, or it may go without.
    #[must_use]
    pub fn may_land(&self) -> bool {
        !self.checks.is_empty() || self.land_unverified
    }

    /// Whether it may be tried on this tip.
    #[must_use]
    pub fn is_eligible(&self, tip: Option<&str>, freeze_below: Option<Priority>) -> bool {
        !self.held
            && self.may_land()
            && freeze_below.is_none_or(|least| self.priority >= least)
            && self
                .wait
                .as_ref()
                .is_none_or(|w| tip.is_some_and(|tip| tip != w.tip))
    }
}
