//! The report as it is shown: words and numbers, nothing to look up. Made from the API's view, and
//! free of control characters (T31).

use std::collections::{BTreeMap, BTreeSet};

use longhaul_api::{
    AttemptView, CheckLine, ReportItem, ReportView, TaskDetail, TaskState, VerdictView,
};
use longhaul_core::ids::TaskId;
use longhaul_core::time::{SpanMs, UnixMs};
use longhaul_core::verdict::Grade;
use serde::Serialize;

use super::queue::{Queue, queue};
use crate::output::task::{OPEN_THE_SANDBOX, refused_write};
use crate::output::text::{clean, count, one_line, tokens};
use crate::output::{clock, task};

/// Lines of a verdict's tail that are shown.
const TAIL_LINES: usize = 60;
/// Tasks that the bar shows one by one.
const BAR_MAX: usize = 60;

/// The whole page.
#[derive(Debug, Serialize)]
pub(crate) struct Page {
    pub(crate) headline: String,
    pub(crate) made: String,
    pub(crate) made_iso: String,
    pub(crate) span: String,
    pub(crate) repos: Vec<String>,
    pub(crate) tiles: Vec<Tile>,
    pub(crate) bar: Vec<Segment>,
    /// More tasks than the bar can show one by one.
    pub(crate) many: bool,
    pub(crate) resting: Vec<String>,
    pub(crate) needs_you: Vec<Card>,
    pub(crate) working: Vec<Card>,
    pub(crate) done: Vec<Card>,
    pub(crate) queue: Vec<Queue>,
    pub(crate) version: &'static str,
}

/// A number with its name.
#[derive(Debug, Serialize)]
pub(crate) struct Tile {
    pub(crate) name: &'static str,
    pub(crate) value: String,
    pub(crate) note: String,
    /// Which colour: `bad`, `busy`, `good` or nothing.
    pub(crate) tone: &'static str,
}

/// A part of the bar.
#[derive(Debug, Serialize)]
pub(crate) struct Segment {
    pub(crate) tone: &'static str,
    pub(crate) n: usize,
}

/// A task.
#[derive(Debug, Serialize)]
pub(crate) struct Card {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) glyph: &'static str,
    pub(crate) tone: &'static str,
    pub(crate) state: String,
    pub(crate) sentence: String,
    pub(crate) sentence_parts: Vec<Part>,
    pub(crate) remedy: String,
    pub(crate) remedy_parts: Vec<Part>,
    pub(crate) repo: String,
    pub(crate) branch: String,
    pub(crate) tries: String,
    pub(crate) retried: bool,
    pub(crate) used: String,
    pub(crate) took: String,
    pub(crate) when: String,
    pub(crate) files: String,
    pub(crate) added: String,
    pub(crate) removed: String,
    pub(crate) diffstat: String,
    pub(crate) checks: Vec<Check>,
    pub(crate) denials: Vec<String>,
    pub(crate) refused_writes: Vec<String>,
    /// What a person can do about them; empty without any.
    pub(crate) sandbox_remedy: &'static str,
    pub(crate) sandbox_remedy_parts: Vec<Part>,
    pub(crate) waits: Vec<String>,
    pub(crate) attempts: Vec<Try>,
    pub(crate) evidence: Vec<Evidence>,
}

/// A piece of a sentence.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Part {
    pub(crate) text: String,
    /// Something to type or a name: it stood in backticks.
    pub(crate) code: bool,
}

/// A check of the last attempt.
#[derive(Debug, Serialize)]
pub(crate) struct Check {
    pub(crate) name: String,
    pub(crate) passed: bool,
    pub(crate) flaky: bool,
    pub(crate) reason: String,
}

/// An attempt.
#[derive(Debug, Serialize)]
pub(crate) struct Try {
    pub(crate) number: u32,
    pub(crate) line_parts: Vec<Part>,
    pub(crate) took: String,
    pub(crate) used: String,
    pub(crate) tone: &'static str,
    pub(crate) verdicts: Vec<Check>,
}

/// The end of a failed check's output.
#[derive(Debug, Serialize)]
pub(crate) struct Evidence {
    pub(crate) title: String,
    pub(crate) command: String,
    pub(crate) tail: String,
}

impl Page {
    /// From the API's view; `details` add attempts and evidence to the tasks they have.
    pub(crate) fn new(view: &ReportView, details: &BTreeMap<TaskId, TaskDetail>) -> Self {
        let now = UnixMs(view.until_ms);
        let items = || view.needs_you.iter().chain(&view.working).chain(&view.done);
        let repos: BTreeSet<String> = items().map(|i| clean(&i.task.repo)).collect();
        let many_repos = repos.len() > 1;
        let cards = |items: &[ReportItem]| {
            items
                .iter()
                .map(|i| card(i, details.get(&i.task.id), now, many_repos))
                .collect::<Vec<_>>()
        };
        let cancelled = view
            .done
            .iter()
            .filter(|i| i.task.state == TaskState::Cancelled)
            .count();
        Self {
            headline: headline(view, cancelled),
            made: clock::long(now),
            made_iso: clock::rfc3339(now),
            span: clock::span(now.since(UnixMs(view.since_ms))),
            repos: repos.into_iter().collect(),
            tiles: tiles(view),
            many: items().count() > BAR_MAX,
            bar: vec![
                Segment {
                    tone: "good",
                    n: view.done.len() - cancelled,
                },
                Segment {
                    tone: "busy",
                    n: view.working.len(),
                },
                Segment {
                    tone: "bad",
                    n: view.needs_you.len(),
                },
                Segment {
                    tone: "mute",
                    n: cancelled,
                },
            ],
            resting: view.resting.iter().map(|r| clean(&r.line)).collect(),
            needs_you: cards(&view.needs_you),
            working: cards(&view.working),
            done: cards(&view.done),
            queue: view.queue.iter().map(|l| queue(l, now)).collect(),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

fn headline(view: &ReportView, cancelled: usize) -> String {
    let done = view.done.len() - cancelled;
    let total = view.needs_you.len() + view.working.len() + view.done.len();
    match (view.needs_you.len(), view.working.len(), done) {
        (0, 0, 0) if cancelled == 0 => "Nothing happened, and nothing needs you.".to_owned(),
        (0, 0, n) if n == total => match n {
            1 => "The one task is done.".to_owned(),
            n => format!("All {n} tasks are done."),
        },
        (0, 0, n) => format!("{n} of {} done, nothing needs you.", count(total, "task")),
        (0, w, n) => format!(
            "{n} of {} done, {w} at work, nothing needs you.",
            count(total, "task")
        ),
        (1, _, n) => format!("{n} of {} done; 1 needs you.", count(total, "task")),
        (k, _, n) => format!("{n} of {} done; {k} need you.", count(total, "task")),
    }
}

fn tiles(view: &ReportView) -> Vec<Tile> {
    let t = &view.totals;
    let unverified = match t.unverified {
        0 => String::new(),
        n => format!("{n} without any check"),
    };
    let retries = match (t.retries, t.restarts) {
        (0, 0) => "none repeated".to_owned(),
        (r, 0) => {
            count(usize::try_from(r).unwrap_or(usize::MAX), "retry").replace("retrys", "retries")
        }
        (0, s) => format!("{s} after a loss"),
        (r, s) => format!("{r} retried, {s} after a loss"),
    };
    let waited = match t.limit_wait_ms {
        0 => String::new(),
        ms => format!("waited {} for limits", clock::span(SpanMs(ms))),
    };
    let cost = t
        .usage
        .cost()
        .map_or_else(|| "unknown".to_owned(), |c| c.to_string());
    vec![
        Tile {
            name: "Needs you",
            value: view.needs_you.len().to_string(),
            note: String::new(),
            tone: if view.needs_you.is_empty() { "" } else { "bad" },
        },
        Tile {
            name: "Working",
            value: view.working.len().to_string(),
            note: waited,
            tone: if view.working.is_empty() { "" } else { "busy" },
        },
        Tile {
            name: "Done",
            value: t.done.to_string(),
            note: unverified,
            tone: if t.done == 0 { "" } else { "good" },
        },
        Tile {
            name: "Attempts",
            value: t.attempts.to_string(),
            note: retries,
            tone: "",
        },
        Tile {
            name: "Checks",
            value: (t.checks_passed + t.checks_failed).to_string(),
            note: format!("{} passed, {} failed", t.checks_passed, t.checks_failed),
            tone: "",
        },
        Tile {
            name: "Cost",
            value: cost,
            note: format!("{} tokens", tokens(t.usage.tokens)),
            tone: "",
        },
    ]
}

fn card(item: &ReportItem, detail: Option<&TaskDetail>, now: UnixMs, many_repos: bool) -> Card {
    let t = &item.task;
    let tone = match (t.bucket, t.state) {
        (longhaul_api::Bucket::NeedsYou, _) => "bad",
        (longhaul_api::Bucket::Working, TaskState::Parked) => "wait",
        (longhaul_api::Bucket::Working, _) => "busy",
        (longhaul_api::Bucket::Done, TaskState::Cancelled) => "mute",
        (longhaul_api::Bucket::Done, _) if t.basis.as_deref() == Some("unverified") => "wait",
        (longhaul_api::Bucket::Done, _) => "good",
    };
    let state = match &t.basis {
        Some(basis) if basis != "verified" => format!("{} ({})", task::state_word(t), clean(basis)),
        _ => task::state_word(t).to_owned(),
    };
    let took = if t.state.is_final() {
        clock::span(UnixMs(t.changed_at_ms).since(UnixMs(t.created_at_ms)))
    } else {
        clock::span(now.since(UnixMs(t.created_at_ms)))
    };
    let remedy = t
        .need
        .as_ref()
        .map(|n| clean(&n.remedy))
        .unwrap_or_default();
    let diffstat = item.diffstat.as_deref().map(clean).unwrap_or_default();
    let (added, removed) = changes(&diffstat);
    let sandbox_remedy = match item.refused_writes.as_slice() {
        [] => "",
        _ => OPEN_THE_SANDBOX,
    };
    Card {
        name: clean(&t.name),
        id: t.id.short(),
        glyph: task::glyph(t).0,
        tone,
        state,
        sentence_parts: parts(&sentence(&item.sentence)),
        sentence: sentence(&item.sentence),
        remedy_parts: parts(&remedy),
        remedy,
        repo: if many_repos {
            clean(&t.repo)
        } else {
            String::new()
        },
        branch: t.branch.as_deref().map(clean).unwrap_or_default(),
        tries: item.attempts.to_string(),
        retried: item.attempts > 1,
        used: task::usage(&t.usage),
        took,
        when: clock::moment(UnixMs(t.changed_at_ms), now),
        files: item
            .changed_files
            .map(|n| count(n as usize, "file"))
            .unwrap_or_default(),
        added,
        removed,
        diffstat: diffstat.trim_end().to_owned(),
        checks: item.checks.iter().map(check_line).collect(),
        denials: item
            .denials
            .iter()
            .map(|d| {
                format!("{} {}", clean(&d.tool), one_line(&d.detail, 160))
                    .trim()
                    .to_owned()
            })
            .collect(),
        refused_writes: item.refused_writes.iter().map(refused_write).collect(),
        sandbox_remedy,
        sandbox_remedy_parts: parts(sandbox_remedy),
        waits: t
            .waits_for
            .iter()
            .map(|l| format!("{} ({})", clean(&l.name), l.state))
            .collect(),
        attempts: detail
            .map(|d| {
                d.attempts
                    .iter()
                    .map(|a| try_of(a, &d.verdicts, now))
                    .collect()
            })
            .unwrap_or_default(),
        evidence: detail.map(evidence).unwrap_or_default(),
    }
}

/// Clean, and with a capital at its beginning.
fn sentence(text: &str) -> String {
    let text = clean(text);
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(chars).collect()
    })
}

/// A sentence cut at its backticks; one without a partner is just a character.
pub(super) fn parts(text: &str) -> Vec<Part> {
    let pieces: Vec<&str> = text.split('`').collect();
    if pieces.len().is_multiple_of(2) {
        return vec![Part {
            text: text.to_owned(),
            code: false,
        }];
    }
    pieces
        .into_iter()
        .enumerate()
        .map(|(n, piece)| Part {
            text: piece.to_owned(),
            code: n % 2 == 1,
        })
        .filter(|p| !p.text.is_empty())
        .collect()
}

fn check_line(c: &CheckLine) -> Check {
    Check {
        name: clean(&c.name),
        passed: c.passed,
        flaky: c.flaky,
        reason: clean(&c.reason),
    }
}

fn verdict_line(v: &VerdictView) -> Check {
    Check {
        name: clean(&v.name),
        passed: v.grade == Grade::Pass,
        flaky: v.flaky,
        reason: clean(&v.reason),
    }
}

fn try_of(a: &AttemptView, verdicts: &[VerdictView], now: UnixMs) -> Try {
    let start = a.started_at_ms.unwrap_or(a.assigned_at_ms);
    let end = a.ended_at_ms.map_or(now, UnixMs);
    let verdicts: Vec<Check> = verdicts
        .iter()
        .filter(|v| v.attempt == a.number)
        .map(verdict_line)
        .collect();
    let failed = verdicts.iter().any(|v| !v.passed);
    let tone = match a.outcome.as_deref() {
        None => "busy",
        Some("completed") if failed => "bad",
        Some("completed") => "good",
        Some("limited") => "wait",
        Some(_) => "bad",
    };
    Try {
        number: a.number,
        line_parts: parts(&clean(&a.line)),
        took: clock::span(end.since(UnixMs(start))),
        used: task::usage(&a.usage),
        tone,
        verdicts,
    }
}

/// The tails of the failed verdicts of the last attempt that has any.
fn evidence(detail: &TaskDetail) -> Vec<Evidence> {
    let failed = |v: &&VerdictView| v.grade == Grade::Fail && !v.tail.trim().is_empty();
    let last = detail
        .verdicts
        .iter()
        .filter(failed)
        .map(|v| v.attempt)
        .max();
    detail
        .verdicts
        .iter()
        .filter(failed)
        .filter(|v| Some(v.attempt) == last)
        .map(|v| {
            let tail = clean(&v.tail);
            let lines: Vec<&str> = tail.trim_end().lines().collect();
            let from = lines.len().saturating_sub(TAIL_LINES);
            Evidence {
                title: format!(
                    "{}, attempt {}: {}",
                    clean(&v.name),
                    v.attempt,
                    clean(&v.reason)
                ),
                command: clean(&v.command),
                tail: lines[from..].join("\n"),
            }
        })
        .collect()
}

/// Lines added and removed, out of a summary's last line (`3 files changed, 12 lines added, 4
/// removed`); empty where there are none.
fn changes(summary: &str) -> (String, String) {
    let last = summary.lines().last().unwrap_or_default();
    let number = |what: &str| {
        last.split(',')
            .filter_map(|part| part.trim().strip_suffix(what))
            .map(str::trim)
            .find(|n| !n.is_empty() && *n != "0" && n.bytes().all(|b| b.is_ascii_digit()))
            .unwrap_or_default()
            .to_owned()
    };
    (number("lines added"), number("removed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_out_of_a_diffstat() {
        let stat = "M src/a.rs +2 -1\n1 files changed, 2 lines added, 1 removed";
        assert_eq!(changes(stat), ("2".to_owned(), "1".to_owned()));
        let none = (String::new(), String::new());
        assert_eq!(changes("0 files changed, 0 lines added, 0 removed"), none);
        assert_eq!(changes(""), none);
    }

    #[test]
    fn backticks_come_in_pairs_or_not_at_all() {
        let code = |text: &str| {
            parts(text)
                .into_iter()
                .filter(|p| p.code)
                .map(|p| p.text)
                .collect::<Vec<_>>()
        };
        assert_eq!(code("run `a b`, then `c`."), ["a b", "c"]);
        assert!(code("one ` alone").is_empty());
        assert!(parts("").is_empty());
    }
}
