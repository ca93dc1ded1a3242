//! Sessions that change the same files (L19): what the watch saw becomes facts of both tasks.

use std::collections::BTreeMap;

use longhaul_core::fact::Fact;
use longhaul_core::ids::TaskId;
use longhaul_core::overlap::{OverlapStrategy, Touched, began_before, shift};
use longhaul_core::task::Task;
use longhaul_core::time::Now;
use longhaul_store::Store;

use super::Machine;

impl<S: Store> Machine<S> {
    /// Opens and closes incidents by what was seen; what was not looked at stays as it is.
    pub(super) fn touched(&mut self, seen: &[Touched], now: Now) {
        let strategy = self.limits.live_conflicts;
        if strategy == OverlapStrategy::Off {
            return;
        }
        let seen: BTreeMap<TaskId, &Touched> = seen.iter().map(|t| (t.task, t)).collect();
        // Only those that share a path, or did: not every session with every other one.
        let mut by_path: BTreeMap<(&str, &str), Vec<TaskId>> = BTreeMap::new();
        for (id, touched) in &seen {
            let Some(task) = self.index.get(*id) else {
                continue;
            };
            for path in &touched.paths {
                let at = (task.terms.repo.as_str(), path.as_str());
                by_path.entry(at).or_default().push(*id);
            }
        }
        let ordered = |a: TaskId, b: TaskId| (a.min(b), a.max(b));
        let mut pairs: Vec<(TaskId, TaskId)> = Vec::new();
        for tasks in by_path.values() {
            for (n, one) in tasks.iter().enumerate() {
                pairs.extend(tasks[n + 1..].iter().map(|other| ordered(*one, *other)));
            }
        }
        for task in self.index.tasks() {
            let known = task.carry.overlaps.iter();
            pairs.extend(known.map(|o| ordered(task.id, o.with)));
        }
        pairs.sort_unstable();
        pairs.dedup();
        for (a, b) in pairs {
            self.pair(
                a,
                b,
                seen.get(&a).copied().zip(seen.get(&b).copied()),
                strategy,
                now,
            );
        }
    }

    fn pair(
        &mut self,
        a: TaskId,
        b: TaskId,
        seen: Option<(&Touched, &Touched)>,
        strategy: OverlapStrategy,
        now: Now,
    ) {
        let (one, other) = match (self.index.get(a), self.index.get(b)) {
            (Some(one), Some(other)) if one.terms.repo == other.terms.repo => (one, other),
            // A task that nobody keeps in mind any more is over.
            (Some(left), None) => {
                let fact = ended(left, b, strategy);
                return self.tell(a, fact, now);
            }
            (None, Some(left)) => {
                let fact = ended(left, a, strategy);
                return self.tell(b, fact, now);
            }
            _ => return,
        };
        let Some(shift) = shift(one, other, seen) else {
            return;
        };
        let first = began_before(one, other);
        let fact = |with: &Task, earlier: bool| Fact::Overlap {
            with: with.id,
            name: with.name.clone(),
            now: shift.now.clone(),
            strategy,
            pause: match strategy {
                OverlapStrategy::Escalate => !earlier,
                OverlapStrategy::LastWriteWins => earlier,
                OverlapStrategy::Off | OverlapStrategy::Warn | OverlapStrategy::Merge => false,
            },
        };
        let (to_one, to_other) = (fact(other, first), fact(one, !first));
        self.tell(a, Some(to_one), now);
        self.tell(b, Some(to_other), now);
    }

    fn tell(&mut self, task: TaskId, fact: Option<Fact>, now: Now) {
        if let Some(fact) = fact {
            let _outcome = self.fact(task, &fact, now);
        }
    }
}

/// What ends the incidents with a task that is gone; none if there are none.
fn ended(task: &Task, with: TaskId, strategy: OverlapStrategy) -> Option<Fact> {
    let open = longhaul_core::overlap::of(task, with)?;
    Some(Fact::Overlap {
        with,
        name: open.name.clone(),
        now: std::collections::BTreeSet::new(),
        strategy,
        pause: false,
    })
}
