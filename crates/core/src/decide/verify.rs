//! Checks: PASS goes on, FAIL goes back with the evidence (T9–T12, I13).

use serde_json::json;

use super::Outcome;
use super::draft::Draft;
use crate::ledger::{Actor, Cause};
use crate::policy::Policy;
use crate::task::{DoneBasis, RetryReason, State, Task};
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
    if let Some(halt) = &task.halt {
        return draft.obey_halt(halt, policy);
    }
    let checks = task.terms.flaky_reruns.len();
    if passed && usize::from(check) + 1 < checks {
        draft.task.state = State::Verifying {
            check: check + 1,
            run: 0,
            flaky: 0,
        };
        return draft.change(Cause::CheckPassed, Actor::Check, data);
    }
    if passed {
        draft.task.state = State::Done {
            basis: DoneBasis::Verified,
        };
        return draft.change(Cause::Finished, Actor::Check, data);
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
        return draft.obey_halt(halt, policy);
    }
    draft.task.tally.restarts += 1;
    if draft.task.tally.restarts > task.terms.max_restarts {
        draft.task.tally.restarts -= 1;
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
