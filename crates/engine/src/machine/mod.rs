//! The dispatcher's state and its one step: events in; commits; effects and replies out.
//!
//! It has no clock, no thread and no file of its own: the same events give the same ledger, which is
//! what the simulator relies on. Everything is edited in memory first, committed as one batch, and
//! put back if the commit fails; nothing acts before the commit.

mod commands;
mod index;
mod submit;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use longhaul_core::attempt::AttemptEnd;
use longhaul_core::decide::{Change, Outcome, decide};
use longhaul_core::effect::{Effect, outstanding};
use longhaul_core::fact::{Fact, News, Release};
use longhaul_core::ids::{Fence, TaskId};
use longhaul_core::policy::Policy;
use longhaul_core::schedule::Capacity;
use longhaul_core::task::{AssignStep, ParkCause, State, StateWord, Task};
use longhaul_core::time::{Now, UnixMs};
use longhaul_core::window::Window;
use longhaul_store::{Applied, Reader, Refusal, Store, StoreError, Write};
use uuid::Uuid;

use crate::event::Event;
use crate::handle::{LiveSession, Reply};
use index::Index;

/// Numbers and switches from the settings.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Slots.
    pub capacity: Capacity,
    /// Retries, back-offs, waits.
    pub policy: Policy,
}

/// Refused commits in a row after which the daemon ends: it does not understand its store.
const MAX_REFUSALS: u32 = 5;

/// Flags that survive a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Switches {
    pub(crate) drain: bool,
    pub(crate) estop: bool,
}

/// An effect together with the task as it was committed.
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// The effect.
    pub effect: Effect,
    /// The task.
    pub task: Task,
}

/// What one step leads to, after its commit.
#[derive(Default)]
pub struct Step {
    /// Effects to ensure.
    pub effects: Vec<Dispatch>,
    /// Answers to give.
    pub replies: Vec<Answer>,
    /// Tasks that need a person since this step.
    pub needs: Vec<TaskId>,
    /// The newest sequence number of the ledger, if something was written.
    pub advanced: Option<u64>,
    /// A person asked the daemon to end.
    pub shutdown: bool,
    /// The store could not write; nothing of this step is acted on, its facts are kept.
    pub store_trouble: Option<String>,
}

/// An answer with the place it goes to.
pub struct Answer {
    /// Called once.
    pub to: Box<dyn FnOnce(Reply) + Send>,
    /// With this.
    pub reply: Reply,
}

/// The dispatcher's state.
pub struct Machine<S> {
    store: S,
    reader: Box<dyn Reader>,
    limits: Limits,
    index: Index,
    live: HashMap<TaskId, (Fence, LiveSession)>,
    windows: HashMap<String, Window>,
    switches: Switches,
    lacking: Option<String>,
    /// Facts whose commit failed.
    backlog: Vec<Event>,
    /// The last commit failed: what was decided then has to be decided again, though nothing was said.
    failing: bool,
    /// Nobody could say whether the last commit took place: before anything else is decided, the
    /// picture is taken anew from what is stored.
    doubt: bool,
    /// The picture was taken anew, so all effects have to be asked for again.
    reask: bool,
    /// Commits in a row of which the store refused a write.
    refusals: u32,
    again: BTreeMap<u64, Vec<Effect>>,
    new_op: Box<dyn FnMut() -> Uuid + Send>,
    edit: Edit,
    about: About,
    newest: u64,
}

/// What became of a batch.
enum Committed {
    /// Stored; the ledger's newest sequence number.
    Upto(u64),
    /// One write was refused.
    Refused(Refusal),
}

/// Facts about this daemon for `status`.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// Process id.
    pub pid: u32,
    /// Version text.
    pub version: String,
    /// Start time.
    pub started_at: UnixMs,
}

/// One step's uncommitted edits.
#[derive(Default)]
struct Edit {
    writes: Vec<Write>,
    /// Tasks as they were before the step.
    before: HashMap<TaskId, Option<Task>>,
    windows_before: Option<HashMap<String, Window>>,
    switches_before: Option<Switches>,
    /// Tasks that joined the live set and have to look at their dependencies.
    settled: BTreeSet<TaskId>,
}

impl<S: Store> Machine<S> {
    /// Takes over what the store holds. `new_op` gives fresh ids for ledger rows.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub fn open(
        store: S,
        limits: Limits,
        about: About,
        new_op: impl FnMut() -> Uuid + Send + 'static,
    ) -> Result<Self, StoreError> {
        let reader = store.reader()?;
        let mut machine = Self {
            store,
            reader,
            limits,
            index: Index::default(),
            live: HashMap::new(),
            windows: HashMap::new(),
            switches: Switches::default(),
            lacking: None,
            backlog: Vec::new(),
            failing: false,
            doubt: false,
            reask: false,
            refusals: 0,
            again: BTreeMap::new(),
            new_op: Box::new(new_op),
            edit: Edit::default(),
            about,
            newest: 0,
        };
        machine.load()?;
        Ok(machine)
    }

    /// Takes the picture in memory anew from the store.
    fn load(&mut self) -> Result<(), StoreError> {
        let flags = self.store.flags()?;
        let on = |name: &str| flags.get(name).and_then(serde_json::Value::as_bool) == Some(true);
        let switches = Switches {
            drain: on("drain"),
            estop: on("estop"),
        };
        let windows = self.store.windows()?;
        let newest = self.reader.newest_seq()?;
        let mut index = Index::default();
        for task in self.store.live()? {
            index.put(task.id, Some(task));
        }
        self.index = index;
        self.windows = windows.into_iter().map(|w| (w.scope.clone(), w)).collect();
        self.switches = switches;
        self.newest = newest;
        self.load_dependency_results()
    }

    /// The effects of all live tasks: asked for at start, because nobody knows which were done (T18).
    pub fn recover(&mut self) -> Vec<Dispatch> {
        let mut all: Vec<Dispatch> = self.index.tasks().filter_map(dispatch).collect();
        all.sort_by_key(|d| d.effect.task);
        all
    }

    /// One step: all events, one commit, then what follows from it.
    pub fn step(&mut self, events: Vec<Event>, now: Now) -> Step {
        let mut step = Step::default();
        if self.doubt {
            if let Err(error) = self.load() {
                return self.wait_for_sight(events, &error);
            }
            self.doubt = false;
            self.reask = true;
        }
        let mut kept = Vec::new();
        let mut answers = Vec::new();
        let mut stop = false;
        let mut events_in = std::mem::take(&mut self.backlog);
        events_in.extend(events);
        for event in events_in {
            match event {
                Event::Request(request) => {
                    let reply = self.command(request.command, now, &mut step);
                    answers.push(Answer {
                        to: request.reply,
                        reply,
                    });
                }
                Event::Fact { task, fact } => {
                    let _outcome = self.fact(task, &fact, now);
                    kept.push(Event::Fact { task, fact });
                }
                Event::Live { task, fence, live } => {
                    kept.extend(self.note_live(task, fence, *live, now));
                }
                Event::Again {
                    effect,
                    after_ms,
                    why,
                } => {
                    tracing::info!(task = %effect.task, fence = %effect.fence, %why, after_ms, "effect will be tried again");
                    self.again
                        .entry(now.mono_ms + after_ms)
                        .or_default()
                        .push(effect);
                }
                Event::Floors { lacking } => {
                    if lacking != self.lacking {
                        match &lacking {
                            Some(why) => tracing::warn!(%why, "nothing new starts"),
                            None => tracing::info!("new work starts again"),
                        }
                    }
                    self.lacking = lacking;
                }
                Event::Tick => {}
                Event::Stop => stop = true,
            }
        }
        step.shutdown |= stop;
        self.release_strays(now);
        self.rest_launches(now);
        self.wake_due(now);
        self.release_dependents(now);
        self.schedule(now);
        let mut step = self.finish(step, answers, kept, now);
        // Whoever is told to end ends, whatever the store says; what was not stored is seen again.
        step.shutdown |= stop;
        step
    }

    /// The store cannot be read, and what it holds is in doubt: nothing is decided, all is kept.
    fn wait_for_sight(&mut self, events: Vec<Event>, error: &StoreError) -> Step {
        let why = error.to_string();
        let mut step = Step {
            store_trouble: Some(why.clone()),
            ..Step::default()
        };
        for event in events {
            match event {
                Event::Request(request) => step.replies.push(Answer {
                    to: request.reply,
                    reply: commands::unavailable(&why),
                }),
                Event::Live { task, .. } => {
                    // Only the newest picture of a session counts.
                    self.backlog
                        .retain(|e| !matches!(e, Event::Live { task: t, .. } if *t == task));
                    self.backlog.push(event);
                }
                Event::Fact { .. } | Event::Again { .. } | Event::Floors { .. } => {
                    self.backlog.push(event);
                }
                Event::Tick => {}
                Event::Stop => step.shutdown = true,
            }
        }
        self.failing = true;
        step
    }

    /// The wall-clock time at which the next parked or backed-off task is due, if any.
    #[must_use]
    pub fn next_due(&self) -> Option<UnixMs> {
        self.index.next_due()
    }

    /// The monotonic time at which the next postponed effect is due, if any.
    #[must_use]
    pub fn next_again(&self) -> Option<u64> {
        self.again.keys().next().copied()
    }

    /// True if a task holds a slot.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.index.load().total() > 0
    }

    /// True if something waits for the store to write again: facts, or a move whose time has come.
    #[must_use]
    pub const fn has_backlog(&self) -> bool {
        self.failing
    }

    /// The store, for idle work.
    pub fn store_mut(&mut self) -> &mut S {
        &mut self.store
    }

    /// A live task as it stands.
    #[must_use]
    pub fn task(&self, id: TaskId) -> Option<&Task> {
        self.index.get(id)
    }

    /// All live tasks, in no order.
    pub fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.index.tasks()
    }

    fn finish(&mut self, mut step: Step, answers: Vec<Answer>, kept: Vec<Event>, now: Now) -> Step {
        let edit = std::mem::take(&mut self.edit);
        if !edit.writes.is_empty() {
            match self.commit(&edit.writes) {
                Ok(Committed::Upto(seq)) => step.advanced = Some(seq),
                Ok(Committed::Refused(refusal)) => {
                    // One daemon owns the store (T19), so somebody else wrote, or a decision was made
                    // on a wrong picture. Nothing acts on it: everything is taken anew from what is
                    // stored, and the facts are decided again. If that does not help, end.
                    self.refusals += 1;
                    self.failing = true;
                    self.backlog = kept;
                    step.store_trouble = Some(format!("the store refused a write: {refusal}"));
                    let loaded = self.load();
                    if self.refusals >= MAX_REFUSALS || loaded.is_err() {
                        step.shutdown = true;
                    } else {
                        step.effects = self.recover();
                    }
                    step.replies = answers
                        .into_iter()
                        .map(|a| Answer {
                            to: a.to,
                            reply: commands::unavailable("it looks at its tasks anew"),
                        })
                        .collect();
                    return step;
                }
                Err(error) => {
                    let why = error.to_string();
                    self.put_back(edit);
                    self.backlog = kept;
                    self.failing = true;
                    step.replies = answers
                        .into_iter()
                        .map(|a| Answer {
                            to: a.to,
                            reply: if self.doubt {
                                commands::doubtful(&why)
                            } else {
                                commands::unavailable(&why)
                            },
                        })
                        .collect();
                    step.store_trouble = Some(why);
                    step.shutdown = false;
                    return step;
                }
            }
        }
        self.failing = false;
        self.refusals = 0;
        step.replies = answers;
        for (id, before) in &edit.before {
            let Some(task) = self.index.get(*id) else {
                continue;
            };
            let was = before.as_ref().and_then(outstanding);
            if let Some(d) = dispatch(task).filter(|d| Some(&d.effect) != was.as_ref()) {
                step.effects.push(d);
            }
            let needed = before.as_ref().map(|t| t.state.word()) == Some(StateWord::NeedsHuman);
            if task.state.word() == StateWord::NeedsHuman && !needed {
                step.needs.push(*id);
            }
            if !matches!(task.state, State::Running { .. }) {
                self.live.remove(id);
            }
        }
        if std::mem::take(&mut self.reask) {
            for d in self.recover() {
                if !step.effects.iter().any(|e| e.effect == d.effect) {
                    step.effects.push(d);
                }
            }
        }
        step.effects.sort_by_key(|d| d.effect.task);
        step.needs.sort_unstable();
        self.index.forget_final(edit.before.keys().copied());
        self.repeat_postponed(now, &mut step);
        step
    }

    /// Commits a batch; a commit of unknown outcome is looked up before anything is concluded.
    fn commit(&mut self, writes: &[Write]) -> Result<Committed, StoreError> {
        match self.store.commit(writes) {
            Ok(results) => {
                let mut newest = self.newest;
                for result in results {
                    match result {
                        Ok(Applied::Ledger { last, .. }) => newest = newest.max(last),
                        Ok(Applied::Before | Applied::Stored | Applied::HostEpoch(_)) => {}
                        Err(refusal) => return Ok(Committed::Refused(refusal)),
                    }
                }
                self.newest = newest;
                Ok(Committed::Upto(newest))
            }
            Err(unknown @ StoreError::CommitUnknown { .. }) => {
                let took_place = self.took_place(writes).inspect_err(|_| self.doubt = true)?;
                if took_place {
                    self.newest = self.newest.max(self.reader.newest_seq()?);
                    Ok(Committed::Upto(self.newest))
                } else {
                    Err(unknown)
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Whether a batch is stored. It is stored whole or not at all, so one trace of it answers; a flag
    /// or window that was as wanted before is no harm either way.
    fn took_place(&mut self, writes: &[Write]) -> Result<bool, StoreError> {
        for write in writes {
            match write {
                Write::Step(step) => return Ok(self.store.applied(step.op_id)?.is_some()),
                Write::Submit(submission) => {
                    return Ok(self.reader.submission(submission.id)?.is_some());
                }
                _ => {}
            }
        }
        for write in writes {
            match write {
                Write::Flag { name, value } => {
                    return Ok(self.store.flags()?.get(name) == Some(value));
                }
                Write::Window(window) => {
                    return Ok(self.store.windows()?.contains(window));
                }
                Write::ClearWindow { scope } => {
                    return Ok(!self.store.windows()?.iter().any(|w| w.scope == *scope));
                }
                _ => {}
            }
        }
        Ok(false)
    }

    fn repeat_postponed(&mut self, now: Now, step: &mut Step) {
        while let Some(entry) = self.again.first_entry().filter(|e| *e.key() <= now.mono_ms) {
            for effect in entry.remove() {
                // What is asked for is what the task needs *now*: whoever could not finish had perhaps
                // begun under an earlier step of the same attempt (it launched, and the task runs
                // since), and then the later effect was passed over while it was at work.
                let current = self.index.get(effect.task).and_then(dispatch);
                if let Some(d) = current.filter(|d| d.effect.fence == effect.fence)
                    && !step.effects.iter().any(|e| e.effect == d.effect)
                {
                    step.effects.push(d);
                }
            }
        }
    }

    /// The commit failed: everything is as it was before the step.
    fn put_back(&mut self, edit: Edit) {
        for (id, before) in edit.before {
            self.index.put(id, before);
        }
        if let Some(windows) = edit.windows_before {
            self.windows = windows;
        }
        if let Some(switches) = edit.switches_before {
            self.switches = switches;
        }
    }

    /// Decides a fact and edits the task accordingly.
    fn fact(&mut self, id: TaskId, fact: &Fact, now: Now) -> Outcome {
        let Some(task) = self.index.get(id).cloned().or_else(|| self.finished(id)) else {
            return Outcome::Ignore("no such task");
        };
        let outcome = decide(&task, fact, now, &self.limits.policy);
        match &outcome {
            Outcome::Change(change) => self.apply((**change).clone(), &task),
            Outcome::Ignore(why) => {
                tracing::debug!(task = %id, %why, "fact ignored");
            }
            Outcome::Refuse(why) => tracing::debug!(task = %id, %why, "order refused"),
        }
        if let Fact::Attempt {
            fence,
            news: News::Spent { .. },
        } = fact
            && *fence == task.fence
        {
            self.close_window_if_working(&task);
        }
        outcome
    }

    fn finished(&self, id: TaskId) -> Option<Task> {
        match self.reader.task(id) {
            Ok(found) => found.map(|f| f.task),
            Err(error) => {
                tracing::error!(task = %id, %error, "a task could not be read");
                None
            }
        }
    }

    fn apply(&mut self, change: Change, before: &Task) {
        let task = change.task.clone();
        if let Some(window) = &change.window {
            self.open_window(window.clone());
        }
        let end = task.attempt.as_ref().and_then(|a| a.end.as_ref());
        if matches!(end, Some(AttemptEnd::Completed { .. })) {
            self.close_window_if_working(&task);
        }
        let op_id = (self.new_op)();
        // The window is written by itself: a known far reset is never shortened (A5).
        let step = longhaul_store::Step::of(
            before,
            Change {
                window: None,
                ..change
            },
            op_id,
        );
        self.edit.writes.push(Write::Step(Box::new(step)));
        if task.state.word().is_final() || task.state.word() == StateWord::NeedsHuman {
            self.edit.settled.insert(task.id);
        }
        self.edit_task(task.id, Some(task));
    }

    /// Replaces a task in memory, remembering what it was before the step.
    fn edit_task(&mut self, id: TaskId, task: Option<Task>) {
        let before = self.index.put(id, task);
        self.edit.before.entry(id).or_insert(before);
    }

    /// Parked tasks whose time has come.
    fn wake_due(&mut self, now: Now) {
        for id in self.index.due(now.wall) {
            let _outcome = self.fact(id, &Fact::Due, now);
        }
    }

    /// Tasks that were still being stopped for a drain or an estop when it was lifted: what they would
    /// wait for has happened already (T16).
    fn release_strays(&mut self, now: Now) {
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
    fn rest_launches(&mut self, now: Now) {
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
            let window = task.and_then(|t| self.windows.get(&t.terms.harness));
            if let Some(window) = window.filter(|w| w.until > now.wall).cloned() {
                let _outcome = self.fact(id, &Fact::ScopeRests { window }, now);
            }
        }
    }

    /// Pending tasks all of whose dependencies are done (T3).
    fn release_dependents(&mut self, now: Now) {
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

    /// Takes in what the sensors know; returns the fact in it, to be kept if the commit fails.
    fn note_live(
        &mut self,
        task: TaskId,
        fence: Fence,
        live: LiveSession,
        now: Now,
    ) -> Option<Event> {
        let current = self.index.get(task)?;
        if current.fence != fence {
            return None;
        }
        let usage = live.usage;
        let changed = self
            .live
            .get(&task)
            .is_none_or(|(f, l)| *f != fence || l.usage != usage);
        self.live.insert(task, (fence, live));
        if !changed || usage.is_zero() {
            return None;
        }
        let fact = Fact::Attempt {
            fence,
            news: News::Spent { usage },
        };
        let _outcome = self.fact(task, &fact, now);
        Some(Event::Fact { task, fact })
    }

    fn open_window(&mut self, window: Window) {
        self.edit
            .windows_before
            .get_or_insert_with(|| self.windows.clone());
        let slot = self
            .windows
            .entry(window.scope.clone())
            .or_insert_with(|| window.clone());
        // A known far reset is never shortened (A5).
        if window.until >= slot.until {
            *slot = window;
        }
        self.edit.writes.push(Write::Window(slot.clone()));
    }

    /// A session that started after the reset does real work: the wake is verified (A4).
    fn close_window_if_working(&mut self, task: &Task) {
        let scope = &task.terms.harness;
        let Some(window) = self.windows.get(scope) else {
            return;
        };
        let started = task.attempt.as_ref().and_then(|a| a.started_at);
        if started.is_some_and(|t| t >= window.until) {
            self.edit
                .windows_before
                .get_or_insert_with(|| self.windows.clone());
            self.windows.remove(scope);
            self.edit.writes.push(Write::ClearWindow {
                scope: scope.clone(),
            });
        }
    }
}

fn dispatch(task: &Task) -> Option<Dispatch> {
    outstanding(task).map(|effect| Dispatch {
        effect,
        task: task.clone(),
    })
}
