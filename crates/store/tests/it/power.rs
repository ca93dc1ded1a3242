//! Power cuts while the store is made, used, looked after and opened again: from every disk that they
//! can leave, the store opens, is whole, and holds what was acknowledged (I1, I3).
//!
//! What the disk may look like is `longhaul-powercut`'s business; the model of names here is the harsher
//! one. `LONGHAUL_POWER_CUTS` is the number of disks per moment (1 unless given).
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;

use camino::Utf8Path;
use longhaul_powercut::{Change, Choice, Model, Recorder, Recording};
use longhaul_store::{SqliteStore, Store as _, TaskFilter, Write};
use rusqlite::Connection;
use uuid::Uuid;

use crate::killed::{DB, ack, next, verify};
use crate::world::submit;

/// What the world outside has seen, on a disk that loses nothing.
const ACKED: &str = "outside/acked";

/// Records two runs of an ignored test of this binary in a folder with `state` and `outside`.
fn record(child: &str, variables: &[(&str, &str)]) -> Recording {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().canonicalize().unwrap();
    std::fs::create_dir(root.join("home")).unwrap();
    std::fs::create_dir(root.join("outside")).unwrap();
    let mut recorder = Recorder::start(&root, &["outside"]).expect("ptrace must be permitted");
    for _ in 0..2 {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", child, "--ignored"])
            .env(DB, root.join("home/state/longhaul.db"))
            .env("ACKED", root.join(ACKED))
            .envs(variables.iter().copied());
        let said = recorder.run(&command).unwrap();
        assert_eq!(said.code, 0, "{said:?}");
    }
    let recording = recorder.finish();
    recording.verify(&root).unwrap();
    recording
}

fn cuts() -> u64 {
    let given = std::env::var("LONGHAUL_POWER_CUTS").ok();
    given.map_or(1, |n| n.parse().expect("a number of disks per moment"))
}

/// Cuts the power after every change and asks `sound` about the disk and what was acknowledged; gives
/// the first complaint and the number of disks.
fn sweep(
    recording: &Recording,
    model: Model,
    sound: impl Fn(&Utf8Path, &[Uuid]),
) -> (Option<String>, usize) {
    // In memory if there is such a place: a real disk's flushes would only cost time.
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() {
        memory
    } else {
        Path::new("/tmp")
    };
    let temp = tempfile::Builder::new()
        .prefix("lhpc")
        .tempdir_in(place)
        .unwrap();
    let home = temp.path().join("home");
    let db = Utf8Path::from_path(&home)
        .unwrap()
        .join("state/longhaul.db");
    let mut disk = recording.disk(model);
    let mut looked = 0;
    for (moment, change) in recording.changes().iter().enumerate() {
        disk.apply(change);
        // A page more or less of a long write is rarely another story.
        if matches!(change, Change::Write { .. }) && !moment.is_multiple_of(5) && cuts() == 1 {
            continue;
        }
        for cut in 0..cuts() {
            let seed = (moment as u64) << 20 | cut;
            let image = disk.cut(&mut Choice::new(seed));
            image.write_below(Path::new("home"), &home).unwrap();
            let text = String::from_utf8_lossy(image.file(ACKED).unwrap_or_default()).into_owned();
            let acked: Vec<Uuid> = text.lines().filter_map(ack).collect();
            looked += 1;
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| sound(&db, &acked))) {
                let why = panic
                    .downcast_ref::<String>()
                    .cloned()
                    .unwrap_or_else(|| "?".to_owned());
                let said = format!("{model:?}, moment {moment}, seed {seed}: {why}");
                return (Some(said), looked);
            }
        }
    }
    (None, looked)
}

/// It opens, holds what was acknowledged, and goes on.
fn whole_and_usable(db: &Utf8Path, acked: &[Uuid]) {
    verify(db, acked);
    let mut store = SqliteStore::open(db).expect("it opens once more");
    let tasks = store.live().expect("it reads");
    match tasks.into_iter().next() {
        None => submit(&mut store, 9, &[90]),
        Some(mut task) => {
            let results = store.commit(&[next(&mut task)]).expect("it writes");
            assert!(results[0].is_ok(), "{results:?}");
        }
    }
}

#[test]
fn i3_what_was_acknowledged_survives_a_power_cut_at_every_moment() {
    let recording = record("power::commits_and_says_so", &[]);
    let mut all = 0;
    for model in [Model::Journal, Model::Loose] {
        let (complaint, looked) = sweep(&recording, model, whole_and_usable);
        assert_eq!(complaint, None);
        all += looked;
    }
    assert!(all > 200, "{all} disks are too few to say anything");
    println!("{all} disks");
}

/// The test above has teeth: a store that forgot to flush its log is found out.
#[test]
fn a_log_that_is_not_flushed_is_found_out() {
    let recording = record("power::commits_and_says_so", &[]);
    let careless =
        recording.without_flushes(|path| path.to_string_lossy().ends_with("longhaul.db-wal"));
    let (complaint, _) = sweep(&careless, Model::Journal, whole_and_usable);
    complaint.expect("it is found out");
}

#[test]
fn a_folder_that_is_not_flushed_is_found_out() {
    let recording = record("power::commits_and_says_so", &[]);
    let careless = recording.without_flushes(|path| path.ends_with("state"));
    // A log whose name is lost while its content moves leaves a torn database, or none.
    let (complaint, _) = sweep(&careless, Model::Loose, whole_and_usable);
    complaint.expect("it is found out");
}

/// SQLite itself, with the log mode that Longhaul uses: `FULL` keeps what was acknowledged, `NORMAL` does
/// not. That `SqliteStore` asks for `FULL` is what the first test shows.
#[test]
fn synchronous_normal_is_found_out() {
    let keeps = |mode: &str| {
        let recording = record("power::commits_bare", &[("SYNCHRONOUS", mode)]);
        sweep(&recording, Model::Journal, |db, acked| {
            let Ok(conn) = Connection::open(db) else {
                assert!(acked.is_empty(), "it does not open");
                return;
            };
            for id in acked {
                let sql = "SELECT count(*) FROM t WHERE id = ?1";
                let n: i64 = conn.query_row(sql, [id], |r| r.get(0)).unwrap_or(0);
                assert_eq!(n, 1, "{id} was acknowledged and is lost");
            }
        })
        .0
    };
    assert_eq!(keeps("FULL"), None);
    let complaint = keeps("NORMAL").expect("it is found out");
    assert!(
        complaint.contains("was acknowledged and is lost"),
        "{complaint}"
    );
}

fn tell(id: Uuid) {
    use std::io::Write as _;
    let acked = std::env::var_os("ACKED").unwrap();
    let mut file = std::fs::File::options()
        .append(true)
        .create(true)
        .open(acked)
        .unwrap();
    file.write_all(format!("ack {id}.\n").as_bytes()).unwrap();
}

/// The child of the tests here; nothing by itself.
#[test]
#[ignore = "run by another test"]
fn commits_and_says_so() {
    let Ok(db) = std::env::var(DB) else {
        return;
    };
    let mut store = SqliteStore::open(Utf8Path::new(&db)).unwrap();
    let reader = store.reader().unwrap();
    if reader.list(&TaskFilter::default()).unwrap().is_empty() {
        submit(&mut store, 0, &[1, 2, 3]);
    }
    let mut tasks = store.live().unwrap();
    for round in 0..14_usize {
        let size = 1 + round % 3;
        let batch: Vec<Write> = tasks.iter_mut().take(size).map(next).collect();
        let results = store.commit(&batch).unwrap();
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        for write in &batch {
            if let Write::Step(step) = write {
                tell(step.op_id);
            }
        }
        if round == 9 {
            // Enough in the log for housekeeping to move it.
            let value = serde_json::json!("x".repeat(1_200_000));
            let fill = Write::Flag {
                name: "fill".to_owned(),
                value,
            };
            store.commit(&[fill]).unwrap();
            store.idle().unwrap();
        }
    }
}

/// The child of a test here; nothing by itself.
#[test]
#[ignore = "run by another test"]
fn commits_bare() {
    let (Ok(db), Ok(mode)) = (std::env::var(DB), std::env::var("SYNCHRONOUS")) else {
        return;
    };
    std::fs::create_dir_all(Utf8Path::new(&db).parent().unwrap()).unwrap();
    let conn = Connection::open(&db).unwrap();
    conn.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = {mode}; CREATE TABLE IF NOT EXISTS t (id BLOB);"
    ))
    .unwrap();
    // As Longhaul does, so that the first commit stands on solid ground.
    for folder in Utf8Path::new(&db).ancestors().skip(1).take(2) {
        std::fs::File::open(folder).unwrap().sync_all().unwrap();
    }
    for _ in 0..12 {
        let id = Uuid::now_v7();
        conn.execute("INSERT INTO t VALUES (?1)", [id]).unwrap();
        tell(id);
    }
}
