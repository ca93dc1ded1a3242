//! News of the current attempt, up to the end of its session.

use serde_json::json;

use super::draft::Draft;
use super::{Outcome, ending, verify};
use crate::attempt::{AttemptEnd, Halt};
use crate::fact::{News, WorkspaceFault};
use crate::ledger::{Actor, Cause};
use crate::policy::{Policy, backoff};
use crate::spec::OnDrift;
use crate::task::{AssignStep, NeedKind, RetryReason, RunStep, State, Task};
use crate::time::Now;

pub(super) fn decide(task: &Task, news: &News, now: Now, policy: &Policy) -> Outcome {
    match news {
        News::WorkspaceReady {
            workspace,
            drift,
            conflict,
        } => {
            let State::Assigned {
                step: AssignStep::Workspace,
            } = task.state
            else {
                return Outcome::Ignore("its workspace was ready already");
            };
            let mut draft = Draft::new(task, now);
            draft.task.carry.workspace = Some(workspace.clone());
            draft.task.tally.setup_failures = 0;
            if let Some(report) = conflict {
                draft.task.carry.reason = Some(RetryReason::DependencyConflict {
                    report: report.clone(),
                });
            }
            if let Some(halt) = &task.halt {
                return draft.obey_halt(halt, policy);
            }
            if let Some(drift) = drift.as_ref().filter(|_| !task.carry.drift_accepted)
                && task.terms.on_drift == OnDrift::Ask
            {
                draft.end_attempt(AttemptEnd::LaunchFailed {
                    detail: "the workspace changed since the last attempt ended".to_owned(),
                    permanent: false,
                });
                return draft.need(
                        NeedKind::Drift,
                        format!("the workspace changed since the last attempt ended: {drift}"),
                        "`longhaul approve` goes on from what is there; `longhaul undo` puts the last snapshot back; `cancel` gives up",
                    );
            }
            draft.task.carry.drift.clone_from(drift);
            draft.task.carry.drift_accepted = false;
            draft.task.state = State::Assigned {
                step: AssignStep::Launch,
            };
            draft.change(
                Cause::WorkspaceReady,
                Actor::Daemon,
                json!({ "branch": workspace.branch, "start": workspace.start, "drift": drift }),
            )
        }
        News::WorkspaceFailed {
            fault,
            detail,
            remedy,
        } => workspace_failed(task, *fault, detail, remedy, now, policy),
        News::SessionStarted {
            pid,
            mono,
            resumed,
            conversation,
        } => {
            let State::Assigned {
                step: AssignStep::Launch,
            } = task.state
            else {
                return Outcome::Ignore("its session was started already");
            };
            let mut draft = Draft::new(task, now);
            draft.task.state = State::Running {
                step: RunStep::Live,
            };
            if let Some(attempt) = &mut draft.task.attempt {
                attempt.started_at = Some(now.wall);
                attempt.started_mono = Some(mono.clone());
                attempt.pid = Some(*pid);
                attempt.resumed = *resumed;
                attempt.conversation.clone_from(conversation);
            }
            draft.change(
                Cause::SessionStarted,
                Actor::Daemon,
                json!({ "pid": pid, "resumed": resumed }),
            )
        }
        News::LaunchFailed {
            detail,
            remedy,
            transient,
        } => {
            let State::Assigned {
                step: AssignStep::Launch,
            } = task.state
            else {
                return Outcome::Ignore("its session was started already");
            };
            let mut draft = Draft::new(task, now);
            if let Some(halt) = &task.halt {
                return draft.obey_halt(halt, policy);
            }
            let end = AttemptEnd::LaunchFailed {
                detail: detail.clone(),
                permanent: !*transient,
            };
            draft.end_attempt(end.clone());
            if *transient {
                draft.restart(RetryReason::Ended { end }, detail.clone(), policy)
            } else {
                let data = json!({ "detail": detail });
                draft.need_because(
                    NeedKind::CannotLaunch,
                    detail.clone(),
                    remedy,
                    Cause::LaunchFailed,
                    data,
                )
            }
        }
        News::Conversation { id } => match (&task.state, &task.attempt) {
            (State::Running { .. }, Some(a)) if a.conversation.as_ref() != Some(id) => {
                let mut draft = Draft::new(task, now);
                if let Some(attempt) = &mut draft.task.attempt {
                    attempt.conversation = Some(id.clone());
                }
                draft.change(
                    Cause::ConversationKnown,
                    Actor::Session,
                    json!({ "id": id }),
                )
            }
            _ => Outcome::Ignore("known already"),
        },
        News::Spent { usage } => {
            let percent = task.budget_percent(*usage).unwrap_or(0);
            if !is_live(task) {
                Outcome::Ignore("its session is over")
            } else if percent >= 100 && task.halt.is_none() {
                let mut draft = Draft::new(task, now);
                draft.task.halt = Some(Halt::Budget);
                draft.task.tally.budget_warned = true;
                draft.change(
                    Cause::BudgetReached,
                    Actor::Daemon,
                    json!({ "percent": percent }),
                )
            } else if percent >= 80 && !task.tally.budget_warned {
                let mut draft = Draft::new(task, now);
                draft.task.tally.budget_warned = true;
                draft.change(
                    Cause::BudgetWarning,
                    Actor::Daemon,
                    json!({ "percent": percent }),
                )
            } else {
                Outcome::Ignore("within budget")
            }
        }
        News::TimeoutReached => stop_live(task, Halt::Timeout, Cause::TimeoutReached, now),
        News::IdleReached => stop_live(task, Halt::Idle, Cause::IdleReached, now),
        News::Unanswered { question } => stop_live(
            task,
            Halt::Unanswered {
                question: question.clone(),
            },
            Cause::QuestionUnanswered,
            now,
        ),
        News::ModeMismatch { wanted, got } => stop_live(
            task,
            Halt::ModeMismatch {
                wanted: wanted.clone(),
                got: got.clone(),
            },
            Cause::ModeMismatch,
            now,
        ),
        News::SessionEnded {
            end,
            usage,
            conversation_usage,
        } => {
            // A session can be over before its start was recorded: the exit record counts.
            let started = matches!(
                task.state,
                State::Running {
                    step: RunStep::Live
                } | State::Assigned {
                    step: AssignStep::Launch
                }
            );
            if !started {
                return Outcome::Ignore("its end is known already");
            }
            let end = outranked(end, task.halt.as_ref());
            let mut draft = Draft::new(task, now);
            draft.end_attempt(end.clone());
            draft.task.carry.conversation_usage = *conversation_usage;
            if let Some(attempt) = &mut draft.task.attempt {
                attempt.usage = *usage;
            }
            // A person's word stands until it is followed: `estop` must not take a `cancel` back.
            draft.task.halt = task.halt.clone().filter(Halt::is_operator);
            draft.task.state = State::Running {
                step: RunStep::Sealing { end: end.clone() },
            };
            draft.change(
                Cause::SessionEnded,
                Actor::Session,
                json!({ "end": end.word(), "tokens": usage.tokens(), "cost": usage.cost }),
            )
        }
        News::Sealed { sealed } => match &task.state {
            State::Running {
                step: RunStep::Sealing { end },
            } => ending::sealed(task, end, sealed, now, policy),
            _ => Outcome::Ignore("its work is secured already"),
        },
        News::SealFailed { detail, transient } => match &task.state {
            State::Running {
                step: RunStep::Sealing { .. },
            } if *transient => Outcome::Ignore("will be tried again"),
            State::Running {
                step: RunStep::Sealing { .. },
            } => {
                let data = json!({ "detail": detail });
                Draft::new(task, now).need_because(
                    NeedKind::Workspace,
                    format!("the attempt's work could not be secured: {detail}"),
                    "nothing was removed; look at the workspace (`longhaul show`), then `longhaul retry`",
                    Cause::SealFailed,
                    data,
                )
            }
            _ => Outcome::Ignore("its work is secured already"),
        },
        News::Judged { verdict, tree } => {
            verify::judged(task, verdict, tree.as_deref(), now, policy)
        }
        News::CheckLost {
            check,
            run,
            detail,
            tree,
        } => verify::lost(task, (*check, *run), detail, tree.as_deref(), now, policy),
    }
}

const fn is_live(task: &Task) -> bool {
    matches!(
        task.state,
        State::Running {
            step: RunStep::Live
        }
    )
}

fn stop_live(task: &Task, why: Halt, cause: Cause, now: Now) -> Outcome {
    if !is_live(task) {
        return Outcome::Ignore("its session is over");
    }
    if task.halt.is_some() {
        return Outcome::Ignore("is being stopped already");
    }
    let data = json!({ "stopping": why.word() });
    let mut draft = Draft::new(task, now);
    draft.task.halt = Some(why);
    draft.change(cause, Actor::Daemon, data)
}

/// A person's stop outranks how the session says it ended; a finished turn outranks a timer.
fn outranked(end: &AttemptEnd, halt: Option<&Halt>) -> AttemptEnd {
    match halt {
        None => end.clone(),
        Some(why) if why.is_operator() => AttemptEnd::Halted { why: why.clone() },
        Some(Halt::Timeout | Halt::Idle | Halt::Budget)
            if matches!(end, AttemptEnd::Completed { .. }) =>
        {
            end.clone()
        }
        Some(Halt::Timeout) => AttemptEnd::TimedOut,
        Some(Halt::Idle) => AttemptEnd::Idle,
        Some(why) => AttemptEnd::Halted { why: why.clone() },
    }
}

fn workspace_failed(
    task: &Task,
    fault: WorkspaceFault,
    detail: &str,
    remedy: &str,
    now: Now,
    policy: &Policy,
) -> Outcome {
    let State::Assigned {
        step: AssignStep::Workspace,
    } = task.state
    else {
        return Outcome::Ignore("its workspace was ready already");
    };
    let mut draft = Draft::new(task, now);
    if let Some(halt) = &task.halt {
        return draft.obey_halt(halt, policy);
    }
    draft.end_attempt(AttemptEnd::LaunchFailed {
        detail: detail.to_owned(),
        permanent: false,
    });
    let kind = match fault {
        WorkspaceFault::Setup => NeedKind::SetupFailed,
        WorkspaceFault::Stopped | WorkspaceFault::Transient | WorkspaceFault::Permanent => {
            NeedKind::Workspace
        }
    };
    let failures = task.tally.setup_failures + 1;
    draft.task.tally.setup_failures = failures;
    let data = json!({ "detail": detail, "failures": failures });
    if fault == WorkspaceFault::Permanent || failures >= policy.max_setup_failures {
        return draft.need_because(
            kind,
            detail.to_owned(),
            remedy,
            Cause::WorkspaceFailed,
            data,
        );
    }
    let wait = backoff(policy.restart_min, policy.retry_max, failures * 2);
    draft
        .ready(Some(wait))
        .change(Cause::WorkspaceFailed, Actor::Daemon, data)
}
