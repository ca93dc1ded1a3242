//! A store with a past: facts go through `decide` and are committed, as the engine does it.

use std::collections::BTreeMap;

use longhaul_core::attempt::{AttemptEnd, BootMs, Denial, RefusedWrite, Sealed};
use longhaul_core::decide::{Outcome, decide};
use longhaul_core::fact::{Fact, News, Order};
use longhaul_core::ids::{Fence, TaskId};
use longhaul_core::ledger::{Actor, Cause, LedgerEntry};
use longhaul_core::limit::{LimitClass, LimitNotice};
use longhaul_core::policy::Policy;
use longhaul_core::spec::{
    CheckKind, CheckSpec, CommitMode, EnvValue, Expect, Land, OnDrift, Permission, Priority,
    Sandbox, TaskSpec, WorkspaceKind,
};
use longhaul_core::task::{Task, Terms, WorkspaceRef};
use longhaul_core::time::{Now, SpanMs, UnixMs};
use longhaul_core::usage::{MicroUsd, Usage};
use longhaul_core::verdict::{Grade, Verdict};
use longhaul_store::{MemoryStore, NewTask, Step, Store, Submission, Write};
use serde_json::json;
use uuid::Uuid;

/// 2026-11-21 08:27:20 UTC.
pub(crate) const START: UnixMs = UnixMs(1_795_249_640_000);

pub(crate) const MINUTE: SpanMs = SpanMs(60_000);

/// The submission that all tasks of a history belong to.
pub(crate) const SUBMISSION: Uuid = Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001);

pub(crate) struct History {
    pub(crate) store: Box<dyn Store>,
    pub(crate) now: UnixMs,
    ops: u128,
}

impl History {
    pub(crate) fn new() -> Self {
        Self {
            store: Box::new(MemoryStore::new()),
            now: START,
            ops: 0,
        }
    }

    /// Hands tasks in together, the n-th with the id `id(n)`.
    pub(crate) fn submit(&mut self, specs: Vec<TaskSpec>) {
        let at = self.now;
        let tasks = specs.into_iter().enumerate().map(|(n, spec)| {
            let id = id(n);
            let task = Task::accept(id, spec.name.clone(), Terms::of(&spec), at);
            let word = task.state.word();
            let entry = LedgerEntry {
                task: id,
                version: 1,
                fence: Fence::default(),
                from: word,
                to: word,
                cause: Cause::Submitted,
                actor: Actor::Operator,
                at,
                data: json!({}),
            };
            NewTask { task, spec, entry }
        });
        let submission = Submission {
            id: SUBMISSION,
            source: "/repo/tasks.toml".to_owned(),
            digest: "0".repeat(64),
            created_at: at,
            tasks: tasks.collect(),
        };
        self.commit(Write::Submit(Box::new(submission)));
    }

    pub(crate) fn commit(&mut self, write: Write) {
        let results = self.store.commit(&[write]).expect("the store works");
        assert!(results.iter().all(Result::is_ok), "{results:?}");
    }

    pub(crate) fn pass(&mut self, span: SpanMs) {
        self.now = self.now.plus(span);
    }

    pub(crate) fn task(&self, id: TaskId) -> Task {
        let reader = self.store.reader().expect("a reader");
        reader.task(id).expect("readable").expect("stored").task
    }

    /// Lets a fact happen a second later; it has to change something.
    pub(crate) fn fact(&mut self, id: TaskId, fact: &Fact) {
        self.pass(SpanMs(1_000));
        let before = self.task(id);
        let now = Now {
            wall: self.now,
            mono_ms: self.now.0.unsigned_abs(),
        };
        match decide(&before, fact, now, &Policy::default()) {
            Outcome::Change(change) => {
                self.ops += 1;
                let op = Uuid::from_u128((0x0199_0000_0000_7000 << 64) | self.ops);
                self.commit(Write::Step(Box::new(Step::of(&before, *change, op))));
            }
            other => panic!("{fact:?} changes nothing of {before:?}: {other:?}"),
        }
    }

    pub(crate) fn order(&mut self, id: TaskId, order: Order) {
        self.fact(id, &Fact::Operator { order });
    }

    pub(crate) fn news(&mut self, id: TaskId, news: News) {
        let fence = self.task(id).fence;
        self.fact(id, &Fact::Attempt { fence, news });
    }

    /// A session runs.
    pub(crate) fn start(&mut self, id: TaskId) {
        self.fact(id, &Fact::SlotGranted);
        let branch = format!("longhaul/{}", self.task(id).name);
        let workspace = WorkspaceRef {
            path: format!("/work/{branch}"),
            branch: Some(branch),
            base: "b".repeat(40),
            start: "b".repeat(40),
            start_tree: "c".repeat(40),
            port_base: Some(20_000),
        };
        self.news(
            id,
            News::WorkspaceReady {
                workspace,
                drift: None,
                conflict: None,
                tree: None,
                resumes: None,
            },
        );
        let mono = BootMs {
            boot: "boot".to_owned(),
            ms: 1,
        };
        let conversation = Some(format!("conversation-{id}"));
        self.news(
            id,
            News::SessionStarted {
                pid: 4242,
                mono,
                resumed: false,
                conversation,
            },
        );
    }

    /// Its session ends, and its work is secured.
    pub(crate) fn end(&mut self, id: TaskId, end: AttemptEnd) {
        self.pass(MINUTE);
        let refused = RefusedWrite {
            tool: "Bash".to_owned(),
            line: "touch: cannot touch '/etc/\u{1b}[31mhunter2': Permission denied".to_owned(),
            path: Some("/etc/\u{1b}[31mhunter2".to_owned()),
        };
        let refused_writes = match end {
            AttemptEnd::Completed { .. } => vec![refused],
            _ => Vec::new(),
        };
        self.news(
            id,
            News::SessionEnded {
                end,
                usage: usage(1_200),
                conversation_usage: None,
                refused_writes,
            },
        );
        let sealed = Sealed {
            commit: "d".repeat(40),
            tree: "e".repeat(40),
            snapshot: Some("refs/longhaul/snap/1".to_owned()),
            changed_files: 3,
            diffstat: " src/lib.rs | 4 ++--\n 3 files changed".to_owned(),
            ..Sealed::default()
        };
        self.news(id, News::Sealed { sealed });
    }

    pub(crate) fn finish_turn(&mut self, id: TaskId) {
        let summary = "all \u{1b}[32mgreen\u{1b}[0m".to_owned();
        let denials = vec![Denial {
            tool: "Bash".to_owned(),
            detail: "curl x".to_owned(),
        }];
        self.end(id, AttemptEnd::Completed { summary, denials });
    }

    /// The check that runs gives its verdict.
    pub(crate) fn judge(&mut self, id: TaskId, grade: Grade) {
        self.pass(MINUTE);
        let task = self.task(id);
        let longhaul_core::task::State::Verifying { check, run, .. } = task.state else {
            panic!("{task:?} is not being verified");
        };
        let verdict = Verdict {
            fence: task.fence,
            check: Some(check),
            name: "tests".to_owned(),
            kind: "run".to_owned(),
            run,
            grade,
            flaky: false,
            reason: match grade {
                Grade::Pass => "exit 0".to_owned(),
                Grade::Fail => "exit 101".to_owned(),
            },
            command: "cargo test".to_owned(),
            commit: "d".repeat(40),
            exit: Some(if grade == Grade::Pass { 0 } else { 101 }),
            took: SpanMs(5_300),
            at: self.now,
            tail: "test a ... \u{1b}[31mFAILED\u{1b}[0m\nhunter2\n".to_owned(),
            evidence: Some("evidence/1".to_owned()),
            usage: Usage::default(),
        };
        self.news(
            id,
            News::Judged {
                verdict: Box::new(verdict),
                tree: None,
            },
        );
    }

    /// A whole attempt that passes.
    pub(crate) fn succeed(&mut self, id: TaskId) {
        self.start(id);
        self.finish_turn(id);
        self.judge(id, Grade::Pass);
    }
}

/// The n-th id: a version 7 UUID whose digits say n.
pub(crate) fn id(n: usize) -> TaskId {
    let [hi, lo] = u16::try_from(n)
        .expect("test numbers are small")
        .to_be_bytes();
    TaskId::new(START.0, [hi, lo, 1, 2, 3, 4, 5, 6, hi, lo])
}

pub(crate) fn usage(output: u64) -> Usage {
    Usage {
        input: 800,
        output,
        cost: Some(MicroUsd(42_000)),
        ..Usage::default()
    }
}

pub(crate) fn limit(until: UnixMs) -> AttemptEnd {
    AttemptEnd::Limited {
        notice: LimitNotice {
            class: LimitClass::Quota,
            reset_at: Some(until),
            window: Some("five_hour".to_owned()),
            snippet: "You've hit your limit".to_owned(),
        },
    }
}

/// A task with one check, `tests`.
pub(crate) fn spec(name: &str, depends_on: &[TaskId]) -> TaskSpec {
    let env = BTreeMap::from([
        ("PORT".to_owned(), EnvValue::Literal("hunter2".to_owned())),
        (
            "TOKEN".to_owned(),
            EnvValue::From {
                from: "MY_TOKEN".to_owned(),
            },
        ),
    ]);
    TaskSpec {
        name: name.to_owned(),
        prompt: "make it so\n\u{1b}]0;title\u{7}and well".to_owned(),
        repo: "/repo".into(),
        dir: None,
        workspace: WorkspaceKind::Worktree,
        base: Some("main".to_owned()),
        harness: "claude".to_owned(),
        profile: None,
        model: None,
        role: None,
        depends_on: depends_on.to_vec(),
        priority: Priority::Normal,
        budget: Some(MicroUsd(5_000_000)),
        budget_tokens: None,
        timeout: SpanMs::from_secs(2_700),
        idle_timeout: SpanMs::from_secs(600),
        answer_timeout: SpanMs::from_secs(60),
        max_retries: 2,
        max_restarts: 5,
        on_drift: OnDrift::Ask,
        land: Land::No,
        land_checks: vec![],
        land_unverified: false,
        merge_style: None,
        project: Some("site".to_owned()),
        group: None,
        labels: Vec::new(),
        allow: Vec::new(),
        keep: Vec::new(),
        sandbox: Sandbox::Write,
        protect: vec!["tests/**".to_owned()],
        expect: Expect::Change,
        permission: Permission::Edits,
        commit: CommitMode::Auto,
        env,
        env_pass: Vec::new(),
        setup: None,
        teardown: None,
        checks: vec![CheckSpec {
            name: "tests".to_owned(),
            kind: CheckKind::Run {
                command: "cargo test".to_owned(),
            },
            timeout: SpanMs::from_secs(900),
            retry_flaky: 0,
        }],
        task_file: Some("/repo/tasks.toml".into()),
        caller_env: BTreeMap::from([("PATH".to_owned(), "/bin".to_owned())]),
    }
}

/// Twelve tasks, one in every state that people see. Their names say which.
pub(crate) fn all_states() -> History {
    let mut h = History::new();
    let names = [
        "done",
        "retrying",
        "running",
        "verifying",
        "limited",
        "needy",
        "cancelled",
        "waiting",
        "blocked",
        "deeper",
        "stopped",
        "queued",
    ];
    let specs = names.iter().map(|name| match *name {
        "waiting" => spec(name, &[id(2), id(0)]),
        "blocked" => spec(name, &[id(6)]),
        "deeper" => spec(name, &[id(8), id(2)]),
        _ => spec(name, &[]),
    });
    h.submit(specs.collect());
    h.succeed(id(0));
    h.start(id(1));
    h.finish_turn(id(1));
    h.judge(id(1), Grade::Fail);
    h.start(id(2));
    h.start(id(3));
    h.finish_turn(id(3));
    h.start(id(4));
    let until = h.now.plus(SpanMs::from_secs(7_200));
    h.end(id(4), limit(until));
    h.start(id(5));
    h.end(
        id(5),
        AttemptEnd::LaunchFailed {
            detail: "claude is not installed".to_owned(),
            permanent: true,
        },
    );
    h.order(id(6), Order::Cancel);
    h.order(id(10), Order::Stop);
    h
}
