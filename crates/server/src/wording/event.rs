//! What a ledger row says, in a sentence.

use longhaul_core::home::MoveReason;
use longhaul_core::ledger::{Cause, LedgerEntry};
use longhaul_core::task::StateWord;
use longhaul_core::time::UnixMs;
use serde_json::Value;

use super::Phrasing;

/// What happened.
pub(crate) fn event_line(entry: &LedgerEntry, p: &Phrasing, now: UnixMs) -> String {
    let data = Data {
        value: &entry.data,
        p,
    };
    let stopping = data
        .value
        .get("stopping")
        .is_some_and(|v| v != &Value::Bool(false));
    let stops = |word: &str| {
        if stopping {
            format!("{word}; its session is being stopped")
        } else {
            word.to_owned()
        }
    };
    match entry.cause {
        Cause::Submitted => "accepted".to_owned(),
        Cause::DependenciesMet => "its dependencies are done".to_owned(),
        Cause::Assigned => data.with(
            "attempt",
            |n| format!("attempt {n} begins"),
            "an attempt begins",
        ),
        Cause::AccountChosen => chosen(&data, p, now),
        Cause::ChecksResumed => "its checks go on; no new attempt".to_owned(),
        Cause::EffectBroke => data.detail("Longhaul itself broke at it"),
        Cause::WorkspaceReady => {
            let drift = data.with("drift", |d| format!("; other hands changed it: {d}"), "");
            data.with(
                "branch",
                |b| format!("its workspace is ready on {b}"),
                "its workspace is ready",
            ) + &drift
        }
        Cause::WorkspaceFailed => data.detail("its workspace could not be made"),
        Cause::SessionStarted => {
            let how = if data.value.get("resumed") == Some(&Value::Bool(true)) {
                "its conversation goes on"
            } else {
                "its session runs"
            };
            data.with("pid", |pid| format!("{how} (process {pid})"), how)
        }
        Cause::LaunchFailed => data.detail("its session could not be started"),
        Cause::ConversationKnown => data.with(
            "id",
            |id| format!("its conversation is {id}"),
            "its conversation is known",
        ),
        Cause::BudgetWarning => data.percent("of its budget is used"),
        Cause::BudgetReached => data.percent("of its budget is used; its session is being stopped"),
        Cause::TimeoutReached => {
            "it ran longer than its timeout; its session is being stopped".to_owned()
        }
        Cause::IdleReached => "it gave no sign of life; its session is being stopped".to_owned(),
        Cause::QuestionUnanswered => {
            "nobody answered its question; its session is being stopped".to_owned()
        }
        Cause::ModeMismatch => {
            "it runs in another permission mode; its session is being stopped".to_owned()
        }
        Cause::SessionEnded => {
            let refused = match data.value.get("refused_writes").and_then(Value::as_u64) {
                None | Some(0) => String::new(),
                Some(1) => "; its tools told of a refused write".to_owned(),
                Some(n) => format!("; its tools told of {n} refused writes"),
            };
            data.with(
                "end",
                |e| format!("its session ended: {}", e.replace('_', " ")),
                "its session ended",
            ) + &refused
        }
        Cause::TurnSealed => data.with(
            "changed_files",
            |n| format!("its work is secured ({n} changed files); the checks begin"),
            "its work is secured; the checks begin",
        ),
        Cause::SealFailed => data.detail("its work could not be secured"),
        Cause::CheckPassed => data.check("passed"),
        Cause::CheckRerun => data.check("failed and runs again"),
        Cause::CheckLost => data.detail("a check was lost and runs again"),
        Cause::Finished => "done".to_owned(),
        Cause::Landing => "its work goes to the merge queue".to_owned(),
        Cause::OverlapOpened | Cause::OverlapClosed => shared(&data, entry.cause, p),
        Cause::Proposing => "a pull request is opened for its work".to_owned(),
        Cause::Proposed => data.with(
            "url",
            |url| format!("pull request {url}"),
            "its pull request is there",
        ),
        Cause::Landed => data.with("commit", |c| format!("landed as {c}"), "landed"),
        Cause::LandConflict | Cause::LandRed => data.again("return"),
        Cause::LandRefused => data.detail("it could not land"),
        Cause::OperatorLand => "put into the merge queue by a person".to_owned(),
        Cause::Retry => data.again("retry"),
        Cause::Restart => data.again("restart"),
        Cause::Limit => {
            let until = data.value.get("until").and_then(Value::as_i64);
            let until = until.map_or_else(String::new, |at| {
                format!(" until {}", p.at(UnixMs(at), now))
            });
            data.with(
                "snippet",
                |s| format!("waits{until} for a limit: {s}"),
                &format!("waits{until} for a limit"),
            )
        }
        Cause::Woke => "its wait is over".to_owned(),
        Cause::NeedsPerson => data.with(
            "need",
            |n| format!("needs you: {}", n.replace('_', " ")),
            "needs you",
        ),
        Cause::OperatorStop => stops("stopped by a person"),
        Cause::OperatorCancel if entry.to == StateWord::Cancelled => "cancelled".to_owned(),
        Cause::OperatorCancel => stops("cancelled by a person"),
        Cause::OperatorRetry => data.with(
            "note",
            |n| format!("retried by a person: {n}"),
            "retried by a person",
        ),
        Cause::OperatorApprove => data.with(
            "commit",
            |c| match data.text("tree") {
                Some(tree) => format!("approved by a person: commit {c}, tree {tree}"),
                None => format!("approved by a person: commit {c}"),
            },
            "approved by a person",
        ),
        Cause::OperatorPause => "paused by a person".to_owned(),
        Cause::OperatorSend => data.with(
            "text",
            |t| format!("a person says: {t}"),
            "a person says something",
        ),
        Cause::NextTurn => "another turn, for what a person said".to_owned(),
        Cause::OperatorResume => "resumed by a person".to_owned(),
        Cause::Drained => stops("drain"),
        Cause::Estopped => stops("estop"),
        Cause::LateReport => {
            "a report of an earlier attempt came late; it is kept and not obeyed".to_owned()
        }
    }
}

/// A row's data; any of it can be missing.
struct Data<'a> {
    value: &'a Value,
    p: &'a Phrasing,
}

impl Data<'_> {
    fn text(&self, key: &str) -> Option<String> {
        let text = match self.value.get(key)? {
            Value::String(text) => self.p.line(text),
            Value::Number(n) => n.to_string(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
        };
        Some(text).filter(|t| !t.is_empty())
    }

    fn with(&self, key: &str, say: impl FnOnce(String) -> String, without: &str) -> String {
        self.text(key).map_or_else(|| without.to_owned(), say)
    }

    fn detail(&self, head: &str) -> String {
        self.with("detail", |d| format!("{head}: {d}"), head)
    }

    fn percent(&self, tail: &str) -> String {
        self.with(
            "percent",
            |n| format!("{n} % {tail}"),
            &format!("much {tail}"),
        )
    }

    fn check(&self, what: &str) -> String {
        let name = self.with(
            "check",
            |n| format!("check {n} {what}"),
            &format!("a check {what}"),
        );
        self.with("reason", |r| format!("{name}: {r}"), &name)
    }

    fn again(&self, word: &str) -> String {
        let why = self.with("why", |w| w, "another attempt");
        match (self.text(word), self.text("of")) {
            (Some(n), Some(of)) => format!("{why}; {word} {n} of {of}"),
            _ => why,
        }
    }
}

/// `its account is spare now: work is at its limit until 15:00`.
/// `api-2 changes src/a.rs, too; this one pauses after its turn`.
fn shared(data: &Data<'_>, cause: Cause, p: &Phrasing) -> String {
    let value = data.value;
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or("?");
    let paths = value.get("paths").and_then(Value::as_array);
    let paths: Vec<&str> = paths
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let line = match (cause, paths.is_empty()) {
        (Cause::OverlapOpened, true) => "another session changes the same files".to_owned(),
        (_, true) => "no other session changes the same files any more".to_owned(),
        (Cause::OverlapOpened, false) => super::state::shared(text("name"), paths.into_iter()),
        (_, false) => format!(
            "{} and this one no longer change the same: {}",
            text("name"),
            paths.join(", ")
        ),
    };
    let opened = cause == Cause::OverlapOpened;
    let pauses = opened && value.get("pauses") == Some(&Value::Bool(true));
    let end = if pauses {
        "; this one pauses after its turn"
    } else {
        ""
    };
    p.line(&format!("{line}{end}"))
}

fn chosen(data: &Data<'_>, p: &Phrasing, now: UnixMs) -> String {
    let to = data.with(
        "to",
        |to| format!("its account is {to} now"),
        "its agent's own login is used now",
    );
    let Some(from) = data.text("from") else {
        return to;
    };
    let reason = data.value.get("reason");
    let reason = reason.and_then(|r| serde_json::from_value::<MoveReason>(r.clone()).ok());
    let Some(reason) = reason else {
        return format!("{to}; it was {from}");
    };
    let until = match &reason {
        MoveReason::Limit { until, .. } => format!(" until {}", p.at(*until, now)),
        _ => String::new(),
    };
    format!("{to}; {from} is {}{until}", reason.words())
}

#[cfg(test)]
mod tests {
    use longhaul_core::ids::{Fence, TaskId};
    use longhaul_core::ledger::Actor;
    use serde_json::json;

    use super::*;

    /// Data that is missing, or is not what it used to be, is no reason to fail or to be silent.
    #[test]
    fn every_cause_has_its_sentence_whatever_its_data() {
        let full = json!({
            "attempt": 2, "branch": "longhaul/a", "drift": "M x", "detail": "no room", "pid": 7,
            "resumed": true, "id": "c-1", "percent": 81, "end": "timed_out", "changed_files": 3,
            "check": "tests", "reason": "exit 1", "why": "check failed", "retry": 1, "restart": 2,
            "of": 3, "return": 1, "until": 60_000, "snippet": "limit", "need": "logged_out", "note": "look",
            "stopping": true, "from": "work", "to": "spare", "name": "other", "paths": ["src/a.rs"], "pauses": true,
        });
        let (p, now) = (Phrasing::default(), UnixMs(0));
        let say = |cause, data: &Value| {
            let entry = LedgerEntry {
                task: TaskId::new(1, [0; 10]),
                version: 2,
                fence: Fence(1),
                from: StateWord::Running,
                to: StateWord::Running,
                cause,
                actor: Actor::Daemon,
                at: now,
                data: data.clone(),
            };
            event_line(&entry, &p, now)
        };
        let mut lines = Vec::new();
        for cause in Cause::ALL {
            for odd in [
                json!(null),
                json!([1]),
                json!({"until": "x", "of": {}, "check": null}),
            ] {
                assert!(!say(*cause, &odd).is_empty());
            }
            lines.push(format!("{}: {}", cause.as_str(), say(*cause, &full)));
        }
        insta::assert_snapshot!("events", lines.join("\n"));
    }
}
