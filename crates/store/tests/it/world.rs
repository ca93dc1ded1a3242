//! Values to store, and a folder to store them in.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_core::attempt::Attempt;
use longhaul_core::ids::{Fence, TaskId};
use longhaul_core::ledger::{Actor, Cause, LedgerEntry};
use longhaul_core::limit::LimitClass;
use longhaul_core::queue::{
    Entry, EntryId, Judgement, Line, LineId, MergeStyle, Origin, QueueCause, QueueRow, Subject,
};
use longhaul_core::spec::{
    CommitMode, Expect, Land, OnDrift, Permission, Priority, Sandbox, TaskSpec, WorkspaceKind,
};
use longhaul_core::task::{DoneBasis, Need, NeedKind, State, StateWord, Task, Terms};
use longhaul_core::time::{SpanMs, UnixMs};
use longhaul_core::usage::{MicroUsd, Usage};
use longhaul_core::verdict::{Grade, Verdict};
use longhaul_core::window::Window;
use longhaul_store::{
    Applied, LineStep, NewTask, Refusal, Step, Store, Submission, TreeVerdict, Write,
};
use serde_json::json;
use uuid::Uuid;

/// A temporary folder with a database in it.
pub(crate) struct Folder {
    temp: tempfile::TempDir,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let temp = tempfile::tempdir().expect("a temporary folder can be made");
        Self { temp }
    }

    pub(crate) fn path(&self) -> &Utf8Path {
        Utf8Path::from_path(self.temp.path()).expect("temporary folders have plain names")
    }

    pub(crate) fn db(&self) -> Utf8PathBuf {
        self.path().join("state/longhaul.db")
    }
}

/// Every file below a folder with its contents.
pub(crate) fn contents(folder: &Utf8Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be listed").path();
        let name = path.file_name().expect("files have names");
        let bytes = std::fs::read(&path).expect("files can be read");
        all.insert(name.to_string_lossy().into_owned(), bytes);
    }
    all
}

/// The n-th task id: close in time, so that long prefixes are shared.
pub(crate) fn id(n: u64) -> TaskId {
    let mut random = [0x5A; 10];
    random[2..].copy_from_slice(&n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
    TaskId::new(1_790_000_000_000, random)
}

/// The n-th operation id.
pub(crate) fn op(n: u64) -> Uuid {
    Uuid::from_u128((0x0199_0000_0000_7000_u128 << 64) | u128::from(n))
}

pub(crate) fn spec(name: &str) -> TaskSpec {
    TaskSpec {
        name: name.to_owned(),
        prompt: "make it so\n\u{0}é".to_owned(),
        repo: "/repo".into(),
        dir: None,
        workspace: WorkspaceKind::Worktree,
        base: Some("main".to_owned()),
        harness: "script".to_owned(),
        profile: None,
        model: None,
        role: None,
        depends_on: Vec::new(),
        priority: Priority::Normal,
        budget: Some(MicroUsd(5_000_000)),
        budget_tokens: None,
        timeout: SpanMs::from_secs(60),
        idle_timeout: SpanMs::from_secs(10),
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
        labels: vec!["night".to_owned(), name.to_owned()],
        allow: Vec::new(),
        keep: Vec::new(),
        sandbox: Sandbox::Write,
        protect: Vec::new(),
        expect: Expect::Change,
        permission: Permission::Edits,
        commit: CommitMode::Auto,
        env: BTreeMap::new(),
        env_pass: Vec::new(),
        setup: None,
        teardown: None,
        checks: Vec::new(),
        task_file: None,
        caller_env: BTreeMap::new(),
    }
}

pub(crate) fn terms(depends_on: Vec<TaskId>) -> Terms {
    Terms {
        priority: Priority::High,
        depends_on,
        repo: "/repo".to_owned(),
        exclusive_folder: None,
        harness: "script".to_owned(),
        timeout: SpanMs::from_secs(60),
        idle_timeout: SpanMs::from_secs(10),
        max_retries: 2,
        max_restarts: 5,
        budget: None,
        budget_tokens: Some(1_000),
        expect_change: true,
        on_drift: OnDrift::Warn,
        flaky_reruns: vec![0, 2],
        land: Land::No,
        variables: Vec::new(),
    }
}

/// A task to be accepted, with its first ledger row.
pub(crate) fn new_task(n: u64, name: &str, depends_on: Vec<TaskId>) -> NewTask {
    let at = UnixMs(1_000 + i64::try_from(n).expect("test numbers are small"));
    let task = Task::accept(id(n), name.to_owned(), terms(depends_on), at);
    let entry = LedgerEntry {
        task: task.id,
        version: 1,
        fence: task.fence,
        from: task.state.word(),
        to: task.state.word(),
        cause: Cause::Submitted,
        actor: Actor::Operator,
        at,
        data: json!({ "n": n, "ratio": 0.1 }),
    };
    NewTask {
        task,
        spec: spec(name),
        entry,
    }
}

pub(crate) fn submission(n: u64, tasks: Vec<NewTask>) -> Submission {
    Submission {
        id: Uuid::from_u128(u128::from(n) + 1),
        source: format!("/repo/tasks{}.toml", n % 2),
        digest: format!("sha256:{}", n % 3),
        created_at: UnixMs(500),
        tasks,
    }
}

/// Submits tasks named `task-N` for these numbers.
pub(crate) fn submit(store: &mut dyn Store, submission_no: u64, numbers: &[u64]) {
    let tasks = numbers
        .iter()
        .map(|n| new_task(*n, &format!("task-{n}"), Vec::new()));
    let s = submission(submission_no, tasks.collect());
    one(store, Write::Submit(Box::new(s))).expect("fresh tasks are accepted");
}

/// Commits a single write.
pub(crate) fn one(store: &mut dyn Store, write: Write) -> Result<Applied, Refusal> {
    let mut results = store.commit(&[write]).expect("the store works");
    assert_eq!(results.len(), 1);
    results.remove(0)
}

/// A move of `before` into `state`, otherwise unchanged.
pub(crate) fn step(before: &Task, state: State, op_id: Uuid) -> Step {
    let mut task = before.clone();
    task.version += 1;
    task.changed_at = before.changed_at.plus(SpanMs(10));
    task.state = state;
    finish(before, task, op_id)
}

/// A move of `before` that begins an attempt.
pub(crate) fn begin(before: &Task, op_id: Uuid) -> Step {
    let mut task = before.clone();
    task.version += 1;
    task.fence = before.fence.next();
    task.changed_at = before.changed_at.plus(SpanMs(10));
    task.tally.attempts += 1;
    task.attempt = Some(attempt(task.tally.attempts, task.fence, task.changed_at));
    task.state = State::Running {
        step: longhaul_core::task::RunStep::Live,
    };
    finish(before, task, op_id)
}

pub(crate) fn attempt(number: u32, fence: Fence, at: UnixMs) -> Attempt {
    Attempt {
        number,
        fence,
        assigned_at: at,
        started_at: Some(at),
        started_mono: None,
        ended_at: None,
        pid: Some(4_000_000_000),
        conversation: None,
        account: None,
        resumed: false,
        usage: usage(7, Some(70)),
        refused_writes: Vec::new(),
        sealed: None,
        end: None,
    }
}

pub(crate) fn usage(tokens: u64, cost: Option<u64>) -> Usage {
    Usage {
        output: tokens,
        cost: cost.map(MicroUsd),
        ..Usage::default()
    }
}

/// The step from `before` to `task`, whose ledger row says so.
pub(crate) fn finish(before: &Task, task: Task, op_id: Uuid) -> Step {
    let entry = LedgerEntry {
        task: task.id,
        version: task.version,
        fence: task.fence,
        from: before.state.word(),
        to: task.state.word(),
        cause: Cause::Retry,
        actor: Actor::Daemon,
        at: task.changed_at,
        data: json!({ "why": "a \"test\"\n" }),
    };
    Step {
        expect_version: before.version,
        expect_fence: before.fence,
        task,
        entry,
        verdict: None,
        window: None,
        op_id,
    }
}

pub(crate) fn state(word: StateWord) -> State {
    match word {
        StateWord::Pending => State::Pending,
        StateWord::Ready | StateWord::Assigned | StateWord::Running => State::Ready {
            not_before: Some(UnixMs(9)),
            since: UnixMs(8),
        },
        StateWord::Verifying => State::Verifying {
            check: 1,
            run: 2,
            flaky: 0,
        },
        StateWord::Landing => State::Landing { since: UnixMs(7) },
        StateWord::Parked => State::Parked {
            cause: longhaul_core::task::ParkCause::Drained,
            until: None,
        },
        StateWord::NeedsHuman => State::NeedsHuman {
            need: Need {
                kind: NeedKind::Question,
                detail: "what now?".to_owned(),
                remedy: "answer".to_owned(),
            },
        },
        StateWord::Done => State::Done {
            basis: DoneBasis::Verified,
        },
        StateWord::Cancelled => State::Cancelled,
    }
}

pub(crate) fn verdict(fence: Fence, name: &str, run: u16, at: UnixMs) -> Verdict {
    Verdict {
        fence,
        check: Some(0),
        name: name.to_owned(),
        kind: "run".to_owned(),
        run,
        grade: if run == 0 { Grade::Fail } else { Grade::Pass },
        flaky: run > 0,
        reason: "exit 1".to_owned(),
        command: "make test".to_owned(),
        commit: "abc".to_owned(),
        exit: Some(1),
        took: SpanMs(12),
        at,
        tail: "line\n".repeat(30),
        evidence: None,
        usage: usage(3, None),
    }
}

pub(crate) fn window(scope: &str, until: i64) -> Window {
    Window {
        scope: scope.to_owned(),
        class: LimitClass::Quota,
        name: Some("five_hour".to_owned()),
        until: UnixMs(until),
        seen_at: UnixMs(1),
        seen_by: id(1),
    }
}

/// A line of the merge queue with entries of these numbers, as it is after `version` moves.
pub(crate) fn line_step(n: u8, version: u64, entries: &[u64], rows: usize) -> LineStep {
    let mut line = Line::new(LineId {
        repo: format!("/repo-{}", n / 2),
        base: format!("base-{}", n % 2),
    });
    line.version = version;
    line.round = version / 2;
    line.entries = entries.iter().map(|e| entry(*e, version)).collect();
    let row = |k: usize| QueueRow {
        version,
        entry: entries.get(k).map(|e| EntryId::of_task(id(*e))),
        cause: QueueCause::ALL[(k + entries.len()) % QueueCause::ALL.len()],
        actor: Actor::Daemon,
        at: UnixMs(2_000 + i64::try_from(version).unwrap_or(0)),
        data: serde_json::json!({ "k": k }),
    };
    LineStep {
        expect_version: version.saturating_sub(1),
        line,
        rows: (0..rows).map(row).collect(),
        green: None,
    }
}

fn entry(n: u64, version: u64) -> Entry {
    Entry {
        id: EntryId::of_task(id(n)),
        origin: Origin::Task {
            task: id(n),
            fence: Fence(1),
        },
        title: format!("task-{n}"),
        commit: "abc".to_owned(),
        priority: Priority::Normal,
        since: UnixMs(i64::try_from(n).unwrap_or(0)),
        style: MergeStyle::Merge,
        checks: Vec::new(),
        land_unverified: true,
        // Some change from move to move, some do not.
        held: n.is_multiple_of(3) && version.is_multiple_of(2),
        wait: None,
    }
}

pub(crate) fn green(tree: &str, key: &str) -> TreeVerdict {
    TreeVerdict {
        tree: tree.to_owned(),
        key: key.to_owned(),
        judgement: Judgement {
            subject: Subject::Candidate,
            check: 0,
            run: 0,
            pass: true,
            cached: false,
            reason: "exit 0".to_owned(),
            tail: "fine".to_owned(),
            evidence: None,
        },
        at: UnixMs(3),
    }
}
