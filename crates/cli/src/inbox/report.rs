//! What is written beside a file that was put away.

use camino::Utf8Path;
use longhaul_api::{TaskDetail, TaskState};

use super::Inbox;
use crate::failure::Failure;
use crate::output::text::{clean, one_line};

/// Most bytes of the findings in a report.
const FINDINGS_MAX: usize = 16 << 10;

/// What the name of a report ends with, after that of its file.
pub(super) const END: &str = ".report.md";

/// The name of the report about a file.
pub(super) fn name(file: &str) -> String {
    format!("{file}{END}")
}

/// Why a file became no task, and what to do.
pub(super) fn refusal(inbox: &Inbox, own: &str, kept: &str, why: &Failure) -> String {
    let mut out = format!("# Not taken: {}\n\n{}\n", clean(own), clean(&why.message()));
    if let Some(detail) = why.detail_text() {
        let mut end = detail.len().min(FINDINGS_MAX);
        while !detail.is_char_boundary(end) {
            end -= 1;
        }
        out.push_str(&format!(
            "\n```text\n{}\n```\n",
            clean_lines(&detail[..end])
        ));
    }
    for help in why.help_lines() {
        out.push_str(&format!("\n- {}", clean(help)));
    }
    let (from, to) = (
        inbox.part("failed").join(kept),
        inbox.part("inbox").join(plain(own)),
    );
    out.push_str(&format!(
        "\n- when it is right, put it back: `mv {} {}`\n",
        quoted(&from),
        quoted(&to)
    ));
    out
}

/// What became of a task.
pub(super) fn outcome(task: &TaskDetail) -> String {
    let t = &task.task;
    let word = match t.state {
        TaskState::Done => "Done",
        _ => "Cancelled",
    };
    let mut out = format!("# {word}: {}\n\n", clean(&t.name));
    let mut row = |name: &str, value: &str| {
        out.push_str(&format!("- {name}: {}\n", one_line(value, 500)));
    };
    row("task", &t.id.to_string());
    row("how it stands", &t.line);
    if let Some(branch) = &t.branch {
        row("branch", branch);
    }
    if let Some(sealed) = task.attempts.iter().rev().find_map(|a| a.sealed.as_ref()) {
        if !sealed.commit.is_empty() {
            row("commit", &sealed.commit);
        }
        if !sealed.diffstat.is_empty() {
            row("changes", &sealed.diffstat);
        }
    }
    row("attempts", &task.attempts.len().to_string());
    row("tokens", &t.usage.tokens.to_string());
    let cost = t.usage.cost_usd;
    row(
        "cost",
        &cost.map_or_else(|| "unknown".to_owned(), |usd| format!("${usd:.2}")),
    );
    if task.verdicts.is_empty() {
        row("checks", "none: unverified");
    }
    for verdict in &task.verdicts {
        let grade = match verdict.grade {
            longhaul_core::verdict::Grade::Pass => "PASS",
            longhaul_core::verdict::Grade::Fail => "FAIL",
        };
        let words = format!("{grade} in attempt {}: {}", verdict.attempt, verdict.reason);
        row(&format!("check {}", one_line(&verdict.name, 60)), &words);
    }
    out.push_str(&format!(
        "\n`longhaul show {0}` tells it whole, `longhaul workspace diff {0}` shows the work.\n",
        t.short_id
    ));
    out
}

/// Text of several lines without control characters.
fn clean_lines(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(clean).collect();
    lines.join("\n")
}

/// A name that can be typed.
fn plain(own: &str) -> String {
    own.chars()
        .map(|c| if c.is_control() || c == '/' { '-' } else { c })
        .collect()
}

/// A path for a shell.
fn quoted(path: &Utf8Path) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%".contains(c);
    if path.as_str().chars().all(plain) {
        path.to_string()
    } else {
        format!("'{}'", path.as_str().replace('\'', "'\\''"))
    }
}
