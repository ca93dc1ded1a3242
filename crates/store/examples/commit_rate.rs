//! How fast this machine commits: moves per second in batches of 1, 64 and 512, beside the disk's own
//! rate of small durable writes. `cargo run --release -p longhaul-store --example commit_rate [FOLDER]`
//!
//! A move here is the full set of rows: the task, its ledger row with its link of the hash chain, its
//! attempt, and for every eighth a verdict.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_core::attempt::Attempt;
use longhaul_core::ids::TaskId;
use longhaul_core::ledger::{Actor, Cause, LedgerEntry};
use longhaul_core::spec::{
    CommitMode, Expect, Land, OnDrift, Permission, Priority, Sandbox, TaskSpec, WorkspaceKind,
};
use longhaul_core::task::{AssignStep, RunStep, State, Task, Terms, WorkspaceRef};
use longhaul_core::time::{SpanMs, UnixMs};
use longhaul_core::usage::{MicroUsd, Usage};
use longhaul_core::verdict::{Grade, Verdict};
use longhaul_store::{NewTask, SqliteStore, Step, Store, Submission, Write};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;
use uuid::Uuid;

type Fallible<T> = Result<T, Box<dyn Error>>;

const TASKS: u64 = 4_096;
const EACH: Duration = Duration::from_secs(2);

fn main() -> Fallible<()> {
    let mut out = std::io::stdout();
    let folder = match std::env::args().nth(1) {
        Some(folder) => Utf8PathBuf::from(folder),
        None => Utf8PathBuf::try_from(std::env::temp_dir())?,
    };
    let temp = tempfile::tempdir_in(&folder)?;
    let folder = Utf8Path::from_path(temp.path()).ok_or("a folder with a plain name is needed")?;
    let floor = fdatasync_rate(folder)?;
    writeln!(out, "fdatasync of 4 KiB, overwritten: {floor:.0}/s")?;

    let mut store = SqliteStore::open(&folder.join("longhaul.db"))?;
    let mut tasks = submit(&mut store)?;
    let mut moves = 0;
    // The log is grown first: from then on it is written over, as in a daemon that runs for hours.
    for _ in 0..64 {
        store.commit(&some_moves(&mut tasks, &mut moves, 512))?;
    }
    store.idle()?;
    for batch in [1, 64, 512] {
        let start_cpu = cpu();
        let start = Instant::now();
        let mut waits: Vec<Duration> = Vec::new();
        let mut done = 0_u64;
        let mut spent_outside = Duration::ZERO;
        let mut outside_cpu = Duration::ZERO;
        while start.elapsed() - spent_outside < EACH {
            let (making, making_cpu) = (Instant::now(), cpu());
            let writes = some_moves(&mut tasks, &mut moves, batch);
            spent_outside += making.elapsed();
            outside_cpu += cpu() - making_cpu;
            let waiting = Instant::now();
            if store.commit(&writes)?.iter().any(Result::is_err) {
                return Err("a move was refused".into());
            }
            waits.push(waiting.elapsed());
            done += batch;
        }
        let took = start.elapsed() - spent_outside;
        let used = cpu() - start_cpu - outside_cpu;
        waits.sort();
        let at = |share: usize| waits[(waits.len() - 1) * share / 100];
        let rate = done as f64 / took.as_secs_f64();
        writeln!(
            out,
            "batch {batch:>3}: {rate:>8.0} moves/s  ({:.2} x floor)  commit p50 {:?} p99 {:?}  cpu {:.1} us/move",
            rate / floor,
            at(50),
            at(99),
            used.as_secs_f64() * 1e6 / done as f64,
        )?;
        store.idle()?;
    }
    let idle = Instant::now();
    store.idle()?;
    writeln!(out, "last housekeeping: {:?}", idle.elapsed())?;
    let reader = store.reader()?;
    let start = Instant::now();
    let live = store.live()?.len();
    writeln!(out, "{live} live tasks read in {:?}", start.elapsed())?;
    let start = Instant::now();
    let rows = reader.ledger_tail(0, 100_000)?.len();
    writeln!(out, "{rows} ledger rows read in {:?}", start.elapsed())?;
    Ok(())
}

fn cpu() -> Duration {
    let t = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        t.tv_sec.unsigned_abs(),
        u32::try_from(t.tv_nsec).unwrap_or_default(),
    )
}

/// Durable writes per second to a page that is there already: what a commit costs at least.
fn fdatasync_rate(folder: &Utf8Path) -> Fallible<f64> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .open(folder.join("floor"))?;
    let page = [0x5A; 4_096];
    file.write_all_at(&page, 0)?;
    file.sync_all()?;
    let start = Instant::now();
    let mut n = 0_u32;
    while start.elapsed() < EACH / 2 {
        file.write_all_at(&page, 0)?;
        file.sync_data()?;
        n += 1;
    }
    Ok(f64::from(n) / start.elapsed().as_secs_f64())
}

/// The next moves, of all tasks in turn.
fn some_moves(tasks: &mut [Task], moves: &mut u64, batch: u64) -> Vec<Write> {
    let one = |_| {
        *moves += 1;
        // A stride that visits all tasks in an order unlike that of their ids.
        let n = (*moves * 1_237) % TASKS;
        next(&mut tasks[usize::try_from(n).unwrap_or_default()], *moves)
    };
    (0..batch).map(one).collect()
}

/// The next move of a task: assigned, running, back into the queue.
fn next(task: &mut Task, moves: u64) -> Write {
    let before = task.clone();
    task.version += 1;
    task.changed_at = task.changed_at.plus(SpanMs(1));
    let at = task.changed_at;
    let (state, cause) = match &before.state {
        State::Ready { .. } => {
            task.fence = task.fence.next();
            task.tally.attempts += 1;
            task.attempt = Some(attempt(task));
            let step = AssignStep::Workspace;
            (State::Assigned { step }, Cause::Assigned)
        }
        State::Assigned { .. } => {
            if let Some(a) = &mut task.attempt {
                a.started_at = Some(at);
                a.pid = Some(4_242);
            }
            (
                State::Running {
                    step: RunStep::Live,
                },
                Cause::SessionStarted,
            )
        }
        _ => {
            if let Some(a) = &mut task.attempt {
                a.ended_at = Some(at);
            }
            let (not_before, since) = (None, at);
            (State::Ready { not_before, since }, Cause::Retry)
        }
    };
    task.state = state;
    let entry = LedgerEntry {
        task: task.id,
        version: task.version,
        fence: task.fence,
        from: before.state.word(),
        to: task.state.word(),
        cause,
        actor: Actor::Daemon,
        at,
        data: json!({ "attempt": task.tally.attempts }),
    };
    Write::Step(Box::new(Step {
        expect_version: before.version,
        expect_fence: before.fence,
        verdict: moves.is_multiple_of(8).then(|| verdict(task)),
        task: task.clone(),
        entry,
        window: None,
        // Sorted by time, as version 7 ids are.
        op_id: Uuid::from_u128((0x0199_0000_0000_7000_u128 << 64) | u128::from(moves)),
    }))
}

fn submit(store: &mut SqliteStore) -> Fallible<Vec<Task>> {
    let mut all = Vec::new();
    for n in 0..TASKS {
        let random = n
            .wrapping_add(1)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .to_be_bytes();
        let mut bytes = [7; 10];
        bytes[..8].copy_from_slice(&random);
        let id = TaskId::new(1_790_000_000_000, bytes);
        let name = format!("task-{n}");
        let mut task = Task::accept(id, name.clone(), terms(), UnixMs(1_790_000_000_000));
        task.carry.workspace = Some(WorkspaceRef {
            path: format!("/home/user/.local/state/longhaul/workspaces/{n}"),
            branch: Some(format!("longhaul/{name}")),
            base: "5d9b819a".repeat(5),
            start: "5d9b819a".repeat(5),
            start_tree: "2a261a61".repeat(5),
            port_base: None,
        });
        let entry = LedgerEntry {
            task: id,
            version: 1,
            fence: task.fence,
            from: task.state.word(),
            to: task.state.word(),
            cause: Cause::Submitted,
            actor: Actor::Operator,
            at: task.created_at,
            data: json!({}),
        };
        all.push(NewTask {
            task,
            spec: spec(name),
            entry,
        });
    }
    let tasks = all.iter().map(|n| n.task.clone()).collect();
    let s = Submission {
        id: Uuid::from_u128(1),
        source: "bench".to_owned(),
        digest: "none".to_owned(),
        created_at: UnixMs(0),
        tasks: all,
    };
    store.commit(&[Write::Submit(Box::new(s))])?.remove(0)?;
    Ok(tasks)
}

fn terms() -> Terms {
    Terms {
        priority: Priority::Normal,
        depends_on: Vec::new(),
        repo: "/home/user/src/project".to_owned(),
        exclusive_folder: None,
        harness: "claude".to_owned(),
        timeout: SpanMs::from_secs(3_600),
        idle_timeout: SpanMs::from_secs(600),
        max_retries: 2,
        max_restarts: 5,
        budget: Some(MicroUsd(5_000_000)),
        budget_tokens: None,
        expect_change: true,
        on_drift: OnDrift::Ask,
        flaky_reruns: vec![0],
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
        conversation: Some("0199b3c4-0000-7000-8000-0123456789ab".to_owned()),
        resumed: false,
        usage: Usage {
            input: 1_000,
            output: 500,
            cost: Some(MicroUsd(9_000)),
            ..Usage::default()
        },
        sealed: None,
        end: None,
    }
}

fn verdict(task: &Task) -> Verdict {
    Verdict {
        fence: task.fence,
        check: Some(0),
        name: "tests".to_owned(),
        kind: "run".to_owned(),
        run: 0,
        grade: Grade::Fail,
        flaky: false,
        reason: "exit 101".to_owned(),
        command: "cargo test".to_owned(),
        commit: "5d9b819a".repeat(5),
        exit: Some(101),
        took: SpanMs(9_000),
        at: task.changed_at,
        tail: "test result: FAILED. 10 passed; 1 failed\n".repeat(5),
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
        budget: None,
        budget_tokens: None,
        timeout: SpanMs::from_secs(3_600),
        idle_timeout: SpanMs::from_secs(600),
        answer_timeout: SpanMs::from_secs(60),
        max_retries: 2,
        max_restarts: 5,
        on_drift: OnDrift::Ask,
        land: Land::No,
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
