//! A person's commands, and the scheduling that follows every step.

use longhaul_core::decide::Outcome;
use longhaul_core::fact::{Fact, Order, Release};
use longhaul_core::ids::TaskId;
use longhaul_core::schedule::{Hindrance, hindrance};
use longhaul_core::task::{State, Task};
use longhaul_core::time::{Now, UnixMs};
use longhaul_core::window::{Gate, gate};
use longhaul_store::{Store, Write};

use super::{Machine, Step};
use crate::handle::{
    Command, DaemonStatus, LiveSession, OrderResult, RefusalClass, Reply, RestingScope,
};

pub(super) fn unavailable(why: &str) -> Reply {
    Reply::Refused {
        class: RefusalClass::Unavailable,
        message: format!("the daemon cannot write its database now: {why}; nothing was changed"),
    }
}

/// The commit's outcome is not known yet: nothing may be said of it.
pub(super) fn doubtful(why: &str) -> Reply {
    Reply::Refused {
        class: RefusalClass::Unavailable,
        message: format!(
            "the daemon cannot say yet whether its database took this: {why}; look, then ask again"
        ),
    }
}

impl<S: Store> Machine<S> {
    pub(super) fn command(&mut self, command: Command, now: Now, step: &mut Step) -> Reply {
        match command {
            Command::Submit(submit) => self.submit(submit, now),
            Command::Order { tasks, order } => Reply::Orders(
                tasks
                    .into_iter()
                    .map(|id| (id, self.order(id, order.clone(), now)))
                    .collect(),
            ),
            Command::Drain { stop } => {
                self.switch(|s| s.drain = true);
                let stopped = if stop {
                    self.order_active(&Order::Drain, now)
                } else {
                    0
                };
                Reply::Ok(if stop {
                    format!(
                        "draining: nothing new starts; {stopped} running stopped, their work is kept"
                    )
                } else {
                    "draining: running work goes on, nothing new starts".to_owned()
                })
            }
            Command::Undrain => {
                self.switch(|s| s.drain = false);
                self.release(Release::Undrain, now);
                Reply::Ok("new work starts again".to_owned())
            }
            Command::Estop => {
                self.switch(|s| s.estop = true);
                let stopped = self.order_active(&Order::Estop, now);
                Reply::Ok(format!(
                    "stopped: {stopped} running, their work is kept; `longhaul thaw` goes on"
                ))
            }
            Command::Thaw => {
                self.switch(|s| s.estop = false);
                self.release(Release::Thaw, now);
                Reply::Ok("work goes on".to_owned())
            }
            Command::Send { task, .. } => match self.index.get(task).map(|t| t.state.word()) {
                None => refused(
                    RefusalClass::Conflict,
                    "the task has ended, so no session is there to read it; `longhaul add` hands in what is still wanted",
                ),
                Some(_) => refused(
                    RefusalClass::Conflict,
                    "this session takes no text while it runs; `longhaul retry ID --note TEXT` gives it to the next attempt",
                ),
            },
            Command::Status => Reply::Status(Box::new(self.status(now))),
            Command::Live { tasks } => Reply::Live(self.live_sessions(tasks, now.wall)),
            Command::Shutdown => {
                step.shutdown = true;
                Reply::Ok(
                    "the daemon ends; sessions go on and are adopted by the next one".to_owned(),
                )
            }
        }
    }

    fn order(&mut self, id: TaskId, order: Order, now: Now) -> OrderResult {
        match self.fact(id, &Fact::Operator { order }, now) {
            Outcome::Change(change) => {
                let word = change.task.state.word();
                OrderResult::Done(match &change.task.halt {
                    Some(halt) => format!("{word}, stopping ({})", halt.word()),
                    None if change.task.hold => format!("{word}, paused"),
                    None => word.to_string(),
                })
            }
            Outcome::Ignore("no such task") => OrderResult::NotFound,
            Outcome::Ignore(why) => OrderResult::Already(why.to_owned()),
            Outcome::Refuse(why) => OrderResult::Refused(why),
        }
    }

    fn order_active(&mut self, order: &Order, now: Now) -> usize {
        let mut active: Vec<TaskId> = self
            .index
            .tasks()
            .filter(|t| t.state.word().is_active())
            .map(|t| t.id)
            .collect();
        // The same events give the same ledger.
        active.sort_unstable();
        active
            .into_iter()
            .filter(|id| {
                let fact = Fact::Operator {
                    order: order.clone(),
                };
                matches!(self.fact(*id, &fact, now), Outcome::Change(_))
            })
            .count()
    }

    fn release(&mut self, by: Release, now: Now) {
        let mut parked: Vec<TaskId> = self
            .index
            .tasks()
            .filter(|t| matches!(t.state, State::Parked { .. }))
            .map(|t| t.id)
            .collect();
        parked.sort_unstable();
        for id in parked {
            let _outcome = self.fact(id, &Fact::Released { by }, now);
        }
    }

    fn switch(&mut self, change: impl FnOnce(&mut super::Switches)) {
        let before = self.switches;
        change(&mut self.switches);
        if self.switches == before {
            return;
        }
        self.edit.switches_before.get_or_insert(before);
        for (name, old, new) in [
            ("drain", before.drain, self.switches.drain),
            ("estop", before.estop, self.switches.estop),
        ] {
            if old != new {
                self.edit.writes.push(Write::Flag {
                    name: name.to_owned(),
                    value: new.into(),
                });
            }
        }
    }

    /// Why nothing new starts at all, if so.
    fn holding(&self) -> Option<String> {
        if self.switches.estop {
            Some("estop; `longhaul thaw` goes on".to_owned())
        } else if self.switches.drain {
            Some("draining; `longhaul undrain` goes on".to_owned())
        } else {
            self.lacking.clone()
        }
    }

    fn gate_of(&self, scope: &str, now: UnixMs) -> (Gate, Option<UnixMs>) {
        let Some(window) = self.windows.get(scope) else {
            return (Gate::Open, None);
        };
        let gate = match gate(Some(window), now) {
            // A session from before the reset proves nothing, and must not stand in the probe's way.
            Gate::OneProbe if !self.probes(scope, window.until) => Gate::Open,
            gate => gate,
        };
        (gate, Some(window.until))
    }

    /// Whether a session of the scope was begun after its reset.
    fn probes(&self, scope: &str, reset: UnixMs) -> bool {
        self.index.tasks().any(|t| {
            t.state.word().is_active()
                && t.terms.harness == scope
                && t.attempt.as_ref().is_some_and(|a| a.assigned_at >= reset)
        })
    }

    fn hindrance(&self, task: &Task, now: UnixMs) -> Option<Hindrance> {
        if let Some(reason) = self.holding() {
            return Some(Hindrance::Held { reason });
        }
        let gate = |scope: &str| self.gate_of(scope, now);
        hindrance(task, self.index.load(), &self.limits.capacity, &gate, now)
    }

    /// Gives slots while there are any (T4).
    pub(super) fn schedule(&mut self, now: Now) {
        if self.holding().is_some() {
            return;
        }
        while self.index.load().total() < self.limits.capacity.total {
            let next = self.index.queue().next(|id| {
                self.index
                    .get(id)
                    .map_or(Some(Hindrance::Paused), |t| self.hindrance(t, now.wall))
            });
            let Some(id) = next else { return };
            if !matches!(self.fact(id, &Fact::SlotGranted, now), Outcome::Change(_)) {
                tracing::error!(task = %id, "a task that could start did not");
                return;
            }
        }
    }

    fn status(&self, now: Now) -> DaemonStatus {
        let mut resting: Vec<RestingScope> = self
            .windows
            .values()
            .map(|w| RestingScope {
                scope: w.scope.clone(),
                until: w.until,
                window: w.name.clone(),
                probing: w.until <= now.wall,
            })
            .collect();
        resting.sort_by(|a, b| a.scope.cmp(&b.scope));
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let sessions = self
            .index
            .tasks()
            .filter(|t| matches!(t.state, State::Running { .. }))
            .count();
        DaemonStatus {
            pid: self.about.pid,
            version: self.about.version.clone(),
            started_at: self.about.started_at,
            sessions: count(sessions),
            slots: self.limits.capacity.total,
            ready: count(self.index.queue().len()),
            draining: self.switches.drain,
            estopped: self.switches.estop,
            holding: self.holding(),
            resting,
        }
    }

    fn live_sessions(&self, tasks: Option<Vec<TaskId>>, now: UnixMs) -> Vec<LiveSession> {
        let one = |task: &Task| {
            let mut live = self
                .live
                .get(&task.id)
                .filter(|(fence, _)| *fence == task.fence)
                .map(|(_, l)| l.clone())
                .unwrap_or_default();
            live.task = Some(task.id);
            if matches!(task.state, State::Ready { .. }) {
                live.hindrance = self.hindrance(task, now).map(|h| explain(&h));
            }
            live
        };
        match tasks {
            Some(ids) => ids
                .iter()
                .filter_map(|id| self.index.get(*id))
                .map(one)
                .collect(),
            None => self
                .index
                .tasks()
                .filter(|t| t.state.word().is_active() || matches!(t.state, State::Ready { .. }))
                .take(1000)
                .map(one)
                .collect(),
        }
    }
}

fn refused(class: RefusalClass, message: &str) -> Reply {
    Reply::Refused {
        class,
        message: message.to_owned(),
    }
}

/// A hindrance in words.
fn explain(h: &Hindrance) -> String {
    match h {
        Hindrance::Slots { limit } => format!("all {limit} slots are in use"),
        Hindrance::RepoSlots { limit } => format!("all {limit} slots of its repository are in use"),
        Hindrance::HarnessSlots { limit } => format!("all {limit} slots of its harness are in use"),
        Hindrance::Folder => "another task works in the same folder".to_owned(),
        Hindrance::Workspaces { limit } => {
            format!("there are {limit} workspaces already; `longhaul workspace gc` frees some")
        }
        Hindrance::Resting { .. } => "its harness rests until a limit is over".to_owned(),
        Hindrance::Probe => "another session proves first that the limit is over".to_owned(),
        Hindrance::Paused => "paused; `longhaul resume` lets it go".to_owned(),
        Hindrance::NotBefore { .. } => "waits a moment before the next attempt".to_owned(),
        Hindrance::Held { reason } => format!("nothing new starts: {reason}"),
    }
}
