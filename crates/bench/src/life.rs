//! Tasks that live ordinary lives, as writes for a store: taken, prepared, started, named, ended,
//! sealed, checked, done. Eight moves with the rows that such moves have; then the next task's turn.

use std::collections::{BTreeMap, VecDeque};

use longhaul_core::attempt::{Attempt, AttemptEnd, Sealed};
use longhaul_core::ids::TaskId;
use longhaul_core::ledger::{Actor, Cause, LedgerEntry};
use longhaul_core::spec::{
    CommitMode, Expect, Land, OnDrift, Permission, Priority, Sandbox, TaskSpec, WorkspaceKind,
};
use longhaul_core::task::{AssignStep, DoneBasis, RunStep, State, Task, Terms, WorkspaceRef};
use longhaul_core::time::{SpanMs, UnixMs};
use longhaul_core::usage::{MicroUsd, Usage};
use longhaul_core::verdict::{Grade, Verdict};
use longhaul_store::{NewTask, Step, Submission, Write};
use serde_json::{Value, json};
use uuid::Uuid;

/// When everything begins.
const START: UnixMs = UnixMs(1_790_000_000_000);
const COMMIT: &str = "5d9b819a5d9b819a5d9b819a5d9b819a5d9b819a";
const TREE: &str = "2a261a612a261a612a261a612a261a612a261a61";

/// Moves of one life, the submission aside.
pub(crate) const MOVES: u64 = 8;

/// Makes ids and times, always new and always growing.
#[derive(Default)]
pub(crate) struct Source {
    tasks: u64,
    ops: u64,
}

impl Source {
    /// New tasks that are ready, handed in together.
    pub(crate) fn submission(&mut self, count: usize) -> (Write, Vec<Task>) {
        let new: Vec<NewTask> = (0..count).map(|_| self.new_task(None)).collect();
        let tasks = new.iter().map(|n| n.task.clone()).collect();
        (self.hand_in(new), tasks)
    }

    /// Tasks that were done long ago.
    pub(crate) fn history(&mut self, count: usize) -> Write {
        let basis = DoneBasis::Verified;
        let new = (0..count)
            .map(|_| self.new_task(Some(State::Done { basis })))
            .collect();
        self.hand_in(new)
    }

    fn hand_in(&mut self, tasks: Vec<NewTask>) -> Write {
        self.ops += 1;
        Write::Submit(Box::new(Submission {
            id: Uuid::from_u128((0x0198_u128 << 112) | u128::from(self.ops)),
            source: "bench".to_owned(),
            digest: "none".to_owned(),
            created_at: START,
            tasks,
        }))
    }

    fn new_task(&mut self, state: Option<State>) -> NewTask {
        self.tasks += 1;
        // As version 7 ids are: the time in front, then chance.
        let chance = self.tasks.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes();
        let mut bytes = [7; 10];
        bytes[..8].copy_from_slice(&chance);
        let at = UnixMs(START.0 + i64::try_from(self.tasks / 4).unwrap_or_default());
        let id = TaskId::new(at.0, bytes);
        let name = format!("task-{}", self.tasks);
        let spec = spec(name.clone());
        let mut task = Task::accept(id, name, Terms::of(&spec), at);
        if let Some(state) = state {
            task.state = state;
        }
        let word = task.state.word();
        let entry = LedgerEntry {
            task: id,
            version: 1,
            fence: task.fence,
            from: word,
            to: word,
            cause: Cause::Submitted,
            actor: Actor::Operator,
            at,
            data: json!({ "source": "bench" }),
        };
        NewTask { task, spec, entry }
    }

    /// The next move of a task that is not done.
    pub(crate) fn next(&mut self, task: &mut Task) -> Write {
        self.ops += 1;
        let op_id = Uuid::from_u128((0x0199_0000_0000_7000_u128 << 64) | u128::from(self.ops));
        Write::Step(Box::new(advance(task, op_id)))
    }
}

/// Tasks in flight, each of which gets its next move in turn.
pub(crate) struct Flight {
    source: Source,
    tasks: VecDeque<Task>,
    waiting: VecDeque<Task>,
    size: usize,
}

impl Flight {
    /// So many in flight at a time.
    pub(crate) fn new(source: Source, size: usize) -> Self {
        Self {
            source,
            tasks: VecDeque::new(),
            waiting: VecDeque::new(),
            size,
        }
    }

    /// What has to be stored before so many moves can be made: tasks enough to take them up.
    pub(crate) fn supply(&mut self, moves: usize) -> Option<Write> {
        let wanted = self.size + moves / usize::try_from(MOVES).unwrap_or(8) + 1;
        let missing = wanted.saturating_sub(self.tasks.len() + self.waiting.len());
        if missing == 0 {
            return None;
        }
        let (write, tasks) = self.source.submission(missing.max(256));
        self.waiting.extend(tasks);
        Some(write)
    }

    /// The next moves.
    pub(crate) fn moves(&mut self, count: usize) -> Vec<Write> {
        let mut writes = Vec::with_capacity(count);
        while writes.len() < count {
            while self.tasks.len() < self.size
                && let Some(task) = self.waiting.pop_front()
            {
                self.tasks.push_back(task);
            }
            let Some(mut task) = self.tasks.pop_front() else {
                break;
            };
            writes.push(self.source.next(&mut task));
            if !task.state.word().is_final() {
                self.tasks.push_back(task);
            }
        }
        writes
    }
}

fn advance(task: &mut Task, op_id: Uuid) -> Step {
    let before = (task.version, task.fence, task.state.word());
    task.version += 1;
    task.changed_at = task.changed_at.plus(SpanMs(40));
    let at = task.changed_at;
    let mut verdict = None;
    let (cause, actor, data): (Cause, Actor, Value) = match &task.state {
        State::Ready { .. } => {
            task.fence = task.fence.next();
            task.tally.attempts += 1;
            task.attempt = Some(attempt(task));
            let step = AssignStep::Workspace;
            task.state = State::Assigned { step };
            let data = json!({ "attempt": task.tally.attempts });
            (Cause::Assigned, Actor::Daemon, data)
        }
        State::Assigned {
            step: AssignStep::Workspace,
        } => {
            task.carry.workspace = Some(workspace(&task.name));
            let step = AssignStep::Launch;
            task.state = State::Assigned { step };
            let data = json!({ "branch": format!("longhaul/{}", task.name), "start": COMMIT, "drift": null });
            (Cause::WorkspaceReady, Actor::Daemon, data)
        }
        State::Assigned {
            step: AssignStep::Launch,
        } => {
            with_attempt(task, |a| {
                a.started_at = Some(at);
                a.pid = Some(4_242);
            });
            let step = RunStep::Live;
            task.state = State::Running { step };
            let data = json!({ "pid": 4242, "resumed": false });
            (Cause::SessionStarted, Actor::Daemon, data)
        }
        State::Running {
            step: RunStep::Live,
        } if task.carry.conversation.is_none() => {
            let name = "0199b3c4-0000-7000-8000-0123456789ab".to_owned();
            task.carry.conversation = Some(name.clone());
            with_attempt(task, |a| a.conversation = Some(name.clone()));
            (
                Cause::ConversationKnown,
                Actor::Session,
                json!({ "id": name }),
            )
        }
        State::Running {
            step: RunStep::Live,
        } => {
            let end = AttemptEnd::Completed {
                summary: "The tests pass; the cause was an off-by-one.".to_owned(),
                denials: Vec::new(),
            };
            with_attempt(task, |a| {
                a.ended_at = Some(at);
                a.end = Some(end.clone());
                a.usage = used();
            });
            task.tally.charge(used());
            let step = RunStep::Sealing { end };
            task.state = State::Running { step };
            let data = json!({ "end": "completed", "tokens": 1500, "cost": 9000 });
            (Cause::SessionEnded, Actor::Session, data)
        }
        State::Running { .. } => {
            with_attempt(task, |a| a.sealed = Some(sealed()));
            task.carry.end_tree = Some(TREE.to_owned());
            let (check, run, flaky) = (0, 0, 0);
            task.state = State::Verifying { check, run, flaky };
            let data = json!({ "commit": COMMIT, "changed_files": 3 });
            (Cause::TurnSealed, Actor::Daemon, data)
        }
        State::Verifying { check: 0, .. } => {
            verdict = Some(verdict_of(task, "build"));
            let (check, run, flaky) = (1, 0, 0);
            task.state = State::Verifying { check, run, flaky };
            let data = json!({ "check": "build", "grade": "pass", "run": 0, "flaky": false });
            (Cause::CheckPassed, Actor::Check, data)
        }
        _ => {
            verdict = Some(verdict_of(task, "tests"));
            let basis = DoneBasis::Verified;
            task.state = State::Done { basis };
            let data = json!({ "check": "tests", "grade": "pass", "run": 0, "flaky": false });
            (Cause::Finished, Actor::Check, data)
        }
    };
    let entry = LedgerEntry {
        task: task.id,
        version: task.version,
        fence: task.fence,
        from: before.2,
        to: task.state.word(),
        cause,
        actor,
        at,
        data,
    };
    Step {
        expect_version: before.0,
        expect_fence: before.1,
        task: task.clone(),
        entry,
        verdict,
        window: None,
        op_id,
    }
}

fn with_attempt(task: &mut Task, change: impl FnOnce(&mut Attempt)) {
    if let Some(attempt) = &mut task.attempt {
        change(attempt);
    }
}

fn used() -> Usage {
    Usage {
        input: 1_000,
        output: 500,
        cost: Some(MicroUsd(9_000)),
        ..Usage::default()
    }
}

fn sealed() -> Sealed {
    Sealed {
        commit: COMMIT.to_owned(),
        tree: TREE.to_owned(),
        changed_files: 3,
        diffstat: "M src/lib.rs +9 -4\n1 files changed, 9 lines added, 4 removed".to_owned(),
        ..Sealed::default()
    }
}

fn workspace(name: &str) -> WorkspaceRef {
    WorkspaceRef {
        path: format!("/home/user/.local/state/longhaul/workspaces/project-0a5bc33cac51/{name}"),
        branch: Some(format!("longhaul/{name}")),
        base: COMMIT.to_owned(),
        start: COMMIT.to_owned(),
        start_tree: TREE.to_owned(),
        port_base: None,
    }
}

fn attempt(task: &Task) -> Attempt {
    Attempt {
        number: task.tally.attempts,
        fence: task.fence,
        assigned_at: task.changed_at,
        started_at: None,
        started_mono: None,
        ended_at: None,
        pid: None,
        conversation: None,
        account: None,
        resumed: false,
        usage: Usage::default(),
        refused_writes: Vec::new(),
        sealed: None,
        end: None,
    }
}

fn verdict_of(task: &Task, name: &str) -> Verdict {
    Verdict {
        fence: task.fence,
        check: Some(0),
        name: name.to_owned(),
        kind: "run".to_owned(),
        run: 0,
        grade: Grade::Pass,
        flaky: false,
        reason: "exit 0".to_owned(),
        command: "cargo test".to_owned(),
        commit: COMMIT.to_owned(),
        exit: Some(0),
        took: SpanMs(9_000),
        at: task.changed_at,
        tail: "test result: ok. 11 passed; 0 failed\n".to_owned(),
        evidence: None,
        usage: Usage::default(),
    }
}

fn spec(name: String) -> TaskSpec {
    TaskSpec {
        name,
        prompt: "Make the tests pass.".to_owned(),
        repo: "/home/user/src/project".into(),
        dir: None,
        workspace: WorkspaceKind::Worktree,
        base: None,
        harness: "claude".to_owned(),
        profile: None,
        model: None,
        role: None,
        depends_on: Vec::new(),
        priority: Priority::Normal,
        budget: Some(MicroUsd(5_000_000)),
        budget_tokens: None,
        timeout: SpanMs::from_secs(3_600),
        idle_timeout: SpanMs::from_secs(600),
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
        labels: Vec::new(),
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
