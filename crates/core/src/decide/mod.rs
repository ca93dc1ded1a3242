//! `decide`: (task, fact, now) → what becomes of the task. Total, pure, and the only author of moves.

mod attempt;
mod draft;
mod ending;
mod landing;
mod order;
mod verify;

use std::collections::BTreeSet;

use serde_json::json;

use crate::attempt::AttemptEnd;
use crate::fact::{Fact, News, Release};
use crate::home::MoveReason;
use crate::ledger::{Actor, Cause, LedgerEntry};
use crate::overlap::{self, Overlap, OverlapStrategy};
use crate::policy::Policy;
use crate::task::{AssignStep, NeedKind, ParkCause, State, Task};
use crate::time::Now;
use crate::usage::Usage;
use crate::verdict::Verdict;
use crate::window::Window;

use draft::Draft;

/// What a fact means for a task.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a decided change must be committed before anything acts on it"]
pub enum Outcome {
    /// A new value of the task with its ledger row.
    Change(Box<Change>),
    /// Nothing to do: stale, repeated, or of no consequence here.
    Ignore(&'static str),
    /// A person's order that cannot be followed; the text says why and what to do instead.
    Refuse(String),
}

/// A decided change; all of it is committed in one transaction (I1).
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The task after it.
    pub task: Task,
    /// Its ledger row.
    pub entry: LedgerEntry,
    /// A verdict to keep.
    pub verdict: Option<Verdict>,
    /// A limit window that was learned.
    pub window: Option<Window>,
}

/// Decides what a fact means for a task. Every state × every fact has an outcome (T2).
pub fn decide(task: &Task, fact: &Fact, now: Now, policy: &Policy) -> Outcome {
    match fact {
        Fact::Operator { order } => order::decide(task, order, now),
        Fact::DependenciesMet => match task.state {
            State::Pending => Draft::new(task, now).ready(None).change(
                Cause::DependenciesMet,
                Actor::Daemon,
                json!({}),
            ),
            _ => Outcome::Ignore("does not wait for dependencies"),
        },
        Fact::Account { account, why } => home(task, account.as_deref(), why, now),
        Fact::SlotGranted => slot(task, now),
        Fact::Due => match &task.state {
            State::Parked {
                until: Some(until), ..
            } if *until <= now.wall => {
                Draft::new(task, now)
                    .queue()
                    .change(Cause::Woke, Actor::Daemon, json!({}))
            }
            State::Parked { .. } => Outcome::Ignore("its time has not come"),
            _ => Outcome::Ignore("not parked"),
        },
        Fact::ScopeRests { window } => rests(task, window, now, policy),
        Fact::Released { by } => match (&task.state, by) {
            (
                State::Parked {
                    cause: ParkCause::Drained,
                    ..
                },
                Release::Undrain,
            )
            | (
                State::Parked {
                    cause: ParkCause::Estopped,
                    ..
                },
                Release::Thaw,
            )
            | (
                State::Parked {
                    cause: ParkCause::Limit { .. },
                    ..
                },
                Release::Limit,
            ) => Draft::new(task, now)
                .queue()
                .change(Cause::Woke, Actor::Operator, json!({})),
            (
                State::Parked {
                    cause: ParkCause::Limit { .. },
                    ..
                },
                Release::Account,
            ) => by_account(task, now),
            (State::NeedsHuman { need }, Release::Account)
                if matches!(need.kind, NeedKind::LoggedOut | NeedKind::Billing) =>
            {
                by_account(task, now)
            }
            _ => Outcome::Ignore("does not wait for this"),
        },
        Fact::Overlap {
            with,
            name,
            now: paths,
            strategy,
            pause,
        } => {
            let seen = Overlap {
                with: *with,
                name: name.clone(),
                paths: paths.clone(),
                told: *strategy != OverlapStrategy::Merge,
            };
            overlap(task, seen, *pause, now)
        }
        Fact::Landing { fence, news } => landing::decide(task, *fence, news, now, policy),
        Fact::Attempt { fence, news } => {
            if *fence < task.fence {
                late(task, news, fence.0, now)
            } else if *fence > task.fence {
                Outcome::Ignore("carries a fence that was never given")
            } else {
                attempt::decide(task, news, now, policy)
            }
        }
    }
}

/// It shares other files with another session than before (L19). What closes pauses nobody.
fn overlap(task: &Task, seen: Overlap, pause: bool, now: Now) -> Outcome {
    let before = overlap::of(task, seen.with);
    let none = BTreeSet::new();
    let was = before.map_or(&none, |o| &o.paths);
    let opened: Vec<&String> = seen.paths.difference(was).collect();
    let closed: Vec<&String> = was.difference(&seen.paths).collect();
    if opened.is_empty() && closed.is_empty() {
        return Outcome::Ignore("nothing changed");
    }
    if !opened.is_empty() && task.state.word().is_final() {
        return Outcome::Ignore("it is over");
    }
    let mut draft = Draft::new(task, now);
    let pauses = pause && !opened.is_empty() && overlap::is_live(task) && !task.hold;
    draft.task.hold |= pauses;
    let (cause, paths) = match opened.is_empty() {
        true => (Cause::OverlapClosed, &closed),
        false => (Cause::OverlapOpened, &opened),
    };
    let data = json!({
        "with": seen.with, "name": seen.name, "paths": paths, "closed": closed, "pauses": pauses,
    });
    let all = &mut draft.task.carry.overlaps;
    all.retain(|o| o.with != seen.with);
    if !seen.paths.is_empty() {
        all.push(seen);
    }
    draft.change(cause, Actor::Daemon, data)
}

/// A home can serve what waits for the limit or the login of one.
fn by_account(task: &Task, now: Now) -> Outcome {
    if task.carry.account.is_none() {
        return Outcome::Ignore("uses no account home");
    }
    let data = json!({ "account": true });
    Draft::new(task, now)
        .queue()
        .change(Cause::Woke, Actor::Daemon, data)
}

/// Its next session uses another account home: recorded before anything starts there (A23).
fn home(task: &Task, account: Option<&str>, why: &MoveReason, now: Now) -> Outcome {
    if !matches!(task.state, State::Ready { .. }) {
        return Outcome::Ignore("not ready");
    }
    if task.carry.account.as_deref() == account {
        return Outcome::Ignore("it uses that one already");
    }
    let mut draft = Draft::new(task, now);
    draft.task.carry.account = account.map(str::to_owned);
    let data = json!({
        "from": task.carry.account, "to": account, "reason": why, "conversation": task.carry.conversation,
    });
    draft.change(Cause::AccountChosen, Actor::Daemon, data)
}

/// The scope's limit became known while the workspace was made: no session starts inside it (I15). What is parked
/// for a later one wakes with the soonest of its homes (A4).
fn rests(task: &Task, window: &Window, now: Now, policy: &Policy) -> Outcome {
    if let State::Parked {
        cause: ParkCause::Limit { .. },
        until: Some(until),
    } = &task.state
        && window.until < *until
    {
        return park_until(Draft::new(task, now), window, policy);
    }
    let launches = task.state
        == State::Assigned {
            step: AssignStep::Launch,
        };
    if !launches || task.halt.is_some() || window.until <= now.wall {
        return Outcome::Ignore("no session of it is about to start");
    }
    let mut draft = Draft::new(task, now);
    draft.end_attempt(AttemptEnd::LaunchFailed {
        detail: "its harness or account rests until a limit is over".to_owned(),
        permanent: false,
    });
    park_until(draft, window, policy)
}

fn park_until(draft: Draft, window: &Window, policy: &Policy) -> Outcome {
    let wake = window.until.plus(draft.jitter(policy.reset_jitter));
    let cause = ParkCause::Limit {
        class: window.class,
        scope: window.scope.clone(),
        window: window.name.clone(),
    };
    let data = json!({ "class": window.class, "until": wake, "window": window.name, "scope": window.scope, "rests": true });
    draft
        .park(cause, Some(wake))
        .change(Cause::Limit, Actor::Daemon, data)
}

/// A slot: the attempt begins (T4). Work never starts over budget (I10).
fn slot(task: &Task, now: Now) -> Outcome {
    let State::Ready { not_before, .. } = &task.state else {
        return Outcome::Ignore("not ready");
    };
    if task.hold {
        return Outcome::Ignore("paused");
    }
    if not_before.is_some_and(|t| t > now.wall) {
        return Outcome::Ignore("its time has not come");
    }
    if let Some(mut resume) = task.carry.resume_checks {
        // No session starts, so neither a budget nor a limit speaks against it.
        resume.round = resume.round.saturating_add(1);
        let mut draft = Draft::new(task, now);
        draft.task.carry.resume_checks = Some(resume);
        draft.task.state = State::Assigned {
            step: AssignStep::Workspace,
        };
        let data = json!({ "check": resume.check, "run": resume.run });
        return draft.change(Cause::ChecksResumed, Actor::Daemon, data);
    }
    if let Some(percent) = task.budget_percent(Usage::default()).filter(|p| *p >= 100) {
        return Draft::new(task, now).need(
            NeedKind::Budget,
            format!("the task's budget is used up ({percent} %)"),
            "raise it with `longhaul retry --add-budget USD` or `--add-tokens N`, or cancel the task",
        );
    }
    let mut draft = Draft::new(task, now);
    draft.begin_attempt();
    draft.task.state = State::Assigned {
        step: AssignStep::Workspace,
    };
    let number = draft.task.tally.attempts;
    draft.change(Cause::Assigned, Actor::Daemon, json!({ "attempt": number }))
}

/// News of an attempt that is over: never obeyed, kept where it tells of work or a verdict (I2).
fn late(task: &Task, news: &News, fence: u64, now: Now) -> Outcome {
    let what = match news {
        News::SessionEnded { end, .. } => json!({ "fence": fence, "ended": end.word() }),
        News::Sealed { sealed } => json!({ "fence": fence, "sealed": sealed.commit }),
        News::Judged { verdict, .. } | News::CheckUnanswered { verdict, .. } => {
            json!({ "fence": fence, "check": verdict.name, "grade": verdict.grade })
        }
        News::WorkspaceReady { .. }
        | News::WorkspaceFailed { .. }
        | News::SessionStarted { .. }
        | News::LaunchFailed { .. }
        | News::Conversation { .. }
        | News::Spent { .. }
        | News::TimeoutReached
        | News::IdleReached
        | News::Unanswered { .. }
        | News::ModeMismatch { .. }
        | News::SealFailed { .. }
        | News::CheckLost { .. }
        | News::Broke { .. } => return Outcome::Ignore("of an attempt that is over"),
    };
    Draft::new(task, now).change(Cause::LateReport, Actor::Session, what)
}
