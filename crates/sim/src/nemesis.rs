//! What goes wrong in the world.

use longhaul_core::effect::outstanding;
use longhaul_core::ids::TaskId;
use longhaul_engine::machine::{Dispatch, LineDispatch};

use crate::daemon::{Death, Note};
use crate::disk::{JobId, Stage};
use crate::sim::{Item, Sim};
use crate::store::Weather;

impl Sim {
    pub(crate) fn do_harm(&mut self) {
        if self.calm {
            return;
        }
        let every = self.scenario.malice.fault_every_ms;
        let next = self.rng.within(every / 2, every * 3 / 2).max(1);
        self.at(next, Item::Fault);
        let kinds = if self.scenario.malice.benign { 10 } else { 22 };
        match self.rng.below(kinds) {
            0 => {
                if let Some(epoch) = self.current() {
                    self.kill_daemon(epoch, "killed");
                }
            }
            1..=3 => {
                let death = match self.rng.below(4) {
                    0 => Death::Commit { stored: false },
                    1 => Death::Commit { stored: true },
                    2 => Death::Handing(usize::try_from(self.rng.below(3)).unwrap_or(0)),
                    _ => Death::BeforeAnswers,
                };
                self.note(|| format!("the next step dies: {death:?}"));
                self.people.death = Some(death);
            }
            4..=6 => self.bad_weather(),
            7..=8 => self.repeat_an_effect(),
            9 => {
                if let Some(epoch) = self.current() {
                    self.at(0, Item::Deliver(epoch, Note::Stop));
                }
            }
            10 => self.make_a_zombie(),
            11..=12 => {
                self.kill_a_shim();
                self.kill_a_slot();
            }
            13..=14 => self.kill_a_program(),
            15 => self.reboot(),
            16..=17 => {
                let by = i64::try_from(self.rng.within(1_000, 6 * 3_600_000)).unwrap_or(0);
                let by = if self.rng.permille(350) { -by / 3 } else { by };
                self.note(|| format!("the wall clock jumps by {by} ms"));
                self.wall_offset += by;
            }
            18 => {
                self.set_floor(Some("room".to_owned()));
                let long = self.rng.within(1_000, 600_000);
                self.at(long, Item::Room);
            }
            19 => {
                // Twice the same event, and one of the two of a fence that was never given.
                self.set_floor(None);
            }
            _ => {
                let tasks: Vec<TaskId> = self.people.accepted.iter().copied().collect();
                if let Some(task) = self.rng.pick(&tasks) {
                    self.disk.drifted.insert(task);
                }
            }
        }
    }

    fn bad_weather(&mut self) {
        let weather = match self.rng.below(6) {
            0 => Weather::Full,
            1 => Weather::Busy,
            2 => Weather::UnknownUndone,
            3 => Weather::UnknownDone,
            4 => Weather::UnknownDoneBlind,
            _ => Weather::UnknownUndoneBlind,
        };
        self.note(|| format!("the store: {weather:?}"));
        self.faults().weather = weather;
        if matches!(weather, Weather::Full | Weather::Busy) {
            let long = self.rng.within(500, 120_000);
            self.at(long, Item::Mend);
        }
    }

    fn repeat_an_effect(&mut self) {
        let Some(epoch) = self.current() else {
            return;
        };
        let mut effects: Vec<Dispatch> = self
            .store_tasks()
            .filter_map(|task| outstanding(&task).map(|effect| Dispatch { effect, task }))
            .collect();
        effects.sort_by_key(|d| d.effect.task);
        let n = self.rng.below(effects.len() as u64);
        if let Some(dispatch) = usize::try_from(n)
            .ok()
            .and_then(|n| effects.into_iter().nth(n))
        {
            self.ensure(epoch, dispatch);
        }
        // Of lines, too: with what is stored, as after a start.
        let lines = self.reader.lines().unwrap_or_default();
        for line in lines {
            if let Some(effect) = longhaul_core::queue::outstanding(&line) {
                self.ensure_line(epoch, LineDispatch { effect, line });
            }
        }
    }

    /// The stored tasks that are not final.
    pub(crate) fn store_tasks(&self) -> impl Iterator<Item = longhaul_core::task::Task> + use<> {
        use longhaul_store::Store;
        self.store.clone().live().unwrap_or_default().into_iter()
    }

    /// The daemon is paused, its lock is gone, and another one starts beside it.
    fn make_a_zombie(&mut self) {
        let Some(epoch) = self.current() else {
            return;
        };
        let until = self.t + self.rng.within(5_000, 300_000);
        if let Some(daemon) = self.daemons.get_mut(&epoch) {
            daemon.paused_until = until;
            daemon.shadowed = true;
            daemon.threads.clear();
            daemon.line_threads.clear();
        }
        self.note(|| format!("daemon {epoch} is paused"));
        self.at(10, Item::Start);
    }

    fn living_job(&mut self) -> Option<JobId> {
        let jobs: Vec<JobId> = self
            .disk
            .jobs
            .iter()
            .filter(|(_, j)| j.shim || j.tree)
            .map(|(id, _)| *id)
            .collect();
        self.rng.pick(&jobs)
    }

    fn kill_a_shim(&mut self) {
        let Some(id) = self.living_job() else {
            return;
        };
        self.note(|| format!("the shim of {id:?} is killed"));
        if let Some(job) = self.disk.jobs.get_mut(&id) {
            job.shim = false;
        }
        self.wake_watchers(id);
    }

    fn kill_a_program(&mut self) {
        let Some(id) = self.living_job() else {
            return;
        };
        if self
            .disk
            .jobs
            .get(&id)
            .is_some_and(|j| j.stage == Stage::Started && j.tree)
        {
            self.job_exits(id, false);
        }
    }

    fn reboot(&mut self) {
        self.note(|| "reboot".to_owned());
        let epochs: Vec<u64> = self.daemons.keys().copied().collect();
        self.disk.reboot();
        self.reboot_slots();
        self.booted_at = self.t;
        for epoch in epochs {
            self.kill_daemon(epoch, "reboot");
        }
    }

    pub(crate) fn set_floor(&mut self, lacking: Option<String>) {
        if self.lacking != lacking {
            self.lacking.clone_from(&lacking);
            self.at(0, Item::Deliver(0, Note::Floors(lacking)));
        }
    }
}
