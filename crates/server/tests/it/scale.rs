//! Views of a store with many tasks.

use std::time::{Duration, Instant};

use camino::Utf8Path;
use longhaul_api::TaskQuery;
use longhaul_core::decide::{Outcome, decide};
use longhaul_core::fact::{Fact, Order};
use longhaul_core::ids::{Fence, TaskId};
use longhaul_core::ledger::{Actor, Cause, LedgerEntry};
use longhaul_core::policy::Policy;
use longhaul_core::task::{Task, Terms};
use longhaul_core::time::{Now, SpanMs};
use longhaul_server::views::Views;
use longhaul_store::{NewTask, SqliteStore, Step, Store, Submission, Write};
use serde_json::json;
use uuid::Uuid;

use crate::history::{START, spec};
use crate::host::phrasing;

const TASKS: u32 = 20_000;
const LIVE: u32 = 100;
const BATCH: u32 = 1_000;

/// The default list costs what is live and fifty finished tasks, not what is stored. (Measured with
/// 100,000 stored tasks, not optimised: list 3.2 ms, status 1.0 ms, detail 0.3 ms.)
#[test]
fn reading_costs_what_is_live() {
    let folder = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(folder.path())
        .unwrap()
        .join("longhaul.db");
    let mut store = SqliteStore::open(&path).unwrap();
    for first in (0..TASKS).step_by(BATCH as usize) {
        fill(&mut store, first);
    }
    let reader = store.reader().unwrap();
    let phrasing = phrasing();
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let began = Instant::now();
        let list = Views::new(&*reader, &phrasing, START)
            .list(&TaskQuery::default())
            .unwrap();
        best = best.min(began.elapsed());
        assert_eq!(list.tasks.len(), LIVE as usize + 50);
        let status = Views::new(&*reader, &phrasing, START).status(None).unwrap();
        assert_eq!(status.buckets.working, u64::from(LIVE));
        assert_eq!(status.buckets.done, u64::from(TASKS - LIVE));
    }
    // Reading every stored task would take many times as long.
    assert!(best < Duration::from_millis(100), "the list took {best:?}");
}

/// A thousand tasks, all cancelled but the newest ones of all.
fn fill(store: &mut SqliteStore, first: u32) {
    let now = Now {
        wall: START.plus(SpanMs(u64::from(first))),
        mono_ms: 0,
    };
    let mut tasks = Vec::new();
    let mut steps = Vec::new();
    for n in first..first + BATCH {
        let [a, b, c, d] = n.to_be_bytes();
        let id = TaskId::new(now.wall.0, [a, b, c, d, 1, 2, a, b, c, d]);
        let spec = spec(&format!("t{n}"), &[]);
        let task = Task::accept(id, spec.name.clone(), Terms::of(&spec), now.wall);
        let order = Fact::Operator {
            order: Order::Cancel,
        };
        if let Outcome::Change(change) = decide(&task, &order, now, &Policy::default())
            && n < TASKS - LIVE
        {
            let op = Uuid::from_u128((0x0199_0000_0000_7000 << 64) | u128::from(n));
            steps.push(Write::Step(Box::new(Step::of(&task, *change, op))));
        }
        let entry = LedgerEntry {
            task: id,
            version: 1,
            fence: Fence::default(),
            from: task.state.word(),
            to: task.state.word(),
            cause: Cause::Submitted,
            actor: Actor::Operator,
            at: now.wall,
            data: json!({}),
        };
        tasks.push(NewTask { task, spec, entry });
    }
    let submission = Submission {
        id: Uuid::from_u128(u128::from(first) + 1),
        source: "/repo/tasks.toml".to_owned(),
        digest: "0".repeat(64),
        created_at: now.wall,
        tasks,
    };
    steps.insert(0, Write::Submit(Box::new(submission)));
    let results = store.commit(&steps).unwrap();
    assert!(results.iter().all(Result::is_ok));
}
