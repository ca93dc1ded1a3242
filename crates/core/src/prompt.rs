//! The text an attempt gets (T7): the task, what was tried, the evidence, and what to do about it.

use std::fmt::Write as _;

use crate::attempt::AttemptEnd;
use crate::limit::LimitClass;
use crate::queue::ConflictReport;
use crate::spec::TaskSpec;
use crate::task::{RetryReason, Task};
use crate::verdict::Verdict;

/// Bytes of a check's output that go into a prompt.
pub const EVIDENCE_BYTES: usize = 16 * 1024;

/// What the composer may use beside the task.
#[derive(Clone, Copy, Debug, Default)]
pub struct Material<'a> {
    /// The verdict that sent the task back, if a check did.
    pub verdict: Option<&'a Verdict>,
    /// Drift of the workspace that a person or `on_drift = "warn"` let pass.
    pub drift: Option<&'a str>,
    /// System instructions that the harness has no flag for (S10).
    pub inline_system: Option<&'a str>,
}

/// Composes the prompt of the task's current attempt.
#[must_use]
pub fn compose(task: &Task, spec: &TaskSpec, material: Material<'_>) -> String {
    let mut out = String::with_capacity(spec.prompt.len() + 1024);
    if let Some(system) = material.inline_system {
        section(&mut out, "Instructions", system);
    }
    let number = task.attempt.as_ref().map_or(1, |a| a.number);
    let reason = task.carry.reason.as_ref();
    if number <= 1 && reason.is_none() {
        out.push_str(&spec.prompt);
    } else {
        section(&mut out, "The task", &spec.prompt);
        if number > 1 {
            let tried = number - 1;
            let line = format!(
                "This is attempt {number}. The work of {} is still in the working tree: assess it first, keep what is good, do not start over.",
                if tried == 1 {
                    "the earlier attempt".to_owned()
                } else {
                    format!("{tried} earlier attempts")
                }
            );
            section(&mut out, "Where things stand", &line);
        }
        if let Some(reason) = reason {
            section(
                &mut out,
                "Why there is another attempt",
                &why(reason, material.verdict),
            );
        }
        if let Some(stat) = task.carry.diffstat.as_deref().filter(|s| !s.is_empty()) {
            section(&mut out, "Changed so far", stat);
        }
    }
    if let Some(drift) = material.drift {
        section(
            &mut out,
            "Changed by others",
            &format!(
                "Since the last attempt ended, somebody else changed the working tree: {drift}"
            ),
        );
    }
    let others: Vec<String> = task
        .carry
        .overlaps
        .iter()
        .filter(|o| o.told)
        .map(|o| {
            let paths: Vec<&str> = o.paths.iter().map(String::as_str).collect();
            format!("- {} changes {}", o.name, paths.join(", "))
        })
        .collect();
    if !others.is_empty() {
        section(
            &mut out,
            "Others at work",
            &format!(
                "Other sessions change files that you have changed, each in a workspace of its own. Both will be merged: keep to what the task needs in them.\n\n{}",
                others.join("\n")
            ),
        );
    }
    if let Some(note) = &task.carry.note {
        section(&mut out, "A note from the person in charge", note);
    }
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

fn section(out: &mut String, title: &str, body: &str) {
    if !out.is_empty() && !out.ends_with("\n\n") {
        out.push_str(if out.ends_with('\n') { "\n" } else { "\n\n" });
    }
    // Writing to a String cannot fail.
    write!(out, "## {title}\n\n{}\n", body.trim_end()).unwrap_or_default();
}

fn why(reason: &RetryReason, verdict: Option<&Verdict>) -> String {
    match reason {
        RetryReason::CheckFailed { check, .. } => {
            let mut text = format!("The check `{check}` failed.");
            if let Some(v) = verdict {
                write!(text, " Result: {}", v.reason).unwrap_or_default();
                if !v.command.is_empty() {
                    write!(text, "\n\nCommand:\n\n{}", fenced(&v.command)).unwrap_or_default();
                }
                if !v.tail.is_empty() {
                    let tail = tail(&v.tail, EVIDENCE_BYTES);
                    write!(text, "\n\nThe last part of its output:\n\n{}", fenced(tail))
                        .unwrap_or_default();
                }
            }
            text.push_str("\n\nMend the cause; the same check runs again when you finish.");
            text
        }
        RetryReason::Ended { end } => match end {
            AttemptEnd::AgentError { message } => {
                format!("The earlier attempt ended with an error: {message}")
            }
            AttemptEnd::TimedOut => "The earlier attempt ran out of time.".to_owned(),
            AttemptEnd::Idle => {
                "The earlier attempt was stopped after a long silence. Avoid commands that wait for input or never end.".to_owned()
            }
            AttemptEnd::Limited { notice } => match notice.class {
                LimitClass::Quota | LimitClass::Billing | LimitClass::Auth => {
                    "A usage limit interrupted the earlier attempt; it is over now. Continue.".to_owned()
                }
                LimitClass::Throttle | LimitClass::Overload => {
                    "The model's service interrupted the earlier attempt. Continue.".to_owned()
                }
            },
            AttemptEnd::Halted { why: crate::attempt::Halt::Unanswered { question } } => format!(
                "The earlier attempt waited for an answer that nobody could give: {question}\nNobody watches this session. Decide by yourself and go on; do not ask."
            ),
            AttemptEnd::Completed { .. }
            | AttemptEnd::Halted { .. }
            | AttemptEnd::Crashed { .. }
            | AttemptEnd::Lost { .. }
            | AttemptEnd::NotResumable
            | AttemptEnd::LaunchFailed { .. } => {
                "The earlier attempt was interrupted. A command may or may not have run to its end. Continue.".to_owned()
            }
        },
        RetryReason::Operator => "A person asked for another attempt.".to_owned(),
        RetryReason::Said => {
            "The person in charge said something while you worked. Mind it, then finish.".to_owned()
        }
        RetryReason::DependencyConflict { report } => format!(
            "This work builds on several branches whose changes conflict. The working tree holds the base branch; merge these, resolving the conflicts so that the intent of each is kept:\n\n{report}"
        ),
        RetryReason::LandConflict {
            tip,
            report,
            neutral,
        } => conflict(tip, report, *neutral),
        RetryReason::LandRed {
            check,
            command,
            commit,
            verdict,
            tail: output,
        } => {
            let mut text = format!(
                "Your work passed by itself, but together with what has landed on the base branch meanwhile it fails the check `{check}`: {verdict}\n\nThe merged commit is {commit}; see it with `git show {commit}`. Merge it into your branch (`git merge {commit}`), mend the cause, and commit.\n\nCommand:\n\n{}",
                fenced(command)
            );
            if !output.is_empty() {
                let output = tail(output, EVIDENCE_BYTES);
                write!(text, "\n\nThe last part of its output:\n\n{}", fenced(output))
                    .unwrap_or_default();
            }
            text
        }
    }
}

/// What an attempt has to know of a conflict with what has landed (L12).
fn conflict(tip: &str, report: &ConflictReport, neutral: bool) -> String {
    let mut text = String::new();
    if neutral {
        text.push_str(
            "You wrote neither side of what follows. The session that did this work has resolved one conflict already, and it conflicts again, so you are asked to integrate it and nothing else: read what each side was for, give neither an advantage, and change no more than the conflict needs.\n\n",
        );
    }
    write!(
        text,
        "{} work conflicts with what has landed on the base branch meanwhile. Merge {tip} into {} branch (`git merge {tip}`), resolve the conflicts so that the intent of both sides is kept, and commit the merge. Do not undo the other side's work.\n\nConflicting paths:\n",
        if neutral { "This task's" } else { "Your" },
        if neutral { "its" } else { "your" },
    )
    .unwrap_or_default();
    for path in &report.paths {
        write!(text, "\n- {} ({})", path.path, path.kind.word()).unwrap_or_default();
    }
    if !report.others.is_empty() {
        write!(text, "\n\nThe other side: {}.", report.others.join("; ")).unwrap_or_default();
    }
    if !report.reproduce.is_empty() {
        write!(
            text,
            "\n\nThis shows the conflict without touching anything:\n\n{}",
            fenced(&report.reproduce)
        )
        .unwrap_or_default();
    }
    if !report.hunks.is_empty() {
        write!(
            text,
            "\n\nThe conflicting parts:\n\n{}",
            fenced(&report.hunks)
        )
        .unwrap_or_default();
    }
    text
}

/// A code fence that the text cannot close by itself.
fn fenced(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}\n{}\n{fence}", text.trim_end())
}

/// The last `limit` bytes of a text at most, cut at a character.
#[must_use]
pub fn tail(text: &str, limit: usize) -> &str {
    let mut start = text.len().saturating_sub(limit);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t7_tail_is_cut_at_a_character() {
        assert_eq!(tail("añb", 2), "b");
        assert_eq!(tail("añb", 3), "ñb");
        assert_eq!(tail("ab", 9), "ab");
    }

    #[test]
    fn a_fence_cannot_be_closed_from_inside() {
        assert!(fenced("a\n```\nb").starts_with("````\n"));
        assert!(fenced("plain").starts_with("```\n"));
    }
}
