//! A task being changed: the moves that several decisions share.

use serde_json::{Value, json};

use super::{Change, Outcome};
use crate::attempt::{Attempt, AttemptEnd, Halt};
use crate::home;
use crate::ledger::{Actor, Cause, LedgerEntry};
use crate::limit::LimitNotice;
use crate::policy::{Policy, backoff, spread};
use crate::spec::Land;
use crate::task::{DoneBasis, Need, NeedKind, ParkCause, RetryReason, State, StateWord, Task};
use crate::time::{Now, SpanMs, UnixMs};
use crate::usage::Usage;
use crate::verdict::Verdict;
use crate::window::Window;

pub(super) struct Draft {
    from: StateWord,
    pub(super) task: Task,
    pub(super) now: Now,
    pub(super) verdict: Option<Verdict>,
    pub(super) window: Option<Window>,
}

impl Draft {
    pub(super) fn new(task: &Task, now: Now) -> Self {
        let mut task = task.clone();
        let from = task.state.word();
        task.version += 1;
        task.changed_at = now.wall;
        Self {
            from,
            task,
            now,
            verdict: None,
            window: None,
        }
    }

    /// Finishes: the change with its ledger row.
    pub(super) fn change(self, cause: Cause, actor: Actor, data: Value) -> Outcome {
        let entry = LedgerEntry {
            task: self.task.id,
            version: self.task.version,
            fence: self.task.fence,
            from: self.from,
            to: self.task.state.word(),
            cause,
            actor,
            at: self.now.wall,
            data,
        };
        Outcome::Change(Box::new(Change {
            task: self.task,
            entry,
            verdict: self.verdict,
            window: self.window,
        }))
    }

    /// A new attempt under a new fence.
    pub(super) fn begin_attempt(&mut self) {
        self.task.fence = self.task.fence.next();
        self.task.tally.attempts += 1;
        self.task.halt = None;
        self.task.carry.resume_checks = None;
        self.task.carry.approving = None;
        self.task.attempt = Some(Attempt {
            number: self.task.tally.attempts,
            fence: self.task.fence,
            assigned_at: self.now.wall,
            started_at: None,
            started_mono: None,
            ended_at: None,
            pid: None,
            conversation: None,
            account: self.task.carry.account.clone(),
            resumed: false,
            usage: Usage::default(),
            refused_writes: Vec::new(),
            sealed: None,
            end: None,
        });
    }

    /// Notes how the attempt ended, unless that is known already.
    pub(super) fn end_attempt(&mut self, end: AttemptEnd) {
        let at = self.now.wall;
        if let Some(attempt) = &mut self.task.attempt {
            attempt.ended_at.get_or_insert(at);
            attempt.end.get_or_insert(end);
        }
    }

    /// Back into the queue, after `wait` if there is one.
    pub(super) fn ready(mut self, wait: Option<SpanMs>) -> Self {
        let since = self.now.wall;
        self.task.halt = None;
        self.task.state = State::Ready {
            not_before: wait.map(|w| since.plus(w)),
            since,
        };
        self
    }

    /// An account home that only a person can mend rests until that person did (A7). A harness does not: whether
    /// its own login is back shows when the task is tried again.
    pub(super) fn broken(&mut self, notice: &LimitNotice, scope: &str, what: &str) {
        if home::of_scope(scope).is_none() {
            return;
        }
        self.window = Some(Window {
            scope: scope.to_owned(),
            class: notice.class,
            name: Some(what.to_owned()),
            until: home::UNTIL_MENDED,
            seen_at: self.now.wall,
            seen_by: self.task.id,
        });
    }

    /// Into the queue, or to its dependencies if it never ran.
    pub(super) fn queue(mut self) -> Self {
        if self.task.tally.attempts == 0 && !self.task.terms.depends_on.is_empty() {
            self.task.halt = None;
            self.task.state = State::Pending;
            self
        } else {
            self.ready(None)
        }
    }

    pub(super) fn park(mut self, cause: ParkCause, until: Option<UnixMs>) -> Self {
        self.task.halt = None;
        self.task.state = State::Parked { cause, until };
        self
    }

    /// The work is good: done, or to the merge queue where the task wants to land.
    pub(super) fn finish(mut self, cause: Cause, actor: Actor, data: Value) -> Outcome {
        self.task.halt = None;
        if self.task.terms.land != Land::No {
            self.task.carry.queued.get_or_insert(self.now.wall);
            self.task.state = State::Landing {
                since: self.now.wall,
            };
            let cause = match cause {
                Cause::Finished if self.task.terms.land == Land::Pr => Cause::Proposing,
                Cause::Finished => Cause::Landing,
                other => other,
            };
            return self.change(cause, actor, data);
        }
        let basis = match (cause, self.task.terms.flaky_reruns.is_empty()) {
            (Cause::OperatorApprove, _) => DoneBasis::Approved,
            (_, true) => DoneBasis::Unverified,
            (_, false) => DoneBasis::Verified,
        };
        self.task.state = State::Done { basis };
        self.change(cause, actor, data)
    }

    /// Only a person can help.
    pub(super) fn need(self, kind: NeedKind, detail: String, remedy: &str) -> Outcome {
        let data = json!({ "need": kind.word() });
        self.need_because(kind, detail, remedy, Cause::NeedsPerson, data)
    }

    pub(super) fn need_because(
        mut self,
        kind: NeedKind,
        detail: String,
        remedy: &str,
        cause: Cause,
        data: Value,
    ) -> Outcome {
        self.task.halt = None;
        self.task.state = State::NeedsHuman {
            need: Need {
                kind,
                detail,
                remedy: remedy.to_owned(),
            },
        };
        self.change(cause, Actor::Daemon, data)
    }

    /// Another attempt that counts against `max_retries`, or a person.
    pub(super) fn retry(mut self, reason: RetryReason, detail: String, policy: &Policy) -> Outcome {
        let tally = &mut self.task.tally;
        if tally.retries >= self.task.terms.max_retries {
            let tried = tally.attempts;
            let detail = format!("{detail} (after {tried} attempt{})", plural(tried));
            self.task.carry.reason = Some(reason);
            return self.need(
                NeedKind::RetriesExhausted,
                detail,
                "look at it with `longhaul show`, then `longhaul retry --note TEXT`, `approve` or `cancel`",
            );
        }
        let wait = backoff(policy.retry_min, policy.retry_max, tally.retries);
        tally.retries += 1;
        let data =
            json!({ "why": detail, "retry": tally.retries, "of": self.task.terms.max_retries });
        self.task.carry.reason = Some(reason);
        self.ready(Some(wait))
            .change(Cause::Retry, Actor::Daemon, data)
    }

    /// What a person said becomes part of the note of the prompt that is made now.
    pub(super) fn hear(&mut self) {
        let carry = &mut self.task.carry;
        let said = carry
            .note
            .take()
            .into_iter()
            .chain(carry.messages.drain(..));
        let said: Vec<String> = said.collect();
        carry.note = (!said.is_empty()).then(|| said.join("\n\n"));
    }

    /// Another attempt that counts against `max_restarts`, or a person.
    pub(super) fn restart(
        mut self,
        reason: RetryReason,
        detail: String,
        policy: &Policy,
    ) -> Outcome {
        let tally = &mut self.task.tally;
        if tally.restarts >= self.task.terms.max_restarts {
            let n = tally.restarts;
            self.task.carry.reason = Some(reason);
            return self.need(
                NeedKind::RestartsExhausted,
                format!("{detail} (restarted {n} time{} already)", plural(n)),
                "read `longhaul logs`, mend the cause, then `longhaul retry`",
            );
        }
        let wait = backoff(policy.restart_min, policy.retry_max, tally.restarts);
        tally.restarts += 1;
        let data =
            json!({ "why": detail, "restart": tally.restarts, "of": self.task.terms.max_restarts });
        self.task.carry.reason = Some(reason);
        self.ready(Some(wait))
            .change(Cause::Restart, Actor::Daemon, data)
    }

    /// The first attempt has to resolve a conflict between the dependencies' results, if there is one.
    pub(super) fn dependencies_conflict(&mut self, report: Option<&str>) {
        if let Some(report) = report {
            self.task.carry.reason = Some(RetryReason::DependencyConflict {
                report: report.to_owned(),
            });
        }
    }

    /// What a person's stop leads to, once nothing of the attempt lives any more.
    pub(super) fn obey_halt(mut self, why: &Halt, policy: &Policy) -> Outcome {
        self.end_attempt(AttemptEnd::Halted { why: why.clone() });
        match why {
            Halt::Cancel => {
                self.task.halt = None;
                self.task.carry.resume_checks = None;
                self.task.state = State::Cancelled;
                self.change(Cause::OperatorCancel, Actor::Operator, json!({}))
            }
            Halt::Retry => {
                let reason = &mut self.task.carry.reason;
                // No attempt has resolved that one yet: only the first one is told of it.
                if !matches!(reason, Some(RetryReason::DependencyConflict { .. })) {
                    *reason = Some(RetryReason::Operator);
                }
                self.task.carry.resume_checks = None;
                self.ready(None)
                    .change(Cause::OperatorRetry, Actor::Operator, json!({}))
            }
            Halt::Stop => self.park(ParkCause::Stopped, None).change(
                Cause::OperatorStop,
                Actor::Operator,
                json!({}),
            ),
            Halt::Drain => self.park(ParkCause::Drained, None).change(
                Cause::Drained,
                Actor::Operator,
                json!({}),
            ),
            Halt::Estop => self.park(ParkCause::Estopped, None).change(
                Cause::Estopped,
                Actor::Operator,
                json!({}),
            ),
            Halt::Timeout
            | Halt::Idle
            | Halt::Budget
            | Halt::Unanswered { .. }
            | Halt::ModeMismatch { .. } => {
                let end = AttemptEnd::Halted { why: why.clone() };
                let detail = format!("stopped: {}", why.word());
                self.restart(RetryReason::Ended { end }, detail, policy)
            }
        }
    }

    /// A deterministic jitter below `bound`.
    pub(super) fn jitter(&self, bound: SpanMs) -> SpanMs {
        SpanMs(spread(
            self.task.id.uuid().as_u128() ^ u128::from(self.task.version),
            bound.0,
        ))
    }
}

pub(super) const fn plural(n: u32) -> &'static str {
    if n == 1 { "" } else { "s" }
}
