//! A person's commands, and the scheduling that follows every step.

use longhaul_core::decide::Outcome;
use longhaul_core::fact::{Fact, Order, Release};
use longhaul_core::ids::TaskId;
use longhaul_core::task::State;
use longhaul_core::time::Now;
use longhaul_store::{Store, Write};

use super::{Machine, Step};
use crate::handle::{Command, OrderResult, RefusalClass, Reply};

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
}

fn refused(class: RefusalClass, message: &str) -> Reply {
    Reply::Refused {
        class,
        message: message.to_owned(),
    }
}
