//! The live tasks and everything derived from them, kept in step by one function.

use std::collections::{BTreeSet, HashMap, HashSet};

use longhaul_core::ids::TaskId;
use longhaul_core::schedule::{Load, Queue};
use longhaul_core::task::{State, StateWord, Task};
use longhaul_core::time::UnixMs;

#[derive(Default)]
pub(crate) struct Index {
    tasks: HashMap<TaskId, Task>,
    queue: Queue,
    load: Load,
    due: BTreeSet<(UnixMs, TaskId)>,
    dependents: HashMap<TaskId, BTreeSet<TaskId>>,
    /// Final states of tasks that are no longer live but have live dependents.
    results: HashMap<TaskId, StateWord>,
    /// Pending tasks that have not been compared with their dependencies yet.
    unchecked: BTreeSet<TaskId>,
    with_workspace: HashSet<TaskId>,
}

impl Index {
    /// Replaces, adds or removes a task and returns what was there.
    pub(crate) fn put(&mut self, id: TaskId, task: Option<Task>) -> Option<Task> {
        let before = self.tasks.remove(&id);
        if let Some(old) = &before {
            self.unhook(old);
        }
        if let Some(new) = task {
            self.hook(&new);
            self.tasks.insert(id, new);
        }
        self.load
            .set_workspaces(u32::try_from(self.with_workspace.len()).unwrap_or(u32::MAX));
        before
    }

    fn hook(&mut self, task: &Task) {
        match &task.state {
            State::Pending => {
                self.unchecked.insert(task.id);
                for dep in &task.terms.depends_on {
                    self.dependents.entry(*dep).or_default().insert(task.id);
                }
            }
            State::Ready { not_before, .. } => {
                self.queue.insert(task);
                if let Some(at) = not_before {
                    self.due.insert((*at, task.id));
                }
            }
            State::Parked {
                until: Some(at), ..
            } => {
                self.due.insert((*at, task.id));
            }
            State::Assigned { .. } | State::Running { .. } | State::Verifying { .. } => {
                self.load.take(task);
            }
            State::Landing { .. }
            | State::Parked { until: None, .. }
            | State::NeedsHuman { .. } => {}
            State::Done { .. } | State::Cancelled => {
                self.results.insert(task.id, task.state.word());
            }
        }
        // An active task is about to get its workspace, if it has none yet.
        if (task.carry.workspace.is_some() || task.state.word().is_active())
            && task.terms.exclusive_folder.is_none()
        {
            self.with_workspace.insert(task.id);
        }
    }

    fn unhook(&mut self, task: &Task) {
        match &task.state {
            State::Pending => {
                self.unchecked.remove(&task.id);
                for dep in &task.terms.depends_on {
                    if let Some(set) = self.dependents.get_mut(dep) {
                        set.remove(&task.id);
                        if set.is_empty() {
                            self.dependents.remove(dep);
                        }
                    }
                }
            }
            State::Ready { not_before, .. } => {
                self.queue.remove(task.id);
                if let Some(at) = not_before {
                    self.due.remove(&(*at, task.id));
                }
            }
            State::Parked {
                until: Some(at), ..
            } => {
                self.due.remove(&(*at, task.id));
            }
            State::Assigned { .. } | State::Running { .. } | State::Verifying { .. } => {
                self.load.release(task);
            }
            State::Landing { .. }
            | State::Parked { until: None, .. }
            | State::NeedsHuman { .. } => {}
            State::Done { .. } | State::Cancelled => {
                self.results.remove(&task.id);
            }
        }
        self.with_workspace.remove(&task.id);
    }

    pub(crate) fn get(&self, id: TaskId) -> Option<&Task> {
        self.tasks.get(&id)
    }

    pub(crate) fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.values()
    }

    pub(crate) const fn queue(&self) -> &Queue {
        &self.queue
    }

    pub(crate) const fn load(&self) -> &Load {
        &self.load
    }

    /// Drops tasks that reached a final state; their results stay known while somebody waits for them.
    pub(crate) fn forget_final(&mut self, ids: impl Iterator<Item = TaskId>) {
        for id in ids {
            let Some(word) = self.tasks.get(&id).map(|t| t.state.word()) else {
                continue;
            };
            if word.is_final() {
                self.put(id, None);
                if self.dependents.contains_key(&id) {
                    self.results.insert(id, word);
                }
            }
        }
        if self.results.len() > 64 {
            let dependents = &self.dependents;
            self.results.retain(|id, _| dependents.contains_key(id));
        }
    }

    /// Tells the result of a task that is not live.
    pub(crate) fn learn_result(&mut self, id: TaskId, word: StateWord) {
        self.results.insert(id, word);
    }

    /// Dependencies of live pending tasks that are neither live nor known to be final.
    pub(crate) fn unknown_dependencies(&self) -> Vec<TaskId> {
        self.dependents
            .keys()
            .filter(|id| !self.tasks.contains_key(id) && !self.results.contains_key(id))
            .copied()
            .collect()
    }

    pub(crate) fn dependents(&self, id: TaskId) -> Vec<TaskId> {
        self.dependents
            .get(&id)
            .into_iter()
            .flatten()
            .copied()
            .collect()
    }

    pub(crate) fn take_unchecked(&mut self) -> BTreeSet<TaskId> {
        std::mem::take(&mut self.unchecked)
    }

    /// Puts back what [`Index::take_unchecked`] took.
    pub(crate) fn check_later(&mut self, ids: BTreeSet<TaskId>) {
        self.unchecked.extend(ids);
    }

    pub(crate) fn dependencies_met(&self, id: TaskId) -> bool {
        self.tasks.get(&id).is_some_and(|t| {
            t.state == State::Pending
                && t.terms.depends_on.iter().all(|d| {
                    let live = self.tasks.get(d).map(|t| t.state.word());
                    live.or_else(|| self.results.get(d).copied()) == Some(StateWord::Done)
                })
        })
    }

    /// Tasks parked until `now` or earlier. A backed-off ready task needs no move, only a look.
    pub(crate) fn due(&mut self, now: UnixMs) -> Vec<TaskId> {
        let mut parked = Vec::new();
        while let Some(&(at, id)) = self.due.first().filter(|(at, _)| *at <= now) {
            self.due.remove(&(at, id));
            if self
                .tasks
                .get(&id)
                .is_some_and(|t| matches!(t.state, State::Parked { .. }))
            {
                parked.push(id);
            }
        }
        parked
    }

    pub(crate) fn next_due(&self) -> Option<UnixMs> {
        self.due.first().map(|(at, _)| *at)
    }
}
