//! How attempts ended, in sentences.

use longhaul_core::attempt::{Attempt, AttemptEnd, Halt, LostWhy};
use longhaul_core::limit::{LimitClass, LimitNotice};
use longhaul_core::time::UnixMs;

use super::Phrasing;

/// How an attempt ended or stands.
pub(crate) fn attempt_line(attempt: &Attempt, p: &Phrasing, now: UnixMs) -> String {
    match (&attempt.end, attempt.started_at, attempt.ended_at) {
        (Some(end), ..) => outcome(end, p, now),
        (None, _, Some(_)) => "its work is being secured".to_owned(),
        (None, Some(_), None) if attempt.resumed => "goes on with its conversation".to_owned(),
        (None, Some(_), None) => "runs".to_owned(),
        (None, None, None) => "is being prepared".to_owned(),
    }
}

/// How a session ended.
pub(crate) fn outcome(end: &AttemptEnd, p: &Phrasing, now: UnixMs) -> String {
    match end {
        AttemptEnd::Completed { summary, .. } => after("finished", &p.line(summary)),
        AttemptEnd::AgentError { message } => {
            after("the agent reported an error", &p.line(message))
        }
        AttemptEnd::TimedOut => "ran longer than its timeout".to_owned(),
        AttemptEnd::Idle => "gave no sign of life for too long".to_owned(),
        AttemptEnd::Halted { why } => halted(why, p),
        AttemptEnd::Limited { notice } => limited(notice, p, now),
        AttemptEnd::Crashed { detail } => {
            after("the agent ended without finishing", &p.line(detail))
        }
        AttemptEnd::Lost { why: LostWhy::Shim } => "the session was lost".to_owned(),
        AttemptEnd::Lost {
            why: LostWhy::Reboot,
        } => "the machine was restarted".to_owned(),
        AttemptEnd::NotResumable => "the agent no longer knew the conversation".to_owned(),
        AttemptEnd::LaunchFailed { detail, .. } => {
            after("the session could not be started", &p.line(detail))
        }
    }
}

fn limited(notice: &LimitNotice, p: &Phrasing, now: UnixMs) -> String {
    let what = match notice.class {
        LimitClass::Quota => "a usage limit was reached",
        LimitClass::Throttle => "the provider asked to slow down",
        LimitClass::Overload => "the provider was overloaded",
        LimitClass::Billing => "the provider refused for billing",
        LimitClass::Auth => "the harness is logged out or its key is refused",
    };
    let mut text = what.to_owned();
    if let Some(window) = &notice.window {
        text.push_str(&format!(" ({})", p.line(window)));
    }
    if let Some(at) = notice.reset_at {
        text.push_str(&format!(", until {}", p.at(at, now)));
    }
    after(&text, &p.line(&notice.snippet))
}

fn halted(why: &Halt, p: &Phrasing) -> String {
    match why {
        Halt::Cancel => "stopped: the task was cancelled".to_owned(),
        Halt::Retry => "stopped: a person asked for another attempt".to_owned(),
        Halt::Stop => "stopped by a person".to_owned(),
        Halt::Drain => "stopped by a drain".to_owned(),
        Halt::Estop => "stopped by estop".to_owned(),
        Halt::Timeout => "stopped: it ran longer than its timeout".to_owned(),
        Halt::Idle => "stopped: it gave no sign of life for too long".to_owned(),
        Halt::Budget => "stopped: the task's budget is used up".to_owned(),
        Halt::Unanswered { question } => {
            after("stopped: nobody answered its question", &p.line(question))
        }
        Halt::ModeMismatch { wanted, got } => format!(
            "stopped: it ran in permission mode `{}` and not in `{}`",
            p.line(got),
            p.line(wanted)
        ),
    }
}

/// `head: tail`, or just the head.
fn after(head: &str, tail: &str) -> String {
    if tail.is_empty() {
        head.to_owned()
    } else {
        format!("{head}: {tail}")
    }
}
