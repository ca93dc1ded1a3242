//! `longhaul account switches`: which task went from which home to which, why, and what came of it (A23).

use longhaul_api::{API_VERSION, EventView, ExitCode};
use longhaul_core::home::MoveReason;
use longhaul_core::time::UnixMs;
use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::Outcome;
use crate::output::table::{self, cell, styled};
use crate::output::text::clean;
use crate::output::{clock, palette};

/// One switch.
struct Switch<'e> {
    chosen: &'e EventView,
    /// The start of the session on the other home.
    started: Option<&'e EventView>,
}

pub(super) fn switches(context: &Context, last: usize) -> Outcome {
    let p = &context.printer;
    let causes = ["account_chosen", "session_started"];
    let events = context.reads()?.events_of(&causes)?;
    let moved = |e: &&EventView| e.cause == "account_chosen" && e.data["from"].is_string();
    let mut all: Vec<Switch<'_>> = events
        .iter()
        .filter(moved)
        .map(|chosen| {
            let after = |e: &&EventView| {
                e.cause == "session_started" && e.task == chosen.task && e.seq > chosen.seq
            };
            // The next one of its task, unless it was moved again before that.
            let next = events
                .iter()
                .find(|e| e.task == chosen.task && e.seq > chosen.seq);
            Switch {
                chosen,
                started: next.filter(after),
            }
        })
        .collect();
    let from = all.len().saturating_sub(last);
    let all = all.split_off(from);
    if context.json {
        let rows: Vec<Value> = all.iter().map(as_json).collect();
        p.json(&json!({ "longhaul": API_VERSION, "kind": "account_switches", "data": { "switches": rows } }))?;
        return Ok(ExitCode::Done);
    }
    if all.is_empty() {
        p.line("no session has gone to another home yet")?;
        return Ok(ExitCode::Done);
    }
    let now = clock::now();
    let rows: Vec<_> = all
        .iter()
        .map(|switch| {
            let data = &switch.chosen.data;
            vec![
                cell(clock::moment(UnixMs(switch.chosen.at_ms), now)),
                styled(clean(&switch.chosen.name), palette::STRONG),
                cell(text(data, "from")),
                cell(match text(data, "to") {
                    to if to.is_empty() => "its own login".to_owned(),
                    to => to,
                }),
                cell(why(data, now)),
                styled(after(switch), palette::FAINT),
            ]
        })
        .collect();
    for line in table::lines(p, &["WHEN", "TASK", "FROM", "TO", "WHY", "AFTER"], &rows) {
        p.line(&line)?;
    }
    Ok(ExitCode::Done)
}

fn text(data: &Value, key: &str) -> String {
    data[key].as_str().map(clean).unwrap_or_default()
}

fn why(data: &Value, now: UnixMs) -> String {
    match serde_json::from_value::<MoveReason>(data["reason"].clone()) {
        Ok(MoveReason::Limit { window, until }) => {
            let window = window.map_or_else(String::new, |w| format!(" ({})", clean(&w)));
            format!("at its limit until {}{window}", clock::moment(until, now))
        }
        Ok(reason) => reason.words().to_owned(),
        Err(_) => String::new(),
    }
}

fn after(switch: &Switch<'_>) -> String {
    match switch.started.map(|s| s.data["resumed"] == true) {
        Some(true) => "its conversation went on".to_owned(),
        Some(false) => "began a new conversation".to_owned(),
        None => "not started there yet".to_owned(),
    }
}

fn as_json(switch: &Switch<'_>) -> Value {
    let data = &switch.chosen.data;
    json!({
        "at_ms": switch.chosen.at_ms, "task": switch.chosen.task, "name": switch.chosen.name,
        "from": data["from"], "to": data["to"], "reason": data["reason"], "conversation": data["conversation"],
        "started_at_ms": switch.started.map(|s| s.at_ms),
        "resumed": switch.started.map(|s| s.data["resumed"].clone()),
    })
}
