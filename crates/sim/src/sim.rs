//! One run: the queue of what happens next on the virtual clock, until nothing does any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use longhaul_core::ids::TaskId;
use longhaul_core::overlap::OverlapStrategy;
use longhaul_core::time::{Now, UnixMs};
use longhaul_engine::handle::Reply;
use longhaul_engine::machine::LineDispatch;
use longhaul_store::{MemoryStore, Reader, Store};

use crate::daemon::{Daemon, Note};
use crate::disk::{Disk, JobId};
use crate::oracle::Oracle;
use crate::people::People;
use crate::queue::{Depot, QueueOracle, SlotCourse, SlotId, SlotJob};
use crate::report::{Outcome, Violation};
use crate::rng::Rng;
use crate::scenario::Scenario;
use crate::store::{FaultStore, Faults};

/// Wall clock at the start of every run.
const EPOCH_MS: i64 = 1_760_000_000_000;
/// Lines of the trace that a violation carries.
const LAST_LINES: usize = 60;
/// Steps after which a run that does not come to rest is taken for one that never will.
const MOST_STEPS: u64 = 60_000;

/// A wrong part that the checks must notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// The store writes a move whatever the task has become (two daemons).
    NoCompareAndSet,
    /// The store says yes to a commit that it loses.
    LostCommit,
    /// The store keeps a part of a transaction.
    TornCommit,
    /// The executor starts a session without looking for the one that is there.
    LaunchTwice,
    /// Reports of an older fence are passed on as news of the current one.
    OldFence,
    /// Effects are handed out although the commit failed.
    ActFirst,
    /// A check without a verdict counts as passed.
    OpenCheck,
    /// Unknown liveness is taken for gone.
    UnknownIsGone,
    /// A thread that breaks says nothing.
    SilentThread,
    /// A halt says that it is over before the process is.
    HastyHalt,
    /// A drain or estop is acknowledged and not kept.
    ForgottenSwitch,
    /// A check of a merged tree that was lost or stopped counts as passed.
    OpenLandCheck,
    /// A landing moves the integration ref wherever it stands.
    LandBlindly,
    /// A landing that is asked for again is done again.
    LandTwice,
    /// Of a candidate only the first entry is landed.
    LandHalf,
    /// Checks of a round that was given up are said to have ended, and go on.
    HastyClear,
    /// A thread that works for a line breaks and says nothing.
    SilentLine,
    /// News of an older round is passed on as news of the current one.
    OldRound,
    /// An entry that comes back begins at the end of the queue.
    YoungEntry,
    /// The store keeps a task's landing and loses its entry.
    LostEntry,
    /// What stands in an entry's way is not said.
    Unexplained,
}

impl Mutant {
    /// All of them, with the words of the command line.
    pub const ALL: [(Self, &'static str); 21] = [
        (Self::NoCompareAndSet, "no-compare-and-set"),
        (Self::LostCommit, "lost-commit"),
        (Self::TornCommit, "torn-commit"),
        (Self::LaunchTwice, "launch-twice"),
        (Self::OldFence, "old-fence"),
        (Self::ActFirst, "act-first"),
        (Self::OpenCheck, "open-check"),
        (Self::UnknownIsGone, "unknown-is-gone"),
        (Self::SilentThread, "silent-thread"),
        (Self::HastyHalt, "hasty-halt"),
        (Self::ForgottenSwitch, "forgotten-switch"),
        (Self::OpenLandCheck, "open-land-check"),
        (Self::LandBlindly, "land-blindly"),
        (Self::LandTwice, "land-twice"),
        (Self::LandHalf, "land-half"),
        (Self::HastyClear, "hasty-clear"),
        (Self::SilentLine, "silent-line"),
        (Self::OldRound, "old-round"),
        (Self::YoungEntry, "young-entry"),
        (Self::LostEntry, "lost-entry"),
        (Self::Unexplained, "unexplained"),
    ];
}

/// How to run a seed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Keep everything that happens.
    pub trace: bool,
    /// With this wrong part.
    pub mutant: Option<Mutant>,
    /// Without any fault: the twin that runs with benign faults are compared with.
    pub calm: bool,
    /// No task lands, and nobody uses the merge queue.
    pub without_queue: bool,
}

/// Something that happens at a time.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// The dispatcher of this daemon gets something.
    Deliver(u64, Note),
    /// The dispatcher of this daemon takes what is there.
    Step(u64),
    /// Its timer ran out, unless another was set.
    Timer(u64, u64),
    /// A thread of its executor goes on.
    Thread(u64, u64),
    /// A thread that works for a line goes on.
    LineThread(u64, u64),
    /// A job's program goes on.
    Job(JobId, u64, Course),
    /// A check's program in a slot of the queue ends.
    Slot(SlotId, u64, SlotCourse),
    /// A child of git does its work although its daemon is gone.
    Orphan(Box<LineDispatch>),
    /// Somebody uses the queue, or commits beside it.
    Deed,
    /// The base branches are looked at.
    Watch,
    /// The workspaces of live sessions are looked into.
    Look,
    /// Somebody hands in a file.
    Submit(usize),
    /// Something is done to the world.
    Fault,
    /// Somebody says something.
    Order,
    /// A daemon starts.
    Start,
    /// The store is well again.
    Mend,
    /// There is room again.
    Room,
    /// Faults and orders end; everything is let go.
    Calm,
}

/// What a program does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    Up,
    Line(usize),
    Exit(bool),
    Stopped,
}

/// A run.
pub(crate) struct Sim {
    pub(crate) seed: u64,
    pub(crate) options: Options,
    pub(crate) scenario: Scenario,
    pub(crate) rng: Rng,
    pub(crate) t: u64,
    pub(crate) wall_offset: i64,
    pub(crate) booted_at: u64,
    seq: u64,
    pub(crate) queue: BTreeMap<(u64, u64), Item>,
    pub(crate) disk: Disk,
    pub(crate) store: MemoryStore,
    pub(crate) reader: Box<dyn Reader>,
    pub(crate) faults: Arc<Mutex<Faults>>,
    pub(crate) daemons: BTreeMap<u64, Daemon>,
    pub(crate) epoch: u64,
    pub(crate) ops: Arc<AtomicU64>,
    pub(crate) replies: Arc<Mutex<Vec<(u64, Reply)>>>,
    pub(crate) people: People,
    pub(crate) oracle: Oracle,
    pub(crate) depots: BTreeMap<String, Depot>,
    pub(crate) slots: BTreeMap<SlotId, SlotJob>,
    pub(crate) queue_oracle: QueueOracle,
    /// The base branches will be looked at.
    pub(crate) watching: bool,
    /// Looks at live sessions since the calm.
    pub(crate) last_looks: u32,
    pub(crate) lacking: Option<String>,
    pub(crate) calm: bool,
    pub(crate) steps: u64,
    pub(crate) threads_made: u64,
    pub(crate) runs_made: u64,
    pub(crate) violation: Option<(&'static str, String)>,
    trace: Vec<String>,
}

/// Runs a seed.
///
/// # Errors
/// The first invariant that did not hold.
pub fn run(seed: u64, options: Options) -> Result<Outcome, Box<Violation>> {
    let found = once(seed, options);
    match found {
        // The same again, with an eye on what led to it.
        Err(_) if !options.trace => once(
            seed,
            Options {
                trace: true,
                ..options
            },
        )
        .map_err(|mut v| {
            let skip = v.trace.len().saturating_sub(LAST_LINES);
            v.trace.drain(..skip);
            v
        }),
        other => other,
    }
}

fn once(seed: u64, options: Options) -> Result<Outcome, Box<Violation>> {
    let mut sim = Sim::new(seed, options);
    sim.prepare();
    while sim.violation.is_none() {
        let Some(((at, _), item)) = sim.queue.pop_first() else {
            sim.check_end();
            break;
        };
        sim.t = sim.t.max(at);
        sim.happen(item);
        if sim.steps > MOST_STEPS {
            sim.violate("liveness", "it does not come to rest".to_owned());
        }
    }
    sim.result()
}

/// Runs a seed twice and compares; where its faults are benign, also with its undisturbed twin.
///
/// # Errors
/// The first invariant that did not hold, or that the runs differ.
pub fn run_twice(seed: u64, options: Options) -> Result<Outcome, Box<Violation>> {
    let first = run(seed, options)?;
    let second = run(seed, options)?;
    let differ = |rule, detail| {
        Err(Box::new(Violation {
            seed,
            rule,
            detail,
            step: first.steps,
            at_ms: 0,
            trace: Vec::new(),
        }))
    };
    if first.ledger != second.ledger {
        let line = first
            .ledger
            .lines()
            .zip(second.ledger.lines())
            .find(|(a, b)| a != b);
        return differ("determinism", format!("two runs differ: {line:?}"));
    }
    if Scenario::of(seed, options.without_queue).malice.benign && options.mutant.is_none() {
        let twin = run(
            seed,
            Options {
                calm: true,
                ..options
            },
        )?;
        // An attempt that had to rest before it began shifts all later ones.
        let shifted = [&twin, &first]
            .iter()
            .any(|o| o.ledger.contains("\"rests\":true"));
        if twin.ends != first.ends && !shifted {
            let line = first.ends.iter().zip(&twin.ends).find(|(a, b)| a != b);
            return differ(
                "I3",
                format!("it ends differently without crashes: {line:?}"),
            );
        }
    }
    Ok(first)
}

impl Sim {
    fn new(seed: u64, options: Options) -> Self {
        let store = MemoryStore::new();
        let reader = store.reader().expect("the in-memory store has a reader");
        let faults = Faults {
            mutant: options.mutant,
            ..Faults::default()
        };
        let scenario = Scenario::of(seed, options.without_queue);
        Self {
            seed,
            options,
            depots: crate::queue::depots(seed, scenario.landing.strife),
            slots: BTreeMap::new(),
            queue_oracle: QueueOracle::default(),
            watching: false,
            last_looks: 0,
            scenario,
            rng: Rng::keyed(&[seed, 2]),
            t: 0,
            wall_offset: 0,
            booted_at: 0,
            seq: 0,
            queue: BTreeMap::new(),
            disk: Disk::default(),
            store,
            reader,
            faults: Arc::new(Mutex::new(faults)),
            daemons: BTreeMap::new(),
            epoch: 0,
            ops: Arc::new(AtomicU64::new(1)),
            replies: Arc::default(),
            people: People::default(),
            oracle: Oracle::default(),
            lacking: None,
            calm: false,
            steps: 0,
            threads_made: 0,
            runs_made: 0,
            violation: None,
            trace: Vec::new(),
        }
    }

    fn prepare(&mut self) {
        self.at(0, Item::Start);
        for n in 0..self.scenario.files.len() {
            let at = self.scenario.files[n].0;
            self.at(at, Item::Submit(n));
        }
        let malice = self.scenario.malice;
        if !self.options.calm {
            if malice.fault_every_ms > 0 {
                self.at(malice.fault_every_ms, Item::Fault);
            }
            if malice.order_every_ms > 0 {
                self.at(malice.order_every_ms, Item::Order);
            }
            if self.scenario.landing.deed_every_ms > 0 {
                self.at(self.scenario.landing.deed_every_ms, Item::Deed);
            }
        }
        if self.scenario.limits.live_conflicts != OverlapStrategy::Off {
            self.at(10_000, Item::Look);
        }
        self.at(malice.for_ms, Item::Calm);
    }

    fn happen(&mut self, item: Item) {
        match item {
            Item::Deliver(epoch, note) => self.deliver(epoch, note),
            Item::Step(epoch) => self.step(epoch),
            Item::Timer(epoch, token) => self.timer(epoch, token),
            Item::Thread(epoch, thread) => self.thread(epoch, thread),
            Item::Job(id, run, course) => self.job_goes_on(id, run, course),
            Item::LineThread(epoch, thread) => self.line_thread(epoch, thread),
            Item::Slot(id, run, course) => self.slot_goes_on(&id, run, course),
            Item::Orphan(dispatch) => self.orphan(&dispatch),
            Item::Deed => self.use_the_queue(),
            Item::Watch => self.look_at_bases(),
            Item::Look => self.look_at_sessions(),
            Item::Submit(n) => self.hand_in(n),
            Item::Fault => self.do_harm(),
            Item::Order => self.say_something(),
            Item::Start => self.start_daemon(),
            Item::Mend => {
                self.faults().weather = crate::store::Weather::Fair;
                self.note(|| "the store is well".to_owned());
            }
            Item::Room => self.set_floor(None),
            Item::Calm => self.let_everything_go(),
        }
    }

    /// Puts something so many milliseconds ahead.
    pub(crate) fn at(&mut self, in_ms: u64, item: Item) {
        self.seq += 1;
        self.queue.insert((self.t + in_ms, self.seq), item);
    }

    pub(crate) fn now(&self) -> Now {
        Now {
            wall: self.wall(),
            mono_ms: self.mono(),
        }
    }

    pub(crate) fn wall(&self) -> UnixMs {
        let t = i64::try_from(self.t).unwrap_or(i64::MAX);
        UnixMs(EPOCH_MS + t + self.wall_offset)
    }

    pub(crate) const fn mono(&self) -> u64 {
        self.t - self.booted_at + 5_000
    }

    pub(crate) fn faults(&self) -> std::sync::MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn fault_store(&self) -> FaultStore {
        FaultStore {
            inner: self.store.clone(),
            faults: Arc::clone(&self.faults),
        }
    }

    pub(crate) fn is(&self, mutant: Mutant) -> bool {
        self.options.mutant == Some(mutant)
    }

    pub(crate) fn violate(&mut self, rule: &'static str, detail: String) {
        if self.violation.is_none() {
            self.violation = Some((rule, detail));
        }
    }

    pub(crate) fn note(&mut self, text: impl FnOnce() -> String) {
        if self.options.trace {
            self.trace.push(format!("{:>9} {}", self.t, text()));
        }
    }

    pub(crate) fn all_tasks(&self) -> BTreeSet<TaskId> {
        self.scenario
            .files
            .iter()
            .flat_map(|(_, f)| f.tasks.iter().map(|(id, _)| *id))
            .collect()
    }

    fn result(self) -> Result<Outcome, Box<Violation>> {
        if let Some((rule, detail)) = self.violation {
            return Err(Box::new(Violation {
                seed: self.seed,
                rule,
                detail,
                step: self.steps,
                at_ms: self.t,
                trace: self.trace,
            }));
        }
        let (ledger, rows) = crate::oracle::whole_ledger(self.reader.as_ref());
        let ends = crate::oracle::ends(self.reader.as_ref(), &self.all_tasks());
        Ok(Outcome {
            steps: self.steps,
            rows,
            daemons: self.epoch,
            ledger,
            ends,
            trace: self.trace,
        })
    }
}
