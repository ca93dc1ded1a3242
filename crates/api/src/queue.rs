//! The merge queue: how its lines stand, and a person's orders for it.

use longhaul_core::ids::TaskId;
use longhaul_core::queue::MergeStyle;
use longhaul_core::spec::Priority;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::task::PriorityWord;

/// `GET /v1/queue`: every line, by repository and base branch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QueueView {
    /// The lines.
    pub lines: Vec<LineView>,
}

/// The queue of one repository and base branch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LineView {
    /// The repository.
    pub repo: String,
    /// The base branch.
    pub base: String,
    /// What it is about: `rest`, `trial`, `check`, `land`, `follow` or `clear`.
    pub stage: String,
    /// How it stands, in a sentence.
    pub line: String,
    /// What has landed: the commit of the integration ref when it was last seen.
    pub tip: Option<String>,
    /// A person paused it.
    pub paused: bool,
    /// Only entries of this priority and above are tried.
    #[schemars(with = "Option<PriorityWord>")]
    pub frozen_below: Option<Priority>,
    /// Why nothing can land, whatever the entry.
    pub blocked: Option<String>,
    /// Why the base branch has not followed yet.
    pub behind: Option<String>,
    /// What waits, the one that is tried first first.
    pub entries: Vec<QueueEntryView>,
    /// What landed last, the newest first; at most ten.
    pub landed: Vec<LandedView>,
    /// What git says of the entries and of branches that may come, where it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast: Option<ForecastView>,
}

/// The conflict matrix of a line: nothing of it was tried yet, and only a trial decides.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ForecastView {
    /// The commit that everything was merged onto.
    pub onto: Option<String>,
    /// The entries in their order, then branches of tasks that have not landed.
    pub heads: Vec<HeadView>,
    /// How many more there are than are looked at.
    pub left_out: usize,
    /// Why nothing is known, where git could not say.
    pub error: Option<String>,
}

/// An entry, or a branch that may become one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HeadView {
    /// Id of the entry or task.
    pub id: String,
    /// The last eight digits of the id.
    pub short_id: String,
    /// What people call it.
    pub title: String,
    /// Its task, if it comes from one.
    #[schemars(with = "Option<String>")]
    pub task: Option<TaskId>,
    /// Its place in the queue; none for a branch that is not in it.
    pub place: Option<usize>,
    /// The commit that was looked at; none if the branch is gone.
    pub commit: Option<String>,
    /// The commit is a snapshot with what the session has not committed.
    pub uncommitted: bool,
    /// How many paths it changes, if it merges with base.
    pub paths: usize,
    /// What keeps it from landing now, in a sentence.
    pub blocker: Option<String>,
    /// What a person can do, if anything.
    pub action: Option<String>,
    /// With base, or with those before it in this list.
    pub conflicts: Vec<MeetingView>,
}

/// A conflict between two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MeetingView {
    /// Id of the other one; none = what has landed.
    pub with: Option<String>,
    /// What people call the other one; the base branch for what has landed.
    pub with_title: String,
    /// Where.
    pub files: Vec<ConflictView>,
    /// The conflicting lines, at most 1,500 bytes; empty where many conflict.
    pub preview: String,
    /// A command that shows the same, where there is one.
    pub reproduce: Option<String>,
}

/// An entry that waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QueueEntryView {
    /// Its id; a task's entry has the task's.
    pub id: String,
    /// The last eight digits of the id.
    pub short_id: String,
    /// What people call it.
    pub title: String,
    /// Its task, if it comes from one.
    #[schemars(with = "Option<String>")]
    pub task: Option<TaskId>,
    /// The commit to land.
    pub commit: String,
    /// Base priority; age raises it.
    #[schemars(with = "PriorityWord")]
    pub priority: Priority,
    /// 1 for the one that is tried first.
    pub place: usize,
    /// Whether it would be tried if its turn came now.
    pub ready: bool,
    /// A person holds it.
    pub held: bool,
    /// It takes back the landing of this entry.
    pub undoes: Option<String>,
    /// What it waits for, in a sentence.
    pub line: String,
    /// What a person can do, if anything.
    pub remedy: Option<String>,
    /// Where it conflicts, if it does.
    pub conflicts: Vec<ConflictView>,
    /// When it first came: UTC milliseconds.
    pub since_ms: i64,
    /// Names of the checks of the merged tree; none = nothing verifies it.
    pub checks: Vec<String>,
}

/// A path of a conflict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConflictView {
    /// The path.
    pub path: String,
    /// `content`, `modify/delete`, `rename`, `mode`, `binary`, `submodule` or `directory/file`.
    pub kind: String,
}

/// A landing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LandedView {
    /// The entry's id; none for a merge of what was committed on base.
    pub entry: Option<String>,
    /// The last eight digits of the id.
    pub short_id: Option<String>,
    /// What people call the entry; empty for a merge of what was committed on base.
    pub title: String,
    /// The commit that brought it.
    pub commit: String,
    /// Its tree: the one that was checked.
    pub tree: String,
    /// Whether checks passed on that very tree.
    pub verified: bool,
    /// It took back the landing of this entry.
    pub undoes: Option<String>,
    /// The commit that took it back since.
    pub undone_by: Option<String>,
    /// When: UTC milliseconds.
    pub at_ms: i64,
}

/// `GET /v1/queue/{ref}`: an entry with its history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QueueExplanation {
    /// The repository.
    pub repo: String,
    /// The base branch.
    pub base: String,
    /// The entry, while it waits.
    pub entry: Option<QueueEntryView>,
    /// What happened to it, oldest first.
    pub history: Vec<QueueEventView>,
}

/// A row of the queue's ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QueueEventView {
    /// When: UTC milliseconds.
    pub at_ms: i64,
    /// A stable word.
    pub cause: String,
    /// What happened, in a sentence.
    pub line: String,
}

/// `POST /v1/queue`: a person's word for the merge queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueueRequest {
    /// What to do.
    pub order: QueueVerb,
    /// Only lines of this repository (its absolute path).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// Only lines of this base branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// The entry or task, for orders about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    /// The least priority that is still tried, for `freeze`; nothing lifts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<PriorityWord>")]
    pub below: Option<Priority>,
    /// The branch to put in, for `add`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<QueueBranch>,
    /// What must succeed on the tree without a landing, for `undo`; none: what the landing's own checks
    /// were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<String>,
    /// An `undo` may land although nothing verifies it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unverified: bool,
}

/// A branch for the merge queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueueBranch {
    /// Its name.
    pub name: String,
    /// The commit to land, in full.
    pub commit: String,
    /// Commands that must succeed on the merged tree.
    #[serde(default)]
    pub checks: Vec<String>,
    /// It may land although nothing verifies it.
    #[serde(default)]
    pub unverified: bool,
    /// How its commits come onto the base branch; `merge` if it does not say.
    #[serde(default)]
    #[schemars(with = "MergeStyleWord")]
    pub merge_style: MergeStyle,
}

/// The words for how work lands, for the description of the interface.
#[derive(JsonSchema)]
#[schemars(rename = "MergeStyle", rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema is used")]
enum MergeStyleWord {
    Merge,
    Squash,
    Rebase,
}

/// An order for the merge queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QueueVerb {
    /// Put a task's finished work, or a branch, in.
    Add,
    /// Take an entry out.
    Remove,
    /// Let an entry wait.
    Hold,
    /// Let a held entry go.
    Release,
    /// Try nothing new.
    Pause,
    /// Go on.
    Resume,
    /// Try only what has at least a priority.
    Freeze,
    /// One round, although paused.
    Once,
    /// Let the base branch follow now.
    Advance,
    /// Take a landing back.
    Undo,
}
