//! Tasks that move because something else did: a time came, a drain was lifted, a limit became known,
//! a dependency ended.

use std::collections::BTreeSet;

use longhaul_core::fact::{Fact, Release};
use longhaul_core::ids::TaskId;
use longhaul_core::task::{AssignStep, ParkCause, State, Task};
use longhaul_core::time::Now;
use longhaul_store::Store;

use super::Machine;

impl<S: Store> Machine<S> {
    /// Parked tasks whose time has come.
    pub(super) fn wake_due(&mut self, now: Now) {
        for id in self.index.due(now.wall) {
            let _outcome = self.fact(id, &Fact::Due, now);
        }
    }

    /// Tasks that were still being stopped for a drain or an estop when it was lifted: what they would
    /// wait for has happened already (T16).
    pub(super) fn release_strays(&mut self, now: Now) {
        let moved: BTreeSet<TaskId> = self.edit.before.keys().copied().collect();
        for id in moved {
            let cause = self.index.get(id).and_then(|t| match &t.state {
                State::Parked { cause, .. } => Some(cause),
                _ => None,
            });
            let by = match cause {
                Some(ParkCause::Drained) if !self.switches.drain => Release::Undrain,
                Some(ParkCause::Estopped) if !self.switches.estop => Release::Thaw,
                _ => continue,
            };
            let _outcome = self.fact(id, &Fact::Released { by }, now);
        }
    }

    /// Sessions that would start now although a limit of their harness became known after they got
    /// their slot (I15).
    pub(super) fn rest_launches(&mut self, now: Now) {
        let moved: BTreeSet<TaskId> = self.edit.before.keys().copied().collect();
        for id in moved {
            let launch = |t: &&Task| {
                let step = AssignStep::Launch;
                t.halt.is_none() && t.state == State::Assigned { step }
            };
            let began = self.edit.before.get(&id).and_then(Option::as_ref);
            if began.as_ref().is_some_and(launch) {
                // It may have started already.
                continue;
            }
            let task = self.index.get(id).filter(launch);
            let window = task.and_then(|t| self.windows.get(&t.limit_scope()));
            if let Some(window) = window.filter(|w| w.until > now.wall).cloned() {
                let _outcome = self.fact(id, &Fact::ScopeRests { window }, now);
            }
        }
    }

    /// Pending tasks all of whose dependencies are done (T3).
    pub(super) fn release_dependents(&mut self, now: Now) {
        let mut candidates: BTreeSet<TaskId> = BTreeSet::new();
        for id in std::mem::take(&mut self.edit.settled) {
            candidates.extend(self.index.dependents(id));
        }
        let unchecked = self.index.take_unchecked();
        // A task that comes back to `pending` may wait for one that ended, and was forgotten, meanwhile.
        if !unchecked.is_empty()
            && let Err(error) = self.load_dependency_results()
        {
            tracing::error!(%error, "dependencies could not be read; they are looked at again");
            self.index.check_later(unchecked);
        } else {
            candidates.extend(unchecked);
        }
        for id in candidates {
            if self.index.dependencies_met(id) {
                let _outcome = self.fact(id, &Fact::DependenciesMet, now);
            }
        }
    }
}
