//! A task in a list.

use longhaul_core::ids::TaskId;
use longhaul_core::spec::Priority;
use longhaul_core::task::StateWord;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::UsageView;

/// The three buckets of every view.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Bucket {
    /// Nothing moves it without a person (T3 included).
    NeedsYou,
    /// It moves by itself, or will.
    Working,
    /// Final.
    Done,
}

impl Bucket {
    /// All of them, the most urgent first.
    pub const ALL: [Self; 3] = [Self::NeedsYou, Self::Working, Self::Done];

    /// The heading for people.
    #[must_use]
    pub const fn heading(self) -> &'static str {
        match self {
            Self::NeedsYou => "Needs you",
            Self::Working => "Working",
            Self::Done => "Done",
        }
    }

    /// The word on the wire.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NeedsYou => "needs_you",
            Self::Working => "working",
            Self::Done => "done",
        }
    }
}

/// State of a task (tasks.md "States").
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Waits for dependencies.
    Pending,
    /// Could start when there is a slot.
    Ready,
    /// Has a slot; its session is being prepared.
    Assigned,
    /// Has a live session.
    Running,
    /// Its checks run.
    Verifying,
    /// In the merge queue.
    Landing,
    /// Waits for a time or an event.
    Parked,
    /// Waits for a person.
    NeedsHuman,
    /// Finished.
    Done,
    /// Given up by a person.
    Cancelled,
    /// A state that this program does not know: the daemon is newer.
    #[serde(other)]
    Unknown,
}

impl TaskState {
    /// The word on the wire and on screens.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Ready => "ready",
            Self::Assigned => "assigned",
            Self::Running => "running",
            Self::Verifying => "verifying",
            Self::Landing => "landing",
            Self::Parked => "parked",
            Self::NeedsHuman => "needs_human",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
        }
    }

    /// True for `done` and `cancelled`.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Cancelled)
    }
}

impl From<StateWord> for TaskState {
    fn from(word: StateWord) -> Self {
        match word {
            StateWord::Pending => Self::Pending,
            StateWord::Ready => Self::Ready,
            StateWord::Assigned => Self::Assigned,
            StateWord::Running => Self::Running,
            StateWord::Verifying => Self::Verifying,
            StateWord::Landing => Self::Landing,
            StateWord::Parked => Self::Parked,
            StateWord::NeedsHuman => Self::NeedsHuman,
            StateWord::Done => Self::Done,
            StateWord::Cancelled => Self::Cancelled,
        }
    }
}

impl std::fmt::Display for TaskState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.word())
    }
}

/// Enough of a task to name it and to say how it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaskLink {
    /// Its id.
    #[schemars(with = "String")]
    pub id: TaskId,
    /// The shortest prefix of the id that is unique now.
    pub short_id: String,
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: TaskState,
}

/// Why a person is needed, and what that person can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NeedView {
    /// A stable word: `retries_exhausted`, `logged_out`, `drift`, `dependency`, `stopped`, …
    pub kind: String,
    /// What happened, in a sentence.
    pub detail: String,
    /// What to do next.
    pub remedy: String,
}

/// A task in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskSummary {
    /// Its id.
    #[schemars(with = "String")]
    pub id: TaskId,
    /// The shortest prefix of the id that is unique now.
    pub short_id: String,
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: TaskState,
    /// Its bucket.
    pub bucket: Bucket,
    /// How it stands, in a few words: `waits for claude until 02:12`.
    pub line: String,
    /// What it waits for, where that is a time: UTC milliseconds.
    pub until_ms: Option<i64>,
    /// On what grounds it is done: `landed`, `landed_unverified`, `verified`, `unverified` or `approved`.
    pub basis: Option<String>,
    /// Why a person is needed.
    pub need: Option<NeedView>,
    /// Paused by a person: nothing new starts.
    pub paused: bool,
    /// A stop was asked for and has not been seen to happen yet: `stop`, `cancel`, …
    pub stopping: Option<String>,
    /// The repository or folder.
    pub repo: String,
    /// The branch, once there is one.
    pub branch: Option<String>,
    /// The harness.
    pub harness: String,
    /// Base priority.
    #[schemars(with = "PriorityWord")]
    pub priority: Priority,
    /// Number of the current or last attempt; 0 before the first.
    pub attempt: u32,
    /// Attempts that counted against `max_retries`.
    pub retries: u32,
    /// How many it may have.
    pub max_retries: u32,
    /// What it used in all, the current attempt included.
    pub usage: UsageView,
    /// Dependencies that are not done.
    pub waits_for: Vec<TaskLink>,
    /// When it was accepted: UTC milliseconds.
    pub created_at_ms: i64,
    /// When its last ledger row was written: UTC milliseconds.
    pub changed_at_ms: i64,
}

/// Base priority; age raises it.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase", rename = "Priority")]
#[expect(dead_code, reason = "stands for the core type in the schema")]
pub(crate) enum PriorityWord {
    Low,
    Normal,
    High,
    Critical,
}

/// A list of tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskList {
    /// Those that need a person, then those that work (both the oldest first), then the finished
    /// ones (the newest first).
    pub tasks: Vec<TaskSummary>,
    /// There are more finished tasks that fit the query; `all` shows them.
    pub more: bool,
}

/// Which tasks a list shows, as the query of `GET /v1/tasks`. Without any: all live tasks and the
/// last 50 finished ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TaskQuery {
    /// Only these states, separated by commas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Only this bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bucket: Option<Bucket>,
    /// Only this repository (its absolute path).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// Only tasks of this submission.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub submission: Option<uuid::Uuid>,
    /// More finished tasks: up to 20,000.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
}
