//! What the executor's threads do, effect by effect, as the real ones do it.

use longhaul_core::attempt::{AttemptEnd, LostWhy};
use longhaul_core::effect::Act;
use longhaul_core::fact::{News, WorkspaceFault};
use longhaul_core::spec::{TaskSpec, WorkspaceKind};
use longhaul_core::task::{AssignStep, RunStep, State, WorkspaceRef};
use longhaul_core::time::SpanMs;
use longhaul_core::usage::Usage;
use longhaul_core::verdict::{Grade, Verdict};

use crate::agent::{self, Line, WorkspaceTrouble};
use crate::daemon::Note;
use crate::disk::{JobId, JobKind, Survey};
use crate::executor::{Place, Thread, WorkKind};
use crate::scenario::number_of;
use crate::sim::{Item, Mutant, Sim};

impl Sim {
    fn spec_of(&self, thread: &Thread) -> Option<TaskSpec> {
        self.reader.spec(thread.place.task).ok().flatten()
    }

    pub(crate) fn prepare_workspace(&mut self, epoch: u64, id: u64, mut thread: Thread) {
        let Some(spec) = self.spec_of(&thread) else {
            return self.again(epoch, id, "no specification");
        };
        let job = Self::job_id(&thread, JobKind::Setup);
        let failed = |fault, detail: &str| News::WorkspaceFailed {
            fault,
            detail: detail.to_owned(),
            remedy: String::new(),
            workspace: None,
            conflict: None,
            resumes: thread.dispatch.task.carry.resume_checks,
        };
        let session = JobId {
            kind: JobKind::Session,
            ..job
        };
        let trouble = agent::workspace_trouble(self.seed, &session);
        if let WorkspaceTrouble::Fault { permanent } = trouble {
            let fault = if permanent {
                WorkspaceFault::Permanent
            } else {
                WorkspaceFault::Transient
            };
            return self.end_with(epoch, id, &thread, failed(fault, "git says no"));
        }
        if spec.setup.is_some() && !self.disk.setup_done.contains(&job.task) {
            match self.look_at(job) {
                None => return self.again(epoch, id, "cannot survey"),
                Some(Survey::Absent | Survey::NotStarted) => self.launch_job(job),
                Some(Survey::Starting | Survey::Live) => {}
                Some(Survey::Exited { success: true, .. }) => {
                    self.disk.setup_done.insert(job.task);
                }
                Some(Survey::Exited {
                    stop_requested: true,
                    ..
                }) => {
                    return self.end_with(
                        epoch,
                        id,
                        &thread,
                        failed(WorkspaceFault::Stopped, "stopped"),
                    );
                }
                Some(Survey::Exited { .. }) => {
                    return self.end_with(
                        epoch,
                        id,
                        &thread,
                        failed(WorkspaceFault::Setup, "exit 1"),
                    );
                }
                Some(Survey::Lost) => {
                    if !self.sweep(job) {
                        return self.again(epoch, id, "what is left of its tree?");
                    }
                    return self.end_with(
                        epoch,
                        id,
                        &thread,
                        failed(WorkspaceFault::Transient, "interrupted"),
                    );
                }
                Some(Survey::OtherBoot) => {
                    return self.end_with(
                        epoch,
                        id,
                        &thread,
                        failed(WorkspaceFault::Transient, "interrupted"),
                    );
                }
            }
            if !self.disk.setup_done.contains(&job.task) {
                thread.watches = Some(job);
                return self.keep(epoch, id, thread);
            }
        }
        self.fork_workspace(&thread.dispatch.task, &spec);
        let task = &thread.dispatch.task;
        let known = task.carry.end_tree.is_some();
        let drifted = self.disk.drifted.remove(&job.task);
        let drift =
            (known && (drifted || trouble == WorkspaceTrouble::Drift)).then(|| "a file".to_owned());
        if drifted && drift.is_some() {
            // It stays changed until the next turn's end.
            self.disk.drifted.insert(job.task);
        }
        let conflict =
            (trouble == WorkspaceTrouble::Conflict && !known).then(|| "git merge".to_owned());
        let in_place = spec.workspace == WorkspaceKind::InPlace;
        let news = News::WorkspaceReady {
            workspace: WorkspaceRef {
                path: format!("/ws/{}", number_of(job.task)),
                branch: (!in_place).then(|| format!("longhaul/{}", number_of(job.task))),
                base: "base".to_owned(),
                start: "base".to_owned(),
                start_tree: "base".to_owned(),
                port_base: None,
            },
            drift,
            conflict,
            tree: None,
            resumes: thread.dispatch.task.carry.resume_checks,
        };
        self.end_with(epoch, id, &thread, news);
    }

    pub(crate) fn attend(&mut self, epoch: u64, id: u64, mut thread: Thread) {
        let job = Self::job_id(&thread, JobKind::Session);
        let Some(spec) = self.spec_of(&thread) else {
            return self.again(epoch, id, "no specification");
        };
        let Some(mut survey) = self.look_at(job) else {
            return self.again(epoch, id, "cannot survey");
        };
        let launches = thread.dispatch.effect.act == Act::Launch;
        if matches!(survey, Survey::Absent | Survey::NotStarted) && launches {
            if let Some(transient) = agent::launch_trouble(self.seed, &job) {
                let news = News::LaunchFailed {
                    detail: "cannot start".to_owned(),
                    remedy: String::new(),
                    transient,
                };
                return self.end_with(epoch, id, &thread, news);
            }
            self.launch_job(job);
            survey = Survey::Starting;
            thread.watches = Some(job);
        } else if launches
            && self.is(Mutant::LaunchTwice)
            && survey == Survey::Live
            && thread.watches.is_none()
        {
            self.launch_blindly(job);
        }
        match survey {
            Survey::Starting if thread.watches.is_some() => {
                self.keep(epoch, id, thread);
            }
            Survey::Starting => self.again(epoch, id, "its shim is still starting"),
            Survey::Live => {
                thread.watches = Some(job);
                self.follow(epoch, id, thread, &spec, job);
            }
            Survey::Exited { .. } => self.session_over(epoch, id, thread, job, None),
            Survey::Lost => {
                let hasty = self.is(Mutant::UnknownIsGone);
                if !hasty && !self.sweep(job) {
                    return self.again(epoch, id, "what is left of its tree?");
                }
                self.session_over(epoch, id, thread, job, Some(LostWhy::Shim));
            }
            Survey::OtherBoot => self.session_over(epoch, id, thread, job, Some(LostWhy::Reboot)),
            Survey::Absent | Survey::NotStarted => {
                self.session_over(epoch, id, thread, job, Some(LostWhy::Shim));
            }
        }
    }

    /// Reads on and looks at the clocks (T14, T15).
    fn follow(&mut self, epoch: u64, id: u64, mut thread: Thread, spec: &TaskSpec, job: JobId) {
        let mono = self.mono();
        if !std::mem::replace(&mut thread.started_told, true) {
            let news = News::SessionStarted {
                pid: 1,
                mono: self.boot_ms(mono),
                resumed: thread.dispatch.task.carry.conversation.is_some(),
                conversation: thread.dispatch.task.carry.conversation.clone(),
            };
            self.tell(epoch, &thread, news);
        }
        let boot = self.boot_ms(0).boot;
        let stored = thread
            .dispatch
            .task
            .attempt
            .as_ref()
            .and_then(|a| a.started_mono.as_ref());
        let stored = stored.filter(|m| m.boot == boot).map(|m| m.ms);
        let begun = *thread.begun.get_or_insert(stored.unwrap_or(mono));
        self.read_log(epoch, &mut thread, job);
        if !thread.late_told {
            let timeout = begun + spec.timeout.0;
            let idle = thread.last_sign + spec.idle_timeout.0;
            let answer = thread.question_since.map(|q| q + spec.answer_timeout.0);
            let news = if timeout <= mono {
                Some(News::TimeoutReached)
            } else if answer.is_some_and(|a| a <= mono) {
                Some(News::Unanswered {
                    question: "may I?".to_owned(),
                })
            } else if idle <= mono {
                Some(News::IdleReached)
            } else {
                None
            };
            if let Some(news) = news {
                thread.late_told = true;
                self.tell(epoch, &thread, news);
            } else {
                let next = [Some(timeout), Some(idle), answer]
                    .into_iter()
                    .flatten()
                    .min();
                let wait = next.unwrap_or(timeout).saturating_sub(mono);
                self.at(wait.max(1), Item::Thread(epoch, id));
            }
        }
        if self.trouble() && self.rng.permille(100) {
            self.keep(epoch, id, thread);
            return self.again(epoch, id, "its socket broke");
        }
        self.keep(epoch, id, thread);
    }

    fn read_log(&mut self, epoch: u64, thread: &mut Thread, job: JobId) {
        let lines = self
            .disk
            .jobs
            .get(&job)
            .map(|j| j.log.clone())
            .unwrap_or_default();
        let fresh = lines.get(thread.read..).unwrap_or_default().to_vec();
        thread.read = lines.len();
        for (_, line) in fresh {
            thread.last_sign = self.mono();
            match line {
                Line::Conversation(c) => self.tell(epoch, thread, News::Conversation { id: c }),
                Line::WrongMode => {
                    let news = News::ModeMismatch {
                        wanted: "edits".to_owned(),
                        got: "bypass".to_owned(),
                    };
                    self.tell(epoch, thread, news);
                }
                Line::Used(usage) => {
                    thread.used = usage;
                    self.send(
                        epoch,
                        Note::Used(thread.place.task, thread.place.fence, usage),
                    );
                }
                Line::Question => thread.question_since = Some(self.mono()),
                Line::End(_) => {}
            }
        }
    }

    fn session_over(
        &mut self,
        epoch: u64,
        id: u64,
        mut thread: Thread,
        job: JobId,
        lost: Option<LostWhy>,
    ) {
        self.read_log(epoch, &mut thread, job);
        let end = match (self.terminal(&job), lost) {
            (Some(AttemptEnd::AgentError { .. }) | None, Some(why)) => AttemptEnd::Lost { why },
            (Some(end), _) => end,
            (None, None) => AttemptEnd::Crashed {
                detail: "exit 1".to_owned(),
            },
        };
        let news = News::SessionEnded {
            end,
            usage: thread.used,
            conversation_usage: None,
            refused_writes: Vec::new(),
        };
        self.end_with(epoch, id, &thread, news);
    }

    pub(crate) fn seal(&mut self, epoch: u64, id: u64, thread: &Thread) {
        let job = Self::job_id(thread, JobKind::Session);
        if !self.end_leftovers(job) {
            return self.again(epoch, id, "the session is still ending");
        }
        if self.trouble() && self.rng.permille(300) {
            return self.again(epoch, id, "the index is locked");
        }
        if self.trouble() && self.rng.permille(30) && !self.scenario.malice.benign {
            let news = News::SealFailed {
                detail: "the workspace is gone".to_owned(),
                transient: false,
            };
            return self.end_with(epoch, id, thread, news);
        }
        self.disk.drifted.remove(&job.task);
        let mut sealed = agent::sealed(self.seed, &job);
        if let Some(spec) = self.spec_of(thread) {
            self.seal_for_landing(&thread.dispatch.task, &spec, &mut sealed);
        }
        let task = &thread.dispatch.task;
        let finished = matches!(
            &task.state,
            State::Running {
                step: RunStep::Sealing {
                    end: AttemptEnd::Completed { .. }
                }
            }
        );
        sealed.loose = !finished && task.carry.approving.is_none();
        self.end_with(epoch, id, thread, News::Sealed { sealed });
    }

    pub(crate) fn check(&mut self, epoch: u64, id: u64, mut thread: Thread, check: u16, run: u16) {
        let Some(wanted) = self
            .spec_of(&thread)
            .and_then(|s| s.checks.get(usize::from(check)).cloned())
        else {
            return self.again(epoch, id, "no specification");
        };
        let job = Self::job_id(&thread, JobKind::Check { check, run });
        let lost = |detail: &str| News::CheckLost {
            check,
            run,
            detail: detail.to_owned(),
            tree: None,
        };
        let passed = match self.look_at(job) {
            None => return self.again(epoch, id, "cannot survey"),
            Some(
                survey @ (Survey::Absent | Survey::NotStarted | Survey::Starting | Survey::Live),
            ) => {
                self.launch_job(job);
                let deadline =
                    self.disk.jobs.get(&job).map_or(0, |j| j.started_mono) + wanted.timeout.0;
                let mono = self.mono();
                if survey == Survey::Live && deadline <= mono {
                    thread.timed_out = true;
                    self.stop_job(job);
                } else if thread.watches.is_none() || survey == Survey::Live {
                    self.at(
                        deadline.saturating_sub(mono).max(500),
                        Item::Thread(epoch, id),
                    );
                }
                thread.watches = Some(job);
                return self.keep(epoch, id, thread);
            }
            Some(Survey::Exited { .. }) if thread.timed_out => false,
            Some(Survey::Exited {
                stop_requested: true,
                ..
            }) if !self.is(Mutant::OpenCheck) => {
                return self.end_with(epoch, id, &thread, lost("stopped"));
            }
            Some(Survey::Exited {
                success,
                stop_requested,
            }) => success || stop_requested,
            Some(Survey::Lost | Survey::OtherBoot) => {
                if !self.sweep(job) {
                    return self.again(epoch, id, "what is left of its tree?");
                }
                if !self.is(Mutant::OpenCheck) {
                    return self.end_with(epoch, id, &thread, lost("its shim was killed"));
                }
                true
            }
        };
        let truly = matches!(self.disk.survey(&job), Survey::Exited { success: true, .. });
        if truly && passed {
            self.oracle.passed.insert((job.task, job.fence, check));
        }
        let verdict = Verdict {
            fence: job.fence,
            check: Some(check),
            name: wanted.name,
            kind: "run".to_owned(),
            run,
            grade: if passed { Grade::Pass } else { Grade::Fail },
            flaky: false,
            reason: String::new(),
            command: String::new(),
            commit: String::new(),
            exit: None,
            took: SpanMs(1),
            at: self.wall(),
            tail: String::new(),
            evidence: None,
            usage: Usage::default(),
        };
        self.end_with(
            epoch,
            id,
            &thread,
            News::Judged {
                verdict: Box::new(verdict),
                tree: None,
            },
        );
    }

    pub(crate) fn halt(&mut self, epoch: u64, id: u64, thread: &Thread) {
        let place = thread.place;
        let (kind, worker) = match &thread.dispatch.task.state {
            State::Assigned {
                step: AssignStep::Workspace,
            } => (JobKind::Setup, WorkKind::Prepare),
            State::Assigned {
                step: AssignStep::Launch,
            }
            | State::Running {
                step: RunStep::Live,
            } => (JobKind::Session, WorkKind::Session),
            State::Verifying { check, run, .. } => {
                let (check, run) = (*check, *run);
                (
                    JobKind::Check { check, run },
                    WorkKind::Check { check, run },
                )
            }
            _ => return self.leave(epoch, id),
        };
        let job = JobId {
            task: place.task,
            fence: place.fence,
            kind,
        };
        match self.look_at(job) {
            None | Some(Survey::Starting) => {
                return self.again(epoch, id, "its shim is still starting");
            }
            Some(Survey::Live) => self.stop_job(job),
            Some(_) => {}
        }
        let busy = self.daemons.get(&epoch).is_some_and(|d| {
            d.at_work.contains(&Place {
                kind: worker,
                ..place
            })
        });
        let hasty = self.is(Mutant::HastyHalt);
        if busy && !hasty {
            return self.again(epoch, id, "waiting for its end");
        }
        match &thread.dispatch.task.state {
            State::Assigned {
                step: AssignStep::Workspace,
            } => {
                if !hasty && !self.end_leftovers(job) {
                    return self.again(epoch, id, "the set-up is still ending");
                }
                let news = News::WorkspaceFailed {
                    fault: WorkspaceFault::Stopped,
                    detail: "stopped".to_owned(),
                    remedy: String::new(),
                    workspace: None,
                    conflict: None,
                    resumes: thread.dispatch.task.carry.resume_checks,
                };
                self.end_with(epoch, id, thread, news);
            }
            State::Assigned {
                step: AssignStep::Launch,
            } if matches!(self.disk.survey(&job), Survey::Absent | Survey::NotStarted) => {
                let news = News::LaunchFailed {
                    detail: "stopped".to_owned(),
                    remedy: String::new(),
                    transient: true,
                };
                self.end_with(epoch, id, thread, news);
            }
            State::Assigned { .. } | State::Running { .. } => {
                self.attend(epoch, id, thread.clone())
            }
            State::Verifying { check, run, .. } => {
                let (check, run) = (*check, *run);
                if !hasty && !self.end_leftovers(job) {
                    return self.again(epoch, id, "the check is still ending");
                }
                let news = News::CheckLost {
                    check,
                    run,
                    detail: "stopped".to_owned(),
                    tree: None,
                };
                self.end_with(epoch, id, thread, news);
            }
            _ => self.leave(epoch, id),
        }
    }
}
