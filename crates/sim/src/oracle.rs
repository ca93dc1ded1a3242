//! The invariants, checked after every step on what is stored, what lives and what was promised.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use longhaul_core::attempt::Attempt;
use longhaul_core::effect::outstanding;
use longhaul_core::ids::{Fence, TaskId};
use longhaul_core::ledger::{Cause, LedgerEntry};
use longhaul_core::task::{AssignStep, DoneBasis, RunStep, State, StateWord, Task};
use longhaul_core::time::UnixMs;
use longhaul_core::usage::Usage;
use longhaul_core::window::Window;
use longhaul_engine::machine::Dispatch;
use longhaul_store::{Chain, Reader};

use crate::disk::{JobId, JobKind};
use crate::overlap::OpenIncidents;
use crate::people::{Promise, What};
use crate::sim::Sim;

/// What the checks remember.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    seq: u64,
    tasks: BTreeMap<TaskId, Task>,
    words: BTreeMap<TaskId, (u64, Fence, StateWord)>,
    windows: BTreeMap<String, Window>,
    /// Checks that truly passed.
    pub(crate) passed: BTreeSet<(TaskId, Fence, u16)>,
    /// What dispatchers were told of use.
    pub(crate) used: BTreeMap<(TaskId, Fence), Usage>,
    /// Tasks whose checks a person cut short, with their fence.
    pub(crate) cut_short: BTreeMap<TaskId, Fence>,
    /// Timers that found nothing to do, in a row.
    pub(crate) idle_looks: u32,
    /// Tasks that the last step accepted.
    pub(crate) new_tasks: BTreeSet<TaskId>,
    /// Sessions that change the same files.
    pub(crate) incidents: OpenIncidents,
    /// The switches as they were stored after the last step.
    switches: Switches,
}

/// `drain` and `estop`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Switches {
    pub(crate) drain: bool,
    pub(crate) estop: bool,
}

/// The whole ledger and the end states as text, and the number of rows.
pub(crate) fn whole_ledger(reader: &dyn Reader) -> (String, u64) {
    let rows = reader.ledger_tail(0, usize::MAX).unwrap_or_default();
    let mut text = String::new();
    for row in &rows {
        let e = &row.entry;
        // Writing to a String cannot fail.
        writeln!(
            text,
            "{} {} v{} f{} {}->{} {} {} {} {}",
            row.seq,
            e.task,
            e.version,
            e.fence,
            e.from,
            e.to,
            e.cause.as_str(),
            e.at.0,
            row.op_id,
            e.data
        )
        .unwrap_or_default();
    }
    let mut count = rows.len() as u64;
    for line in reader.lines().unwrap_or_default() {
        for row in reader.queue_tail(&line.id, usize::MAX).unwrap_or_default() {
            count += 1;
            let (r, cause) = (&row.row, row.row.cause.as_str());
            writeln!(
                text,
                "{} {} v{} {cause} {:?} {} {}",
                row.line, row.n, r.version, r.entry, r.at.0, r.data
            )
            .unwrap_or_default();
        }
    }
    (text, count)
}

/// How each task ended, as far as that must not depend on crashes of the daemon.
pub(crate) fn ends(reader: &dyn Reader, tasks: &BTreeSet<TaskId>) -> Vec<String> {
    let end = |id: &TaskId| {
        reader.task(*id).ok().flatten().map(|s| {
            let t = s.task;
            let what = match &t.state {
                State::NeedsHuman { need } => need.kind.word().to_owned(),
                other => format!("{other:?}"),
            };
            let word = t.state.word();
            format!(
                "{} {word} {what} attempts {} retries {}",
                t.name, t.tally.attempts, t.tally.retries
            )
        })
    };
    tasks.iter().map(|id| end(id).unwrap_or_default()).collect()
}

impl Sim {
    pub(crate) fn shadowed(&self, epoch: u64) -> bool {
        self.daemons.get(&epoch).is_none_or(|d| d.shadowed)
    }

    /// The rows that the last step wrote, one after the other.
    pub(crate) fn check_rows(&mut self, wall: UnixMs, epoch: Option<u64>) {
        let rows = self
            .reader
            .ledger_tail(self.oracle.seq, usize::MAX)
            .unwrap_or_default();
        let windows: BTreeMap<String, Window> = self
            .reader
            .windows()
            .unwrap_or_default()
            .into_iter()
            .map(|w| (w.scope.clone(), w))
            .collect();
        if self.options.trace && windows != self.oracle.windows {
            let text = format!(
                "windows {:?}",
                windows
                    .values()
                    .map(|w| (&w.scope, w.until.0 - wall.0))
                    .collect::<Vec<_>>()
            );
            self.note(|| text);
        }
        self.oracle.new_tasks.clear();
        for row in &rows {
            if row.entry.cause == Cause::Submitted {
                self.oracle.new_tasks.insert(row.entry.task);
            }
            if row.seq != self.oracle.seq + 1 {
                self.violate("I1", format!("row {} follows {}", row.seq, self.oracle.seq));
            }
            self.oracle.seq = row.seq;
            if let Ok(Some(stored)) = self.reader.task(row.entry.task) {
                self.oracle.tasks.insert(row.entry.task, stored.task);
            }
        }
        for row in &rows {
            let e = &row.entry;
            self.note(|| {
                format!(
                    "row {} {} v{} f{} {}->{} {}",
                    row.seq,
                    e.task.short(),
                    e.version,
                    e.fence,
                    e.from,
                    e.to,
                    e.cause.as_str()
                )
            });
            self.check_row(e);
            self.check_overlap(e);
            self.oracle.words.insert(e.task, (e.version, e.fence, e.to));
            if matches!(e.cause, Cause::Assigned | Cause::ChecksResumed)
                && e.to == StateWord::Assigned
            {
                self.check_slot(e.task, wall, &windows, epoch);
            }
        }
        self.check_launches(&rows.iter().map(|r| r.entry.task).collect(), wall, &windows);
        self.oracle.windows = windows;
        self.check_lines();
    }

    fn check_row(&mut self, e: &LedgerEntry) {
        let before = self.oracle.words.get(&e.task).copied();
        let (version, fence, word) = before.unwrap_or((0, Fence(0), e.from));
        if e.version != version + 1 || e.from != word {
            self.violate("I1", format!("{e:?} after version {version}, {word}"));
        }
        if e.fence < fence
            || e.fence.0 > fence.0 + 1
            || (e.fence > fence) != (e.cause == Cause::Assigned)
        {
            self.violate("I2", format!("{e:?} after fence {fence}"));
        }
        if word.is_final() && e.to != word {
            self.violate("I1", format!("a final task moved: {e:?}"));
        }
        if e.to != word && !legal(word, e.to) {
            self.violate("I1", format!("an illegal move: {e:?}"));
        }
        let cut = &mut self.oracle.cut_short;
        match (e.cause, word, e.to) {
            (
                Cause::OperatorStop | Cause::Drained | Cause::Estopped,
                StateWord::Verifying,
                StateWord::Parked,
            ) => {
                let kept = self.oracle.tasks.get(&e.task);
                // A FAIL that came with the stop wants another attempt.
                if kept.is_some_and(|t| t.version == e.version && t.carry.resume_checks.is_some()) {
                    cut.insert(e.task, e.fence);
                }
            }
            (Cause::OperatorRetry, ..)
            | (
                Cause::WorkspaceReady,
                _,
                // Nothing was cut short where it goes on to land: all had passed.
                StateWord::Verifying | StateWord::Ready | StateWord::Landing,
            )
            | (_, _, StateWord::NeedsHuman) => {
                cut.remove(&e.task);
            }
            (Cause::Assigned, ..) if cut.contains_key(&e.task) => {
                self.violate(
                    "checks",
                    format!("checks that were cut short cost another attempt: {e:?}"),
                );
            }
            _ => {}
        }
        match e.cause {
            Cause::OperatorRetry
            | Cause::OperatorResume
            | Cause::OperatorApprove
            | Cause::SealFailed => {
                self.people.promises.remove(&e.task);
            }
            Cause::Assigned | Cause::ChecksResumed => {
                if let Some(promise) = self.people.promises.get(&e.task).copied() {
                    self.violate(
                        "T17",
                        format!("a task that was {promise:?} starts again: {e:?}"),
                    );
                }
            }
            _ => {}
        }
        if e.cause == Cause::Finished
            && let Some(task) = self.oracle.tasks.get(&e.task).cloned()
            && task.state
                == (State::Done {
                    basis: DoneBasis::Verified,
                })
        {
            for check in 0..u16::try_from(task.terms.flaky_reruns.len()).unwrap_or(0) {
                if !self.oracle.passed.contains(&(e.task, e.fence, check)) {
                    self.violate(
                        "I13",
                        format!("done although check {check} never passed: {e:?}"),
                    );
                }
            }
        }
    }

    /// A task got a slot: everything that speaks against it is asked.
    fn check_slot(
        &mut self,
        id: TaskId,
        wall: UnixMs,
        windows: &BTreeMap<String, Window>,
        epoch: Option<u64>,
    ) {
        if epoch.is_some_and(|e| self.shadowed(e)) {
            return;
        }
        let Some(task) = self.oracle.tasks.get(&id).cloned() else {
            return;
        };
        let terms = &task.terms;
        // Checks that go on start no session: neither a budget nor a limit speaks against them.
        let checks = task.carry.resume_checks.is_some();
        let words = &self.oracle.words;
        let word = |id: &TaskId| words.get(id).map(|(_, _, w)| *w);
        let active: Vec<&Task> = self
            .oracle
            .tasks
            .values()
            .filter(|t| word(&t.id).is_some_and(StateWord::is_active))
            .collect();
        let count = |same: &dyn Fn(&Task) -> bool| {
            u32::try_from(active.iter().filter(|t| same(t)).count()).unwrap_or(u32::MAX)
        };
        let capacity = &self.scenario.limits.capacity;
        let folder = terms.exclusive_folder.as_ref();
        let flags = self.reader.flags().unwrap_or_default();
        let on = |name: &str| flags.get(name).and_then(serde_json::Value::as_bool) == Some(true);
        let lacking = epoch
            .and_then(|e| self.daemons.get(&e))
            .is_some_and(|d| d.lacking.is_some());
        let wrong = if !terms
            .depends_on
            .iter()
            .all(|d| word(d) == Some(StateWord::Done))
        {
            Some(("T3", "a dependency is not done"))
        } else if count(&|_| true) > capacity.total {
            Some(("T4", "more slots than there are"))
        } else if capacity
            .per_repo
            .is_some_and(|n| count(&|t| t.terms.repo == terms.repo) > n)
        {
            Some(("T4", "more slots of a repository than there are"))
        } else if capacity
            .per_harness
            .get(&terms.harness)
            .is_some_and(|n| count(&|t| t.terms.harness == terms.harness) > *n)
        {
            Some(("T4", "more slots of a harness than there are"))
        } else if folder.is_some() && count(&|t| t.terms.exclusive_folder.as_ref() == folder) > 1 {
            Some(("in-place", "two tasks in one folder"))
        } else if !checks
            && task
                .budget_percent(Usage::default())
                .is_some_and(|p| p >= 100)
        {
            Some(("I10", "it starts over budget"))
        } else if task.hold {
            Some(("pause", "it starts although it is paused"))
        } else if on("drain") || on("estop") {
            Some(("T16", "it starts in a drain or estop"))
        } else if lacking {
            Some(("T20", "it starts below a floor"))
        } else {
            match windows.get(&terms.harness).filter(|_| !checks) {
                Some(w) if w.until > wall => Some(("I15", "it starts inside a window")),
                // Sessions from before the reset prove nothing and do not count.
                Some(w)
                    if count(&|t| {
                        t.terms.harness == terms.harness
                            && t.attempt.as_ref().is_some_and(|a| a.assigned_at >= w.until)
                    }) > 1 =>
                {
                    Some(("A4", "two probes at the same time"))
                }
                _ => None,
            }
        };
        if let Some((rule, what)) = wrong {
            self.violate(rule, format!("{what}: {} {:?}", task.name, task.terms));
        }
    }

    /// A session's start is decided: its harness must not rest, by what was known.
    fn check_launches(
        &mut self,
        moved: &BTreeSet<TaskId>,
        wall: UnixMs,
        windows: &BTreeMap<String, Window>,
    ) {
        for id in moved {
            let Some(task) = self.oracle.tasks.get(id) else {
                continue;
            };
            let starts = task.halt.is_none()
                && task.state
                    == State::Assigned {
                        step: AssignStep::Launch,
                    };
            let rests = |known: &BTreeMap<String, Window>| {
                known
                    .get(&task.terms.harness)
                    .is_some_and(|w| w.until > wall)
            };
            if starts && rests(windows) && rests(&self.oracle.windows) {
                self.violate(
                    "I15",
                    format!("a session starts inside a window: {}", task.name),
                );
                return;
            }
        }
    }

    /// Effects follow from what is stored, and from nothing else (I4).
    pub(crate) fn check_effects(&mut self, effects: &[Dispatch]) {
        for dispatch in effects {
            let stored = self.reader.task(dispatch.effect.task).ok().flatten();
            let wanted = stored.as_ref().and_then(|s| outstanding(&s.task));
            if wanted.as_ref() != Some(&dispatch.effect) {
                self.violate(
                    "I4",
                    format!(
                        "{:?} is handed out, but stored is {wanted:?}",
                        dispatch.effect
                    ),
                );
                return;
            }
        }
    }

    /// Everything that was acknowledged is there.
    pub(crate) fn check_accepted(&mut self) {
        let lost = self
            .people
            .accepted
            .iter()
            .find(|id| self.reader.task(**id).ok().flatten().is_none())
            .copied();
        if let Some(id) = lost {
            self.violate("I3", format!("an accepted task is lost: {id}"));
        }
    }

    /// The switches as they are stored.
    fn switches(&self) -> Switches {
        let flags = self.reader.flags().unwrap_or_default();
        let on = |name: &str| flags.get(name).and_then(serde_json::Value::as_bool) == Some(true);
        Switches {
            drain: on("drain"),
            estop: on("estop"),
        }
    }

    /// What was acknowledged of `drain` and `estop` is stored, and nothing else switches them (T16).
    /// `said` are the commands of a step that were followed, in their order; `doubtful` where one was
    /// answered with a refusal that leaves open whether it was stored.
    pub(crate) fn check_switches(&mut self, said: &[What], doubtful: bool) {
        let stored = self.switches();
        let mut wanted = self.oracle.switches;
        for what in said {
            match what {
                What::Drain { .. } => wanted.drain = true,
                What::Undrain => wanted.drain = false,
                What::Estop => wanted.estop = true,
                What::Thaw => wanted.estop = false,
                What::Submit { .. } | What::Order(..) | What::Queue(_) | What::Status => {}
            }
        }
        if stored != wanted && !doubtful && !self.shadow_anywhere() {
            self.violate("T16", format!("stored are {stored:?}, said was {wanted:?}"));
        }
        self.oracle.switches = stored;
    }

    /// Whoever died took its answers along: what it stored stands.
    pub(crate) fn take_switches(&mut self) {
        self.oracle.switches = self.switches();
    }

    /// What must hold between steps.
    pub(crate) fn check_step(&mut self, epoch: u64, trouble: bool) {
        let Some(daemon) = self.daemons.get(&epoch) else {
            return;
        };
        let mut wrong: Option<(&'static str, String)> = None;
        let sees = !trouble && !daemon.shadowed && !self.shadow_anywhere();
        if sees {
            let mut seen: Vec<TaskId> = Vec::new();
            for task in daemon.machine.tasks() {
                seen.push(task.id);
                if self.oracle.tasks.get(&task.id) != Some(task) {
                    wrong = Some(("I1", format!("memory and store differ on {}", task.name)));
                }
            }
            seen.sort();
            let stored: Vec<TaskId> = self
                .oracle
                .words
                .iter()
                .filter(|(_, (_, _, w))| !w.is_final())
                .map(|(id, _)| *id)
                .collect();
            if seen != stored {
                wrong = Some((
                    "I3",
                    format!("the dispatcher knows {seen:?}, stored are {stored:?}"),
                ));
            }
            for ((id, fence), used) in &self.oracle.used {
                let over = daemon.machine.task(*id).filter(|t| {
                    t.fence == *fence
                        && t.state
                            == State::Running {
                                step: RunStep::Live,
                            }
                        && t.halt.is_none()
                        && t.budget_percent(*used).is_some_and(|p| p >= 100)
                });
                if let Some(task) = over {
                    wrong = Some(("I10", format!("{} goes on over its budget", task.name)));
                }
            }
            let made = daemon
                .machine
                .tasks()
                .filter(|t| t.carry.workspace.is_some() && t.terms.exclusive_folder.is_none());
            if made.count() > self.scenario.limits.capacity.max_workspaces as usize {
                wrong = Some(("L3", "more workspaces than there may be".to_owned()));
            }
        }
        for task in self.oracle.tasks.values() {
            let ended = |a: &Attempt| a.end.is_some() && a.ended_at.is_some();
            if !task.state.word().is_active() && task.attempt.as_ref().is_some_and(|a| !ended(a)) {
                wrong = Some((
                    "T6",
                    format!(
                        "{} is {} with an attempt that has no end",
                        task.name,
                        task.state.word()
                    ),
                ));
            }
            if task.tally.retries > task.terms.max_retries
                || task.tally.restarts > task.terms.max_restarts
            {
                wrong = Some(("I16", format!("{} was tried too often", task.name)));
            }
        }
        // Only a submission makes a file live.
        let files = &self.scenario.files;
        for (_, file) in files.iter().filter(|_| !self.oracle.new_tasks.is_empty()) {
            let live = self.reader.live_from(&file.source).unwrap_or_default();
            if live.windows(2).any(|w| w[0].submission != w[1].submission) {
                wrong = Some(("submit", format!("{} is live twice", file.source)));
            }
        }
        if let Some((rule, detail)) = wrong.or_else(|| self.wrong_process()) {
            self.violate(rule, detail);
        }
        if sees {
            self.check_queue(epoch);
        }
    }

    fn shadow_anywhere(&self) -> bool {
        self.daemons.len() > 1
    }

    /// Every process belongs to the current attempt of an active task, alone.
    fn wrong_process(&self) -> Option<(&'static str, String)> {
        let mut tasks: BTreeMap<TaskId, &JobId> = BTreeMap::new();
        let mut folders: BTreeMap<&str, &JobId> = BTreeMap::new();
        for (id, job) in self.disk.living() {
            let task = self.oracle.tasks.get(&id.task)?;
            if task.fence != id.fence || !task.state.word().is_active() {
                return Some((
                    "I2",
                    format!(
                        "{id:?} lives although its task is {} under {}",
                        task.state.word(),
                        task.fence
                    ),
                ));
            }
            if let Some(other) = tasks.insert(id.task, id) {
                return Some(("I2", format!("{other:?} and {id:?} live at the same time")));
            }
            if let Some(folder) = &job.exclusive
                && let Some(other) = folders.insert(folder, id)
            {
                return Some((
                    "in-place",
                    format!("{other:?} and {id:?} live in one folder"),
                ));
            }
        }
        None
    }

    /// A job is about to start.
    pub(crate) fn check_start(&mut self, id: &JobId, _exclusive: Option<&str>) {
        let Ok(Some(stored)) = self.reader.task(id.task) else {
            self.violate("I4", format!("{id:?} starts for a task that is not stored"));
            return;
        };
        let task = stored.task;
        if task.fence != id.fence {
            self.violate(
                "I4",
                format!("{id:?} starts, but the stored fence is {}", task.fence),
            );
        } else if !task.state.word().is_active() {
            self.violate(
                "I4",
                format!("{id:?} starts for a task that is {}", task.state.word()),
            );
        } else if id.kind == JobKind::Session
            && task
                .budget_percent(Usage::default())
                .is_some_and(|p| p >= 100)
        {
            self.violate("I10", format!("{id:?} starts over budget"));
        } else if self
            .disk
            .living()
            .any(|(other, _)| other.task == id.task && other != id)
        {
            self.violate(
                "I2",
                format!("{id:?} starts beside another process of its task"),
            );
        }
    }

    /// Nothing happens any more: every task has come to rest for a reason a person can see.
    pub(crate) fn check_end(&mut self) {
        self.check_accepted();
        if self.daemons.len() != 1 {
            self.violate(
                "liveness",
                format!("{} daemons at the end", self.daemons.len()),
            );
        }
        let tasks = self.oracle.tasks.clone();
        let capacity = &self.scenario.limits.capacity;
        let made = tasks.values().filter(|t| {
            !t.state.word().is_final()
                && t.carry.workspace.is_some()
                && t.terms.exclusive_folder.is_none()
        });
        let full = made.count() >= capacity.max_workspaces as usize;
        for task in tasks.values() {
            let rests = match &task.state {
                State::Done { .. } | State::Cancelled | State::NeedsHuman { .. } => true,
                State::Pending => task.terms.depends_on.iter().any(|d| {
                    tasks
                        .get(d)
                        .is_some_and(|d| !matches!(d.state, State::Done { .. }))
                }),
                State::Ready { .. } => {
                    full && task.carry.workspace.is_none() && task.terms.exclusive_folder.is_none()
                }
                State::Landing { .. } => self.waits_to_land(task.id),
                _ => false,
            };
            if !rests {
                self.violate(
                    "liveness",
                    format!(
                        "{} waits for ever: {:?}, held {}, stopping {:?}",
                        task.name, task.state, task.hold, task.halt
                    ),
                );
            }
            match self.reader.verify_chain(task.id) {
                Ok(Some(Chain::Intact { .. })) => {}
                other => self.violate("I1", format!("the chain of {}: {other:?}", task.name)),
            }
            if self.people.promises.get(&task.id) == Some(&Promise::Cancelled)
                && task.state != State::Cancelled
            {
                self.violate(
                    "T17",
                    format!("{} was cancelled and is {}", task.name, task.state.word()),
                );
            }
        }
        self.check_queue_end();
        self.check_overlaps_end();
        let alive = self.disk.living().next().map(|(id, _)| *id);
        if let Some(id) = alive {
            self.violate("I2", format!("{id:?} lives on"));
        }
    }
}

/// The moves of tasks.md.
const fn legal(from: StateWord, to: StateWord) -> bool {
    use StateWord as W;
    match from {
        W::Pending => matches!(to, W::Ready | W::Parked | W::Cancelled),
        W::Ready => matches!(to, W::Assigned | W::Parked | W::NeedsHuman | W::Cancelled),
        W::Assigned => matches!(
            to,
            W::Running
                | W::Verifying
                | W::Landing
                | W::Ready
                | W::Parked
                | W::NeedsHuman
                | W::Cancelled
        ),
        W::Running => matches!(
            to,
            W::Verifying
                | W::Landing
                | W::Ready
                | W::Parked
                | W::NeedsHuman
                | W::Done
                | W::Cancelled
        ),
        W::Verifying => matches!(
            to,
            W::Landing | W::Ready | W::Parked | W::NeedsHuman | W::Done | W::Cancelled
        ),
        W::Landing => matches!(
            to,
            W::Ready | W::Parked | W::NeedsHuman | W::Done | W::Cancelled
        ),
        W::Parked => matches!(to, W::Ready | W::Pending | W::Cancelled | W::Parked),
        W::NeedsHuman => matches!(
            to,
            W::Ready | W::Pending | W::Running | W::Landing | W::Done | W::Cancelled
        ),
        W::Done | W::Cancelled => false,
    }
}
