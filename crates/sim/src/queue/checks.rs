//! Checks of merged trees: jobs in the one slot of a line, as the real executor runs them.

use longhaul_core::queue::{Judgement, LandCheck, LineId, QueueNews, Stage, Subject, outstanding};

use super::effects::LineThread;
use super::{LineKind, depot};
use crate::rng::Rng;
use crate::sim::{Item, Mutant, Sim};

/// Names a job in a slot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SlotId {
    pub(crate) line: LineId,
    pub(crate) round: u64,
    pub(crate) parent: bool,
    pub(crate) check: u16,
    pub(crate) run: u16,
}

/// What a check's program does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlotCourse {
    Exit(bool),
    Stopped,
}

/// A bundle of a check with its processes.
#[derive(Clone, Debug)]
pub(crate) struct SlotJob {
    pub(crate) boot: u32,
    pub(crate) shim: bool,
    pub(crate) tree: bool,
    pub(crate) exit: Option<bool>,
    pub(crate) stop_requested: bool,
    /// Noted before it was stopped at its deadline.
    pub(crate) overdue: bool,
    pub(crate) started_mono: u64,
    pub(crate) dies_in: u64,
    /// What the slot holds while it runs.
    pub(crate) judges: String,
    pub(crate) key: String,
    pub(crate) run: u64,
}

enum Seen {
    Absent,
    Live,
    Exited { success: bool, stopped: bool },
    Lost,
}

impl Sim {
    fn see_slot(&mut self, id: &SlotId) -> Option<Seen> {
        if self.trouble() && self.rng.permille(400) {
            return None;
        }
        let Some(job) = self.slots.get(id) else {
            return Some(Seen::Absent);
        };
        Some(match job.exit {
            Some(success) => Seen::Exited {
                success,
                stopped: job.stop_requested,
            },
            None if job.boot == self.disk.boot && job.shim => Seen::Live,
            None => Seen::Lost,
        })
    }

    pub(crate) fn line_check(
        &mut self,
        epoch: u64,
        id: u64,
        mut thread: LineThread,
        (subject, check, run): (Subject, u16, u16),
    ) {
        let Stage::Check { candidate, .. } = &thread.dispatch.line.stage else {
            return self.line_again(epoch, id, "it is about something else by now");
        };
        let point = match subject {
            Subject::Candidate => candidate.point.clone(),
            Subject::Parent => candidate.onto.clone(),
        };
        let Some(wanted) = candidate.checks.get(usize::from(check)).cloned() else {
            return self.line_fails(epoch, id, "there is no such check", false);
        };
        let slot = SlotId {
            line: thread.place.line.clone(),
            round: thread.place.round,
            parent: subject == Subject::Parent,
            check,
            run,
        };
        let judged = |pass: bool, cached: bool| QueueNews::Judged {
            judgement: Box::new(Judgement {
                subject,
                check,
                run,
                pass,
                cached,
                reason: if pass { "exit 0" } else { "exit 1" }.to_owned(),
                tail: String::new(),
                evidence: None,
            }),
        };
        let lost = QueueNews::CheckLost {
            subject,
            check,
            run,
            detail: "its process was lost".to_owned(),
        };
        let open = self.is(Mutant::OpenLandCheck);
        let seen = self.see_slot(&slot);
        if matches!(seen, Some(Seen::Absent)) {
            let known = self.reader.tree_verdict(&point.tree, &wanted.key);
            if known.ok().flatten().is_some() {
                return self.line_ends_with(epoch, id, &thread, judged(true, true));
            }
        }
        match seen {
            None => self.line_again(epoch, id, "cannot survey"),
            Some(Seen::Absent) => {
                if self.trouble() && self.rng.permille(200) {
                    return self.line_fails(epoch, id, "the slot cannot be made", false);
                }
                if !self.take_slot(&thread, &slot) {
                    return self.line_again(epoch, id, "another check has the slot");
                }
                self.launch_in_slot(&slot, &point.tree, &wanted);
                thread.watches = Some(slot);
                self.wait_for_slot(epoch, id, thread, wanted.timeout.0);
            }
            Some(Seen::Live) => {
                let started = self.slots.get(&slot).map_or(0, |j| j.started_mono);
                let left = (started + wanted.timeout.0).saturating_sub(self.mono());
                if left == 0 {
                    if let Some(job) = self.slots.get_mut(&slot) {
                        job.overdue = true;
                    }
                    self.stop_slot(&slot);
                }
                thread.watches = Some(slot);
                self.wait_for_slot(epoch, id, thread, left.max(500));
            }
            Some(Seen::Exited { .. }) if self.slots.get(&slot).is_some_and(|j| j.overdue) => {
                self.line_ends_with(epoch, id, &thread, judged(false, false));
            }
            Some(Seen::Exited { stopped: true, .. }) if !open => {
                self.slots.remove(&slot);
                self.line_ends_with(epoch, id, &thread, lost);
            }
            Some(Seen::Exited { success, stopped }) => {
                self.line_ends_with(epoch, id, &thread, judged(success || stopped, false));
            }
            Some(Seen::Lost) => {
                if self.trouble() && self.rng.permille(300) {
                    return self.line_again(epoch, id, "what is left of its tree?");
                }
                // By identity: nothing of it lives any more.
                self.slots.remove(&slot);
                let news = if open { judged(true, false) } else { lost };
                self.line_ends_with(epoch, id, &thread, news);
            }
        }
    }

    fn wait_for_slot(&mut self, epoch: u64, id: u64, thread: LineThread, at_most: u64) {
        self.keep_line(epoch, id, thread);
        self.at(at_most.max(1), Item::LineThread(epoch, id));
    }

    /// Whether the slot is free for a run that the stored line still asks for; who has it is asked to end.
    fn take_slot(&mut self, thread: &LineThread, id: &SlotId) -> bool {
        let stored = self.reader.line(&id.line).ok().flatten();
        if stored.as_ref().and_then(outstanding).as_ref() != Some(&thread.dispatch.effect) {
            return false;
        }
        let others = self.slots.iter();
        let mut others = others.filter(|(o, job)| o.line == id.line && *o != id && job.tree);
        let Some((other, shim)) = others.next().map(|(o, job)| (o.clone(), job.shim)) else {
            return true;
        };
        if shim {
            self.stop_slot(&other);
        } else {
            // By identity, as what a lost shim leaves.
            self.slots.remove(&other);
        }
        false
    }

    fn launch_in_slot(&mut self, id: &SlotId, tree: &str, check: &LandCheck) {
        let other = self
            .slots
            .iter()
            .find(|(other, job)| other.line == id.line && *other != id && job.tree);
        if let Some((other, _)) = other {
            let detail = format!("{other:?} lives in the slot in which {id:?} starts");
            self.violate("L9", detail);
            return;
        }
        self.runs_made += 1;
        let run = self.runs_made;
        let key = number_of_key(&check.key);
        let mut rng = Rng::keyed(&[self.seed, 33, id.round, key, u64::from(id.run), run]);
        let calm = self.scenario.malice.benign;
        let red = depot::parse_tree(tree).is_some_and(|tree| {
            self.depots
                .get(&id.line.repo)
                .is_some_and(|d| d.is_red(&tree, key, self.scenario.landing.red))
        });
        let flaky = !calm && rng.permille(self.scenario.landing.flaky);
        let hangs = !calm && rng.permille(20);
        let took = rng.within(50, 40_000);
        let dies_in = rng.within(0, 10_000);
        self.slots.insert(
            id.clone(),
            SlotJob {
                boot: self.disk.boot,
                shim: true,
                tree: true,
                exit: None,
                stop_requested: false,
                overdue: false,
                started_mono: self.mono(),
                dies_in,
                judges: tree.to_owned(),
                key: check.key.clone(),
                run,
            },
        );
        self.note(|| format!("check {id:?} starts"));
        if !hangs {
            let course = SlotCourse::Exit(!red && !flaky);
            self.at(took, Item::Slot(id.clone(), run, course));
        }
    }

    pub(crate) fn slot_goes_on(&mut self, id: &SlotId, run: u64, course: SlotCourse) {
        let Some(job) = self.slots.get_mut(id).filter(|j| j.run == run && j.tree) else {
            return;
        };
        job.tree = false;
        let boot = job.boot == self.disk.boot;
        if std::mem::take(&mut job.shim) && boot {
            let success = course == SlotCourse::Exit(true);
            job.exit = Some(success);
            if success {
                self.queue_oracle.passed(&job.judges, &job.key);
            }
        }
        self.wake_slot_watchers(id);
    }

    /// Asks a check to end; its end comes later.
    fn stop_slot(&mut self, id: &SlotId) {
        if let Some(job) = self.slots.get_mut(id).filter(|j| j.shim && j.tree)
            && !std::mem::replace(&mut job.stop_requested, true)
        {
            let (run, dies_in) = (job.run, job.dies_in);
            self.at(dies_in, Item::Slot(id.clone(), run, SlotCourse::Stopped));
        }
    }

    pub(crate) fn wake_slot_watchers(&mut self, slot: &SlotId) {
        let watchers: Vec<(u64, u64)> = self
            .daemons
            .iter()
            .flat_map(|(epoch, d)| {
                let watching = d.line_threads.iter();
                let watching = watching.filter(|(_, t)| t.watches.as_ref() == Some(slot));
                watching.map(|(id, _)| (*epoch, *id))
            })
            .collect();
        for (epoch, id) in watchers {
            let late = self.rng.below(300);
            self.at(late, Item::LineThread(epoch, id));
        }
    }

    /// Stops what the rounds before have running (`Clear`).
    pub(crate) fn line_clear(&mut self, epoch: u64, id: u64, thread: &LineThread) {
        let (line, round) = (&thread.place.line, thread.place.round);
        // A check of an earlier round that is at work may start its job yet.
        let checking = self.daemons.get(&epoch).is_some_and(|d| {
            let mut busy = d.lines_at_work.iter();
            busy.any(|p| {
                p.line == *line && p.round < round && matches!(p.kind, LineKind::Check { .. })
            })
        });
        let old: Vec<SlotId> = self
            .slots
            .keys()
            .filter(|s| s.line == *line && s.round < round)
            .cloned()
            .collect();
        for slot in old {
            if self.is(Mutant::HastyClear) {
                continue;
            }
            match self.see_slot(&slot) {
                None => return self.line_again(epoch, id, "cannot survey"),
                Some(Seen::Live) => {
                    self.stop_slot(&slot);
                    return self.line_again(epoch, id, "a check is still ending");
                }
                Some(Seen::Lost) => {
                    if let Some(job) = self.slots.get_mut(&slot) {
                        job.tree = false;
                    }
                }
                Some(Seen::Absent | Seen::Exited { .. }) => {}
            }
        }
        if checking && !self.is(Mutant::HastyClear) {
            return self.line_again(epoch, id, "a check of an earlier round is ending");
        }
        self.line_ends_with(epoch, id, thread, QueueNews::Cleared);
    }

    /// The shim of a check is killed, or its program.
    pub(crate) fn kill_a_slot(&mut self) {
        let living: Vec<SlotId> = self
            .slots
            .iter()
            .filter(|(_, j)| j.shim && j.tree)
            .map(|(id, _)| id.clone())
            .collect();
        if living.is_empty() {
            return;
        }
        let n = usize::try_from(self.rng.below(living.len() as u64)).unwrap_or(0);
        let Some(id) = living.into_iter().nth(n) else {
            return;
        };
        self.note(|| format!("the shim of {id:?} is killed"));
        if let Some(job) = self.slots.get_mut(&id) {
            job.shim = false;
        }
        self.wake_slot_watchers(&id);
    }

    /// The shims of all checks are killed by a reboot.
    pub(crate) fn reboot_slots(&mut self) {
        for job in self.slots.values_mut() {
            job.shim = false;
            job.tree = false;
        }
    }
}

/// A number that stands for a check's key.
fn number_of_key(key: &str) -> u64 {
    key.bytes()
        .take(12)
        .fold(7, |n, b| n.wrapping_mul(31).wrapping_add(u64::from(b)))
}
