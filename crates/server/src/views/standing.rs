//! Which bucket a task is in, and what its dependencies mean for it (T3).

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use longhaul_api::Bucket;
use longhaul_core::ids::TaskId;
use longhaul_core::task::{ParkCause, State, StateWord, Task};
use longhaul_store::{StoreError, StoredTask};

use super::Views;

/// How a task stands among the others.
pub(super) struct Standing {
    /// Its bucket.
    pub(super) bucket: Bucket,
    /// Its dependencies that are not done.
    pub(super) waits_for: Vec<Rc<StoredTask>>,
    /// The task because of which they never will be without a person.
    pub(super) blocker: Option<Rc<StoredTask>>,
}

/// True if nothing but a person's word moves the task, whatever its dependencies do.
pub(super) fn needs_person(task: &Task) -> bool {
    match &task.state {
        State::NeedsHuman { .. }
        | State::Parked {
            cause: ParkCause::Drained | ParkCause::Stopped | ParkCause::Estopped,
            ..
        } => true,
        State::Pending | State::Ready { .. } | State::Landing { .. } | State::Parked { .. } => {
            task.hold
        }
        // A paused check does not run; one that is being stopped still moves.
        State::Verifying { .. } => task.hold && task.halt.is_none(),
        State::Assigned { .. } | State::Running { .. } | State::Done { .. } | State::Cancelled => {
            false
        }
    }
}

/// True if a task that waits for this one waits for ever, unless a person acts.
fn blocks(task: &Task) -> bool {
    matches!(task.state, State::Cancelled) || needs_person(task)
}

impl Views<'_> {
    /// How a task stands.
    pub(super) fn standing(&self, task: &Task) -> Result<Standing, StoreError> {
        let mut waits_for = Vec::new();
        let mut blocker = None;
        if matches!(task.state, State::Pending) {
            for id in &task.terms.depends_on {
                let other = self.task(*id)?;
                waits_for.extend(other.filter(|t| t.task.state.word() != StateWord::Done));
            }
            if let Some(id) = self.blocker(task)? {
                blocker = self.task(id)?;
            }
        }
        let bucket = if task.state.word().is_final() {
            Bucket::Done
        } else if needs_person(task) || blocker.is_some() {
            Bucket::NeedsYou
        } else {
            Bucket::Working
        };
        Ok(Standing {
            bucket,
            waits_for,
            blocker,
        })
    }

    /// A task, reached from a pending one through pending ones only, that will not be done without
    /// a person. Dependencies of any depth, each task looked at once per view.
    fn blocker(&self, root: &Task) -> Result<Option<TaskId>, StoreError> {
        if let Some(known) = self.blockers.borrow().get(&root.id) {
            return Ok(*known);
        }
        let mut dependents: HashMap<TaskId, Vec<TaskId>> = HashMap::new();
        // For each waiting task, the one that blocks it; for what it waits for, nothing.
        let mut found: HashMap<TaskId, Option<TaskId>> = HashMap::from([(root.id, None)]);
        let mut waiting = vec![root.id];
        let mut blocked: VecDeque<(TaskId, TaskId)> = VecDeque::new();
        let mut open = vec![(root.id, root.terms.depends_on.clone())];
        while let Some((id, depends_on)) = open.pop() {
            for dep in depends_on {
                dependents.entry(dep).or_default().push(id);
                if found.insert(dep, None).is_some() {
                    continue;
                }
                let Some(stored) = self.task(dep)? else {
                    continue;
                };
                if blocks(&stored.task) {
                    blocked.push_back((dep, dep));
                } else if let Some(known) = self.blockers.borrow().get(&dep) {
                    blocked.extend(known.map(|by| (dep, by)));
                } else if matches!(stored.task.state, State::Pending) {
                    waiting.push(dep);
                    open.push((dep, stored.task.terms.depends_on.clone()));
                }
            }
        }
        // From the blockers back to everything that waits for them; the nearest one names it.
        while let Some((id, by)) = blocked.pop_front() {
            for dependent in dependents.remove(&id).unwrap_or_default() {
                if found.get(&dependent) == Some(&None) {
                    found.insert(dependent, Some(by));
                    blocked.push_back((dependent, by));
                }
            }
        }
        let of = |id: &TaskId| found.get(id).copied().flatten();
        self.blockers
            .borrow_mut()
            .extend(waiting.iter().map(|id| (*id, of(id))));
        Ok(of(&root.id))
    }
}
