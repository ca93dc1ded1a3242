//! Checks: PASS goes on, FAIL goes back with the evidence (T9–T12, I13).

use serde_json::json;

use super::Outcome;
use super::draft::Draft;
use super::ending;
use crate::attempt::Halt;
use crate::fact::Refusal;
use crate::ledger::{Actor, Cause};
use crate::policy::Policy;
use crate::spec::Land;
use crate::task::{NeedKind, ResumeChecks, RetryReason, State, Task};
use crate::time::{Now, SpanMs};
use crate::usage::Usage;
use crate::verdict::{Grade, Verdict};

/// A verdict of the check that runs.
pub(super) fn judged(
    task: &Task,
    verdict: &Verdict,
    tree: Option<&str>,
    now: Now,
    policy: &Policy,
) -> Outcome {
    let State::Verifying { check, run, flaky } = task.state else {
        return Outcome::Ignore("its checks are over");
    };
    if verdict.check != Some(check) || verdict.run != run {
        return Outcome::Ignore("of a run that is over");
    }
    let mut draft = Draft::new(task, now);
    if let Some(tree) = tree {
        draft.task.carry.end_tree = Some(tree.to_owned());
    }
    let mut verdict = verdict.clone();
    verdict.flaky = flaky > 0;
    draft.task.tally.charge(verdict.usage);
    let data = json!({
        "check": verdict.name, "grade": verdict.grade, "run": run, "flaky": verdict.flaky,
        "reason": verdict.reason,
    });
    let passed = verdict.grade == Grade::Pass;
    let (name, reason) = (verdict.name.clone(), verdict.reason.clone());
    draft.verdict = Some(verdict);
    draft.task.tally.refusals_in_row = 0;
    let checks = task.terms.flaky_reruns.len();
    let last = usize::from(check) + 1 >= checks;
    let parks = matches!(task.halt, Some(Halt::Stop | Halt::Drain | Halt::Estop));
    // Nothing is left to stop; landing is not nothing.
    let ends = last && passed && task.terms.land == Land::No;
    if let Some(halt) = task.halt.as_ref().filter(|_| !(parks && ends)) {
        // The verdict stands: nothing that was judged is judged again.
        let reruns = task.terms.flaky_reruns.get(usize::from(check));
        if passed {
            draft.task.carry.resume_checks = Some(ResumeChecks {
                check: check.saturating_add(1),
                run: 0,
                flaky: 0,
                round: 0,
            });
        } else if reruns.is_some_and(|n| flaky < *n) {
            draft.task.carry.resume_checks = Some(ResumeChecks {
                flaky: flaky + 1,
                ..again(check, run, flaky)
            });
        } else if parks {
            let failed = RetryReason::CheckFailed {
                fence: task.fence,
                check: name.clone(),
            };
            if task.tally.retries >= task.terms.max_retries {
                let detail = format!("check {name:?} failed: {reason}");
                return draft.retry(failed, detail, policy);
            }
            draft.task.tally.retries += 1;
            draft.task.carry.reason = Some(failed);
        }
        return draft.obey_halt(halt, policy);
    }
    draft.task.halt = None;
    if passed && usize::from(check) + 1 < checks {
        draft.task.state = State::Verifying {
            check: check + 1,
            run: 0,
            flaky: 0,
        };
        return draft.change(Cause::CheckPassed, Actor::Check, data);
    }
    if passed {
        return draft.finish(Cause::Finished, Actor::Check, data);
    }
    let reruns = task
        .terms
        .flaky_reruns
        .get(usize::from(check))
        .copied()
        .unwrap_or(0);
    if flaky < reruns {
        draft.task.state = State::Verifying {
            check,
            run: run + 1,
            flaky: flaky + 1,
        };
        return draft.change(Cause::CheckRerun, Actor::Check, data);
    }
    let failed = RetryReason::CheckFailed {
        fence: task.fence,
        check: name.clone(),
    };
    draft.retry(failed, format!("check {name:?} failed: {reason}"), policy)
}

/// A check whose process was lost: no verdict, so it is run again, bounded by `max_restarts`.
pub(super) fn lost(
    task: &Task,
    which: (u16, u16),
    detail: &str,
    tree: Option<&str>,
    now: Now,
    policy: &Policy,
) -> Outcome {
    let State::Verifying {
        check: current,
        run: current_run,
        flaky,
    } = task.state
    else {
        return Outcome::Ignore("its checks are over");
    };
    if which != (current, current_run) {
        return Outcome::Ignore("of a run that is over");
    }
    let (check, run) = which;
    let mut draft = Draft::new(task, now);
    if let Some(tree) = tree {
        draft.task.carry.end_tree = Some(tree.to_owned());
    }
    if let Some(halt) = &task.halt {
        draft.task.carry.resume_checks = Some(again(check, run, flaky));
        return draft.obey_halt(halt, policy);
    }
    draft.task.tally.restarts += 1;
    if draft.task.tally.restarts > task.terms.max_restarts {
        draft.task.tally.restarts -= 1;
        draft.task.carry.resume_checks = Some(again(check, run, flaky));
        return draft.restart(
            RetryReason::Operator,
            format!("a check was lost again and again: {detail}"),
            policy,
        );
    }
    draft.task.state = State::Verifying {
        check,
        run: run + 1,
        flaky,
    };
    draft.change(
        Cause::CheckLost,
        Actor::Daemon,
        json!({ "check": check, "detail": detail }),
    )
}

/// Nobody judged. The judge is asked again, the agent is not (docs/decisions/006).
pub(super) fn unanswered(
    task: &Task,
    verdict: &Verdict,
    refusal: &Refusal,
    tree: Option<&str>,
    now: Now,
    policy: &Policy,
) -> Outcome {
    let State::Verifying { check, run, flaky } = task.state else {
        return Outcome::Ignore("its checks are over");
    };
    if verdict.check != Some(check) || verdict.run != run {
        return Outcome::Ignore("of a run that is over");
    }
    let mut draft = Draft::new(task, now);
    if let Some(tree) = tree {
        draft.task.carry.end_tree = Some(tree.to_owned());
    }
    draft.task.tally.charge(verdict.usage);
    draft.task.carry.resume_checks = Some(again(check, run, flaky));
    // Whatever the executor says of it: what nobody judged did not pass (I13).
    draft.verdict = Some(Verdict {
        grade: Grade::Fail,
        flaky: flaky > 0,
        ..verdict.clone()
    });
    if let Some(halt) = &task.halt {
        return draft.obey_halt(halt, policy);
    }
    match refusal {
        Refusal::Wrong { remedy } => {
            let detail = format!(
                "check {:?} cannot be judged: {}",
                verdict.name, verdict.reason
            );
            draft.need(NeedKind::Judge, detail, remedy)
        }
        Refusal::Limited { scope, notice } => ending::rest(draft, notice, scope, policy),
    }
}

/// The next run of a check that was cut short.
pub(super) const fn again(check: u16, run: u16, flaky: u8) -> ResumeChecks {
    ResumeChecks {
        check,
        run: run.saturating_add(1),
        flaky,
        round: 0,
    }
}

/// FAIL of one of the built-in checks of a finished turn.
pub(super) fn built_in_fail(
    mut draft: Draft,
    name: &str,
    reason: &str,
    policy: &Policy,
) -> Outcome {
    let fence = draft.task.fence;
    let commit = draft
        .task
        .attempt
        .as_ref()
        .and_then(|a| a.sealed.as_ref())
        .map(|s| s.commit.clone());
    draft.verdict = Some(Verdict {
        fence,
        check: None,
        name: name.to_owned(),
        kind: "built-in".to_owned(),
        run: 0,
        grade: Grade::Fail,
        flaky: false,
        reason: reason.to_owned(),
        command: String::new(),
        commit: commit.unwrap_or_default(),
        exit: None,
        took: SpanMs(0),
        at: draft.now.wall,
        tail: String::new(),
        evidence: None,
        usage: Usage::default(),
    });
    let failed = RetryReason::CheckFailed {
        fence,
        check: name.to_owned(),
    };
    draft.retry(failed, format!("check {name:?} failed: {reason}"), policy)
}
