//! What must hold of the merge queue after every step (L8–L18, I3, I4, I9).

use std::collections::{BTreeMap, BTreeSet};

use longhaul_core::ids::TaskId;
use longhaul_core::queue::{
    Candidate, EntryId, Line, LineId, Origin, QueueCause, Stage, outstanding, standing,
};
use longhaul_core::spec::Land;
use longhaul_core::task::{State, StateWord};
use longhaul_core::time::UnixMs;
use longhaul_engine::machine::LineDispatch;
use longhaul_store::{Chain, QueueLedgerRow};

use super::depot;
use super::people::QueueWord;
use crate::scenario::number_of;
use crate::sim::{Mutant, Sim};

/// Rows of a line that one step may write; more are read in one go.
const NEWEST: usize = 64;

/// What the checks remember.
#[derive(Debug, Default)]
pub(crate) struct QueueOracle {
    /// Runs that truly passed, by tree and key.
    green: BTreeSet<(String, String)>,
    /// Batches that touched lines, when they were last looked at.
    writes: u64,
    /// Rows seen of each line.
    rows: BTreeMap<LineId, u64>,
    lines: BTreeMap<LineId, Line>,
    /// When an entry first came, while it is wanted.
    ages: BTreeMap<EntryId, UnixMs>,
    /// Entries that are on the integration ref by a landing, and not in the ledger yet.
    half: BTreeMap<EntryId, (LineId, u32)>,
    /// Landings of an entry with this commit.
    landed: BTreeMap<(EntryId, String), u32>,
    /// Entries that people were told of.
    pub(crate) accepted: BTreeMap<EntryId, LineId>,
}

impl QueueOracle {
    /// A check's program ended with success while the slot held this tree.
    pub(crate) fn passed(&mut self, tree: &str, key: &str) {
        self.green.insert((tree.to_owned(), key.to_owned()));
    }
}

impl Sim {
    /// The integration ref was moved by a landing, from one commit to another (I9, L8).
    pub(crate) fn check_landing(
        &mut self,
        d: &LineDispatch,
        candidate: &Candidate,
        from: u32,
        to: u32,
    ) {
        let line = &d.effect.line;
        let Some(depot) = self.depots.get_mut(&line.repo) else {
            return;
        };
        depot.landings.push((from, to));
        let depot = &*depot;
        let tree = depot.tree_name(to);
        let mut wrong: Option<(&'static str, String)> = None;
        if !depot.holds(to, from) {
            wrong = Some(("L8", format!("a landing on {line} loses what had landed")));
        }
        // Exactly the entries' changes, folded anew by somebody else (facts/git.md §4).
        let mut fold = depot.clone();
        let mut last = from;
        for id in &candidate.entries {
            let head = d.line.entry(*id).and_then(|e| depot::parse(&e.commit));
            let merged = head.map(|head| (head, fold.merge(last, head)));
            match merged {
                Some((head, Ok(tree))) => last = fold.commit(tree, &[last, head]),
                _ => wrong = Some(("I9", format!("{} was landed over a clash", id.short()))),
            }
        }
        if !candidate.entries.is_empty() && fold.tree_name(last) != tree {
            let wanted = fold.tree_name(last);
            wrong = Some(("I9", format!("{tree} landed, its entries make {wanted}")));
        }
        let own = |id: &EntryId| d.line.entry(*id).map(|e| (e.checks.clone(), e.may_land()));
        for (checks, may_land) in candidate.entries.iter().filter_map(own) {
            let unchecked = checks.iter().find(|c| {
                !self
                    .queue_oracle
                    .green
                    .contains(&(tree.clone(), c.key.clone()))
            });
            if let Some(check) = unchecked {
                let name = &check.name;
                wrong = Some((
                    "I9",
                    format!("{tree} landed, but {name} never passed on it"),
                ));
            } else if !may_land {
                wrong = Some(("I9", format!("{tree} landed, though nothing verifies it")));
            }
        }
        for id in &candidate.entries {
            let Some(entry) = d.line.entry(*id) else {
                continue;
            };
            let times = self
                .queue_oracle
                .landed
                .entry((*id, entry.commit.clone()))
                .or_default();
            *times += 1;
            if *times > 1 {
                wrong = Some(("L18", format!("{} landed {times} times", entry.title)));
            }
            let half = &mut self.queue_oracle.half;
            half.insert(*id, (line.clone(), to));
        }
        if let Some((rule, detail)) = wrong {
            self.violate(rule, detail);
        }
    }

    /// The rows of lines that the last step wrote, and the lines as they are stored.
    pub(crate) fn check_lines(&mut self) {
        let writes = self.faults().line_writes;
        if std::mem::replace(&mut self.queue_oracle.writes, writes) == writes {
            return;
        }
        let lines = self.reader.lines().unwrap_or_default();
        for line in lines {
            let seen = self.queue_oracle.rows.get(&line.id).copied().unwrap_or(0);
            if self.queue_oracle.lines.get(&line.id) == Some(&line) {
                continue;
            }
            let mut rows = self.reader.queue_tail(&line.id, NEWEST).unwrap_or_default();
            if rows.first().is_some_and(|r| r.n > seen + 1) {
                rows = self
                    .reader
                    .queue_tail(&line.id, usize::MAX)
                    .unwrap_or_default();
            }
            rows.retain(|r| r.n > seen);
            for row in &rows {
                self.note(|| {
                    let entry = row.row.entry.map(EntryId::short).unwrap_or_default();
                    let (cause, data) = (row.row.cause.as_str(), &row.row.data);
                    format!(
                        "line {} v{} {cause} {entry} {data}",
                        row.line, row.row.version
                    )
                });
                self.check_queue_row(&line, row);
            }
            if let Some(last) = rows.last() {
                self.queue_oracle.rows.insert(line.id.clone(), last.n);
            }
            let whole: BTreeMap<u64, (usize, u64)> = whole_landings(&rows);
            if let Some((version, (told, of))) =
                whole.iter().find(|(_, (told, of))| *told as u64 != *of)
            {
                let detail = format!("version {version} tells of {told} landings of {of}");
                self.violate("L18", detail);
            }
            self.check_stored_line(&line);
            self.queue_oracle.lines.insert(line.id.clone(), line);
        }
    }

    fn check_queue_row(&mut self, line: &Line, row: &QueueLedgerRow) {
        let before = self.queue_oracle.lines.get(&line.id).cloned();
        let version = before.as_ref().map_or(0, |l| l.version);
        if row.row.version <= version || row.row.version > line.version {
            let detail = format!(
                "row {} of {} has version {}",
                row.n, line.id, row.row.version
            );
            self.violate("I1", detail);
        }
        let Some(id) = row.row.entry else {
            return;
        };
        let oracle = &mut self.queue_oracle;
        match row.row.cause {
            QueueCause::Landed => {
                oracle.half.remove(&id);
                oracle.accepted.remove(&id);
                let commit = row.row.data.get("commit").and_then(|c| c.as_str());
                let commit = commit.and_then(depot::parse);
                let head = row.row.data.get("head").and_then(|c| c.as_str());
                let before = before.as_ref().and_then(|l| l.entry(id));
                let before = before.map(|e| e.commit.as_str());
                let head = head.or(before).and_then(depot::parse);
                let truly = self.depots.get(&line.id.repo).is_some_and(|d| {
                    commit.is_some_and(|commit| {
                        d.integration.is_some_and(|now| d.is_ancestor(commit, now))
                            && head.is_none_or(|head| d.holds(commit, head))
                    })
                });
                if !truly {
                    let detail = format!("{} is told to have landed: {:?}", id.short(), row.row);
                    self.violate("I9", detail);
                }
            }
            QueueCause::Withdrawn => {
                oracle.accepted.remove(&id);
                if !id_of_task(id, &line.id, self) {
                    self.queue_oracle.ages.remove(&id);
                }
            }
            _ => {}
        }
    }

    fn check_stored_line(&mut self, line: &Line) {
        let mut wrong: Option<(&'static str, String)> = None;
        for entry in &line.entries {
            let ages = &mut self.queue_oracle.ages;
            let first = *ages.entry(entry.id).or_insert(entry.since);
            if entry.since > first {
                let detail = format!("{} is younger than it was", entry.title);
                wrong = Some(("L12", detail));
            }
        }
        for s in standing(line) {
            let idle = line.stage == Stage::Rest && line.effort.failures == 0;
            let free = !line.paused && !self.is_held() && s.ready && idle;
            let silent = self.is(Mutant::Unexplained) && !s.ready;
            if s.why.is_empty() || silent {
                wrong = Some((
                    "L13",
                    format!("nobody knows what {} waits for", s.entry.title),
                ));
            } else if free
                && !s.entry.is_eligible(
                    line.tip.as_ref().map(|t| t.commit.as_str()),
                    line.freeze_below,
                )
            {
                let detail = format!("{} \"{}\", and it never will be", s.entry.title, s.why);
                wrong = Some(("L13", detail));
            }
        }
        if let Stage::Trial { batch } = &line.stage {
            let held = batch.iter().filter_map(|id| line.entry(*id));
            if let Some(entry) = held.into_iter().find(|e| e.held || !e.may_land()) {
                wrong = Some(("queue", format!("{} is tried", entry.title)));
            }
            let before = self.queue_oracle.lines.get(&line.id);
            let begun = before.is_none_or(|l| l.round != line.round);
            if begun && line.paused && !line.once {
                wrong = Some((
                    "queue",
                    format!("a trial begins on {}, which is paused", line.id),
                ));
            }
        }
        if let Some((rule, detail)) = wrong {
            self.violate(rule, detail);
        }
    }

    fn is_held(&self) -> bool {
        let flags = self.reader.flags().unwrap_or_default();
        let on = |name: &str| flags.get(name).and_then(serde_json::Value::as_bool) == Some(true);
        on("drain") || on("estop") || self.lacking.is_some()
    }

    /// Effects of lines follow from what is stored, and from nothing else (I4).
    pub(crate) fn check_line_effects(&mut self, effects: &[LineDispatch]) {
        for dispatch in effects {
            let stored = self.reader.line(&dispatch.effect.line).ok().flatten();
            let wanted = stored.as_ref().and_then(outstanding);
            if wanted.as_ref() != Some(&dispatch.effect) {
                let effect = &dispatch.effect;
                let detail = format!("{effect:?} is handed out, but stored is {wanted:?}");
                self.violate("I4", detail);
                return;
            }
        }
    }

    /// What must hold between steps: nothing is lost between tasks, lines, slots and memory.
    pub(crate) fn check_queue(&mut self, epoch: u64) {
        let Some(daemon) = self.daemons.get(&epoch) else {
            return;
        };
        let mut wrong: Option<(&'static str, String)> = None;
        let stored = &self.queue_oracle.lines;
        let known: BTreeMap<&LineId, &Line> = daemon.machine.lines().map(|l| (&l.id, l)).collect();
        if known.len() != stored.len() || stored.iter().any(|(id, l)| known.get(id) != Some(&l)) {
            wrong = Some(("I1", "memory and store differ on a line".to_owned()));
        }
        let mut homes: BTreeMap<TaskId, &Line> = BTreeMap::new();
        for line in stored.values() {
            for entry in &line.entries {
                let Origin::Task { task, fence } = entry.origin else {
                    continue;
                };
                let told = daemon.machine.task(task);
                let lands = told
                    .is_some_and(|t| matches!(t.state, State::Landing { .. }) && t.fence == fence);
                if !lands {
                    let word = told.map(|t| t.state.word());
                    let detail = format!("{} is in a line, its task is {word:?}", entry.title);
                    wrong = Some(("I3", detail));
                }
                if homes.insert(task, line).is_some() {
                    wrong = Some(("I3", format!("{} is in two lines", entry.title)));
                }
            }
        }
        let mut tasks = daemon.machine.tasks();
        let stray = tasks.find(|t| {
            let lands = t.state.word() == StateWord::Landing && t.terms.land == Land::Yes;
            lands && !homes.contains_key(&t.id)
        });
        if let Some(task) = stray {
            wrong = Some(("I3", format!("{} lands and is in no line", task.name)));
        }
        let lost = self
            .queue_oracle
            .accepted
            .iter()
            .find(|(id, line)| stored.get(line).is_none_or(|l| l.entry(**id).is_none()));
        if let Some((id, line)) = lost {
            wrong = Some((
                "I3",
                format!("{} was accepted and is not in {line}", id.short()),
            ));
        }
        for (id, job) in self.slots.iter().filter(|(_, j)| j.tree) {
            let line = stored.get(&id.line);
            let busy = line.is_some_and(|l| match &l.stage {
                Stage::Check { .. } => l.round == id.round,
                Stage::Clear => true,
                _ => false,
            });
            if !busy && job.shim {
                wrong = Some(("L9", format!("{id:?} lives, and its line is past it")));
            }
        }
        drop(tasks);
        if let Some((rule, detail)) = wrong {
            self.violate(rule, detail);
        }
    }

    /// A person was told that an entry is in the queue.
    pub(crate) fn queue_answered(&mut self, word: &QueueWord) {
        let QueueWord::Enqueue(line, entry) = word else {
            return;
        };
        let stored = self.reader.line(line).ok().flatten();
        let same = |e: &&longhaul_core::queue::Entry| e.title == entry.title;
        let there = stored.as_ref().and_then(|l| l.entries.iter().find(same));
        if let Some(there) = there {
            let id = there.id;
            self.queue_oracle.accepted.insert(id, line.clone());
        }
    }

    /// Whether a task that lands waits for something that a person sees.
    pub(crate) fn waits_to_land(&self, task: TaskId) -> bool {
        let entry = EntryId::of_task(task);
        let mut lines = self.queue_oracle.lines.values();
        lines.any(|l| standing(l).iter().any(|s| s.entry.id == entry && !s.ready))
    }

    /// Nothing happens any more: every line rests, and every entry waits for something a person sees.
    pub(crate) fn check_queue_end(&mut self) {
        if let Some((id, (line, _))) = self.queue_oracle.half.iter().next() {
            let detail = format!("{} is on {line}, and no ledger says so", id.short());
            self.violate("L18", detail);
        }
        let lines: Vec<Line> = self.queue_oracle.lines.values().cloned().collect();
        for line in &lines {
            if line.stage != Stage::Rest {
                let detail = format!("{} is for ever at {:?}", line.id, line.stage);
                self.violate("liveness", detail);
            }
            for s in standing(line).iter().filter(|s| s.ready) {
                let detail = format!("{} \"{}\" for ever", s.entry.title, s.why);
                self.violate("liveness", detail);
            }
            match self.reader.verify_line(&line.id) {
                Ok(Some(Chain::Intact { .. })) => {}
                other => self.violate("I1", format!("the chain of {}: {other:?}", line.id)),
            }
            let Some(depot) = self.depots.get(&line.id.repo) else {
                continue;
            };
            let lacks = |i: u32| !depot.is_ancestor(i, depot.base) && !depot.rewritten;
            let behind = depot.integration.is_some_and(lacks);
            if behind && line.behind.is_none() && line.block.is_none() && line.tip.is_some() {
                let detail = format!("{}: base did not follow, and nothing says why", line.id);
                self.violate("L14", detail);
            }
        }
        let slot = self.slots.iter().find(|(_, j)| j.tree && j.shim);
        if let Some((id, _)) = slot {
            let detail = format!("{id:?} lives on");
            self.violate("L9", detail);
        }
        self.check_work();
    }

    /// What landed is there, and what did not land is not (L21).
    fn check_work(&mut self) {
        for id in self.all_tasks() {
            let Some(task) = self.reader.task(id).ok().flatten().map(|s| s.task) else {
                continue;
            };
            let Some(depot) = self.depots.get(&task.terms.repo) else {
                continue;
            };
            let landed = task.carry.landed.as_ref().map(|l| l.commit.as_str());
            let Some(commit) = landed.and_then(depot::parse) else {
                continue;
            };
            let sealed = depot.sealed.get(&(number_of(id), task.fence.0));
            let there = depot.integration.is_some_and(|now| {
                depot.is_ancestor(commit, now) && sealed.is_none_or(|s| depot.holds(now, *s))
            });
            if !there {
                let detail = format!("{} is done, and its work is not there", task.name);
                self.violate("L8", detail);
            }
        }
    }
}

/// How many landings each version tells of, and of how many it should.
fn whole_landings(rows: &[QueueLedgerRow]) -> BTreeMap<u64, (usize, u64)> {
    let mut whole: BTreeMap<u64, (usize, u64)> = BTreeMap::new();
    let landed = rows.iter().filter(|r| r.row.cause == QueueCause::Landed);
    for row in landed {
        if let Some(of) = row.row.data.get("of").and_then(serde_json::Value::as_u64) {
            let told = whole.entry(row.row.version).or_insert((0, of));
            told.0 += 1;
        }
    }
    whole
}

/// Whether the entry is a task's: its age goes on while it is away for another attempt.
fn id_of_task(id: EntryId, line: &LineId, sim: &Sim) -> bool {
    let before = sim.queue_oracle.lines.get(line);
    before
        .and_then(|l| l.entry(id))
        .is_some_and(|e| matches!(e.origin, Origin::Task { .. }))
}
