//! The dispatcher's state and its one step: events in; commits; effects and replies out.
//!
//! It has no clock, no thread and no file of its own: the same events give the same ledger, which is
//! what the simulator relies on. Everything is edited in memory first, committed as one batch, and
//! put back if the commit fails; nothing acts before the commit.

mod commands;
mod commit;
mod entry;
mod fold;
mod homes;
mod index;
mod lines;
mod overlaps;
mod queue_orders;
mod slots;
mod status;
mod submit;
mod wake;
mod windows;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use longhaul_core::effect::{Effect, outstanding};
use longhaul_core::ids::{Fence, TaskId};
use longhaul_core::overlap::OverlapStrategy;
use longhaul_core::policy::Policy;
use longhaul_core::queue::{Line, LineId, MergeStyle, QueuePolicy};
use longhaul_core::schedule::Capacity;
use longhaul_core::task::{Need, Task};
use longhaul_core::time::{Now, UnixMs};
use longhaul_core::window::Window;
use longhaul_store::{Reader, Store, StoreError, Write};
use uuid::Uuid;

use crate::event::Event;
use crate::handle::{LiveSession, Reply};
use homes::HomeWatch;
use index::Index;
use lines::Lines;

pub use lines::LineDispatch;

/// Numbers and switches from the settings.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Slots.
    pub capacity: Capacity,
    /// Retries, back-offs, waits.
    pub policy: Policy,
    /// The merge queue.
    pub queue: QueuePolicy,
    /// How tasks land.
    pub merge_style: MergeStyle,
    /// What follows when two live sessions change the same file (L19).
    pub live_conflicts: OverlapStrategy,
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

/// A task that needs a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asking {
    /// The task.
    pub task: TaskId,
    /// Its name.
    pub name: String,
    /// What for.
    pub need: Need,
}

/// What one step leads to, after its commit.
#[derive(Default)]
pub struct Step {
    /// Effects to ensure.
    pub effects: Vec<Dispatch>,
    /// Effects of the merge queue's lines to ensure.
    pub lines: Vec<LineDispatch>,
    /// Answers to give.
    pub replies: Vec<Answer>,
    /// Tasks that need a person since this step.
    pub needs: Vec<Asking>,
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
    lines: Lines,
    live: HashMap<TaskId, (Fence, LiveSession)>,
    windows: HashMap<String, Window>,
    homes: HomeWatch,
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
    /// Lines as they were before the step; `None` = there was none.
    lines_before: BTreeMap<LineId, Option<Line>>,
    /// Lines whose effect ended in a failure during the step.
    lines_failed: BTreeSet<LineId>,
    watch_before: Option<lines::Watch>,
    windows_before: Option<HashMap<String, Window>>,
    switches_before: Option<Switches>,
    /// Tasks that joined the live set and have to look at their dependencies.
    settled: BTreeSet<TaskId>,
    /// Whose login is gone while their tasks go on elsewhere: a person is told.
    broken_homes: Vec<Asking>,
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
            lines: Lines::default(),
            live: HashMap::new(),
            windows: HashMap::new(),
            homes: HomeWatch::default(),
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
        self.load_use(&flags);
        self.look_at_homes();
        self.load_lines()?;
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
                // Not kept: the next look tells what is so then.
                Event::Touched(seen) => self.touched(&seen, now),
                Event::Line { line, fact } => {
                    let _outcome = self.line_fact(&line, &fact, now);
                    kept.push(Event::Line { line, fact });
                }
                Event::LineAgain {
                    effect,
                    after_ms,
                    why,
                } => {
                    tracing::info!(line = %effect.line, round = effect.round, %why, after_ms, "an effect of the queue will be tried again");
                    self.lines.postpone(now.mono_ms + after_ms, effect);
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
                Event::Homes { homes } => self.use_homes(homes),
                Event::Tick => {}
                Event::Stop => stop = true,
            }
        }
        step.shutdown |= stop;
        self.release_strays(now);
        self.follow_homes(now);
        self.rest_launches(now);
        self.wake_due(now);
        self.enter_waiting(now);
        self.tick_lines(now, &mut step);
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
                Event::Fact { .. }
                | Event::Again { .. }
                | Event::Line { .. }
                | Event::LineAgain { .. }
                | Event::Floors { .. }
                | Event::Homes { .. } => {
                    self.backlog.push(event);
                }
                Event::Tick | Event::Touched(_) => {}
                Event::Stop => step.shutdown = true,
            }
        }
        self.failing = true;
        step
    }

    /// The wall-clock time at which the next parked or backed-off task is due, if any.
    #[must_use]
    pub fn next_due(&self) -> Option<UnixMs> {
        self.index
            .next_due()
            .into_iter()
            .chain(self.lines.next_due())
            .chain(self.homes.next_due())
            .min()
    }

    /// The monotonic time at which the next postponed effect is due, if any.
    #[must_use]
    pub fn next_again(&self) -> Option<u64> {
        let tasks = self.again.keys().next().copied();
        tasks.into_iter().chain(self.lines.next_again()).min()
    }

    /// True if a task holds a slot or the merge queue is at something.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.index.load().total() > 0 || self.lines.at_work()
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
}

fn dispatch(task: &Task) -> Option<Dispatch> {
    outstanding(task).map(|effect| Dispatch {
        effect,
        task: task.clone(),
    })
}
