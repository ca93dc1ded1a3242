//! A daemon: the real machine, with the runtime's loop turned inside out onto the virtual clock.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use longhaul_core::effect::Effect;
use longhaul_core::fact::{Fact, News};
use longhaul_core::ids::{Fence, TaskId};
use longhaul_core::overlap::Touched;
use longhaul_core::queue::{LandNews, LineId, QueueEffect, QueueFact};
use longhaul_core::usage::Usage;
use longhaul_engine::event::Event;
use longhaul_engine::handle::{Command, LiveSession, Request};
use longhaul_engine::machine::{About, Machine, Step};
use uuid::Uuid;

use crate::executor::{Place, Thread};
use crate::queue::{LinePlace, LineThread};
use crate::sim::{Item, Mutant, Sim};
use crate::store::FaultStore;

/// The longest sleep of the runtime, stretched where nothing can happen.
const LONGEST_WAIT_MS: u64 = 15_000;
/// The runtime's wait after a failed commit.
const STORE_RETRY_MS: u64 = 500;

/// Something for the dispatcher that can come twice.
#[derive(Clone, Debug)]
pub(crate) enum Note {
    News(TaskId, Fence, Box<News>),
    /// What became of a pull request.
    Proposal(TaskId, Fence, Box<LandNews>),
    Used(TaskId, Fence, Usage),
    Again(Effect, u64, &'static str),
    Line(LineId, Box<QueueFact>),
    LineAgain(QueueEffect, u64, &'static str),
    Floors(Option<String>),
    /// What live sessions have changed.
    Touched(Vec<Touched>),
    /// A person's command, with the number of the question.
    Ask(u64),
    Stop,
}

/// A running daemon.
pub(crate) struct Daemon {
    pub(crate) machine: Machine<FaultStore>,
    inbox: VecDeque<Note>,
    pub(crate) at_work: BTreeSet<Place>,
    pub(crate) threads: BTreeMap<u64, Thread>,
    pub(crate) lines_at_work: BTreeSet<LinePlace>,
    pub(crate) line_threads: BTreeMap<u64, LineThread>,
    /// Where it saw the base branches.
    pub(crate) bases_seen: BTreeMap<LineId, u32>,
    step_set: bool,
    timer: u64,
    /// Stopped by a signal until then: a zombie beside its successor.
    pub(crate) paused_until: u64,
    pub(crate) lacking: Option<String>,
    pub(crate) troubled: bool,
    told_to_stop: bool,
    /// Another daemon wrote beside it: its picture may be old.
    pub(crate) shadowed: bool,
}

/// Where a daemon dies in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    Commit {
        stored: bool,
    },
    /// After so many effects were handed out.
    Handing(usize),
    /// Effects are out, no answer was given.
    BeforeAnswers,
}

impl Sim {
    pub(crate) fn start_daemon(&mut self) {
        if self.daemons.values().any(|d| d.paused_until <= self.t) {
            return;
        }
        self.epoch += 1;
        let epoch = self.epoch;
        let ops = Arc::clone(&self.ops);
        let mut store = self.fault_store();
        // The compare-and-set of a move has to hold by itself, too: only its mutant goes without this.
        if !self.is(Mutant::NoCompareAndSet) {
            store.begin(epoch, self.now().wall);
        }
        let machine = Machine::open(
            store,
            self.scenario.limits.clone(),
            About::default(),
            move || {
                let n = ops.fetch_add(1, Ordering::Relaxed);
                Uuid::from_u128((u128::from(n) << 80) | 0x7000_8000_0000_0000_0000)
            },
        );
        let Ok(mut machine) = machine else {
            // It cannot be read now: whoever starts daemons tries again.
            self.at(3_000, Item::Start);
            return;
        };
        self.note(|| format!("daemon {epoch} starts"));
        self.oracle.used.clear();
        let effects = machine.recover();
        let lines = machine.recover_lines();
        let daemon = Daemon {
            machine,
            inbox: VecDeque::new(),
            at_work: BTreeSet::new(),
            threads: BTreeMap::new(),
            lines_at_work: BTreeSet::new(),
            line_threads: BTreeMap::new(),
            bases_seen: BTreeMap::new(),
            step_set: false,
            timer: 0,
            paused_until: 0,
            lacking: None,
            troubled: false,
            told_to_stop: false,
            shadowed: !self.daemons.is_empty(),
        };
        self.daemons.insert(epoch, daemon);
        for dispatch in effects {
            self.ensure(epoch, dispatch);
        }
        for dispatch in lines {
            self.ensure_line(epoch, dispatch);
        }
        self.watch_bases();
        self.set_step(epoch, 0);
        if self.lacking.is_some() {
            let lacking = self.lacking.clone();
            self.at(0, Item::Deliver(epoch, Note::Floors(lacking)));
        }
        self.check_accepted();
    }

    pub(crate) fn kill_daemon(&mut self, epoch: u64, why: &str) {
        if let Some(dead) = self.daemons.remove(&epoch) {
            self.leave_orphans(dead.line_threads.into_values().collect());
            self.note(|| format!("daemon {epoch} dies: {why}"));
            self.people_forget(epoch);
            self.take_switches();
            // A zombie does not outlive its successor: its picture is old, and the lock is real.
            let older: Vec<u64> = self.daemons.range(..epoch).map(|(e, _)| *e).collect();
            for zombie in older {
                self.daemons.remove(&zombie);
                self.people_forget(zombie);
            }
            let after = self.rng.within(50, 20_000);
            self.at(after, Item::Start);
        }
    }

    /// The daemon that clients reach.
    pub(crate) fn current(&self) -> Option<u64> {
        self.daemons
            .iter()
            .rev()
            .find(|(_, d)| d.paused_until <= self.t)
            .map(|(e, _)| *e)
    }

    /// Puts something before a daemon; 0 stands for the one that is there then.
    pub(crate) fn deliver(&mut self, epoch: u64, note: Note) {
        let epoch = if epoch == 0 {
            self.current().unwrap_or(0)
        } else {
            epoch
        };
        let Some(daemon) = self.daemons.get_mut(&epoch) else {
            return;
        };
        if daemon.paused_until > self.t {
            let wait = daemon.paused_until - self.t;
            self.at(wait, Item::Deliver(epoch, note));
            return;
        }
        daemon.inbox.push_back(note);
        let late = self.rng.below(4);
        self.set_step(epoch, late);
    }

    fn set_step(&mut self, epoch: u64, in_ms: u64) {
        if let Some(daemon) = self.daemons.get_mut(&epoch)
            && !std::mem::replace(&mut daemon.step_set, true)
        {
            self.at(in_ms, Item::Step(epoch));
        }
    }

    pub(crate) fn timer(&mut self, epoch: u64, token: u64) {
        if self.daemons.get(&epoch).is_some_and(|d| d.timer == token) {
            self.set_step(epoch, 0);
        }
    }

    /// One turn of the runtime's loop.
    pub(crate) fn step(&mut self, epoch: u64) {
        let (t, now) = (self.t, self.now());
        let Some(daemon) = self.daemons.get_mut(&epoch) else {
            return;
        };
        if daemon.paused_until > t {
            let wait = daemon.paused_until - t;
            self.at(wait, Item::Step(epoch));
            return;
        }
        daemon.step_set = false;
        let most = self.rng.within(1, 16);
        let daemon = self.daemons.get_mut(&epoch).expect("it was there just now");
        let mut notes = Vec::new();
        while (notes.len() as u64) < most
            && let Some(note) = daemon.inbox.pop_front()
        {
            notes.push(note);
        }
        let more = !daemon.inbox.is_empty();
        let events: Vec<Event> = notes
            .into_iter()
            .map(|note| self.event(epoch, note))
            .chain([Event::Tick])
            .collect();
        let death = self.people.death.take();
        if let Some(Death::Commit { stored }) = death {
            self.faults().die_in_commit = Some(stored);
        }
        self.steps += 1;
        if self.options.trace {
            for event in &events {
                if !matches!(event, Event::Tick) {
                    self.note(|| format!("daemon {epoch} gets {event:?}"));
                }
            }
        }
        let daemon = self.daemons.get_mut(&epoch).expect("it was there just now");
        let step = daemon.machine.step(events, now);
        let died = {
            let mut faults = self.faults();
            faults.die_in_commit = None;
            std::mem::take(&mut faults.died)
        };
        if died {
            self.kill_daemon(epoch, "in a commit");
            self.check_rows(now.wall, None);
            return;
        }
        self.act(epoch, step, death);
        if more {
            self.set_step(epoch, 1);
        }
    }

    fn event(&mut self, epoch: u64, note: Note) -> Event {
        match note {
            Note::News(task, fence, news) => {
                let fence = if self.is(Mutant::OldFence) {
                    self.fence_of(task)
                } else {
                    fence
                };
                Event::news(task, fence, *news)
            }
            Note::Proposal(task, fence, news) => Event::Fact {
                task,
                fact: Fact::Landing { fence, news },
            },
            Note::Used(task, fence, usage) => {
                self.oracle.used.insert((task, fence), usage);
                let live = LiveSession {
                    task: Some(task),
                    usage,
                    ..LiveSession::default()
                };
                Event::Live {
                    task,
                    fence,
                    live: Box::new(live),
                }
            }
            Note::Again(effect, after_ms, why) => Event::Again {
                effect,
                after_ms,
                why: why.to_owned(),
            },
            Note::Line(line, fact) => {
                let mut fact = *fact;
                if let QueueFact::Round { round, .. } = &mut fact
                    && self.is(Mutant::OldRound)
                    && let Ok(Some(line)) = self.reader.line(&line)
                {
                    *round = line.round;
                }
                Event::Line { line, fact }
            }
            Note::LineAgain(effect, after_ms, why) => Event::LineAgain {
                effect,
                after_ms,
                why: why.to_owned(),
            },
            Note::Floors(lacking) => {
                if let Some(daemon) = self.daemons.get_mut(&epoch) {
                    daemon.lacking.clone_from(&lacking);
                }
                Event::Floors { lacking }
            }
            Note::Touched(seen) => Event::Touched(seen),
            Note::Ask(number) => {
                let command = self.people.command(number).unwrap_or(Command::Status);
                let replies = Arc::clone(&self.replies);
                let reply = Box::new(move |reply| {
                    if let Ok(mut replies) = replies.lock() {
                        replies.push((number, reply));
                    }
                });
                Event::Request(Request { command, reply })
            }
            Note::Stop => {
                if let Some(daemon) = self.daemons.get_mut(&epoch) {
                    daemon.told_to_stop = true;
                }
                Event::Stop
            }
        }
    }

    fn act(&mut self, epoch: u64, step: Step, death: Option<Death>) {
        let wall = self.wall();
        if let Some(why) = &step.store_trouble {
            self.note(|| format!("daemon {epoch}: store trouble: {why}"));
        }
        let trouble = step.store_trouble.is_some();
        self.check_rows(wall, Some(epoch));
        if !trouble && !self.shadowed(epoch) {
            self.check_effects(&step.effects);
            self.check_line_effects(&step.lines);
        }
        let lines = step.lines;
        let mut effects = step.effects;
        if trouble && self.is(Mutant::ActFirst) {
            effects.extend(self.guess_effects(epoch));
        }
        for (n, dispatch) in effects.into_iter().enumerate() {
            if death == Some(Death::Handing(n)) {
                self.kill_daemon(epoch, "while handing out effects");
                return;
            }
            self.ensure(epoch, dispatch);
        }
        for dispatch in lines {
            if matches!(death, Some(Death::Handing(_))) && self.rng.permille(500) {
                break;
            }
            self.ensure_line(epoch, dispatch);
        }
        if matches!(death, Some(Death::BeforeAnswers | Death::Handing(_))) {
            self.kill_daemon(epoch, "before its answers");
            return;
        }
        for answer in step.replies {
            (answer.to)(answer.reply);
        }
        self.read_answers(epoch, trouble);
        if let Some(daemon) = self.daemons.get_mut(&epoch) {
            daemon.troubled = trouble;
            if daemon.told_to_stop && !step.shutdown {
                self.violate("T16", "a daemon that was told to end went on".to_owned());
                return;
            }
        }
        if step.shutdown {
            self.kill_daemon(epoch, "it ends");
            return;
        }
        self.check_step(epoch, trouble);
        self.set_timer(epoch);
    }

    /// The runtime's sleep until its next timer.
    fn set_timer(&mut self, epoch: u64) {
        let now = self.now();
        let windows = self.reader.windows().unwrap_or_default();
        let Some(daemon) = self.daemons.get_mut(&epoch) else {
            return;
        };
        let wait = if daemon.troubled || daemon.machine.has_backlog() {
            STORE_RETRY_MS
        } else {
            let due = daemon.machine.next_due().map(|at| at.since(now.wall).0);
            let again = daemon
                .machine
                .next_again()
                .map(|ms| ms.saturating_sub(now.mono_ms));
            let ends = windows.iter().map(|w| w.until).filter(|u| *u > now.wall);
            let window = ends.min().map(|u| u.since(now.wall).0 + LONGEST_WAIT_MS);
            let soonest = [due, again].into_iter().flatten().min();
            if soonest.is_none() && window.is_none() && self.calm && !daemon.machine.has_work() {
                // At rest: a few more looks, each of which must change nothing.
                if self.oracle.idle_looks >= 3 {
                    return;
                }
                self.oracle.idle_looks += 1;
            } else {
                self.oracle.idle_looks = 0;
            }
            // Ticks in which nothing can be due are left out.
            let nothing = if self.calm {
                600_000
            } else {
                LONGEST_WAIT_MS * 4
            };
            [soonest, window]
                .into_iter()
                .flatten()
                .min()
                .map_or(nothing, |ms| ms.max(1))
        };
        daemon.timer += 1;
        let token = daemon.timer;
        self.at(wait, Item::Timer(epoch, token));
    }
}
