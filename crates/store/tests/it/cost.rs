//! What a commit writes, counted and not timed: pages that go into the log. A page more for each move
//! is what makes a store slow, on any disk.

use longhaul_core::task::Task;
use longhaul_store::{SqliteStore, Step, Store, Write};
use uuid::Uuid;

use crate::world::{Folder, begin, op, step, submit};

/// A page with the head that the log gives it (the file format's numbers).
const FRAME: u64 = 4_096 + 24;
const HEAD: u64 = 32;

/// Pages written to the log so far; the log is never cut while it is this short.
fn pages(folder: &Folder) -> u64 {
    let log = format!("{}-wal", folder.db());
    (std::fs::metadata(log).expect("the log is there").len() - HEAD) / FRAME
}

#[test]
fn moves_write_few_pages_alone_and_together() {
    let folder = Folder::new();
    let mut store = SqliteStore::open(&folder.db()).unwrap();
    for n in 0..8 {
        let ids: Vec<u64> = (n * 64..(n + 1) * 64).collect();
        submit(&mut store, 1_000 + n, &ids);
    }
    let mut ops = 0;
    let mut round = |store: &mut SqliteStore, count: usize, next: fn(&Task, Uuid) -> Step| {
        let tasks = store.live().unwrap();
        let moves: Vec<Write> = tasks[..count]
            .iter()
            .map(|task| {
                ops += 1;
                Write::Step(Box::new(next(task, op(ops))))
            })
            .collect();
        let before = pages(&folder);
        for result in store.commit(&moves).unwrap() {
            result.unwrap();
        }
        pages(&folder) - before
    };
    round(&mut store, 512, begin);
    let alone = round(&mut store, 1, named);
    let together = round(&mut store, 512, named);
    // The task's row, its attempt, the ledger and its two indexes; the count of states.
    assert!(alone <= 8, "one move wrote {alone} pages");
    // 512 tasks lie in about fifty pages, their attempts in as many.
    assert!(together <= 160, "512 moves wrote {together} pages");
}

/// A move that changes the task's row and its attempt.
fn named(task: &Task, op_id: Uuid) -> Step {
    let mut named = step(task, task.state.clone(), op_id);
    if let Some(attempt) = &mut named.task.attempt {
        attempt.conversation = Some(op_id.to_string());
    }
    named
}
