//! A task in one line: its glyph, its colour, its cost.

use anstyle::Style;
use longhaul_api::{Bucket, RefusedWriteView, TaskState, TaskSummary, UsageView};

use super::palette;
use super::text::{one_line, tokens};

/// The sign of how a task stands: ● at work, ◐ waits, ○ not yet, ✕ needs you, ✓ done.
pub(crate) fn glyph(task: &TaskSummary) -> (&'static str, Style) {
    if task.bucket == Bucket::NeedsYou {
        return ("✕", palette::BAD);
    }
    match task.state {
        TaskState::Pending | TaskState::Ready => ("○", palette::FAINT),
        TaskState::Assigned | TaskState::Running | TaskState::Verifying => ("●", palette::GOOD),
        TaskState::Landing | TaskState::Parked => ("◐", palette::WARN),
        TaskState::NeedsHuman => ("✕", palette::BAD),
        TaskState::Done => ("✓", palette::GOOD),
        TaskState::Cancelled => ("✕", palette::FAINT),
        TaskState::Unknown => ("?", palette::WARN),
    }
}

/// The colour of a bucket's heading.
pub(crate) const fn bucket_style(bucket: Bucket) -> Style {
    match bucket {
        Bucket::NeedsYou => palette::BAD.bold(),
        Bucket::Working => palette::BUSY.bold(),
        Bucket::Done => palette::GOOD.bold(),
    }
}

/// The state as a person reads it.
pub(crate) fn state_word(task: &TaskSummary) -> &'static str {
    match task.state {
        TaskState::NeedsHuman => "needs you",
        other => other.word(),
    }
}

/// Dollars where they are known; `-` where nobody knows.
pub(crate) fn cost(usage: &UsageView) -> String {
    usage.cost().map_or_else(String::new, |c| c.to_string())
}

/// `12.3k tok · $0.42`; empty where nothing was used.
pub(crate) fn usage(usage: &UsageView) -> String {
    let cost = cost(usage);
    match (usage.tokens, cost.is_empty()) {
        (0, true) => String::new(),
        (0, false) => cost,
        (n, true) => format!("{} tok", tokens(n)),
        (n, false) => format!("{} tok · {cost}", tokens(n)),
    }
}

/// What a person can do about refused writes.
pub(crate) const OPEN_THE_SANDBOX: &str = "to allow such a write: `[sandbox] writable` in the config, or `sandbox = \"off\"` for the task (the line is the tool's word, not the kernel's)";

/// `refused write, as the agent's tool reported it: /etc/x (Bash): touch: …`.
pub(crate) fn refused_write(refused: &RefusedWriteView) -> String {
    let path = match &refused.path {
        Some(path) => format!("{} ", one_line(path, 160)),
        None => String::new(),
    };
    format!(
        "refused write, as the agent's tool reported it: {path}({}): {}",
        one_line(&refused.tool, 40),
        one_line(&refused.line, 200)
    )
}

/// `2` or `2 (1 retry)`.
pub(crate) fn attempts(task: &TaskSummary) -> String {
    match (task.attempt, task.retries) {
        (0, _) => String::new(),
        (n, 0) => n.to_string(),
        (n, 1) => format!("{n} (1 retry)"),
        (n, r) => format!("{n} ({r} retries)"),
    }
}
