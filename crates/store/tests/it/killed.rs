//! A process that is killed while it commits: what it acknowledged is there, and nothing is torn.

use std::io::{BufRead, BufReader, Write as _};
use std::process::{Command, Stdio};

use camino::Utf8Path;
use longhaul_core::task::{StateWord, Task};
use longhaul_store::{Chain, SqliteStore, Store, TaskFilter, Write};
use uuid::Uuid;

use crate::world::{Folder, begin, op, state, step, submit};

pub(crate) const DB: &str = "LONGHAUL_STORE_TEST_DB";
const CYCLES: u64 = 20;

#[test]
fn i3_what_was_acknowledged_survives_kill_9() {
    let folder = Folder::new();
    let mut acked: Vec<Uuid> = Vec::new();
    for cycle in 0..CYCLES {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "killed::commits_until_killed",
                "--ignored",
                "--nocapture",
            ])
            .env(DB, folder.db())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let wanted = 1 + (cycle * 7) % 23;
        let mut seen = 0;
        while seen < wanted {
            let line = lines
                .next()
                .expect("it goes on until it is killed")
                .unwrap();
            seen += u64::from(ack(&line).is_some());
            acked.extend(ack(&line));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it wrote until it died was acknowledged too; the last line may be torn.
        acked.extend(lines.map_while(Result::ok).filter_map(|l| ack(&l)));
        verify(&folder.db(), &acked);
    }
    assert!(acked.len() as u64 > CYCLES);
}

/// The operation id of a line that acknowledges one.
pub(crate) fn ack(line: &str) -> Option<Uuid> {
    let (_, id) = line.split_once("ack ")?;
    id.strip_suffix('.')?.parse().ok()
}

/// Opens what a dead process left and asserts that it is whole and holds what was acknowledged.
pub(crate) fn verify(db: &Utf8Path, acked: &[Uuid]) {
    let mut store = SqliteStore::open(db).expect("it opens after a crash");
    for id in acked {
        let found = store.applied(*id).expect("it reads");
        assert!(found.is_some(), "{id} was acknowledged and is lost");
    }
    let reader = store.reader().expect("it reads");
    let all = reader.list(&TaskFilter::default()).expect("it reads");
    let mut rows = 0;
    for t in &all {
        let chain = reader.verify_chain(t.task.id).expect("it reads");
        let Some(Chain::Intact { rows: own, .. }) = chain else {
            panic!("{chain:?}");
        };
        rows += own;
        let attempts = reader.attempts(t.task.id).expect("it reads");
        assert_eq!(
            attempts.len() as u64,
            t.task.fence.0,
            "each fence has its attempt"
        );
    }
    let ledger = reader.ledger_tail(0, usize::MAX).expect("it reads");
    assert_eq!(ledger.len() as u64, rows);
    let counts = reader.counts().expect("it reads");
    let counted: u64 = counts.0.values().sum();
    assert_eq!(counted, all.len() as u64);
    for (word, n) in counts.0 {
        let really = all.iter().filter(|t| t.task.state.word() == word).count();
        assert_eq!(n, really as u64, "{word}");
    }
}

/// The child of the tests here; nothing by itself.
#[test]
#[ignore = "run by another test"]
fn commits_until_killed() {
    let Ok(db) = std::env::var(DB) else {
        return;
    };
    let mut store = SqliteStore::open(Utf8Path::new(&db)).unwrap();
    if store.live().unwrap().is_empty() {
        submit(&mut store, 0, &[1, 2, 3, 4, 5, 6]);
    }
    let mut tasks = store.live().unwrap();
    let mut out = std::io::stdout();
    // Bounded, so that a parent that dies does not leave it running for ever.
    for round in 0..20_000_u64 {
        let size = 1 + (round % 4);
        let first = round % tasks.len() as u64;
        let batch: Vec<Write> = (first..(first + size).min(tasks.len() as u64))
            .map(|n| next(&mut tasks[usize::try_from(n).unwrap()]))
            .collect();
        let results = store.commit(&batch).unwrap();
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        for write in &batch {
            if let Write::Step(s) = write {
                // A parent that is gone cannot be told; that is the end.
                if writeln!(out, "ack {}.", s.op_id)
                    .and_then(|()| out.flush())
                    .is_err()
                {
                    return;
                }
            }
        }
        if round % 16 == 15 {
            store.idle().unwrap();
        }
    }
}

/// Moves a task and returns the write that says so.
pub(crate) fn next(task: &mut Task) -> Write {
    let word = task.state.word();
    let op_id = op((task.id.uuid().as_u128() as u64) ^ (task.version << 32));
    let s = if word == StateWord::Running {
        step(task, state(StateWord::Ready), op_id)
    } else {
        begin(task, op_id)
    };
    *task = s.task.clone();
    Write::Step(Box::new(s))
}

/// The system refuses to let any file grow: the nearest thing to a full disk without a disk to fill.
#[test]
fn t20_writes_that_the_system_refuses_leave_a_whole_store() {
    let folder = Folder::new();
    let out = Command::new("sh")
        // The unit is 512 bytes or 1 KiB, by the shell.
        .args(["-c", "trap '' XFSZ; ulimit -f 4000; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "killed::commits_until_refused",
            "--ignored",
            "--nocapture",
        ])
        .env(DB, folder.db())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{text}\n{out:?}");
    assert!(text.contains("refused Retryable"), "{text}");
    let acked: Vec<Uuid> = text.lines().filter_map(ack).collect();
    assert!(acked.len() > 2, "{text}");
    verify(&folder.db(), &acked);
}

/// The child of the test above; nothing by itself.
#[test]
#[ignore = "run by another test"]
fn commits_until_refused() {
    let Ok(db) = std::env::var(DB) else {
        return;
    };
    let mut store = SqliteStore::open(Utf8Path::new(&db)).unwrap();
    submit(&mut store, 0, &[1]);
    let mut task = store.live().unwrap().remove(0);
    let fill = Write::Flag {
        name: "fill".to_owned(),
        value: serde_json::json!("x".repeat(100_000)),
    };
    let mut refused = 0;
    for _ in 0..1_000 {
        let mut moved = task.clone();
        let batch = [fill.clone(), next(&mut moved)];
        let Write::Step(s) = &batch[1] else { continue };
        match store.commit(&batch) {
            Ok(results) => {
                assert!(results.iter().all(Result::is_ok), "{results:?}");
                println!("ack {}.", s.op_id);
                task = moved;
                if refused > 0 {
                    // It went on as soon as there was room.
                    return;
                }
            }
            Err(e) => {
                refused += 1;
                assert!(refused < 3, "there is room again: {e:?}");
                println!("refused {:?}: {e:?}", e.class());
                assert_eq!(store.applied(s.op_id).unwrap(), None);
                assert_eq!(store.live().unwrap(), std::slice::from_ref(&task));
                // Makes room: the log is moved away and begins anew.
                store.idle().unwrap();
                // The same move is made again, under the same name: it was not made.
            }
        }
    }
    panic!("nothing was refused");
}
