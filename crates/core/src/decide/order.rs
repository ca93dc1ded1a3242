//! A person's orders.

use serde_json::json;

use super::Outcome;
use super::draft::Draft;
use crate::attempt::Halt;
use crate::fact::Order;
use crate::ledger::{Actor, Cause};
use crate::task::{DoneBasis, NeedKind, ParkCause, RetryReason, RunStep, State, StateWord, Task};
use crate::time::Now;
use crate::usage::{MicroUsd, Usage};

/// Most bytes of what an agent has not read yet.
const MESSAGES_MAX: usize = 64 * 1024;

pub(super) fn decide(task: &Task, order: &Order, now: Now) -> Outcome {
    let word = task.state.word();
    if word.is_final() {
        return match order {
            Order::Drain | Order::Estop => Outcome::Ignore("finished"),
            Order::Cancel if word == StateWord::Cancelled => Outcome::Ignore("cancelled already"),
            Order::Cancel
            | Order::Stop
            | Order::Retry { .. }
            | Order::Approve
            | Order::Send { .. }
            | Order::Land
            | Order::Pause
            | Order::Resume => Outcome::Refuse(format!(
                "the task is {word}, which is final; add it again if more is wanted"
            )),
        };
    }
    match order {
        Order::Cancel => cancel(task, now),
        Order::Stop => stop(task, now),
        Order::Retry {
            note,
            add_budget,
            add_tokens,
        } => retry(task, note.as_deref(), *add_budget, *add_tokens, now),
        Order::Approve => approve(task, now),
        Order::Send { text } => send(task, text, now),
        Order::Land => land(task, now),
        Order::Pause if task.hold => Outcome::Ignore("paused already"),
        Order::Pause => {
            let mut draft = Draft::new(task, now);
            draft.task.hold = true;
            draft.change(Cause::OperatorPause, Actor::Operator, json!({}))
        }
        Order::Resume if task.hold => {
            let mut draft = Draft::new(task, now);
            draft.task.hold = false;
            draft.change(Cause::OperatorResume, Actor::Operator, json!({}))
        }
        Order::Resume => match &task.state {
            State::Parked {
                cause: ParkCause::Stopped,
                ..
            } => Draft::new(task, now).queue().change(
                Cause::OperatorResume,
                Actor::Operator,
                json!({}),
            ),
            _ => Outcome::Refuse("the task is not paused".to_owned()),
        },
        Order::Drain => match &task.halt {
            _ if !word.is_active() => Outcome::Ignore("nothing of it runs"),
            Some(halt) if halt.is_operator() => Outcome::Ignore("is being stopped already"),
            _ => halt(task, Halt::Drain, Cause::Drained, now),
        },
        Order::Estop => match &task.halt {
            _ if !word.is_active() => Outcome::Ignore("nothing of it runs"),
            // What a person stopped stays stopped: `thaw` must not let it go.
            Some(Halt::Cancel | Halt::Stop | Halt::Estop) => {
                Outcome::Ignore("is being stopped already")
            }
            _ => halt(task, Halt::Estop, Cause::Estopped, now),
        },
    }
}

/// For the agent: told at the end of its turn, or in the prompt that comes next.
fn send(task: &Task, text: &str, now: Now) -> Outcome {
    let refuse = |why: &str| Outcome::Refuse(why.to_owned());
    match &task.state {
        State::NeedsHuman { .. } => {
            return refuse("the task waits for you; `longhaul retry --note TEXT` answers it");
        }
        State::Verifying { .. } => {
            return refuse(
                "the agent has finished and its checks run; `longhaul retry --note TEXT` makes another attempt",
            );
        }
        _ if task.carry.resume_checks.is_some() => {
            return refuse(
                "the agent has finished and its checks go on next; `longhaul retry --note TEXT` makes another attempt",
            );
        }
        _ if task.carry.approving.is_some() => {
            return refuse("the task's work was approved, and is committed now");
        }
        _ if matches!(task.halt, Some(Halt::Cancel)) => {
            return refuse("the task is being cancelled");
        }
        _ => {}
    }
    let said: usize = task.carry.messages.iter().map(String::len).sum();
    if said + text.len() > MESSAGES_MAX {
        return refuse(
            "the agent has not read what was said before, and there is no room for more",
        );
    }
    let mut draft = Draft::new(task, now);
    draft.task.carry.messages.push(text.to_owned());
    draft.change(
        Cause::OperatorSend,
        Actor::Operator,
        json!({ "text": text }),
    )
}

/// Stops what lives first; the move follows when it is seen to be over (T17).
fn halt(task: &Task, why: Halt, cause: Cause, now: Now) -> Outcome {
    let mut draft = Draft::new(task, now);
    draft.task.halt = Some(why);
    draft.change(cause, Actor::Operator, json!({ "stopping": true }))
}

fn cancel(task: &Task, now: Now) -> Outcome {
    if task.state.word().is_active() {
        return match task.halt {
            Some(Halt::Cancel) => Outcome::Ignore("is being cancelled already"),
            _ => halt(task, Halt::Cancel, Cause::OperatorCancel, now),
        };
    }
    let mut draft = Draft::new(task, now);
    draft.task.state = State::Cancelled;
    draft.change(Cause::OperatorCancel, Actor::Operator, json!({}))
}

fn stop(task: &Task, now: Now) -> Outcome {
    match &task.state {
        State::Assigned { .. } | State::Running { .. } | State::Verifying { .. } => {
            match &task.halt {
                Some(Halt::Cancel | Halt::Stop) => Outcome::Ignore("is being stopped already"),
                _ => halt(task, Halt::Stop, Cause::OperatorStop, now),
            }
        }
        State::Parked {
            cause: ParkCause::Stopped,
            ..
        } => Outcome::Ignore("stopped already"),
        State::Pending | State::Ready { .. } | State::Landing { .. } | State::Parked { .. } => {
            Draft::new(task, now).park(ParkCause::Stopped, None).change(
                Cause::OperatorStop,
                Actor::Operator,
                json!({}),
            )
        }
        State::NeedsHuman { .. } | State::Done { .. } | State::Cancelled => Outcome::Refuse(
            "nothing of the task runs; it waits for you (`retry`, `approve` or `cancel`)"
                .to_owned(),
        ),
    }
}

fn retry(
    task: &Task,
    note: Option<&str>,
    add_budget: Option<MicroUsd>,
    add_tokens: Option<u64>,
    now: Now,
) -> Outcome {
    let mut draft = Draft::new(task, now);
    let terms = &mut draft.task.terms;
    if let (Some(budget), Some(more)) = (&mut terms.budget, add_budget) {
        budget.0 = budget.0.saturating_add(more.0);
    }
    if let (Some(tokens), Some(more)) = (&mut terms.budget_tokens, add_tokens) {
        *tokens = tokens.saturating_add(more);
    }
    if let Some(note) = note {
        draft.task.carry.note = Some(note.to_owned());
    }
    let data = json!({ "note": note, "add_budget": add_budget, "add_tokens": add_tokens });
    match &task.state {
        State::NeedsHuman { need } => {
            let used = draft.task.budget_percent(Usage::default());
            if used.is_some_and(|p| p >= 100) {
                return Outcome::Refuse(
                    "the task's budget is used up; add to it with `--add-budget USD` or `--add-tokens N`"
                        .to_owned(),
                );
            }
            let drift = need.kind == NeedKind::Drift;
            let tally = &mut draft.task.tally;
            (tally.retries, tally.restarts, tally.setup_failures) = (0, 0, 0);
            tally.returns = 0;
            (tally.unanswered, tally.refusals_in_row, tally.budget_warned) = (0, 0, false);
            draft.task.carry.drift_accepted |= drift;
            if note.is_some() {
                draft.task.carry.resume_checks = None;
            }
            draft.task.carry.reason.get_or_insert(RetryReason::Operator);
            draft
                .queue()
                .change(Cause::OperatorRetry, Actor::Operator, data)
        }
        State::Parked { .. } => {
            another_attempt(draft)
                .queue()
                .change(Cause::OperatorRetry, Actor::Operator, data)
        }
        State::Ready { not_before, .. }
            if not_before.is_some() || task.carry.resume_checks.is_some() =>
        {
            another_attempt(draft)
                .ready(None)
                .change(Cause::OperatorRetry, Actor::Operator, data)
        }
        State::Assigned { .. } | State::Running { .. } | State::Verifying { .. } => {
            match &task.halt {
                // The other way round is no different: it stops, then goes on.
                Some(Halt::Stop) => {
                    draft.task.halt = Some(Halt::Retry);
                    draft.change(Cause::OperatorRetry, Actor::Operator, data)
                }
                Some(h) if h.is_operator() => Outcome::Refuse(
                    "the task is being stopped already; wait until it has stopped".to_owned(),
                ),
                _ => {
                    draft.task.halt = Some(Halt::Retry);
                    draft.change(Cause::OperatorRetry, Actor::Operator, data)
                }
            }
        }
        State::Landing { .. } => {
            draft.task.carry.reason = Some(RetryReason::Operator);
            draft
                .ready(None)
                .change(Cause::OperatorRetry, Actor::Operator, data)
        }
        State::Pending => Outcome::Refuse("the task waits for its dependencies".to_owned()),
        State::Ready { .. } => Outcome::Refuse("the task waits for a slot already".to_owned()),
        State::Done { .. } | State::Cancelled => Outcome::Ignore("final"),
    }
}

/// Not the checks of the last attempt, but a new one.
fn another_attempt(mut draft: Draft) -> Draft {
    let carry = &mut draft.task.carry;
    if carry.resume_checks.take().is_some() {
        carry.reason.get_or_insert(RetryReason::Operator);
    }
    draft
}

fn approve(task: &Task, now: Now) -> Outcome {
    let State::NeedsHuman { need } = &task.state else {
        return Outcome::Refuse(format!(
            "only a task that needs a person can be approved; this one is {}",
            task.state.word()
        ));
    };
    let mut draft = Draft::new(task, now);
    if need.kind == NeedKind::Drift {
        draft.task.carry.drift_accepted = true;
        return draft
            .queue()
            .change(Cause::OperatorApprove, Actor::Operator, json!({}));
    }
    let attempt = task.attempt.as_ref();
    let sealed = attempt.and_then(|a| a.sealed.as_ref());
    let Some(sealed) = sealed.filter(|s| !s.commit.is_empty()) else {
        return Outcome::Refuse(
            "there is no finished work to approve; use `retry` or `cancel`".to_owned(),
        );
    };
    let data = json!({ "commit": sealed.commit, "tree": sealed.tree, "loose": sealed.loose });
    draft.task.carry.resume_checks = None;
    if let (true, Some(end)) = (sealed.loose, attempt.and_then(|a| a.end.clone())) {
        // The commit lacks what was left uncommitted: that is committed first (T8).
        draft.task.carry.approving = Some(sealed.tree.clone());
        draft.task.state = State::Running {
            step: RunStep::Sealing { end },
        };
        return draft.change(Cause::OperatorApprove, Actor::Operator, data);
    }
    if need.kind == NeedKind::Landing {
        // The person's word takes the place of the landing; the branch stays where it is.
        draft.task.state = State::Done {
            basis: DoneBasis::Approved,
        };
        return draft.change(Cause::OperatorApprove, Actor::Operator, data);
    }
    draft.finish(Cause::OperatorApprove, Actor::Operator, data)
}

/// Into the merge queue again, after it could not land.
fn land(task: &Task, now: Now) -> Outcome {
    match &task.state {
        State::Landing { .. } => Outcome::Ignore("it is in the merge queue"),
        State::NeedsHuman { need } if need.kind == NeedKind::Landing => {
            let mut draft = Draft::new(task, now);
            draft.task.state = State::Landing { since: now.wall };
            draft.change(Cause::OperatorLand, Actor::Operator, json!({}))
        }
        other => Outcome::Refuse(format!(
            "only finished work can land; this task is {}",
            other.word()
        )),
    }
}
