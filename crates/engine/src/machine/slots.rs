//! Who starts next, and why the others do not (T4).

use longhaul_core::decide::Outcome;
use longhaul_core::fact::Fact;
use longhaul_core::schedule::{Hindrance, hindrance};
use longhaul_core::task::Task;
use longhaul_core::time::{Now, UnixMs};
use longhaul_store::Store;

use super::Machine;

impl<S: Store> Machine<S> {
    /// Why nothing new starts at all, if so.
    pub(super) fn holding(&self) -> Option<String> {
        if self.switches.estop {
            Some("estop; `longhaul thaw` goes on".to_owned())
        } else if self.switches.drain {
            Some("draining; `longhaul undrain` goes on".to_owned())
        } else {
            self.lacking.clone()
        }
    }

    pub(super) fn hindrance(&self, task: &Task, now: UnixMs) -> Option<Hindrance> {
        if let Some(reason) = self.holding() {
            return Some(Hindrance::Held { reason });
        }
        let gate = |task: &Task| self.gate_of_task(task, now);
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
            self.take_seat(id, now);
            if !matches!(self.fact(id, &Fact::SlotGranted, now), Outcome::Change(_)) {
                tracing::error!(task = %id, "a task that could start did not");
                return;
            }
        }
    }
}
