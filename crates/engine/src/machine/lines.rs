//! The lines of the merge queue in the picture: facts decided, their tasks told, effects asked for.
//!
//! A task that lands is always in its line and in no other: both change in one commit, and whatever
//! took the task out of the queue takes its entry out too.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use longhaul_core::fact::Fact;
use longhaul_core::ids::TaskId;
use longhaul_core::queue::{
    Candidate, EntryId, Line, LineId, Outcome, Point, QueueChange, QueueEffect, QueueFact,
    QueueNews, QueueOrder, QueuePolicy, Stage, Subject, ToTask, decide, outstanding,
};
use longhaul_core::spec::Land;
use longhaul_core::task::{State, Task};
use longhaul_core::time::{Now, UnixMs};
use longhaul_store::{LineStep, Store, StoreError, TreeVerdict, Write};

use super::{Edit, Machine, Step};

/// An effect of a line together with the line as it was committed.
#[derive(Clone, Debug)]
pub struct LineDispatch {
    /// The effect.
    pub effect: QueueEffect,
    /// The line.
    pub line: Line,
}

/// All lines.
#[derive(Default)]
pub(super) struct Lines {
    all: BTreeMap<LineId, Line>,
    /// Effects that came to no result yet, by the monotonic time of their next try.
    again: BTreeMap<u64, Vec<QueueEffect>>,
    watch: Watch,
}

/// What is still to be looked at. A step that is not stored has looked at nothing.
#[derive(Clone, Default)]
pub(super) struct Watch {
    /// Up to when what falls due of a line was looked at.
    looked: HashMap<LineId, UnixMs>,
    /// Tasks that land and have no entry yet.
    waiting: BTreeSet<TaskId>,
    /// Nothing new was tried when this was last looked at.
    held: bool,
}

impl Lines {
    pub(super) fn new(all: Vec<Line>) -> Self {
        Self {
            all: all.into_iter().map(|l| (l.id.clone(), l)).collect(),
            ..Self::default()
        }
    }

    pub(super) fn get(&self, id: &LineId) -> Option<&Line> {
        self.all.get(id)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Line> {
        self.all.values()
    }

    fn holds(&self, id: TaskId) -> Option<&Line> {
        let entry = EntryId::of_task(id);
        self.all.values().find(|l| l.entry(entry).is_some())
    }

    fn due(&self, line: &Line) -> Option<UnixMs> {
        line.due_after(self.watch.looked.get(&line.id).copied())
    }

    pub(super) fn next_due(&self) -> Option<UnixMs> {
        self.all.values().filter_map(|l| self.due(l)).min()
    }

    pub(super) fn next_again(&self) -> Option<u64> {
        self.again.keys().next().copied()
    }

    /// Whether one of them is at something.
    pub(super) fn at_work(&self) -> bool {
        self.all.values().any(|l| l.stage != Stage::Rest)
    }

    pub(super) fn postpone(&mut self, at: u64, effect: QueueEffect) {
        self.again.entry(at).or_default().push(effect);
    }

    /// Puts back what a step changed.
    pub(super) fn put_back(&mut self, lines: BTreeMap<LineId, Option<Line>>, watch: Option<Watch>) {
        if let Some(watch) = watch {
            self.watch = watch;
        }
        for (id, line) in lines {
            match line {
                Some(line) => self.all.insert(id, line),
                None => self.all.remove(&id),
            };
        }
    }
}

/// Whether the task is for the merge queue now.
fn goes_to_a_line(task: &Task) -> bool {
    matches!(task.state, State::Landing { .. }) && task.terms.land == Land::Yes
}

fn dispatch(line: &Line) -> Option<LineDispatch> {
    outstanding(line).map(|effect| LineDispatch {
        effect,
        line: line.clone(),
    })
}

impl<S: Store> Machine<S> {
    /// A line as it stands.
    #[must_use]
    pub fn line(&self, id: &LineId) -> Option<&Line> {
        self.lines.get(id)
    }

    /// All lines of the merge queue, by repository and base.
    pub fn lines(&self) -> impl Iterator<Item = &Line> {
        self.lines.all()
    }

    /// The effects of all lines: asked for at start, because nobody knows which were done (L18).
    #[must_use]
    pub fn recover_lines(&self) -> Vec<LineDispatch> {
        self.lines.all().filter_map(dispatch).collect()
    }

    /// Takes the lines anew from the store; tasks and entries that lost each other find back.
    pub(super) fn load_lines(&mut self) -> Result<(), StoreError> {
        let mut lines = Lines::new(self.store.lines()?);
        lines.watch.held = true;
        lines.watch.waiting = self
            .index
            .tasks()
            .filter(|t| goes_to_a_line(t) && lines.holds(t.id).is_none())
            .map(|t| t.id)
            .collect();
        self.lines = lines;
        Ok(())
    }

    /// To change what is looked at in this step.
    fn watch(&mut self) -> &mut Watch {
        let watch = &mut self.lines.watch;
        self.edit.watch_before.get_or_insert_with(|| watch.clone());
        watch
    }

    fn queue_policy(&self) -> QueuePolicy {
        QueuePolicy {
            held: self.holding().is_some(),
            ..self.limits.queue.clone()
        }
    }

    /// Decides a fact about a line and edits it accordingly; its tasks hear of it in the same step.
    pub(super) fn line_fact(&mut self, id: &LineId, fact: &QueueFact, now: Now) -> Outcome {
        let line = match self.lines.get(id) {
            Some(line) => line.clone(),
            None => Line::new(id.clone()),
        };
        let outcome = decide(&line, fact, now, &self.queue_policy());
        match &outcome {
            Outcome::Change(change) => self.apply_line(&line, fact, (**change).clone(), now),
            Outcome::Ignore(why) => tracing::debug!(line = %id, %why, "fact ignored"),
            Outcome::Refuse(why) => tracing::debug!(line = %id, %why, "order refused"),
        }
        outcome
    }

    fn apply_line(&mut self, before: &Line, fact: &QueueFact, change: QueueChange, now: Now) {
        let id = before.id.clone();
        let stored = (before.version > 0).then(|| before.clone());
        self.edit.lines_before.entry(id.clone()).or_insert(stored);
        if change.line.effort.not_before.is_some() {
            self.edit.lines_failed.insert(id.clone());
        }
        self.edit.writes.push(Write::Line(Box::new(LineStep {
            expect_version: before.version,
            line: change.line.clone(),
            rows: change.rows,
            green: green(before, fact, now),
        })));
        self.lines.all.insert(id, change.line);
        for ToTask { task, fence, news } in change.tasks {
            let news = Box::new(news);
            let _outcome = self.fact(task, &Fact::Landing { fence, news }, now);
        }
    }

    /// Takes the entry of a task out before the task goes elsewhere by a person's word; the reason if
    /// that cannot be now.
    pub(super) fn withdraw(&mut self, task: TaskId, why: &str, now: Now) -> Result<(), String> {
        let Some(line) = self.lines.holds(task).map(|l| l.id.clone()) else {
            return Ok(());
        };
        let fact = QueueFact::Withdraw {
            entry: EntryId::of_task(task),
            why: why.to_owned(),
        };
        match self.line_fact(&line, &fact, now) {
            Outcome::Refuse(why) => Err(why),
            Outcome::Change(_) | Outcome::Ignore(_) => Ok(()),
        }
    }

    /// What follows for the queue when a task changed.
    pub(super) fn queue_follows(&mut self, before: &Task, task: &Task, now: Now) {
        if !goes_to_a_line(task) {
            self.watch().waiting.remove(&task.id);
            return;
        }
        if !matches!(before.state, State::Landing { .. }) {
            self.watch().waiting.insert(task.id);
        } else if before.hold != task.hold
            && let Some(line) = self.lines.holds(task.id).map(|l| l.id.clone())
        {
            let entry = EntryId::of_task(task.id);
            let order = if task.hold {
                QueueOrder::Hold { entry }
            } else {
                QueueOrder::Release { entry }
            };
            let _outcome = self.line_fact(&line, &QueueFact::Order { order }, now);
        }
    }

    /// Brings tasks that land into their lines. One whose specification cannot be read waits.
    pub(super) fn enter_waiting(&mut self, now: Now) {
        if self.lines.watch.waiting.is_empty() {
            return;
        }
        for id in std::mem::take(&mut self.watch().waiting) {
            let Some(task) = self.index.get(id).filter(|t| goes_to_a_line(t)).cloned() else {
                continue;
            };
            let spec = match self.reader.spec(id) {
                Ok(Some(spec)) => spec,
                Ok(None) => continue,
                Err(error) => {
                    tracing::error!(task = %id, %error, "a task's specification cannot be read; it waits to land");
                    self.watch().waiting.insert(id);
                    continue;
                }
            };
            let (line, entry) = super::entry::of_task(&task, &spec, self.limits.merge_style, now);
            let entry = Box::new(entry);
            let _outcome = self.line_fact(&line, &QueueFact::Enter { entry }, now);
        }
    }

    /// Looks at the lines whose time has come, and at all of them when work may start again.
    pub(super) fn tick_lines(&mut self, now: Now, step: &mut Step) {
        let held = self.holding().is_some();
        let lifted = self.lines.watch.held && !held;
        if held != self.lines.watch.held {
            self.watch().held = held;
        }
        let due: Vec<LineId> = self
            .lines
            .all()
            .filter(|l| lifted || self.lines.due(l).is_some_and(|at| at <= now.wall))
            .map(|l| l.id.clone())
            .collect();
        for id in due {
            self.watch().looked.insert(id.clone(), now.wall);
            let Some(line) = self.lines.get(&id) else {
                continue;
            };
            if line.stage == Stage::Rest {
                let _outcome = self.line_fact(&id, &QueueFact::Tick, now);
            } else if line.effort.not_before.is_some_and(|at| at <= now.wall)
                && !self.edit.lines_before.contains_key(&id)
            {
                step.lines.extend(dispatch(line));
            }
        }
    }

    /// What came to no result and is to be tried again by now; after the commit, or a step that failed would
    /// forget it.
    pub(super) fn repeat_lines(&mut self, now: Now, step: &mut Step) {
        let again = &mut self.lines.again;
        while let Some(entry) = again.first_entry().filter(|e| *e.key() <= now.mono_ms) {
            for effect in entry.remove() {
                let line = self.lines.all.get(&effect.line);
                let waits = |l: &&Line| l.effort.not_before.is_some_and(|at| at > now.wall);
                // What the line needs *now*, as with tasks: the effect that followed in the same round may have
                // been passed over while this one was at work.
                let current = line.filter(|l| !waits(l)).and_then(dispatch);
                if let Some(d) = current.filter(|d| d.effect.round == effect.round)
                    && !step.lines.iter().any(|e| e.effect == d.effect)
                {
                    step.lines.push(d);
                }
            }
        }
    }

    /// Everything that runs for the queue is stopped (T16).
    pub(super) fn stop_lines(&mut self, now: Now) {
        let all: Vec<LineId> = self.lines.all().map(|l| l.id.clone()).collect();
        for id in all {
            let _outcome = self.line_fact(&id, &QueueFact::Estop, now);
        }
    }

    /// The effects that follow from a step that was committed.
    pub(super) fn line_effects(&self, edit: &Edit, now: Now, step: &mut Step) {
        for (id, before) in &edit.lines_before {
            let Some(line) = self.lines.get(id) else {
                continue;
            };
            let waits = line.effort.not_before.is_some_and(|at| at > now.wall);
            // What had failed and waited, if only for a moment of this step, is not being done by anybody: it
            // is asked for again, whatever ended the wait.
            let failed =
                |l: &&Line| l.effort.not_before.is_some() || edit.lines_failed.contains(id);
            let was = before.as_ref().filter(|l| !failed(l)).and_then(outstanding);
            step.lines.retain(|d| d.effect.line != *id);
            step.lines
                .extend(dispatch(line).filter(|d| !waits && Some(&d.effect) != was.as_ref()));
        }
        step.lines.sort_by(|a, b| a.effect.line.cmp(&b.effect.line));
        step.lines.dedup_by(|a, b| a.effect == b.effect);
    }
}

/// The verdict to remember, if this news is one that passed.
fn green(line: &Line, fact: &QueueFact, now: Now) -> Option<TreeVerdict> {
    let QueueFact::Round {
        news: QueueNews::Judged { judgement },
        ..
    } = fact
    else {
        return None;
    };
    let Stage::Check {
        candidate, subject, ..
    } = &line.stage
    else {
        return None;
    };
    if !judgement.pass || judgement.cached || judgement.subject != *subject {
        return None;
    }
    let check = candidate.checks.get(usize::from(judgement.check))?;
    Some(TreeVerdict {
        tree: subject_of(candidate, *subject).tree.clone(),
        key: check.key.clone(),
        judgement: (**judgement).clone(),
        at: now.wall,
    })
}

/// The commit that a check judges.
const fn subject_of(candidate: &Candidate, subject: Subject) -> &Point {
    match subject {
        Subject::Candidate => &candidate.point,
        Subject::Parent => &candidate.onto,
    }
}
