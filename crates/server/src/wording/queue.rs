//! The merge queue in words: how a line stands, what a row of its ledger says.

use longhaul_core::queue::{Line, QueueCause, QueueRow, Stage, Subject};
use serde_json::Value;

use super::Phrasing;

/// How a line stands.
pub(crate) fn line_line(line: &Line, p: &Phrasing) -> String {
    let n = line.in_flight().len();
    let these = match n {
        0 => "what was committed on base".to_owned(),
        1 => line
            .entry(line.in_flight()[0])
            .map_or_else(|| "an entry".to_owned(), |e| p.line(&e.title)),
        n => format!("{n} entries"),
    };
    let doing = match &line.stage {
        Stage::Rest if line.block.is_some() => "stopped".to_owned(),
        Stage::Rest if line.paused => "paused".to_owned(),
        Stage::Rest if line.entries.is_empty() => "nothing waits".to_owned(),
        Stage::Rest => format!("{} wait", line.entries.len()),
        Stage::Trial { .. } => format!("merges {these}"),
        Stage::Check {
            candidate,
            subject,
            check,
            run,
        } => {
            let name = candidate.checks.get(usize::from(*check));
            let name = name.map_or_else(|| "a check".to_owned(), |c| p.line(&c.name));
            match (subject, run) {
                (Subject::Candidate, 0) => format!("{name} runs on {these} merged"),
                (Subject::Candidate, _) => format!("{name} runs again on {these} merged"),
                (Subject::Parent, _) => {
                    format!("{these} was red twice; {name} runs on the tree below")
                }
            }
        }
        Stage::Land { .. } => format!("lands {these}"),
        Stage::Follow => "the base branch follows".to_owned(),
        Stage::Clear => "stops a check".to_owned(),
    };
    if line.effort.failures > 0 {
        return format!("{doing}; tries again: {}", p.line(&line.effort.detail));
    }
    doing
}

/// What a row of the queue's ledger says.
pub(crate) fn queue_event_line(row: &QueueRow, p: &Phrasing) -> String {
    let text = |key: &str| match row.data.get(key)? {
        Value::String(text) => Some(p.line(text)).filter(|t| !t.is_empty()),
        Value::Number(n) => Some(n.to_string()),
        _ => None,
    };
    let short = |key: &str| text(key).map(|t| t.get(..12).unwrap_or(&t).to_owned());
    let with = |head: &str, tail: Option<String>| match tail {
        Some(tail) => format!("{head}: {tail}"),
        None => head.to_owned(),
    };
    match row.cause {
        QueueCause::Entered => with("came into the merge queue", short("commit")),
        QueueCause::Withdrawn => with("was taken out", text("why")),
        QueueCause::Trial => "a round begins".to_owned(),
        QueueCause::PassedOver => "was passed over".to_owned(),
        QueueCause::Conflicted => with("conflicts with what has landed", short("tip")),
        QueueCause::Candidate => with("a candidate was made", short("commit")),
        QueueCause::CheckPassed => with("passed on the merged tree", text("check")),
        QueueCause::CheckFailed => with("failed on the merged tree", text("check")),
        QueueCause::CheckLost => with("a check was lost", text("detail")),
        QueueCause::Flaky => with("failed once and passed again", text("check")),
        QueueCause::Bisected => "a red batch was split".to_owned(),
        QueueCause::Red => with("failed twice on the merged tree", text("check")),
        QueueCause::Landed => with("landed", short("commit")),
        QueueCause::Moved => with("what had landed was another by then", short("now")),
        QueueCause::Followed => "the base branch followed".to_owned(),
        QueueCause::Pushed => with("what has landed was pushed", text("to")),
        QueueCause::Waits => with("the base branch waits", text("why")),
        QueueCause::Blocked => with("nothing can land", text("detail")),
        QueueCause::Unblocked => "what stood in the way is over".to_owned(),
        QueueCause::Failed => with("it did not work and is tried again", text("detail")),
        QueueCause::Ordered => "a person's word".to_owned(),
        QueueCause::Abandoned => with("the round was given up", text("why")),
    }
}
