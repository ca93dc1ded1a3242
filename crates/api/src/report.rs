//! The morning page as data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{DenialView, LineView, RefusedWriteView, RestingView, TaskSummary, UsageView};

/// `GET /v1/report?since_ms=`: what happened since then, and what is needed now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReportView {
    /// From: UTC milliseconds.
    pub since_ms: i64,
    /// Until (when it was made): UTC milliseconds.
    pub until_ms: i64,
    /// Tasks that need a person, whenever they got there.
    pub needs_you: Vec<ReportItem>,
    /// Tasks that move by themselves.
    pub working: Vec<ReportItem>,
    /// Tasks that became final since then.
    pub done: Vec<ReportItem>,
    /// Sums over that time.
    pub totals: ReportTotals,
    /// Harnesses and accounts that rest now.
    pub resting: Vec<RestingView>,
    /// Lines of the merge queue in which something waits, or landed since then (with all of that).
    #[serde(default)]
    pub queue: Vec<LineView>,
}

/// A task of the report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReportItem {
    /// How it stands.
    pub task: TaskSummary,
    /// What happened, in a sentence.
    pub sentence: String,
    /// The checks of its last attempt.
    pub checks: Vec<CheckLine>,
    /// Attempts made over its life.
    pub attempts: u32,
    /// Milliseconds that it waited for limits in the report's time.
    pub limit_wait_ms: u64,
    /// Changed files since its start, as of the last sealed work.
    pub changed_files: Option<u32>,
    /// A short diffstat of the last sealed work.
    pub diffstat: Option<String>,
    /// Tools that were denied in its last attempt (T23).
    pub denials: Vec<DenialView>,
    /// Writes outside the sandbox that were refused in its last attempt, as its tools told the agent (T25).
    #[serde(default)]
    pub refused_writes: Vec<RefusedWriteView>,
}

/// A check in a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckLine {
    /// Its name.
    pub name: String,
    /// PASS.
    pub passed: bool,
    /// It failed first and passed when run again.
    pub flaky: bool,
    /// In a sentence.
    pub reason: String,
}

/// Sums over the report's time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReportTotals {
    /// Tasks that became `done`.
    pub done: u64,
    /// Of those, without any check (T27).
    pub unverified: u64,
    /// Tasks that were cancelled.
    pub cancelled: u64,
    /// Attempts that were assigned.
    pub attempts: u64,
    /// Attempts that were retries after a FAIL, an error or a timeout.
    pub retries: u64,
    /// Attempts that replaced lost ones.
    pub restarts: u64,
    /// Verdicts PASS.
    pub checks_passed: u64,
    /// Verdicts FAIL.
    pub checks_failed: u64,
    /// What attempts assigned in that time used.
    pub usage: UsageView,
    /// Milliseconds that tasks waited for limits, summed over the tasks.
    pub limit_wait_ms: u64,
}
