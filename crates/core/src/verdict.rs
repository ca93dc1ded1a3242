//! The result of a check (T9–T12).

use serde::{Deserialize, Serialize};

use crate::ids::Fence;
use crate::time::{SpanMs, UnixMs};
use crate::usage::Usage;

/// PASS or FAIL; there is nothing in between (I13).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// The check was satisfied.
    Pass,
    /// It was not, or nobody can say that it was.
    Fail,
}

/// A verdict with its evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The attempt it judges.
    pub fence: Fence,
    /// Position of the check in the task; `None` for the built-in ones (`change`, `protect`, `commit`).
    pub check: Option<u16>,
    /// The check's name.
    pub name: String,
    /// `run`, `model`, `agent` or `built-in`.
    pub kind: String,
    /// 0 for the first run of this check in this attempt.
    pub run: u16,
    /// The result.
    pub grade: Grade,
    /// True if an earlier run of the same check on the same commit failed.
    pub flaky: bool,
    /// In a sentence: exit code, timeout, the judge's reasons.
    pub reason: String,
    /// The command or criterion.
    pub command: String,
    /// The commit it was run on.
    pub commit: String,
    /// Exit code of a `run` check.
    pub exit: Option<i32>,
    /// How long it took.
    pub took: SpanMs,
    /// When it ended.
    pub at: UnixMs,
    /// The last part of its output, at most 16 KiB, cut at a character.
    pub tail: String,
    /// Folder below the state folder that holds all of its output.
    pub evidence: Option<String>,
    /// What it cost.
    pub usage: Usage,
}
