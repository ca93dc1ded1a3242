//! Databases that cannot be used, and daemons in each other's way.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use crate::stage::Stage;

const TASK: &str = "[[task]]\nname = \"a\"\nprompt = \"write a.txt x\"\nharness = \"script\"\n";

/// A world whose daemon wrote a database and is gone.
fn with_database() -> (Stage, PathBuf) {
    let stage = Stage::with_tasks(TASK);
    stage.run(["run", "--wait"]).expect_code(0);
    stage.run(["daemon", "stop"]).expect_code(0);
    let database = stage.world.state().join("longhaul.db");
    (stage, database)
}

/// Reading says it, and so does starting; the file is left as it is.
#[track_caller]
fn told(stage: &Stage, database: &PathBuf, name: &str, code: i32) {
    let before = std::fs::read(database).unwrap();
    stage.tells(&format!("{name}_ls"), code, &["ls"]);
    let ran = stage.run(["daemon", "start"]);
    let stripped = longhaul_testkit::world::Ran {
        stderr: ran.stderr.clone(),
        ..ran
    };
    stage.snapshot(
        &format!("{name}_start"),
        "longhaul daemon start",
        5,
        &stripped,
    );
    assert_eq!(
        std::fs::read(database).unwrap(),
        before,
        "the file was touched"
    );
}

#[test]
fn a_database_of_a_newer_version() {
    let (stage, database) = with_database();
    // `user_version` of an SQLite file: four bytes at 60.
    let file = OpenOptions::new().write(true).open(&database).unwrap();
    file.write_all_at(&999_u32.to_be_bytes(), 60).unwrap();
    drop(file);
    told(&stage, &database, "database_newer", 5);
}

#[test]
fn a_database_full_of_rubbish() {
    let (stage, database) = with_database();
    let file = OpenOptions::new().write(true).open(&database).unwrap();
    file.write_all_at(&[b'x'; 4096], 0).unwrap();
    drop(file);
    told(&stage, &database, "database_corrupt", 1);
}

#[test]
fn a_database_that_was_cut_short() {
    let (stage, database) = with_database();
    let file = OpenOptions::new().write(true).open(&database).unwrap();
    file.set_len(5000).unwrap();
    drop(file);
    told(&stage, &database, "database_truncated", 1);
}

#[test]
fn t19_a_second_daemon_names_the_first() {
    let stage = Stage::with_tasks(TASK);
    stage.run(["daemon", "start"]).expect_code(0);
    let lock = std::fs::read_to_string(stage.world.state().join("daemon.lock")).unwrap();
    let ran = stage.tells("daemon_second", 7, &["daemon", "run"]);
    assert!(
        ran.stderr.contains(&format!("pid {}", lock.trim())),
        "{}",
        ran.stderr
    );
    stage.tells("daemon_start_again", 0, &["daemon", "start"]);
    stage.tells("daemon_second_json", 7, &["daemon", "run", "--json"]);
}
