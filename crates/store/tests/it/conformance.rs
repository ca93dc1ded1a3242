//! What every engine promises, as functions over `&mut dyn Store`. No engine is named in them.

use longhaul_core::ids::{Fence, TaskId};
use longhaul_core::queue::EntryId;
use longhaul_core::task::StateWord;
use longhaul_core::time::UnixMs;
use longhaul_store::{
    Applied, Chain, MemoryStore, Refusal, Resolution, SqliteStore, Store, StoreError, TaskFilter,
    TreeVerdict, Upkeep, Write,
};
use serde_json::json;
use uuid::Uuid;

use crate::world::{
    Folder, begin, green, id, line_step, new_task, one, op, state, step, submission, submit, usage,
    verdict, window,
};

type Result = std::result::Result<(), StoreError>;

macro_rules! on_every_engine {
    ($($promise:ident,)*) => {
        mod memory {
            use super::*;
            $(#[test] fn $promise() -> Result { super::$promise(&mut MemoryStore::new()) })*
        }
        mod sqlite {
            use super::*;
            $(#[test] fn $promise() -> Result {
                let folder = Folder::new();
                super::$promise(&mut SqliteStore::open(&folder.db())?)
            })*
        }
    };
}

on_every_engine! {
    a_submission_is_stored_whole,
    a_submission_is_all_or_nothing,
    a_submission_made_again_changes_nothing,
    t1_a_step_moves_the_task_and_writes_its_row,
    t1_a_stale_step_is_refused_and_the_others_stand,
    i2_an_older_fence_is_refused,
    a_repeated_operation_is_recognised,
    malformed_writes_are_refused,
    attempts_and_verdicts_are_kept,
    live_tasks_are_those_not_final,
    l18_a_line_moves_by_compare_and_set_and_keeps_its_order,
    a_green_tree_is_remembered_once,
    windows_and_flags_are_replaced_and_removed,
    a_host_start_raises_its_epoch,
    lists_are_filtered_and_paged,
    a_text_resolves_to_a_task,
    the_feed_goes_on_where_it_stopped,
    totals_count_what_happened_since,
    an_empty_batch_and_an_idle_store_are_fine,
}

fn a_submission_is_stored_whole(store: &mut dyn Store) -> Result {
    let tasks = vec![
        new_task(3, "first", Vec::new()),
        new_task(1, "second", vec![id(3)]),
    ];
    let s = submission(0, tasks.clone());
    let applied = one(store, Write::Submit(Box::new(s.clone())));
    assert_eq!(applied, Ok(Applied::Ledger { first: 1, last: 2 }));
    let reader = store.reader()?;
    let stored = reader.tasks_of(s.id)?;
    let kept: Vec<_> = stored.iter().map(|t| &t.task).collect();
    assert_eq!(kept, [&tasks[0].task, &tasks[1].task], "in file order");
    assert_eq!(stored[0].project.as_deref(), Some("site"));
    assert_eq!(stored[0].labels, ["night", "first"]);
    assert_eq!(stored[0].submission, s.id);
    assert_eq!(reader.spec(id(1))?, Some(tasks[1].spec.clone()));
    assert_eq!(reader.spec(id(9))?, None);
    assert_eq!(reader.task(id(9))?, None);
    assert_eq!(reader.dependents(id(3))?, [id(1)]);
    assert!(reader.dependents(id(1))?.is_empty());
    let ledger = reader.ledger(id(3))?;
    assert_eq!(ledger.len(), 1);
    assert_eq!(ledger[0].entry, tasks[0].entry);
    assert_eq!(ledger[0].op_id, id(3).uuid());
    let row = reader.submission(s.id)?.expect("it was stored");
    assert_eq!((row.tasks, row.source.as_str()), (2, s.source.as_str()));
    assert_eq!(reader.live_from(&s.source)?.len(), 2);
    assert!(reader.live_from("elsewhere")?.is_empty());
    Ok(())
}

fn a_submission_is_all_or_nothing(store: &mut dyn Store) -> Result {
    submit(store, 0, &[1]);
    let clash = submission(
        1,
        vec![new_task(2, "b", Vec::new()), new_task(1, "a", Vec::new())],
    );
    let nowhere = submission(2, vec![new_task(3, "c", vec![id(99)])]);
    let empty = submission(3, Vec::new());
    let twice = submission(
        4,
        vec![new_task(5, "d", Vec::new()), new_task(5, "e", Vec::new())],
    );
    let writes = [clash, nowhere, empty, twice].map(|s| Write::Submit(Box::new(s)));
    let results = store.commit(&writes)?;
    assert_eq!(results[0], Err(Refusal::Exists(id(1))));
    assert_eq!(results[1], Err(Refusal::UnknownDependency(id(99))));
    assert!(matches!(results[2], Err(Refusal::Malformed(_))));
    assert_eq!(results[3], Err(Refusal::Exists(id(5))));
    let reader = store.reader()?;
    assert_eq!(reader.list(&TaskFilter::default())?.len(), 1);
    assert_eq!(reader.submission(Uuid::from_u128(2))?, None);
    assert_eq!(reader.ledger_tail(0, 100)?.len(), 1);
    Ok(())
}

fn a_submission_made_again_changes_nothing(store: &mut dyn Store) -> Result {
    let s = submission(0, vec![new_task(1, "a", Vec::new())]);
    let write = Write::Submit(Box::new(s));
    assert!(matches!(
        one(store, write.clone()),
        Ok(Applied::Ledger { .. })
    ));
    assert_eq!(one(store, write), Ok(Applied::Before));
    assert_eq!(store.live()?.len(), 1);
    Ok(())
}

fn t1_a_step_moves_the_task_and_writes_its_row(store: &mut dyn Store) -> Result {
    submit(store, 0, &[1, 2]);
    let before = task(store, id(1))?;
    let moved = step(&before, state(StateWord::NeedsHuman), op(1));
    let applied = one(store, Write::Step(Box::new(moved.clone())));
    assert_eq!(applied, Ok(Applied::Ledger { first: 3, last: 3 }));
    assert_eq!(task(store, id(1))?, moved.task);
    let reader = store.reader()?;
    let ledger = reader.ledger(id(1))?;
    assert_eq!(ledger[1].entry, moved.entry);
    assert_eq!((ledger[1].op_id, ledger[1].seq), (op(1), 3));
    assert_ne!(ledger[0].hash, ledger[1].hash);
    let head = ledger[1].hash;
    assert_eq!(
        reader.verify_chain(id(1))?,
        Some(Chain::Intact { rows: 2, head })
    );
    assert_eq!(reader.verify_chain(id(9))?, None);
    let counts = reader.counts()?;
    assert_eq!(counts.of(StateWord::NeedsHuman), 1);
    assert_eq!(counts.of(StateWord::Ready), 1);
    assert_eq!(counts.live(), 2);
    let op_row = store.applied(op(1))?.expect("it was applied");
    assert_eq!((op_row.seq, op_row.task, op_row.version), (3, id(1), 2));
    assert_eq!(store.applied(op(2))?, None);
    Ok(())
}

fn t1_a_stale_step_is_refused_and_the_others_stand(store: &mut dyn Store) -> Result {
    submit(store, 0, &[1, 2]);
    let (a, b) = (task(store, id(1))?, task(store, id(2))?);
    let writes = [
        Write::Step(Box::new(step(&a, state(StateWord::Parked), op(1)))),
        // The same decision again, from the state before the first.
        Write::Step(Box::new(step(&a, state(StateWord::Cancelled), op(2)))),
        Write::Step(Box::new(step(&b, state(StateWord::Done), op(3)))),
    ];
    let results = store.commit(&writes)?;
    assert_eq!(results[0], Ok(Applied::Ledger { first: 3, last: 3 }));
    let version = 2;
    let fence = Fence(0);
    assert_eq!(results[1], Err(Refusal::Stale { version, fence }));
    assert_eq!(results[2], Ok(Applied::Ledger { first: 4, last: 4 }));
    assert_eq!(task(store, id(1))?.state.word(), StateWord::Parked);
    assert_eq!(store.reader()?.ledger(id(1))?.len(), 2);
    Ok(())
}

fn i2_an_older_fence_is_refused(store: &mut dyn Store) -> Result {
    submit(store, 0, &[1]);
    let zero = task(store, id(1))?;
    let one_step = begin(&zero, op(1));
    assert!(one(store, Write::Step(Box::new(one_step.clone()))).is_ok());
    let mut late = step(&one_step.task, state(StateWord::Done), op(2));
    late.expect_fence = Fence(0);
    let refused = one(store, Write::Step(Box::new(late)));
    let (version, fence) = (2, Fence(1));
    assert_eq!(refused, Err(Refusal::Stale { version, fence }));
    Ok(())
}

fn a_repeated_operation_is_recognised(store: &mut dyn Store) -> Result {
    submit(store, 0, &[1, 2]);
    let first = task(store, id(1))?;
    let write = Write::Step(Box::new(step(&first, state(StateWord::Parked), op(1))));
    assert!(one(store, write.clone()).is_ok());
    assert_eq!(one(store, write), Ok(Applied::Before));
    let other = task(store, id(2))?;
    let reused = step(&other, state(StateWord::Parked), op(1));
    let refused = one(store, Write::Step(Box::new(reused)));
    assert_eq!(refused, Err(Refusal::OpReused(op(1))));
    assert_eq!(task(store, id(2))?, other);
    assert_eq!(store.reader()?.counts()?.of(StateWord::Parked), 1);
    Ok(())
}

fn malformed_writes_are_refused(store: &mut dyn Store) -> Result {
    submit(store, 0, &[1, 2]);
    let before = begin(&task(store, id(1))?, op(1));
    assert!(one(store, Write::Step(Box::new(before.clone()))).is_ok());
    let good = step(&before.task, state(StateWord::Done), op(2));
    let mut all = vec![good.clone(); 7];
    all[0].entry.to = StateWord::Parked;
    all[1].entry.from = StateWord::Pending;
    all[2].entry.task = id(2);
    all[3].task.version += 1;
    all[4].task.fence = Fence(0);
    all[5].entry.fence = Fence(7);
    if let Some(attempt) = &mut all[6].task.attempt {
        attempt.fence = Fence(9);
    }
    for s in all {
        let refused = one(store, Write::Step(Box::new(s.clone())));
        assert!(
            matches!(refused, Err(Refusal::Malformed(_))),
            "{refused:?}: {s:?}"
        );
    }
    let mut unknown = good.clone();
    unknown.task.id = id(77);
    unknown.entry.task = id(77);
    let refused = one(store, Write::Step(Box::new(unknown)));
    assert_eq!(refused, Err(Refusal::Unknown(id(77))));
    assert!(one(store, Write::Step(Box::new(good))).is_ok());
    Ok(())
}

fn attempts_and_verdicts_are_kept(store: &mut dyn Store) -> Result {
    let host = |at| Write::HostStart {
        host: "box".to_owned(),
        boot_id: "b".to_owned(),
        version: "1".to_owned(),
        at: UnixMs(at),
    };
    submit(store, 0, &[1]);
    assert_eq!(one(store, host(1)), Ok(Applied::HostEpoch(1)));
    let first = begin(&task(store, id(1))?, op(1));
    assert!(one(store, Write::Step(Box::new(first.clone()))).is_ok());
    assert_eq!(one(store, host(2)), Ok(Applied::HostEpoch(2)));
    let mut ended = step(&first.task, state(StateWord::Verifying), op(2));
    if let Some(a) = &mut ended.task.attempt {
        a.ended_at = Some(UnixMs(2_000));
        a.usage = usage(90, None);
    }
    ended.verdict = Some(verdict(Fence(1), "unit", 0, UnixMs(2_001)));
    assert!(one(store, Write::Step(Box::new(ended.clone()))).is_ok());
    let mut again = step(&ended.task, state(StateWord::Ready), op(3));
    again.verdict = Some(verdict(Fence(1), "unit", 1, UnixMs(2_002)));
    again.window = Some(window("script", 5_000));
    assert!(one(store, Write::Step(Box::new(again.clone()))).is_ok());
    let second = begin(&again.task, op(4));
    assert!(one(store, Write::Step(Box::new(second.clone()))).is_ok());

    let reader = store.reader()?;
    let attempts = reader.attempts(id(1))?;
    assert_eq!(attempts.len(), 2);
    assert_eq!(Some(&attempts[0].attempt), ended.task.attempt.as_ref());
    assert_eq!(Some(&attempts[1].attempt), second.task.attempt.as_ref());
    assert_eq!(
        attempts[0].host,
        Some(("box".to_owned(), 1)),
        "where it began"
    );
    assert_eq!(attempts[1].host, Some(("box".to_owned(), 2)));
    assert!(attempts[1].spawn_key.as_str().ends_with("-2"));
    assert_eq!(task(store, id(1))?.attempt, second.task.attempt);
    assert_eq!(reader.verdicts(id(1))?.len(), 2);
    let newest = reader.verdict(id(1), Fence(1), "unit")?.expect("stored");
    assert_eq!(newest.run, 1);
    assert_eq!(reader.verdict(id(1), Fence(2), "unit")?, None);
    assert_eq!(store.windows()?, [window("script", 5_000)]);
    // A task whose attempt was forgotten has none, although the history does.
    let mut bare = step(&second.task, state(StateWord::Ready), op(5));
    bare.task.attempt = None;
    assert!(one(store, Write::Step(Box::new(bare))).is_ok());
    assert_eq!(task(store, id(1))?.attempt, None);
    assert_eq!(store.reader()?.attempts(id(1))?.len(), 2);
    Ok(())
}

fn live_tasks_are_those_not_final(store: &mut dyn Store) -> Result {
    submit(store, 0, &[1, 2, 3]);
    let before = task(store, id(2))?;
    let done = step(&before, state(StateWord::Done), op(1));
    let changed_at = done.task.changed_at;
    assert!(one(store, Write::Step(Box::new(done.clone()))).is_ok());
    let live = store.live()?;
    assert_eq!(live.len(), 2);
    assert!(live.is_sorted_by_key(|t| t.id));
    assert!(live.iter().all(|t| t.id != id(2)));
    let stored = store.reader()?.task(id(2))?.expect("it is kept");
    assert_eq!(stored.final_at, Some(changed_at));
    // A late report is a row of a final task; it stays final since then.
    let late = step(&done.task, done.task.state.clone(), op(2));
    assert!(one(store, Write::Step(Box::new(late))).is_ok());
    let stored = store.reader()?.task(id(2))?.expect("it is kept");
    assert_eq!(stored.final_at, Some(changed_at));
    Ok(())
}

fn l18_a_line_moves_by_compare_and_set_and_keeps_its_order(store: &mut dyn Store) -> Result {
    let first = Write::Line(Box::new(line_step(0, 1, &[5, 2, 9], 2)));
    assert_eq!(one(store, first.clone()), Ok(Applied::Stored));
    assert_eq!(one(store, first), Ok(Applied::Before));
    // Somebody else decided on the same picture.
    let mut other = line_step(0, 1, &[7], 1);
    other.expect_version = 0;
    let stale = Refusal::StaleLine { version: 1 };
    assert_eq!(one(store, Write::Line(Box::new(other))), Err(stale));
    // One leaves, one comes back behind the others, one is new in between.
    let second = line_step(0, 2, &[2, 9, 1, 5], 1);
    assert_eq!(
        one(store, Write::Line(Box::new(second.clone()))),
        Ok(Applied::Stored)
    );
    assert_eq!(store.lines()?, std::slice::from_ref(&second.line));
    let reader = store.reader()?;
    assert_eq!(reader.line(&second.line.id)?, Some(second.line.clone()));
    let rows = reader.queue_tail(&second.line.id, 10)?;
    assert_eq!(
        rows.iter()
            .map(|r| (r.n, r.row.version))
            .collect::<Vec<_>>(),
        [(1, 1), (2, 1), (3, 2)]
    );
    assert_eq!(reader.queue_tail(&second.line.id, 1)?, rows[2..]);
    let chain = reader.verify_line(&second.line.id)?;
    assert!(
        matches!(chain, Some(Chain::Intact { rows: 3, .. })),
        "{chain:?}"
    );
    let of_two = reader.queue_of(EntryId::of_task(id(2)))?;
    assert_eq!(of_two.iter().map(|r| r.n).collect::<Vec<_>>(), [2, 3]);
    // A line of its own is another base.
    assert_eq!(
        one(store, Write::Line(Box::new(line_step(1, 1, &[], 0)))),
        Ok(Applied::Stored)
    );
    assert_eq!(store.lines()?.len(), 2);
    let mut twice = line_step(1, 2, &[3, 3], 0);
    twice.expect_version = 1;
    assert!(matches!(
        one(store, Write::Line(Box::new(twice))),
        Err(Refusal::Malformed(_))
    ));
    Ok(())
}

fn a_green_tree_is_remembered_once(store: &mut dyn Store) -> Result {
    for (version, at) in [(1, 3), (2, 9)] {
        let mut step = line_step(0, version, &[], 0);
        step.green = Some(TreeVerdict {
            at: UnixMs(at),
            ..green("t", "k")
        });
        assert_eq!(one(store, Write::Line(Box::new(step))), Ok(Applied::Stored));
    }
    let reader = store.reader()?;
    assert_eq!(reader.tree_verdict("t", "k")?, Some(green("t", "k")));
    assert_eq!(reader.tree_verdict("t", "other")?, None);
    Ok(())
}

fn windows_and_flags_are_replaced_and_removed(store: &mut dyn Store) -> Result {
    let flag = |value| Write::Flag {
        name: "drain".to_owned(),
        value,
    };
    let clear = |scope: &str| Write::ClearWindow {
        scope: scope.to_owned(),
    };
    let results = store.commit(&[
        Write::Window(window("b", 1)),
        Write::Window(window("a", 2)),
        Write::Window(window("b", 3)),
        flag(json!({ "since": 1 })),
        flag(json!(true)),
        clear("nothing"),
    ])?;
    assert!(results.iter().all(|r| *r == Ok(Applied::Stored)));
    assert_eq!(store.windows()?, [window("a", 2), window("b", 3)]);
    assert_eq!(store.flags()?.get("drain"), Some(&json!(true)));
    store.commit(&[clear("a"), flag(serde_json::Value::Null)])?;
    assert_eq!(store.reader()?.windows()?, [window("b", 3)]);
    assert!(store.reader()?.flags()?.is_empty());
    Ok(())
}

fn a_host_start_raises_its_epoch(store: &mut dyn Store) -> Result {
    let start = |host: &str, version: &str| Write::HostStart {
        host: host.to_owned(),
        boot_id: format!("boot-{version}"),
        version: version.to_owned(),
        at: UnixMs(5),
    };
    let results = store.commit(&[start("a", "1"), start("b", "1"), start("a", "2")])?;
    assert_eq!(results[2], Ok(Applied::HostEpoch(2)));
    let hosts = store.reader()?.hosts()?;
    assert_eq!(hosts.len(), 2);
    assert_eq!((hosts[0].host.as_str(), hosts[0].epoch), ("a", 2));
    assert_eq!(
        (hosts[0].boot_id.as_str(), hosts[0].version.as_str()),
        ("boot-2", "2")
    );
    assert_eq!(hosts[1].epoch, 1);
    Ok(())
}

fn lists_are_filtered_and_paged(store: &mut dyn Store) -> Result {
    submit(store, 0, &[1, 2, 3, 4]);
    submit(store, 1, &[5, 6]);
    let before = task(store, id(3))?;
    let done = step(&before, state(StateWord::Done), op(1));
    let final_at = done.task.changed_at;
    assert!(one(store, Write::Step(Box::new(done))).is_ok());
    let reader = store.reader()?;
    let all = TaskFilter::default();
    let ids = |filter: &TaskFilter| -> std::result::Result<Vec<TaskId>, StoreError> {
        Ok(reader
            .list(filter)?
            .into_iter()
            .map(|t| t.task.id)
            .collect())
    };
    let mut newest_first: Vec<TaskId> = (1..=6).map(id).collect();
    newest_first.sort_by(|a, b| b.cmp(a));
    assert_eq!(ids(&all)?, newest_first);
    let mut page = TaskFilter {
        limit: 4,
        ..all.clone()
    };
    let first = ids(&page)?;
    page.after = first.last().copied();
    let second = ids(&page)?;
    assert_eq!([first, second].concat(), newest_first);
    let some = |f: TaskFilter| ids(&f);
    let states = |w: &[StateWord]| TaskFilter {
        states: w.to_vec(),
        ..all.clone()
    };
    assert_eq!(some(states(&[StateWord::Done]))?, [id(3)]);
    assert_eq!(
        some(states(&[StateWord::Ready, StateWord::Parked]))?.len(),
        5
    );
    assert_eq!(some(states(&[StateWord::Ready, StateWord::Done]))?.len(), 6);
    let label = |l: &[&str]| TaskFilter {
        labels: l.iter().map(|l| (*l).to_owned()).collect(),
        ..all.clone()
    };
    assert_eq!(some(label(&["night", "task-2"]))?, [id(2)]);
    assert!(some(label(&["task-1", "task-2"]))?.is_empty());
    let text = |t: &str| Some(t.to_owned());
    assert_eq!(
        some(TaskFilter {
            repo: text("/repo"),
            ..all.clone()
        })?
        .len(),
        6
    );
    assert!(
        some(TaskFilter {
            repo: text("/other"),
            ..all.clone()
        })?
        .is_empty()
    );
    assert!(
        some(TaskFilter {
            harness: text("claude"),
            ..all.clone()
        })?
        .is_empty()
    );
    assert_eq!(
        some(TaskFilter {
            project: text("site"),
            ..all.clone()
        })?
        .len(),
        6
    );
    assert!(
        some(TaskFilter {
            group: text("g"),
            ..all.clone()
        })?
        .is_empty()
    );
    let of = TaskFilter {
        submission: Some(submission(1, Vec::new()).id),
        ..all.clone()
    };
    assert_eq!(some(of)?.len(), 2);
    let since = |t| TaskFilter {
        since: Some(t),
        ..all.clone()
    };
    assert_eq!(some(since(final_at))?.len(), 6);
    assert_eq!(some(since(UnixMs(final_at.0 + 1)))?.len(), 5);
    assert!(
        some(TaskFilter {
            limit: 0,
            ..all.clone()
        })?
        .is_empty()
    );
    Ok(())
}

fn a_text_resolves_to_a_task(store: &mut dyn Store) -> Result {
    submit(store, 0, &[1, 2]);
    submit(store, 1, &[3]);
    let twin = submission(2, vec![new_task(4, "task-3", Vec::new())]);
    assert!(one(store, Write::Submit(Box::new(twin))).is_ok());
    let reader = store.reader()?;
    let full = id(2).to_string();
    assert_eq!(reader.resolve(&full)?, Resolution::One(id(2)));
    assert_eq!(
        reader.resolve(&full.to_uppercase())?,
        Resolution::One(id(2))
    );
    assert_eq!(reader.resolve(&id(2).short())?, Resolution::One(id(2)));
    assert_eq!(reader.resolve("task-1")?, Resolution::One(id(1)));
    let Resolution::Ambiguous(several) = reader.resolve(&full[..8])? else {
        panic!("all ids share their time");
    };
    assert_eq!(several.len(), 4);
    assert!(several.is_sorted_by_key(|c| c.id));
    for text in ["", "%", "task-", "zzzz", "'; --", "abc"] {
        assert!(
            matches!(reader.resolve(text)?, Resolution::None { .. }),
            "{text:?}"
        );
    }
    let none = reader.resolve("task-11")?;
    let Resolution::None { nearest } = none else {
        panic!("{none:?}")
    };
    assert_eq!(nearest[0], "task-1");
    // By name: the live one; of several live ones none is guessed; else the newest finished one.
    let newest = id(3).max(id(4));
    let oldest = id(3).min(id(4));
    let Resolution::Ambiguous(twins) = reader.resolve("task-3")? else {
        panic!("two live tasks have this name");
    };
    assert_eq!(
        twins.iter().map(|c| c.id).collect::<Vec<_>>(),
        [oldest, newest]
    );
    let done = step(&task(store, newest)?, state(StateWord::Done), op(1));
    assert!(one(store, Write::Step(Box::new(done))).is_ok());
    assert_eq!(reader.resolve("task-3")?, Resolution::One(oldest));
    let done = step(&task(store, oldest)?, state(StateWord::Cancelled), op(2));
    assert!(one(store, Write::Step(Box::new(done))).is_ok());
    assert_eq!(reader.resolve("task-3")?, Resolution::One(newest));
    Ok(())
}

fn the_feed_goes_on_where_it_stopped(store: &mut dyn Store) -> Result {
    submit(store, 0, &[1, 2, 3]);
    let reader = store.reader()?;
    let first = reader.ledger_tail(0, 2)?;
    assert_eq!(first.len(), 2);
    let moved = step(&task(store, id(1))?, state(StateWord::Parked), op(1));
    assert!(one(store, Write::Step(Box::new(moved))).is_ok());
    let rest = reader.ledger_tail(first[1].seq, 100)?;
    let seqs: Vec<u64> = first.iter().chain(&rest).map(|r| r.seq).collect();
    assert_eq!(seqs, [1, 2, 3, 4]);
    assert!(reader.ledger_tail(4, 100)?.is_empty());
    Ok(())
}

fn totals_count_what_happened_since(store: &mut dyn Store) -> Result {
    submit(store, 0, &[1, 2, 3, 4]);
    let first = begin(&task(store, id(1))?, op(1));
    let mut ended = step(&first.task, state(StateWord::Done), op(2));
    let at = ended.task.changed_at;
    if let Some(a) = &mut ended.task.attempt {
        a.ended_at = Some(at);
        a.usage = usage(100, Some(2_500));
    }
    ended.verdict = Some(verdict(Fence(1), "unit", 0, at));
    let open = begin(&task(store, id(2))?, op(3));
    let needs = step(&task(store, id(3))?, state(StateWord::NeedsHuman), op(4));
    let gone = step(&task(store, id(4))?, state(StateWord::Cancelled), op(5));
    let steps = [first, ended, open, needs, gone].map(|s| Write::Step(Box::new(s)));
    assert!(store.commit(&steps)?.iter().all(std::result::Result::is_ok));
    let reader = store.reader()?;
    let totals = reader.totals(UnixMs(0))?;
    assert_eq!((totals.done, totals.cancelled), (1, 1));
    assert_eq!((totals.needs_human, totals.working), (1, 1));
    assert_eq!(
        (totals.tokens, totals.cost.0, totals.unpriced),
        (110, 2_570, 1)
    );
    let later = reader.totals(UnixMs(at.0 + 1_000))?;
    assert_eq!((later.done, later.cancelled), (0, 0));
    assert_eq!((later.needs_human, later.working), (1, 1));
    assert_eq!((later.tokens, later.cost.0, later.unpriced), (7, 70, 0));
    Ok(())
}

fn an_empty_batch_and_an_idle_store_are_fine(store: &mut dyn Store) -> Result {
    assert!(store.commit(&[])?.is_empty());
    submit(store, 0, &[1]);
    let mut pieces = 0;
    while store.idle()? == Upkeep::More {
        pieces += 1;
        assert!(pieces < 100, "housekeeping comes to an end");
    }
    assert_eq!(store.live()?.len(), 1);
    Ok(())
}

fn task(
    store: &dyn Store,
    id: TaskId,
) -> std::result::Result<longhaul_core::task::Task, StoreError> {
    Ok(store.reader()?.task(id)?.expect("it was stored").task)
}
