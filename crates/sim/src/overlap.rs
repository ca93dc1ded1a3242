//! The watch over sessions that change the same files (L19): what it would see in their workspaces, and
//! what must hold of the incidents.

use std::collections::BTreeSet;

use longhaul_core::ids::TaskId;
use longhaul_core::ledger::{Cause, LedgerEntry};
use longhaul_core::overlap::{OverlapStrategy, Touched, is_live};
use serde_json::Value;

use crate::daemon::Note;
use crate::rng::Rng;
use crate::sim::{Item, Sim};

const LOOK_EVERY_MS: u64 = 20_000;
/// Looks after everything was let go, at most: an incident that is open then stays open.
const LAST_LOOKS: u32 = 40;
const FILES: [&str; 3] = ["a.txt", "b.txt", "c.txt"];

/// Incidents that the ledgers have opened and not closed.
pub(crate) type OpenIncidents = BTreeSet<(TaskId, String, String)>;

/// What a machine's settings say; drawn apart from all else of a seed. Where the world is benign nothing may
/// wait for a person.
pub(crate) fn strategy(seed: u64, benign: bool) -> OverlapStrategy {
    let all = [
        OverlapStrategy::Off,
        OverlapStrategy::Warn,
        OverlapStrategy::Merge,
        OverlapStrategy::Escalate,
        OverlapStrategy::LastWriteWins,
    ];
    let most = if benign { 3 } else { all.len() };
    let drawn = Rng::keyed(&[seed, 6]).pick(&all[..most]);
    drawn.unwrap_or_default()
}

impl Sim {
    /// One look into the workspaces of live sessions, of which some cannot be looked into.
    pub(crate) fn look_at_sessions(&mut self) {
        let mut rng = Rng::keyed(&[self.seed, 7, self.t]);
        let mut tasks: Vec<_> = self.store_tasks().collect();
        tasks.sort_by_key(|t| t.id);
        // What is shared then ends, and has to be seen to end.
        let share = if self.calm { 0 } else { 400 };
        let mut seen = Vec::new();
        for task in &tasks {
            let looked = is_live(task) || !task.carry.overlaps.is_empty();
            if looked && (self.calm || !rng.permille(150)) {
                let changed = FILES.iter().filter(|_| rng.permille(share));
                seen.push(Touched {
                    task: task.id,
                    paths: changed.map(|file| (*file).to_owned()).collect(),
                });
            }
        }
        if let Some(epoch) = self.current() {
            self.at(
                rng.within(0, 200),
                Item::Deliver(epoch, Note::Touched(seen)),
            );
        }
        if self.calm {
            self.last_looks += 1;
            let open = tasks.iter().any(|t| !t.carry.overlaps.is_empty());
            if self.last_looks >= LAST_LOOKS || !open {
                return;
            }
        }
        self.at(LOOK_EVERY_MS, Item::Look);
    }

    /// An incident opens once for each task, other task and file, and is closed before it opens again.
    pub(crate) fn check_overlap(&mut self, e: &LedgerEntry) {
        if !matches!(e.cause, Cause::OverlapOpened | Cause::OverlapClosed) {
            return;
        }
        let with = e.data["with"].as_str().unwrap_or_default().to_owned();
        let texts = |value: &Value| -> Vec<String> {
            let all = value.as_array().into_iter().flatten();
            all.filter_map(|v| v.as_str().map(str::to_owned)).collect()
        };
        let opened = match e.cause {
            Cause::OverlapOpened => texts(&e.data["paths"]),
            _ => Vec::new(),
        };
        let open = &mut self.oracle.incidents;
        let closed = texts(&e.data["closed"]);
        let sound = closed
            .into_iter()
            .all(|path| open.remove(&(e.task, with.clone(), path)))
            && opened
                .into_iter()
                .all(|path| open.insert((e.task, with.clone(), path)));
        if !sound {
            self.violate("L19", format!("opened twice, or closed unopened: {e:?}"));
        }
    }

    /// Nothing is shared any more, and that was seen: no task that is not over has an open incident.
    pub(crate) fn check_overlaps_end(&mut self) {
        let left: Vec<String> = self
            .store_tasks()
            .filter(|t| !t.carry.overlaps.is_empty())
            .map(|t| format!("{}: {:?}", t.name, t.carry.overlaps))
            .collect();
        if !left.is_empty() {
            self.violate("L19", format!("incidents stay open: {left:?}"));
        }
    }
}
