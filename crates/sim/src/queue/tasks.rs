//! Tasks that land: what their workspaces and sealed commits are in the pretended repository.

use longhaul_core::attempt::Sealed;
use longhaul_core::ids::TaskId;
use longhaul_core::spec::{Land, TaskSpec};
use longhaul_core::task::{RetryReason, Task};

use super::depot;
use crate::scenario::number_of;
use crate::sim::Sim;

impl Sim {
    /// Makes a workspace, on what has landed, and begins the merge that an attempt is for (L12).
    pub(crate) fn fork_workspace(&mut self, task: &Task, spec: &TaskSpec) {
        if spec.land != Land::Yes {
            return;
        }
        let number = number_of(task.id);
        let Some(depot) = self.depots.get_mut(spec.repo.as_str()) else {
            return;
        };
        let fork = depot.fork();
        let head = *depot.work.entry(number).or_insert(fork);
        if let Some(RetryReason::LandConflict { tip, .. }) = &task.carry.reason
            && let Some(tip) = depot::parse(tip)
            && !depot.is_ancestor(tip, head)
        {
            let merged = depot.resolve(head, tip);
            depot.work.insert(number, merged);
        }
    }

    /// What an attempt left behind, as a commit: the same for the same attempt.
    pub(crate) fn seal_for_landing(&mut self, task: &Task, spec: &TaskSpec, sealed: &mut Sealed) {
        if spec.land != Land::Yes {
            return;
        }
        let (number, fence) = (number_of(task.id), task.fence.0);
        let Some(depot) = self.depots.get_mut(spec.repo.as_str()) else {
            return;
        };
        let commit = match depot.sealed.get(&(number, fence)) {
            Some(known) => *known,
            None => {
                let head = depot.work.get(&number).copied().unwrap_or(depot.fork());
                let commit = if sealed.changed_files == 0 {
                    head
                } else {
                    let mut tree = depot.tree(head);
                    tree.insert(number, fence);
                    depot.commit(tree, &[head])
                };
                depot.work.insert(number, commit);
                depot.sealed.insert((number, fence), commit);
                commit
            }
        };
        sealed.commit = depot::name(commit);
        sealed.tree = depot.tree_name(commit);
    }

    /// Commits of a task's dependencies that have not landed (L21).
    pub(crate) fn unlanded(&self, id: TaskId) -> Vec<(u32, String)> {
        let Some(own) = self.reader.task(id).ok().flatten() else {
            return Vec::new();
        };
        let deps = own.task.terms.depends_on.iter();
        deps.filter_map(|dep| self.reader.task(*dep).ok().flatten())
            .map(|dep| dep.task)
            .filter(|dep| dep.terms.repo == own.task.terms.repo && dep.carry.landed.is_none())
            .filter_map(|dep| {
                let sealed = dep.attempt.as_ref()?.sealed.as_ref()?;
                Some((depot::parse(&sealed.commit)?, dep.name.clone()))
            })
            .collect()
    }
}
