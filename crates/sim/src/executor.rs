//! The pretended executor: threads that ensure effects, with the real one's list of what is at work.

use longhaul_core::attempt::BootMs;
use longhaul_core::effect::{Act, outstanding};
use longhaul_core::fact::News;
use longhaul_core::ids::{Fence, TaskId};
use longhaul_core::queue::LandNews;
use longhaul_core::usage::Usage;
use longhaul_engine::machine::Dispatch;

use crate::daemon::Note;
use crate::disk::{JobId, JobKind};
use crate::sim::{Item, Mutant, Sim};

/// Wait before an effect that came to no result is asked for again.
const AGAIN_MS: u64 = 3_000;

/// What is being done for whom; nothing is done twice at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) task: TaskId,
    pub(crate) fence: Fence,
    pub(crate) kind: WorkKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum WorkKind {
    Prepare,
    Session,
    Seal,
    Check { check: u16, run: u16 },
    Propose,
    Halt,
}

/// A thread that ensures one effect.
#[derive(Clone, Debug)]
pub(crate) struct Thread {
    pub(crate) place: Place,
    pub(crate) dispatch: Dispatch,
    /// The job it waits for.
    pub(crate) watches: Option<JobId>,
    /// Lines of its output that were read.
    pub(crate) read: usize,
    pub(crate) used: Usage,
    pub(crate) started_told: bool,
    pub(crate) late_told: bool,
    pub(crate) timed_out: bool,
    pub(crate) begun: Option<u64>,
    pub(crate) last_sign: u64,
    pub(crate) question_since: Option<u64>,
}

impl WorkKind {
    const fn of(act: &Act) -> Self {
        match act {
            Act::PrepareWorkspace => Self::Prepare,
            Act::Launch | Act::Attend => Self::Session,
            Act::Seal => Self::Seal,
            Act::Check { check, run } => Self::Check {
                check: *check,
                run: *run,
            },
            Act::Propose => Self::Propose,
            Act::Halt { .. } => Self::Halt,
        }
    }
}

impl Sim {
    /// What `Executor::ensure` does: returns at once; a thread does the rest.
    pub(crate) fn ensure(&mut self, epoch: u64, dispatch: Dispatch) {
        let place = Place {
            task: dispatch.effect.task,
            fence: dispatch.effect.fence,
            kind: WorkKind::of(&dispatch.effect.act),
        };
        let mono = self.mono();
        let newest = self.daemons.keys().next_back() == Some(&epoch);
        let Some(daemon) = self.daemons.get_mut(&epoch) else {
            return;
        };
        if daemon.shadowed && !newest {
            // Of a zombie only the dispatcher is left: what it writes must be refused.
            return;
        }
        if !daemon.at_work.insert(place) {
            return;
        }
        self.threads_made += 1;
        let id = self.threads_made;
        let thread = Thread {
            place,
            watches: None,
            read: 0,
            used: Usage::default(),
            started_told: dispatch.effect.act != Act::Launch,
            late_told: false,
            timed_out: false,
            begun: None,
            last_sign: mono,
            question_since: None,
            dispatch,
        };
        daemon.threads.insert(id, thread);
        let slow = self.trouble() && self.rng.permille(500);
        let delay = if slow {
            self.rng.within(1_000, 60_000)
        } else {
            self.rng.below(40)
        };
        self.at(delay, Item::Thread(epoch, id));
    }

    /// True where an effect meets trouble.
    pub(crate) fn trouble(&mut self) -> bool {
        !self.calm && !self.options.calm && self.rng.permille(self.scenario.malice.effect_trouble)
    }

    pub(crate) fn thread(&mut self, epoch: u64, id: u64) {
        let t = self.t;
        let Some(daemon) = self.daemons.get_mut(&epoch) else {
            return;
        };
        if daemon.paused_until > t {
            let wait = daemon.paused_until - t;
            self.at(wait, Item::Thread(epoch, id));
            return;
        }
        let Some(thread) = daemon.threads.get(&id).cloned() else {
            return;
        };
        if self.trouble() && self.rng.permille(200) {
            self.note(|| format!("the thread of {:?} breaks", thread.place));
            if self.is(Mutant::SilentThread) {
                self.leave(epoch, id);
            } else {
                self.again(epoch, id, "its thread broke");
            }
            return;
        }
        match &thread.dispatch.effect.act {
            Act::PrepareWorkspace => self.prepare_workspace(epoch, id, thread),
            Act::Launch | Act::Attend => self.attend(epoch, id, thread),
            Act::Seal => self.seal(epoch, id, &thread),
            Act::Check { check, run } => {
                let (check, run) = (*check, *run);
                self.check(epoch, id, thread, check, run);
            }
            Act::Propose => self.propose(epoch, id, &thread),
            Act::Halt { .. } => self.halt(epoch, id, &thread),
        }
    }

    /// The stored fence of a task.
    pub(crate) fn fence_of(&self, task: TaskId) -> Fence {
        self.reader
            .task(task)
            .ok()
            .flatten()
            .map_or(Fence(0), |s| s.task.fence)
    }

    /// What `executor/propose` does: refused, not now, or there; again it finds what it did.
    fn propose(&mut self, epoch: u64, id: u64, thread: &Thread) {
        let (task, fence) = (thread.place.task, thread.place.fence);
        let stored = self.reader.task(task).ok().flatten();
        let wanted = stored.as_ref().and_then(|s| outstanding(&s.task));
        if wanted.as_ref() != Some(&thread.dispatch.effect) {
            return self.again(epoch, id, "it is no longer asked for");
        }
        if self.trouble() && self.rng.permille(300) {
            return self.again(epoch, id, "the remote does not answer");
        }
        // Where the end is compared with that of a calm run, nobody refuses for good.
        let refuses = self.trouble() && !self.scenario.malice.benign;
        let news = if refuses && self.rng.permille(100) {
            LandNews::Refused {
                detail: "there is no `gh`".to_owned(),
                remedy: "install it".to_owned(),
            }
        } else {
            LandNews::Proposed {
                commit: "c".to_owned(),
                url: "https://h.example/1".to_owned(),
            }
        };
        self.leave(epoch, id);
        self.send(epoch, Note::Proposal(task, fence, Box::new(news)));
    }

    /// The thread ends.
    pub(crate) fn leave(&mut self, epoch: u64, id: u64) {
        if let Some(daemon) = self.daemons.get_mut(&epoch)
            && let Some(thread) = daemon.threads.remove(&id)
        {
            daemon.at_work.remove(&thread.place);
        }
    }

    /// The thread ends without a result and asks to be asked again.
    pub(crate) fn again(&mut self, epoch: u64, id: u64, why: &'static str) {
        let effect = self
            .daemons
            .get(&epoch)
            .and_then(|d| d.threads.get(&id))
            .map(|t| t.dispatch.effect.clone());
        self.leave(epoch, id);
        if let Some(effect) = effect {
            self.send(epoch, Note::Again(effect, AGAIN_MS, why));
        }
    }

    /// The thread ends with news.
    pub(crate) fn end_with(&mut self, epoch: u64, id: u64, thread: &Thread, news: News) {
        self.leave(epoch, id);
        self.tell(epoch, thread, news);
    }

    /// Tells news of the thread's attempt; now and then twice, the second time late.
    pub(crate) fn tell(&mut self, epoch: u64, thread: &Thread, news: News) {
        let (task, fence) = (thread.place.task, thread.place.fence);
        self.send(epoch, Note::News(task, fence, Box::new(news)));
    }

    pub(crate) fn send(&mut self, epoch: u64, note: Note) {
        let often = if self.is(Mutant::OldFence) || self.is(Mutant::OldRound) {
            700
        } else {
            self.scenario.malice.repeats
        };
        let repeated = !self.options.calm && self.rng.permille(often);
        if repeated
            && !matches!(
                note,
                Note::Again(..) | Note::LineAgain(..) | Note::Ask(_) | Note::Stop | Note::Floors(_)
            )
        {
            let late = if self.rng.permille(500) {
                self.rng.below(10)
            } else {
                self.rng.within(10, 900_000)
            };
            // A repeat reaches whatever daemon is there then, as after a log was read again.
            self.at(late, Item::Deliver(0, note.clone()));
        }
        self.at(0, Item::Deliver(epoch, note));
    }

    /// Threads that watch a job look at it now.
    pub(crate) fn wake_watchers(&mut self, job: JobId) {
        let watchers: Vec<(u64, u64)> = self
            .daemons
            .iter()
            .flat_map(|(epoch, d)| {
                d.threads
                    .iter()
                    .filter(|(_, t)| t.watches == Some(job))
                    .map(|(id, _)| (*epoch, *id))
            })
            .collect();
        for (epoch, id) in watchers {
            let late = self.rng.below(300);
            self.at(late, Item::Thread(epoch, id));
        }
    }

    pub(crate) fn keep(&mut self, epoch: u64, id: u64, thread: Thread) {
        if let Some(daemon) = self.daemons.get_mut(&epoch) {
            daemon.threads.insert(id, thread);
        }
    }

    pub(crate) fn boot_ms(&self, ms: u64) -> BootMs {
        BootMs {
            boot: format!("boot-{}", self.disk.boot),
            ms,
        }
    }

    pub(crate) fn job_id(thread: &Thread, kind: JobKind) -> JobId {
        JobId {
            task: thread.place.task,
            fence: thread.place.fence,
            kind,
        }
    }

    /// What a wrong dispatcher would do although its commit failed.
    pub(crate) fn guess_effects(&self, epoch: u64) -> Vec<Dispatch> {
        let Some(daemon) = self.daemons.get(&epoch) else {
            return Vec::new();
        };
        let mut ready: Vec<_> = daemon
            .machine
            .tasks()
            .filter(|t| t.state.word() == longhaul_core::task::StateWord::Ready)
            .cloned()
            .collect();
        ready.sort_by_key(|t| t.id);
        ready
            .into_iter()
            .map(|mut task| {
                task.fence = task.fence.next();
                task.state = longhaul_core::task::State::Assigned {
                    step: longhaul_core::task::AssignStep::Launch,
                };
                task
            })
            .filter_map(|task| outstanding(&task).map(|effect| Dispatch { effect, task }))
            .collect()
    }
}
