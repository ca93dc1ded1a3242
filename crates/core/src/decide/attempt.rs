//! News of the current attempt, up to the end of its session.

use serde_json::json;

use super::draft::Draft;
use super::{Outcome, ending, verify};
use crate::attempt::{AttemptEnd, Halt};
use crate::fact::{News, WorkspaceFault};
use crate::ledger::{Actor, Cause};
use crate::policy::{Policy, backoff};
use crate::spec::OnDrift;
use crate::task::{AssignStep, NeedKind, ResumeChecks, RetryReason, RunStep, State, Task};
use crate::time::Now;

pub(super) fn decide(task: &Task, news: &News, now: Now, policy: &Policy) -> Outcome {
    match news {
        News::WorkspaceReady {
            workspace,
            drift,
            conflict,
            tree,
            resumes,
        } => {
            let State::Assigned {
                step: AssignStep::Workspace,
            } = task.state
            else {
                return Outcome::Ignore("its workspace was ready already");
            };
            if *resumes != task.carry.resume_checks {
                return Outcome::Ignore("of an earlier preparation");
            }
            let mut draft = Draft::new(task, now);
            if tree.is_some() {
                draft.task.carry.end_tree.clone_from(tree);
            }
            draft.task.carry.workspace = Some(workspace.clone());
            draft.task.tally.setup_failures = 0;
            draft.dependencies_conflict(conflict.as_deref());
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
                // What is there is no longer what was to be checked.
                draft.task.carry.resume_checks = None;
                return draft.need(
                        NeedKind::Drift,
                        format!("the workspace changed since the last attempt ended: {drift}"),
                        "`longhaul approve` goes on from what is there; `longhaul undo` puts the last snapshot back; `cancel` gives up",
                    );
            }
            if let Some(resume) = draft.task.carry.resume_checks.take() {
                return checks_go_on(draft, resume, drift.as_deref());
            }
            draft.task.carry.drift.clone_from(drift);
            draft.task.carry.drift_accepted = false;
            draft.hear();
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
            workspace,
            conflict,
            resumes,
        } => {
            if *resumes != task.carry.resume_checks {
                return Outcome::Ignore("of an earlier preparation");
            }
            let State::Assigned {
                step: AssignStep::Workspace,
            } = task.state
            else {
                return Outcome::Ignore("its workspace was ready already");
            };
            let mut draft = Draft::new(task, now);
            if workspace.is_some() {
                draft.task.carry.workspace.clone_from(workspace);
            }
            draft.dependencies_conflict(conflict.as_deref());
            workspace_failed(draft, *fault, detail, remedy, policy)
        }
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
            refused_writes,
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
                attempt.refused_writes.clone_from(refused_writes);
            }
            // A person's word stands until it is followed: `estop` must not take a `cancel` back.
            draft.task.halt = task.halt.clone().filter(Halt::is_operator);
            draft.task.state = State::Running {
                step: RunStep::Sealing { end: end.clone() },
            };
            let mut data =
                json!({ "end": end.word(), "tokens": usage.tokens(), "cost": usage.cost });
            if !refused_writes.is_empty() {
                data["refused_writes"] = json!(refused_writes.len());
            }
            draft.change(Cause::SessionEnded, Actor::Session, data)
        }
        News::Sealed { sealed } => match &task.state {
            State::Running {
                step: RunStep::Sealing { end },
            } => ending::sealed(task, end, sealed, now, policy),
            _ => Outcome::Ignore("its work is secured already"),
        },
        News::Broke { detail } => broke(task, detail, now, policy),
        News::SealFailed { detail, transient } => match &task.state {
            State::Running {
                step: RunStep::Sealing { .. },
            } if *transient => Outcome::Ignore("will be tried again"),
            State::Running {
                step: RunStep::Sealing { .. },
            } => {
                let data = json!({ "detail": detail });
                let mut draft = Draft::new(task, now);
                draft.task.carry.approving = None;
                draft.need_because(
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
        News::CheckUnanswered {
            verdict,
            refusal,
            tree,
        } => verify::unanswered(task, verdict, refusal, tree.as_deref(), now, policy),
    }
}

/// The workspace stands for checks that were cut short: they go on, unless other hands changed what
/// they were to judge (and that was not to be asked about); then another attempt has to look at it.
fn checks_go_on(mut draft: Draft, resume: ResumeChecks, drift: Option<&str>) -> Outcome {
    let data = json!({ "check": resume.check, "run": resume.run, "drift": drift });
    if drift.is_some() {
        let reason = &mut draft.task.carry.reason;
        reason.get_or_insert(RetryReason::Operator);
        return draft
            .ready(None)
            .change(Cause::WorkspaceReady, Actor::Daemon, data);
    }
    if usize::from(resume.check) >= draft.task.terms.flaky_reruns.len() {
        // All of them had passed when it was stopped.
        return draft.finish(Cause::WorkspaceReady, Actor::Daemon, data);
    }
    draft.task.state = State::Verifying {
        check: resume.check,
        run: resume.run,
        flaky: resume.flaky,
    };
    draft.change(Cause::WorkspaceReady, Actor::Daemon, data)
}

/// Longhaul's own code broke at an effect: never silently, never for ever (I16).
fn broke(task: &Task, detail: &str, now: Now, policy: &Policy) -> Outcome {
    let what = format!("Longhaul itself broke here: {detail}");
    let remedy = "this is a defect of Longhaul: please report it with the daemon's log; `longhaul retry` tries again";
    let data = json!({ "detail": detail });
    let mut draft = Draft::new(task, now);
    let operator = task.halt.as_ref().filter(|h| h.is_operator());
    match &task.state {
        State::Assigned {
            step: AssignStep::Workspace,
        } => {
            draft.end_attempt(AttemptEnd::LaunchFailed {
                detail: what.clone(),
                permanent: false,
            });
            if let Some(halt) = operator {
                return draft.obey_halt(halt, policy);
            }
        }
        State::Assigned {
            step: AssignStep::Launch,
        }
        | State::Running {
            step: RunStep::Live,
        } => {
            // What the session did is secured first; the restart is counted.
            let end = outranked(&AttemptEnd::Crashed { detail: what }, task.halt.as_ref());
            draft.end_attempt(end.clone());
            draft.task.halt = operator.cloned();
            draft.task.state = State::Running {
                step: RunStep::Sealing { end },
            };
            return draft.change(Cause::EffectBroke, Actor::Daemon, data);
        }
        State::Verifying { check, run, flaky } => {
            let resume = verify::again(*check, *run, *flaky);
            draft.task.carry.resume_checks = Some(resume);
            if let Some(halt) = operator {
                return draft.obey_halt(halt, policy);
            }
        }
        State::Running {
            step: RunStep::Sealing { .. },
        } => draft.task.carry.approving = None,
        State::Pending
        | State::Ready { .. }
        | State::Landing { .. }
        | State::Parked { .. }
        | State::NeedsHuman { .. }
        | State::Done { .. }
        | State::Cancelled => return Outcome::Ignore("nothing of it runs"),
    }
    draft.need_because(NeedKind::Broken, what, remedy, Cause::EffectBroke, data)
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
    // What a session said before its start was recorded counts: it may be over before that ever is, and a wrong mode
    // must not pass for it (T23).
    let launching = matches!(
        task.state,
        State::Assigned {
            step: AssignStep::Launch
        }
    ) && matches!(why, Halt::ModeMismatch { .. });
    if !is_live(task) && !launching {
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
    mut draft: Draft,
    fault: WorkspaceFault,
    detail: &str,
    remedy: &str,
    policy: &Policy,
) -> Outcome {
    if let Some(halt) = draft.task.halt.clone() {
        return draft.obey_halt(&halt, policy);
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
    let failures = draft.task.tally.setup_failures + 1;
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
