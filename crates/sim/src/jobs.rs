//! Jobs in motion: what shims and programs do on their own, whoever looks.

use longhaul_core::ids::Fence;
use longhaul_core::spec::WorkspaceKind;

use crate::agent::{self, Line};
use crate::disk::{Job, JobId, JobKind, Stage, Survey};
use crate::sim::{Course, Item, Sim};

impl Sim {
    /// A bundle made exclusively, and a shim: a second start finds what is there.
    pub(crate) fn launch_job(&mut self, id: JobId) {
        let survey = self.disk.survey(&id);
        if !matches!(survey, Survey::Absent | Survey::NotStarted) {
            return;
        }
        let exclusive = self
            .reader
            .spec(id.task)
            .ok()
            .flatten()
            .filter(|s| s.workspace == WorkspaceKind::InPlace)
            .map(|s| s.repo.to_string());
        self.check_start(&id, exclusive.as_deref());
        self.runs_made += 1;
        let run = self.runs_made;
        let job = Job {
            boot: self.disk.boot,
            stage: Stage::Starting,
            shim: true,
            tree: false,
            stop_requested: false,
            exclusive,
            started_wall: self.wall(),
            started_mono: self.mono(),
            script: agent::script(self.seed, &id, self.scenario.malice.benign),
            log: Vec::new(),
            run,
        };
        self.note(|| format!("job {id:?} is launched"));
        self.disk.jobs.insert(id, job);
        let up = if self.rng.permille(30) {
            self.rng.within(100, 8_000)
        } else {
            self.rng.within(1, 20)
        };
        self.at(up, Item::Job(id, run, Course::Up));
    }

    pub(crate) fn job_goes_on(&mut self, id: JobId, run: u64, course: Course) {
        let (wall, mono) = (self.wall(), self.mono());
        let Some(job) = self.disk.jobs.get_mut(&id).filter(|j| j.run == run) else {
            return;
        };
        match course {
            Course::Up if job.stage == Stage::Starting && job.shim => {
                job.stage = Stage::Started;
                job.tree = true;
                job.started_wall = wall;
                job.started_mono = mono;
                let lines: Vec<u64> = job.script.lines.iter().map(|(at, _)| *at).collect();
                let exit = job.script.exit;
                for (n, at) in lines.into_iter().enumerate() {
                    self.at(at, Item::Job(id, run, Course::Line(n)));
                }
                if let Some((at, success)) = exit {
                    self.at(at, Item::Job(id, run, Course::Exit(success)));
                }
            }
            Course::Line(n) if job.tree => {
                if let Some((_, line)) = job.script.lines.get(n) {
                    let line = line.clone();
                    job.log.push((wall, line));
                }
            }
            Course::Exit(success) if job.tree => self.job_exits(id, success),
            Course::Stopped if job.tree => self.job_exits(id, false),
            _ => return,
        }
        self.wake_watchers(id);
    }

    /// The program ends; a shim that lives writes the exit record.
    pub(crate) fn job_exits(&mut self, id: JobId, success: bool) {
        self.note(|| format!("job {id:?} exits"));
        if let Some(job) = self.disk.jobs.get_mut(&id) {
            job.tree = false;
            if job.shim {
                job.shim = false;
                job.stage = Stage::Exited {
                    success,
                    stop_requested: job.stop_requested,
                };
            }
        }
        self.wake_watchers(id);
    }

    /// Asks the shim to end the job: returns at once, the end comes later.
    pub(crate) fn stop_job(&mut self, id: JobId) {
        let Some(job) = self.disk.jobs.get_mut(&id).filter(|j| j.shim && j.tree) else {
            return;
        };
        if !std::mem::replace(&mut job.stop_requested, true) {
            let (run, dies_in) = (job.run, job.script.dies_in);
            self.at(dies_in, Item::Job(id, run, Course::Stopped));
        }
    }

    /// Ends what is left of a lost job's tree, by identity. False if nobody can tell.
    pub(crate) fn sweep(&mut self, id: JobId) -> bool {
        if self.trouble() && self.rng.permille(300) {
            return false;
        }
        if let Some(job) = self.disk.jobs.get_mut(&id) {
            job.tree = false;
        }
        true
    }

    /// What a bundle means; `None` if that cannot be read now (I6).
    pub(crate) fn look_at(&mut self, id: JobId) -> Option<Survey> {
        if self.trouble() && self.rng.permille(400) {
            let gone = self.is(crate::sim::Mutant::UnknownIsGone);
            return gone.then_some(Survey::Lost);
        }
        Some(self.disk.survey(&id))
    }

    /// Sees to it that nothing of a job lives any more; true once that is so.
    pub(crate) fn end_leftovers(&mut self, id: JobId) -> bool {
        match self.look_at(id) {
            None | Some(Survey::Starting) => false,
            Some(Survey::Lost) if self.is(crate::sim::Mutant::UnknownIsGone) => true,
            Some(Survey::Lost) => self.sweep(id),
            Some(Survey::Live) => {
                self.stop_job(id);
                false
            }
            Some(
                Survey::Absent | Survey::NotStarted | Survey::Exited { .. } | Survey::OtherBoot,
            ) => true,
        }
    }

    /// A second session beside the first, as an executor that does not look would start it.
    pub(crate) fn launch_blindly(&mut self, id: JobId) {
        let other = JobId {
            fence: Fence(id.fence.0 + 1_000_000),
            kind: JobKind::Session,
            ..id
        };
        let Some(job) = self.disk.jobs.get(&id).cloned() else {
            return;
        };
        self.check_start(&other, job.exclusive.as_deref());
    }

    /// The last line of a job's output that ends its turn, with its time.
    pub(crate) fn terminal(&self, id: &JobId) -> Option<longhaul_core::attempt::AttemptEnd> {
        let job = self.disk.jobs.get(id)?;
        job.log.iter().rev().find_map(|(at, line)| match line {
            Line::End(end) => Some(agent::attempt_end(end, *at)),
            _ => None,
        })
    }
}
