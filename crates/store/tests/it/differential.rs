//! The same writes, good and bad, to the engine with a disk and to the model: the same answers and the
//! same rows, before and after the database was opened again.

use std::collections::BTreeSet;

use longhaul_core::ids::Fence;
use longhaul_core::task::{StateWord, Task};
use longhaul_core::time::UnixMs;
use longhaul_store::{
    Chain, MemoryStore, Reader, SqliteStore, Step, Store, StoreError, TaskFilter, Write,
};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::json;
use uuid::Uuid;

use crate::world::{
    Folder, begin, green, id, line_step, new_task, op, state, step, submission, usage, verdict,
    window,
};

/// One write, to be made from what is stored when its batch begins.
#[derive(Clone, Debug)]
enum Plan {
    Submit {
        id: u64,
        tasks: Vec<(u64, Option<u64>)>,
    },
    Step {
        task: u64,
        to: usize,
        attempt: bool,
        verdict: bool,
        window: bool,
        op: u64,
        fault: u8,
    },
    Line {
        line: u8,
        /// By how much the version is wrong; most are right.
        off: u8,
        entries: Vec<u64>,
        rows: usize,
        green: bool,
    },
    Window(u8, i64),
    Clear(u8),
    Flag(u8, Option<i32>),
    Host(u8),
}

fn plan() -> impl Strategy<Value = Plan> {
    let tasks = prop::collection::vec((0..12_u64, prop::option::weighted(0.2, 0..12_u64)), 0..4);
    prop_oneof![
        3 => (0..8_u64, tasks).prop_map(|(id, tasks)| Plan::Submit { id, tasks }),
        12 => (0..12_u64, 0..10_usize, any::<[bool; 3]>(), 0..200_u64, 0..24_u8).prop_map(
            |(task, to, [attempt, verdict, window], op, fault)| Plan::Step {
                task, to, attempt, verdict, window, op, fault,
            }
        ),
        4 => (0..3_u8, 0..9_u8, prop::collection::vec(0..9_u64, 0..6), 0..4_usize, any::<bool>()).prop_map(
            |(line, off, entries, rows, green)| Plan::Line { line, off, entries, rows, green }
        ),
        1 => (0..3_u8, 0..100_i64).prop_map(|(s, t)| Plan::Window(s, t)),
        1 => (0..3_u8).prop_map(Plan::Clear),
        1 => (0..3_u8, prop::option::of(any::<i32>())).prop_map(|(n, v)| Plan::Flag(n, v)),
        1 => (0..2_u8).prop_map(Plan::Host),
    ]
}

fn write(plan: &Plan, stored: &dyn Reader) -> Result<Write, StoreError> {
    Ok(match plan {
        Plan::Submit { id: n, tasks } => {
            let tasks = tasks.iter().map(|(n, needs)| {
                new_task(
                    *n,
                    &format!("task-{}", n % 5),
                    needs.map(id).into_iter().collect(),
                )
            });
            Write::Submit(Box::new(submission(*n, tasks.collect())))
        }
        Plan::Step {
            task,
            to,
            attempt,
            verdict: judged,
            window: rests,
            op: op_no,
            fault,
        } => {
            let before = match stored.task(id(*task))? {
                Some(t) => t.task,
                None => new_task(*task, "never submitted", Vec::new()).task,
            };
            let mut s = a_step(&before, *to, *attempt, *op_no);
            s.verdict = judged.then(|| verdict(s.task.fence, "unit", 0, s.task.changed_at));
            s.window = rests.then(|| window("script", s.task.changed_at.0));
            spoil(&mut s, *fault);
            Write::Step(Box::new(s))
        }
        Plan::Line {
            line,
            off,
            entries,
            rows,
            green: passed,
        } => {
            let stands = line_step(*line, 1, &[], 0).line.id;
            let version = stored.line(&stands)?.map_or(0, |l| l.version);
            let wrong = u64::from(off.saturating_sub(6));
            let mut s = line_step(*line, version + 1 + wrong, entries, *rows);
            if *off == 8 {
                s.expect_version = version;
            }
            s.green = passed.then(|| green(&format!("tree-{}", entries.len()), "key"));
            Write::Line(Box::new(s))
        }
        Plan::Window(scope, until) => Write::Window(window(&scope.to_string(), *until)),
        Plan::Clear(scope) => Write::ClearWindow {
            scope: scope.to_string(),
        },
        Plan::Flag(name, value) => Write::Flag {
            name: name.to_string(),
            value: json!(value),
        },
        Plan::Host(n) => Write::HostStart {
            host: format!("host-{n}"),
            boot_id: "boot".to_owned(),
            version: "1".to_owned(),
            at: UnixMs(3),
        },
    })
}

fn a_step(before: &Task, to: usize, attempt: bool, op_no: u64) -> Step {
    if attempt {
        return begin(before, op(op_no));
    }
    let mut s = step(before, state(StateWord::ALL[to]), op(op_no));
    if let Some(a) = &mut s.task.attempt {
        a.ended_at = Some(s.task.changed_at);
        a.usage = usage(op_no, op_no.is_multiple_of(2).then_some(op_no));
    }
    s
}

/// Makes a step wrong in one of several ways; most faults are none.
fn spoil(s: &mut Step, fault: u8) {
    match fault {
        0 => s.expect_version += 1,
        1 => s.expect_fence = s.expect_fence.next(),
        2 => s.task.version += 1,
        3 => s.entry.from = StateWord::Assigned,
        4 => s.entry.to = StateWord::Assigned,
        5 => s.entry.fence = Fence(77),
        6 => s.entry.task = id(50),
        7 => {
            s.expect_version = s.expect_version.saturating_sub(1);
            s.task.version -= 1;
            s.entry.version -= 1;
        }
        _ => {}
    }
}

/// All that a reader can tell.
fn dump(reader: &dyn Reader) -> Result<Vec<String>, StoreError> {
    let mut told = Vec::new();
    let all = reader.list(&TaskFilter::default())?;
    for t in &all {
        let id = t.task.id;
        let chain = reader.verify_chain(id)?;
        assert!(matches!(chain, Some(Chain::Intact { .. })), "{chain:?}");
        told.push(format!("{t:?} {chain:?}"));
        told.push(format!("{:?}", reader.task(id)?));
        told.push(format!("{:?}", reader.spec(id)?));
        told.push(format!("{:?}", reader.ledger(id)?));
        told.push(format!("{:?}", reader.attempts(id)?));
        told.push(format!("{:?}", reader.verdicts(id)?));
        told.push(format!("{:?}", reader.verdict(id, t.task.fence, "unit")?));
        told.push(format!("{:?}", reader.dependents(id)?));
        told.push(format!("{:?}", reader.resolve(&id.short())?));
        told.push(format!("{:?}", reader.tasks_of(t.submission)?));
        told.push(format!("{:?}", reader.submission(t.submission)?));
    }
    for n in 0..5 {
        told.push(format!("{:?}", reader.resolve(&format!("task-{n}"))?));
    }
    for n in 0..6 {
        let s = submission(n, Vec::new());
        told.push(format!("{:?}", reader.live_from(&s.source)?));
    }
    for since in [0, 1_005, 1_030] {
        told.push(format!("{:?}", reader.totals(UnixMs(since))?));
    }
    let live = TaskFilter {
        states: vec![StateWord::Parked, StateWord::Ready],
        since: Some(UnixMs(1_020)),
        ..TaskFilter::default()
    };
    told.push(format!("{:?}", reader.list(&live)?));
    told.push(format!("{:?}", reader.counts()?));
    told.push(format!("{:?}", reader.ledger_tail(0, 1_000)?));
    for line in reader.lines()? {
        let chain = reader.verify_line(&line.id)?;
        assert!(matches!(chain, Some(Chain::Intact { .. })), "{chain:?}");
        told.push(format!("{line:?} {chain:?}"));
        told.push(format!("{:?}", reader.line(&line.id)?));
        told.push(format!("{:?}", reader.queue_tail(&line.id, 3)?));
        for entry in &line.entries {
            told.push(format!("{:?}", reader.queue_of(entry.id)?));
        }
    }
    for n in 0..6 {
        let found = reader.tree_verdict(&format!("tree-{n}"), "key")?;
        told.push(format!("{found:?}"));
    }
    told.push(format!("{:?}", reader.windows()?));
    told.push(format!("{:?}", reader.flags()?));
    told.push(format!("{:?}", reader.hosts()?));
    Ok(told)
}

/// An engine with a disk, compared with the model. Another one needs a value of this and a line in
/// `engines_under_test`.
trait Engine {
    /// The one writer.
    fn store(&mut self) -> &mut dyn Store;
    /// Lets go of everything and opens what is on the disk.
    fn reopen(&mut self);
}

struct Sqlite {
    folder: Folder,
    store: Option<SqliteStore>,
}

impl Sqlite {
    fn new() -> Self {
        let mut engine = Self {
            folder: Folder::new(),
            store: None,
        };
        engine.reopen();
        engine
    }
}

impl Engine for Sqlite {
    fn store(&mut self) -> &mut dyn Store {
        self.store.as_mut().expect("it is open")
    }

    fn reopen(&mut self) {
        // The old one first: it holds the writer's lock.
        self.store = None;
        self.store = Some(SqliteStore::open(&self.folder.db()).expect("it opens"));
    }
}

fn engines_under_test() -> Vec<Box<dyn Engine>> {
    vec![Box::new(Sqlite::new())]
}

/// What happens after a batch.
#[derive(Clone, Copy, Debug)]
enum After {
    Nothing,
    /// Its answer is lost, and it is sent again as it was.
    Again,
    Reopen,
    Housekeeping,
}

fn after() -> impl Strategy<Value = After> {
    prop_oneof![
        5 => Just(After::Nothing),
        2 => Just(After::Again),
        2 => Just(After::Reopen),
        1 => Just(After::Housekeeping),
    ]
}

/// The same answers about every operation that was ever tried.
fn same_operations(
    engine: &mut dyn Engine,
    model: &mut MemoryStore,
    tried: &BTreeSet<Uuid>,
) -> Result<(), TestCaseError> {
    for op in tried {
        let said = model.applied(*op).expect("the model reads");
        prop_assert_eq!(engine.store().applied(*op).expect("it reads"), said);
    }
    Ok(())
}

fn compare(engine: &mut dyn Engine, batches: &[(Vec<Plan>, After)]) -> Result<(), TestCaseError> {
    let mut model = MemoryStore::new();
    let stored = model.reader().expect("it reads");
    let mut tried = BTreeSet::new();
    for (plans, after) in batches {
        let writes: Result<Vec<Write>, _> =
            plans.iter().map(|p| write(p, stored.as_ref())).collect();
        let writes = writes.expect("the model reads");
        let times = if matches!(after, After::Again) { 2 } else { 1 };
        for _ in 0..times {
            let said = model.commit(&writes).expect("the model works");
            prop_assert_eq!(
                engine.store().commit(&writes).expect("the disk works"),
                said
            );
        }
        for write in &writes {
            match write {
                Write::Step(s) => drop(tried.insert(s.op_id)),
                Write::Submit(s) => tried.extend(s.tasks.iter().map(|t| t.task.id.uuid())),
                Write::Line(_)
                | Write::Window(_)
                | Write::ClearWindow { .. }
                | Write::Flag { .. }
                | Write::HostStart { .. } => {}
            }
        }
        match after {
            After::Nothing | After::Again => {}
            After::Reopen => {
                engine.reopen();
                // As every daemon does first: the store knows its host only from then on.
                let start = [write(&Plan::Host(1), stored.as_ref()).expect("it is made")];
                let said = model.commit(&start).expect("the model works");
                prop_assert_eq!(engine.store().commit(&start).expect("it works"), said);
            }
            After::Housekeeping => drop(engine.store().idle().expect("it works")),
        }
        let live = model.live().expect("it reads");
        prop_assert_eq!(engine.store().live().expect("it reads"), live);
        let lines = model.lines().expect("it reads");
        prop_assert_eq!(engine.store().lines().expect("it reads"), lines);
    }
    let told = dump(stored.as_ref()).expect("the model reads");
    for _ in 0..2 {
        same_operations(engine, &mut model, &tried)?;
        let reader = engine.store().reader().expect("it reads");
        prop_assert_eq!(dump(reader.as_ref()).expect("it reads"), told.clone());
        drop(reader);
        engine.reopen();
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_engines_agree(
        batches in prop::collection::vec((prop::collection::vec(plan(), 1..6), after()), 1..14)
    ) {
        for mut engine in engines_under_test() {
            compare(engine.as_mut(), &batches)?;
        }
    }
}
