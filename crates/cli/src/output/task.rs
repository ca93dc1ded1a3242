//! A task in one line: its glyph, its colour, its cost.

use anstyle::Style;
use longhaul_api::{Bucket, TaskState, TaskSummary, UsageView};

use super::palette;
use super::text::tokens;

/// The sign of how a task stands: ● at work, ◐ waits, ○ not yet, ✕ needs you, ✓ done.
pub(crate) fn glyph(task: &TaskSummary) -> (&'static str, Style) {
    if task.bucket == Bucket::NeedsYou {
        return ("✕", palette::BAD);
    }
    match task.state {
        TaskState::Pending | TaskState::Ready => ("○", palette::FAINT),
        TaskState::Assigned | TaskState::Running | TaskState::Verifying => ("●", palette::GOOD),
        TaskState::Parked => ("◐", palette::WARN),
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

/// `2` or `2 (1 retry)`.
pub(crate) fn attempts(task: &TaskSummary) -> String {
    match (task.attempt, task.retries) {
        (0, _) => String::new(),
        (n, 0) => n.to_string(),
        (n, 1) => format!("{n} (1 retry)"),
        (n, r) => format!("{n} ({r} retries)"),
    }
}
