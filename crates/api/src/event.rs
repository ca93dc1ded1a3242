//! What happened: ledger rows as events (G10), and pieces of a session's log.

use longhaul_core::ids::TaskId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::TaskState;

/// A ledger row. `longhaul events` prints one per line in its envelope; over SSE the envelope is
/// the `data` and `seq` the `id`, so that a reader resumes with `Last-Event-ID`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EventView {
    /// Position in the ledger: grows, has gaps, never repeats.
    pub seq: u64,
    /// When: UTC milliseconds.
    pub at_ms: i64,
    /// The task.
    #[schemars(with = "String")]
    pub task: TaskId,
    /// Its name.
    pub name: String,
    /// Its version after this row.
    pub version: u64,
    /// Its fence after this row.
    pub fence: u64,
    /// State before.
    pub from: TaskState,
    /// State after; equal to `from` where only a fact was recorded.
    pub to: TaskState,
    /// Why, as a stable word: `check_failed`, `limit`, `operator_cancel`, …
    pub cause: String,
    /// Who: `operator`, `daemon`, `session` or `check`.
    pub actor: String,
    /// What happened, in a sentence.
    pub line: String,
    /// What else was known.
    pub data: serde_json::Value,
}

/// Which of a session's log files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogStream {
    /// What the agent wrote to its standard output: for most harnesses a stream of JSON.
    #[default]
    Out,
    /// What it wrote to its standard error.
    Err,
}

impl LogStream {
    /// `out` or `err`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::Err => "err",
        }
    }
}

/// A piece of a log, as `logs --json` prints it. (Over HTTP the bytes travel raw.)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogChunk {
    /// The task.
    #[schemars(with = "String")]
    pub task: TaskId,
    /// Number of the attempt.
    pub attempt: u32,
    /// Which file.
    pub stream: LogStream,
    /// Where the piece begins, in bytes.
    pub offset: u64,
    /// Where the next one begins.
    pub next_offset: u64,
    /// The piece, with bytes that are no UTF-8 replaced.
    pub text: String,
}
