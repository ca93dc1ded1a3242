//! How attempts ended, in sentences.

use longhaul_core::attempt::{Attempt, AttemptEnd, Halt, LostWhy};
use longhaul_core::limit::{LimitClass, LimitNotice};
use longhaul_core::time::UnixMs;

use super::Phrasing;

/// How an attempt ended or stands. `live`: it goes on.
pub(crate) fn attempt_line(attempt: &Attempt, live: bool, p: &Phrasing, now: UnixMs) -> String {
    if let Some(end) = &attempt.end {
        return outcome(end, p, now);
    }
    match (attempt.started_at, attempt.ended_at) {
        (Some(_), Some(_)) => "its work is being secured",
        (Some(_), None) if !live => "was given up",
        (Some(_), None) if attempt.resumed => "goes on with its conversation",
        (Some(_), None) => "runs",
        (None, _) if live => "is being prepared",
        (None, _) => "did not start",
    }
    .to_owned()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_its_sentence() {
        let (p, now) = (Phrasing::default(), UnixMs(0));
        let notice = |class| AttemptEnd::Limited {
            notice: LimitNotice {
                class,
                reset_at: Some(UnixMs(3_600_000)),
                window: Some("weekly".to_owned()),
                snippet: "no\u{7} more".to_owned(),
            },
        };
        let halted = |why| AttemptEnd::Halted { why };
        let ends = [
            AttemptEnd::Completed {
                summary: "all\ndone".to_owned(),
                denials: Vec::new(),
            },
            AttemptEnd::Completed {
                summary: String::new(),
                denials: Vec::new(),
            },
            AttemptEnd::AgentError {
                message: "boom".to_owned(),
            },
            AttemptEnd::TimedOut,
            AttemptEnd::Idle,
            AttemptEnd::Crashed {
                detail: "signal 9".to_owned(),
            },
            AttemptEnd::Lost { why: LostWhy::Shim },
            AttemptEnd::Lost {
                why: LostWhy::Reboot,
            },
            AttemptEnd::NotResumable,
            AttemptEnd::LaunchFailed {
                detail: "no claude".to_owned(),
                permanent: true,
            },
            notice(LimitClass::Quota),
            notice(LimitClass::Throttle),
            notice(LimitClass::Overload),
            notice(LimitClass::Billing),
            notice(LimitClass::Auth),
            halted(Halt::Cancel),
            halted(Halt::Retry),
            halted(Halt::Stop),
            halted(Halt::Drain),
            halted(Halt::Estop),
            halted(Halt::Timeout),
            halted(Halt::Idle),
            halted(Halt::Budget),
            halted(Halt::Unanswered {
                question: "may I?".to_owned(),
            }),
            halted(Halt::ModeMismatch {
                wanted: "plan".to_owned(),
                got: "bypass".to_owned(),
            }),
        ];
        let said: Vec<String> = ends.iter().map(|end| outcome(end, &p, now)).collect();
        insta::assert_snapshot!("ends", said.join("\n"));
    }
}
