//! What changes a line, and what it tells the tasks.

use serde::{Deserialize, Serialize};

use crate::ids::{Fence, TaskId};
use crate::spec::Priority;

use super::entry::{Entry, EntryId};
use super::line::{Candidate, Point, Subject};

/// Something that was said or seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum QueueFact {
    /// An entry comes (or comes back with another commit).
    Enter {
        /// It.
        entry: Box<Entry>,
    },
    /// An entry's task was cancelled, stopped or retried.
    Withdraw {
        /// Which.
        entry: EntryId,
        /// Why, for the ledger.
        why: String,
    },
    /// A person's word.
    Order {
        /// Which.
        order: QueueOrder,
    },
    /// Time went by: whatever waits for a time is looked at.
    Tick,
    /// `estop`: what runs is stopped.
    Estop,
    /// The base branch or a checkout of it was seen to change.
    BaseMoved,
    /// News of the outstanding effect.
    Round {
        /// Of which round.
        round: u64,
        /// What.
        news: QueueNews,
    },
}

/// A person's word about a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub enum QueueOrder {
    /// Nothing new is tried.
    Pause,
    /// Go on; also after the line stopped by itself.
    Resume,
    /// One round, although paused.
    Once,
    /// Only entries of this priority and above are tried; `None` lifts it.
    Freeze {
        /// The least.
        below: Option<Priority>,
    },
    /// An entry waits until it is released.
    Hold {
        /// Which.
        entry: EntryId,
    },
    /// A held entry may go.
    Release {
        /// Which.
        entry: EntryId,
    },
    /// Another priority.
    Prefer {
        /// Which.
        entry: EntryId,
        /// Its priority.
        priority: Priority,
    },
    /// An entry is taken out.
    Remove {
        /// Which.
        entry: EntryId,
    },
    /// The base branch follows now, under the same guards (`queue advance`).
    Advance,
}

/// What became of an effect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "news", rename_all = "snake_case")]
pub enum QueueNews {
    /// The trial was made.
    Tried {
        /// What came of it.
        report: Box<TrialReport>,
    },
    /// A check gave its verdict.
    Judged {
        /// It.
        judgement: Box<Judgement>,
    },
    /// A check's process was lost: no verdict.
    CheckLost {
        /// What was judged.
        subject: Subject,
        /// Index of the check.
        check: u16,
        /// Which run.
        run: u16,
        /// What is known.
        detail: String,
    },
    /// The integration ref holds the candidate.
    Landed,
    /// The integration ref is not what the trial used: nothing was landed.
    Moved {
        /// Where it stands.
        now: Point,
    },
    /// The base branch was dealt with.
    Followed {
        /// How.
        end: FollowEnd,
        /// Where what has landed was pushed to, if it was just now (L16).
        pushed: Option<String>,
    },
    /// What an abandoned round had running is over.
    Cleared,
    /// The effect could not be done.
    Failed {
        /// Why.
        detail: String,
        /// What a person can do, where only a person can help.
        remedy: Option<String>,
    },
}

/// What a trial came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialReport {
    /// What the integration ref holds, after it took over what the user committed on base.
    pub tip: Point,
    /// What became of each entry of the batch.
    pub ends: Vec<(EntryId, TrialEnd)>,
    /// What was made of those that merged, with entries in the order they were merged. No entries: the
    /// user committed on base beside what has landed, and this merges the two.
    pub candidate: Option<Candidate>,
}

/// What became of one entry in a trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum TrialEnd {
    /// It is part of the candidate.
    Merged,
    /// Everything of it is on the tip already.
    Contained,
    /// It conflicts with what has landed.
    Conflict {
        /// Where.
        report: ConflictReport,
    },
    /// It conflicts with an entry before it in the batch.
    Overlaps {
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
    /// It was not tried in this round.
    Left,
    /// Its commit does not exist any more.
    Gone {
        /// What is known.
        detail: String,
    },
}

/// Where two sides conflict, typed; never read from git's English (L10).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictReport {
    /// The paths.
    pub paths: Vec<ConflictPath>,
    /// Conflicting hunks in zdiff3 style, bounded; lossy text.
    pub hunks: String,
    /// Who is on the other side: titles of landed entries that touched these paths.
    pub others: Vec<String>,
    /// A command that shows the same conflict.
    pub reproduce: String,
}

impl ConflictReport {
    /// The first paths with their kinds, for people.
    #[must_use]
    pub fn first_paths(&self) -> String {
        let shown = self.paths.iter().take(3);
        let shown: Vec<String> = shown
            .map(|p| format!("{} ({})", p.path, p.kind.word()))
            .collect();
        match self.paths.len().saturating_sub(shown.len()) {
            0 => shown.join(", "),
            n => format!("{} and {n} more", shown.join(", ")),
        }
    }
}

/// One path of a conflict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictPath {
    /// The path, lossy.
    pub path: String,
    /// What kind.
    pub kind: ConflictKind,
}

/// Kinds of conflicts (L10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConflictKind {
    /// Both changed the same lines, or both added the file.
    Content,
    /// One changed what the other deleted.
    ModifyDelete,
    /// Renamed apart, or into each other.
    Rename,
    /// File modes or types differ.
    Mode,
    /// Binary files differ.
    Binary,
    /// Submodules point apart.
    Submodule,
    /// A file where the other side has a folder.
    DirectoryFile,
}

impl ConflictKind {
    /// The stored and shown word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::ModifyDelete => "modify/delete",
            Self::Rename => "rename",
            Self::Mode => "mode",
            Self::Binary => "binary",
            Self::Submodule => "submodule",
            Self::DirectoryFile => "directory/file",
        }
    }
}

/// The verdict of a check on a tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// Which tree was judged.
    pub subject: Subject,
    /// Position of the check among the candidate's.
    pub check: u16,
    /// Which run of it.
    pub run: u16,
    /// It passed.
    pub pass: bool,
    /// It was known from an earlier run on the same tree.
    pub cached: bool,
    /// In a sentence: exit code, timeout.
    pub reason: String,
    /// The last part of its output.
    pub tail: String,
    /// Folder below the state folder that holds all of it.
    pub evidence: Option<String>,
}

/// How following ended (L14).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum FollowEnd {
    /// The base branch holds what the integration ref holds.
    There,
    /// The user committed on it beside what has landed: the two have to be merged and checked first.
    Diverged,
    /// Somebody else pushed to the remote branch meanwhile: what they pushed has to be merged and checked
    /// first (L16).
    Rejected,
    /// It waits; nothing was touched.
    Waits {
        /// For what, in a sentence.
        why: String,
    },
}

/// What a task hears of its landing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToTask {
    /// The task.
    pub task: TaskId,
    /// The attempt whose commit it was.
    pub fence: Fence,
    /// What.
    pub news: LandNews,
}

/// News of a landing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "landing", rename_all = "snake_case")]
pub enum LandNews {
    /// It is on the integration ref.
    Landed {
        /// The commit that holds it.
        commit: String,
        /// That commit's tree: the one that was checked.
        tree: String,
        /// False if nothing verified it.
        verified: bool,
    },
    /// It conflicts with what has landed.
    Conflict {
        /// The commit to merge.
        tip: String,
        /// Where.
        report: ConflictReport,
    },
    /// The merged tree failed a check, twice, and the tree below passed it.
    Red {
        /// The check's name.
        check: String,
        /// Its command.
        command: String,
        /// The commit it was run on.
        commit: String,
        /// The verdict.
        judgement: Judgement,
    },
    /// A pull request holds it (L16).
    Proposed {
        /// The commit that was pushed.
        commit: String,
        /// Where people find the pull request.
        url: String,
    },
    /// It cannot land, and only a person can help.
    Refused {
        /// Why.
        detail: String,
        /// What to do.
        remedy: String,
    },
}
