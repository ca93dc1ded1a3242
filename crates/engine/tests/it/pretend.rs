//! A pretended world: carries out effects by returning the events a real executor would send.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};

use camino::Utf8PathBuf;
use longhaul_core::attempt::{AttemptEnd, BootMs, LostWhy, Sealed};
use longhaul_core::effect::Act;
use longhaul_core::fact::{Fact, News, WorkspaceFault};
use longhaul_core::ids::TaskId;
use longhaul_core::limit::{LimitClass, LimitNotice};
use longhaul_core::queue::LandNews;
use longhaul_core::spec::{
    CheckKind, CheckSpec, CommitMode, Expect, Land, OnDrift, Permission, Priority, Sandbox,
    TaskSpec, WorkspaceKind,
};
use longhaul_core::task::WorkspaceRef;
use longhaul_core::time::{Now, SpanMs, UnixMs};
use longhaul_core::usage::Usage;
use longhaul_core::verdict::{Grade, Verdict};
use longhaul_engine::event::Event;
use longhaul_engine::handle::{Command, Reply, Request, Submit};
use longhaul_engine::machine::{About, Dispatch, Limits, Machine, Step};
use longhaul_store::Store;
use uuid::Uuid;

use crate::moody::Moody;

pub(crate) fn spec(name: &str, deps: &[TaskId]) -> TaskSpec {
    TaskSpec {
        name: name.into(),
        prompt: "do".into(),
        repo: Utf8PathBuf::from("/repo"),
        dir: None,
        workspace: WorkspaceKind::Worktree,
        base: Some("main".into()),
        harness: "script".into(),
        profile: None,
        model: None,
        role: None,
        depends_on: deps.to_vec(),
        priority: Priority::Normal,
        budget: None,
        budget_tokens: None,
        timeout: SpanMs::from_secs(60),
        idle_timeout: SpanMs::from_secs(60),
        answer_timeout: SpanMs::from_secs(60),
        max_retries: 2,
        max_restarts: 5,
        on_drift: OnDrift::Ask,
        land: Land::No,
        land_checks: vec![],
        land_unverified: false,
        merge_style: None,
        project: None,
        group: None,
        labels: vec![],
        allow: vec![],
        keep: vec![],
        sandbox: Sandbox::Write,
        protect: vec![],
        expect: Expect::Change,
        permission: Permission::Edits,
        commit: CommitMode::Auto,
        env: BTreeMap::new(),
        env_pass: vec![],
        setup: None,
        teardown: None,
        checks: vec![CheckSpec {
            name: "test".into(),
            kind: CheckKind::Run {
                command: "true".into(),
            },
            timeout: SpanMs::from_secs(60),
            retry_flaky: 0,
        }],
        task_file: None,
        caller_env: BTreeMap::new(),
    }
}

pub(crate) fn id(n: u8) -> TaskId {
    TaskId::new(1, [n; 10])
}

pub(crate) fn submit(tasks: &[(TaskId, TaskSpec)]) -> Command {
    Command::Submit(Submit {
        source: "tasks.toml".into(),
        digest: format!("{tasks:?}").len().to_string(),
        again: false,
        tasks: tasks.to_vec(),
    })
}

/// How the pretended world answers the n-th session or check of a task.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Script {
    pub(crate) failing_checks: u32,
    pub(crate) lost_sessions: u32,
    pub(crate) quota_until: Option<i64>,
}

pub(crate) struct Pretend {
    pub(crate) machine: Machine<Moody>,
    pub(crate) now: Now,
    pub(crate) scripts: BTreeMap<TaskId, Script>,
    pub(crate) most_live: u32,
    pub(crate) launches: Vec<(TaskId, u64)>,
    /// The account home of each launch.
    pub(crate) seats: Vec<(TaskId, Option<String>)>,
    /// Account homes that refuse, and until when.
    pub(crate) refusing: BTreeMap<String, (LimitClass, i64)>,
    pub(crate) todo: Vec<Dispatch>,
}

impl Pretend {
    pub(crate) fn new(store: Moody, limits: Limits) -> Self {
        static OPS: AtomicU64 = AtomicU64::new(1);
        let machine = Machine::open(store, limits, About::default(), || {
            let n = OPS.fetch_add(1, Ordering::Relaxed);
            Uuid::from_u128((u128::from(n) << 80) | 0x7000_8000_0000_0000_0000)
        })
        .unwrap();
        Self {
            machine,
            now: Now {
                wall: UnixMs(1_000),
                mono_ms: 1_000,
            },
            scripts: BTreeMap::new(),
            most_live: 0,
            launches: vec![],
            seats: vec![],
            refusing: BTreeMap::new(),
            todo: vec![],
        }
    }

    pub(crate) fn command(&mut self, command: Command) -> Reply {
        let rx = self.send(command);
        rx.try_recv()
            .expect("every command is answered in its step")
    }

    fn send(&mut self, command: Command) -> Receiver<Reply> {
        let (tx, rx) = channel();
        let reply = Box::new(move |r| tx.send(r).unwrap());
        self.step(vec![Event::Request(Request { command, reply })]);
        rx
    }

    pub(crate) fn step(&mut self, events: Vec<Event>) -> Step {
        let mut step = self.machine.step(events, self.now);
        self.todo.append(&mut step.effects);
        for answer in std::mem::take(&mut step.replies) {
            (answer.to)(answer.reply);
        }
        let live = self
            .machine
            .tasks()
            .filter(|t| t.state.word().is_active())
            .count();
        self.most_live = self.most_live.max(u32::try_from(live).unwrap());
        step
    }

    /// Carries out effects until nothing is left to do but wait, then lets time pass; ends when
    /// nothing is due any more.
    pub(crate) fn settle(&mut self) {
        for _ in 0..10_000 {
            if let Some(d) = self.todo.pop() {
                let events = self.carry_out(&d);
                self.step(events);
            } else if let Some(due) = self.machine.next_due() {
                self.now.mono_ms += due.since(self.now.wall).0;
                self.now.wall = self.now.wall.max(due);
                self.step(vec![Event::Tick]);
            } else {
                return;
            }
        }
        panic!("does not settle");
    }

    /// What carrying out an effect tells.
    pub(crate) fn carry(&mut self, d: &Dispatch) -> Vec<Event> {
        self.carry_out(d)
    }

    /// Carries out one effect; false if there is none.
    pub(crate) fn one(&mut self) -> bool {
        let Some(d) = self.todo.pop() else {
            return false;
        };
        let events = self.carry_out(&d);
        self.step(events);
        true
    }

    /// What a new daemon does first.
    pub(crate) fn recover(&mut self) {
        self.todo = self.machine.recover();
        self.step(vec![Event::Tick]);
    }

    fn carry_out(&mut self, d: &Dispatch) -> Vec<Event> {
        let script = self.scripts.entry(d.effect.task).or_default();
        let (task, fence) = (d.effect.task, d.effect.fence);
        let news = |n| vec![Event::news(task, fence, n)];
        match &d.effect.act {
            Act::PrepareWorkspace => news(News::WorkspaceReady {
                workspace: WorkspaceRef {
                    path: format!("/ws/{task}"),
                    branch: Some("b".into()),
                    base: "1".into(),
                    start: "1".into(),
                    start_tree: "1".into(),
                    port_base: None,
                },
                drift: None,
                conflict: None,
                tree: None,
                resumes: d.task.carry.resume_checks,
            }),
            Act::Launch => {
                self.launches.push((task, fence.0));
                self.seats.push((task, d.task.carry.account.clone()));
                news(News::SessionStarted {
                    pid: 1,
                    mono: BootMs {
                        boot: "b".into(),
                        ms: self.now.mono_ms,
                    },
                    resumed: d.task.carry.conversation.is_some(),
                    conversation: Some(format!("conversation of {task}")),
                })
            }
            Act::Attend => {
                let refusing = d.task.carry.account.as_ref();
                let refusing = refusing.and_then(|a| self.refusing.get(a));
                let refusing = refusing.filter(|(_, until)| self.now.wall.0 < *until);
                let end = if let Some((class, until)) = refusing {
                    AttemptEnd::Limited {
                        notice: LimitNotice {
                            class: *class,
                            reset_at: Some(UnixMs(*until)),
                            window: Some("five_hour".into()),
                            snippet: "limit".into(),
                        },
                    }
                } else if script.lost_sessions > 0 {
                    script.lost_sessions -= 1;
                    AttemptEnd::Lost { why: LostWhy::Shim }
                } else if let Some(until) = script.quota_until.take() {
                    AttemptEnd::Limited {
                        notice: LimitNotice {
                            class: LimitClass::Quota,
                            reset_at: Some(UnixMs(until)),
                            window: None,
                            snippet: "limit".into(),
                        },
                    }
                } else {
                    AttemptEnd::Completed {
                        summary: "ok".into(),
                        denials: vec![],
                    }
                };
                news(News::SessionEnded {
                    end,
                    usage: Usage {
                        input: 1,
                        ..Usage::default()
                    },
                    conversation_usage: None,
                    refused_writes: Vec::new(),
                })
            }
            Act::Seal => news(News::Sealed {
                sealed: Sealed {
                    commit: "c".into(),
                    tree: "t".into(),
                    changed_files: 1,
                    ..Sealed::default()
                },
            }),
            Act::Check { check, run } => {
                let fail = script.failing_checks > 0;
                script.failing_checks = script.failing_checks.saturating_sub(1);
                news(News::Judged {
                    tree: None,
                    verdict: Box::new(Verdict {
                        fence,
                        check: Some(*check),
                        name: "test".into(),
                        kind: "run".into(),
                        run: *run,
                        grade: if fail { Grade::Fail } else { Grade::Pass },
                        flaky: false,
                        reason: String::new(),
                        command: String::new(),
                        commit: "c".into(),
                        exit: None,
                        took: SpanMs(1),
                        at: self.now.wall,
                        tail: String::new(),
                        evidence: None,
                        usage: Usage::default(),
                    }),
                })
            }
            Act::Propose => vec![Event::Fact {
                task,
                fact: Fact::Landing {
                    fence,
                    news: Box::new(LandNews::Proposed {
                        commit: "c".into(),
                        url: "https://h.example/1".into(),
                    }),
                },
            }],
            Act::Halt { .. } => {
                let stopped = WorkspaceFault::Stopped;
                vec![
                    Event::news(
                        task,
                        fence,
                        News::WorkspaceFailed {
                            fault: stopped,
                            detail: "stopped".into(),
                            remedy: String::new(),
                            workspace: None,
                            conflict: None,
                            resumes: d.task.carry.resume_checks,
                        },
                    ),
                    Event::news(
                        task,
                        fence,
                        News::SessionEnded {
                            end: AttemptEnd::Crashed {
                                detail: "TERM".into(),
                            },
                            usage: Usage::default(),
                            conversation_usage: None,
                            refused_writes: Vec::new(),
                        },
                    ),
                    Event::news(
                        task,
                        fence,
                        News::CheckLost {
                            check: 0,
                            run: 0,
                            detail: "stopped".into(),
                            tree: None,
                        },
                    ),
                ]
            }
        }
    }
}

/// The whole ledger as text, for comparing runs.
pub(crate) fn ledger(store: &dyn Store) -> Vec<String> {
    let reader = store.reader().unwrap();
    reader
        .ledger_tail(0, 100_000)
        .unwrap()
        .into_iter()
        .map(|r| {
            format!(
                "{} {} {}->{} {}",
                r.entry.task,
                r.entry.version,
                r.entry.from,
                r.entry.to,
                r.entry.cause.as_str()
            )
        })
        .collect()
}
