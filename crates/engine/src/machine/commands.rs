//! A person's commands, and the scheduling that follows every step.

use longhaul_core::decide::Outcome;
use longhaul_core::fact::{Fact, Order, Release};
use longhaul_core::ids::TaskId;
use longhaul_core::task::{ParkCause, State};
use longhaul_core::time::Now;
use longhaul_store::{Store, Write};

use super::{Machine, Step};
use crate::handle::{Command, OrderResult, RefusalClass, Reply};

/// What holds everything back until a person says otherwise.
#[derive(Clone, Copy)]
enum Switch {
    Drain,
    Estop,
}

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
                self.switch(Switch::Drain, true);
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
                self.switch(Switch::Drain, false);
                self.release(Release::Undrain, now, |_| true);
                Reply::Ok("new work starts again".to_owned())
            }
            Command::Estop => {
                self.switch(Switch::Estop, true);
                let stopped = self.order_active(&Order::Estop, now);
                self.stop_lines(now);
                Reply::Ok(format!(
                    "stopped: {stopped} running, their work is kept; `longhaul thaw` goes on"
                ))
            }
            Command::Thaw => {
                self.switch(Switch::Estop, false);
                self.release(Release::Thaw, now, |_| true);
                Reply::Ok("work goes on".to_owned())
            }
            Command::ClearLimit { scope } => self.clear_limit(&scope, now),
            Command::Send { task, text } => self.send(task, text, now),
            Command::Queue { lines, order } => self.order_lines(&lines, &order, now),
            Command::Enqueue { line, entry } => self.enqueue(&line, *entry, now),
            Command::Land { task } => self.land_task(task, now),
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
        if matches!(order, Order::Approve) && self.folder_in_use(id) {
            return OrderResult::Refused(
                "what it left uncommitted would be committed now, and another task works in its folder; approve it when that one has ended".to_owned(),
            );
        }
        let retry = matches!(order, Order::Retry { .. });
        match self.fact(id, &Fact::Operator { order }, now) {
            Outcome::Change(change) => {
                if retry {
                    self.mended_home(&change.task);
                }
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

    /// Whether the loose work of a task lies in a folder that another task uses now.
    fn folder_in_use(&self, id: TaskId) -> bool {
        self.index
            .get(id)
            .filter(|t| matches!(t.state, State::NeedsHuman { .. }))
            .filter(|t| {
                let sealed = t.attempt.as_ref().and_then(|a| a.sealed.as_ref());
                sealed.is_some_and(|s| s.loose)
            })
            .and_then(|t| t.terms.exclusive_folder.as_deref())
            .is_some_and(|folder| self.index.load().works_in(folder))
    }

    fn send(&mut self, id: TaskId, text: String, now: Now) -> Reply {
        match self.fact(
            id,
            &Fact::Operator {
                order: Order::Send { text },
            },
            now,
        ) {
            Outcome::Change(change) if change.task.state.word().is_active() => Reply::Ok(
                "the agent reads it when its turn ends, and goes on in the same conversation"
                    .to_owned(),
            ),
            Outcome::Change(_) => Reply::Ok("the agent reads it with its next prompt".to_owned()),
            Outcome::Ignore("no such task") => {
                refused(RefusalClass::NotFound, "there is no such task")
            }
            Outcome::Ignore(why) => refused(RefusalClass::Conflict, why),
            Outcome::Refuse(why) => refused(RefusalClass::Conflict, &why),
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

    /// Releases the parked tasks whose cause fits, and says how many went.
    fn release(&mut self, by: Release, now: Now, fits: impl Fn(&ParkCause) -> bool) -> usize {
        let mut parked: Vec<TaskId> = self
            .index
            .tasks()
            .filter(|t| matches!(&t.state, State::Parked { cause, .. } if fits(cause)))
            .map(|t| t.id)
            .collect();
        parked.sort_unstable();
        parked
            .into_iter()
            .filter(|id| {
                let outcome = self.fact(*id, &Fact::Released { by }, now);
                matches!(outcome, Outcome::Change(_))
            })
            .count()
    }

    fn clear_limit(&mut self, scope: &str, now: Now) -> Reply {
        let known = self.forget_window(scope);
        let waits =
            |cause: &ParkCause| matches!(cause, ParkCause::Limit { scope: of, .. } if of == scope);
        let woken = self.release(Release::Limit, now, waits);
        if !known && woken == 0 {
            return refused(
                RefusalClass::NotFound,
                "no limit of that name is known; `longhaul status` lists what rests",
            );
        }
        Reply::Ok(format!(
            "{scope} is asked again; {woken} waiting task{} may start",
            if woken == 1 { "" } else { "s" }
        ))
    }

    /// Sets a switch. What a person asked for is written whether or not it seems to be so already: the
    /// answer says that it is stored (T16).
    fn switch(&mut self, switch: Switch, on: bool) {
        self.edit.switches_before.get_or_insert(self.switches);
        let (name, value) = match switch {
            Switch::Drain => ("drain", &mut self.switches.drain),
            Switch::Estop => ("estop", &mut self.switches.estop),
        };
        *value = on;
        self.edit.writes.push(Write::Flag {
            name: name.to_owned(),
            value: on.into(),
        });
    }
}

fn refused(class: RefusalClass, message: &str) -> Reply {
    Reply::Refused {
        class,
        message: message.to_owned(),
    }
}
