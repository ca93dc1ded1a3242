//! Files and folders: what is made, what is refused, and that a refusal touches nothing.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use camino::Utf8Path;
use longhaul_core::task::StateWord;
use longhaul_store::{
    Chain, ErrorClass, Reader, SqliteReader, SqliteStore, Store, StoreError, Write,
};
use rusqlite::Connection;
use serde_json::json;

use crate::world::{Folder, contents, id, one, op, state, step, submit};

/// A closed database with three tasks, the second of which was moved.
fn filled(folder: &Folder) {
    let mut store = SqliteStore::open(&folder.db()).expect("a fresh folder is fine");
    submit(&mut store, 0, &[1, 2, 3]);
    let before = store.live().expect("it reads").remove(0);
    let moved = step(&before, state(StateWord::Parked), op(1));
    one(&mut store, Write::Step(Box::new(moved))).expect("the step is good");
}

/// Changes a closed database behind Longhaul's back.
fn tamper(db: &Utf8Path, sql: &str) {
    let conn = Connection::open(db).expect("it opens");
    conn.execute_batch(sql).expect("the statement is good");
}

/// Asserts that opening is refused and changes nothing in the folder.
fn refused(db: &Utf8Path) -> StoreError {
    let folder = db.parent().expect("it lies in a folder");
    let before = contents(folder);
    let error = SqliteStore::open(db).expect_err("it must be refused");
    assert_eq!(contents(folder), before, "a refusal touches nothing");
    SqliteReader::open(db).expect_err("a reader is refused as well");
    assert_eq!(contents(folder), before, "a refusal touches nothing");
    assert!(!error.remedy().is_empty());
    error
}

#[test]
fn folder_and_files_are_private() {
    let folder = Folder::new();
    let mut store = SqliteStore::open(&folder.db()).unwrap();
    submit(&mut store, 0, &[1]);
    let mode = |path: &Utf8Path| path.metadata().unwrap().permissions().mode() & 0o777;
    let db = folder.db();
    assert_eq!(mode(db.parent().unwrap()), 0o700);
    let mut files = 0;
    for name in contents(db.parent().unwrap()).keys() {
        assert_eq!(mode(&db.with_file_name(name)), 0o600, "{name}");
        files += 1;
    }
    assert!(files >= 4, "database, log, shared memory, lock");
}

#[test]
fn what_was_stored_is_there_after_opening_again() {
    let folder = Folder::new();
    filled(&folder);
    let mut store = SqliteStore::open(&folder.db()).unwrap();
    assert_eq!(store.live().unwrap().len(), 3);
    assert!(store.applied(op(1)).unwrap().is_some());
    // Without a daemon, too.
    drop(store);
    let reader = SqliteReader::open(&folder.db()).unwrap();
    assert_eq!(reader.counts().unwrap().of(StateWord::Parked), 1);
}

#[test]
fn t19_a_second_writer_is_refused_and_told_the_pid() {
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.db()).unwrap();
    let error = SqliteStore::open(&folder.db()).unwrap_err();
    let StoreError::InUse { pid, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(*pid, Some(std::process::id()));
    assert_eq!(error.class(), ErrorClass::Config);
    drop(store);
    // What a dead process left behind hinders nobody, whoever has its pid now.
    std::fs::write(format!("{}.lock", folder.db()), "1\n").unwrap();
    SqliteStore::open(&folder.db()).unwrap();
}

#[test]
fn a_newer_schema_is_refused_before_anything_is_written() {
    let folder = Folder::new();
    filled(&folder);
    tamper(&folder.db(), "PRAGMA user_version = 99");
    let error = refused(&folder.db());
    assert!(
        matches!(error, StoreError::TooNew { found: 99, .. }),
        "{error:?}"
    );
    assert_eq!(error.class(), ErrorClass::TooNew);
}

#[test]
fn a_newer_schema_that_is_only_in_the_log_is_refused() {
    let folder = Folder::new();
    filled(&folder);
    let conn = Connection::open(folder.db()).unwrap();
    conn.execute_batch("PRAGMA user_version = 98").unwrap();
    // As it would be found after a crash: the log is there, the database is as it was.
    let other = Folder::new();
    std::fs::create_dir(other.db().parent().unwrap()).unwrap();
    for suffix in ["", "-wal"] {
        let (from, to) = (folder.db(), other.db());
        std::fs::copy(format!("{from}{suffix}"), format!("{to}{suffix}")).unwrap();
    }
    drop(conn);
    let error = refused(&other.db());
    assert!(
        matches!(error, StoreError::TooNew { found: 98, .. }),
        "{error:?}"
    );
}

#[test]
fn what_is_not_a_sound_database_is_refused_and_kept() {
    let garbage: &[&[u8]] = &[
        b"not a database at all",
        &[0; 8192],
        b"SQLite format 3\0short",
    ];
    for bytes in garbage {
        let folder = Folder::new();
        std::fs::create_dir(folder.db().parent().unwrap()).unwrap();
        std::fs::write(folder.db(), bytes).unwrap();
        let error = refused(&folder.db());
        assert!(matches!(error, StoreError::DamagedFile { .. }), "{error:?}");
        assert_eq!(error.class(), ErrorClass::Corrupt);
    }
}

#[test]
fn a_truncated_or_overwritten_database_is_refused_and_kept() {
    for spoil in [
        |bytes: &mut Vec<u8>| bytes.truncate(5_000),
        |bytes: &mut Vec<u8>| bytes[100..4_096].fill(0xA5),
        |bytes: &mut Vec<u8>| bytes[4_096..].fill(0xFF),
    ] {
        let folder = Folder::new();
        filled(&folder);
        let mut bytes = std::fs::read(folder.db()).unwrap();
        spoil(&mut bytes);
        std::fs::write(folder.db(), bytes).unwrap();
        let error = refused(&folder.db());
        assert_eq!(error.class(), ErrorClass::Corrupt, "{error:?}");
    }
}

#[test]
fn another_programs_database_is_refused_and_kept() {
    for sql in [
        "CREATE TABLE t (a)",
        "PRAGMA application_id = 7",
        "PRAGMA user_version = 3",
    ] {
        let folder = Folder::new();
        std::fs::create_dir(folder.db().parent().unwrap()).unwrap();
        tamper(&folder.db(), sql);
        let error = refused(&folder.db());
        assert!(
            matches!(error, StoreError::NotOurs { .. }),
            "{sql}: {error:?}"
        );
        assert_eq!(error.class(), ErrorClass::Config);
    }
}

#[test]
fn making_a_database_can_be_cut_short_and_begun_again() {
    let folder = Folder::new();
    std::fs::create_dir(folder.db().parent().unwrap()).unwrap();
    std::fs::write(folder.db(), "").unwrap();
    SqliteStore::open(&folder.db()).unwrap();
    let folder = Folder::new();
    std::fs::create_dir(folder.db().parent().unwrap()).unwrap();
    tamper(&folder.db(), "PRAGMA journal_mode = WAL");
    filled(&folder);
}

#[test]
fn i1_a_state_nobody_knows_is_an_error_that_names_the_row() {
    let folder = Folder::new();
    filled(&folder);
    tamper(
        &folder.db(),
        "UPDATE task_now SET state = 'dreaming' WHERE key = (SELECT key FROM task WHERE name = 'task-2')",
    );
    let mut store = SqliteStore::open(&folder.db()).unwrap();
    let error = store.live().unwrap_err();
    assert_eq!(error.class(), ErrorClass::Corrupt);
    let text = error.to_string();
    assert!(text.contains(&id(2).to_string()), "{text}");
    assert!(text.contains("dreaming"), "{text}");
    let reader = store.reader().unwrap();
    assert!(matches!(reader.task(id(2)), Err(StoreError::BadRow { .. })));
    assert!(reader.task(id(1)).is_ok());
}

#[test]
fn i1_other_unknown_texts_are_errors_too() {
    for sql in [
        "UPDATE ledger SET cause = 'whim'",
        "UPDATE ledger SET actor = 'cat'",
        "UPDATE ledger SET data = '{'",
        "UPDATE ledger SET epoch = -1",
    ] {
        let folder = Folder::new();
        filled(&folder);
        tamper(&folder.db(), sql);
        let reader = SqliteReader::open(&folder.db()).unwrap();
        let error = reader.ledger_tail(0, 10).unwrap_err();
        assert!(
            matches!(
                error,
                StoreError::BadRow {
                    table: "ledger",
                    ..
                }
            ),
            "{error:?}"
        );
    }
}

#[test]
fn a_changed_ledger_row_breaks_the_chain() {
    let moved = {
        let folder = Folder::new();
        filled(&folder);
        let reader = SqliteReader::open(&folder.db()).unwrap();
        reader.ledger_tail(3, 1).unwrap().remove(0).entry.task
    };
    let broken = |sql: &str| {
        let folder = Folder::new();
        filled(&folder);
        tamper(&folder.db(), sql);
        let reader = SqliteReader::open(&folder.db()).unwrap();
        match reader.verify_chain(moved).unwrap().unwrap() {
            Chain::Broken { version, .. } => version,
            intact @ Chain::Intact { .. } => panic!("{sql}: {intact:?}"),
        }
    };
    assert_eq!(
        broken("UPDATE ledger SET data = '{\"n\":0}' WHERE version = 1"),
        1
    );
    assert_eq!(broken("UPDATE ledger SET at = at + 1 WHERE version = 2"), 2);
    assert_eq!(
        broken("UPDATE ledger SET actor = 'operator' WHERE version = 2"),
        2
    );
    assert_eq!(broken("DELETE FROM ledger WHERE version = 2"), 2);
    assert_eq!(broken("DELETE FROM ledger WHERE version = 1"), 1);
    assert_eq!(broken("UPDATE task_now SET state = 'done'"), 2);
}

#[test]
fn t20_a_full_disk_changes_nothing_and_work_goes_on_when_there_is_room() {
    let folder = Folder::new();
    let mut store = SqliteStore::open(&folder.db()).unwrap();
    submit(&mut store, 0, &[1]);
    store.set_size_cap(Some(400_000)).unwrap();
    let before = store.live().unwrap().remove(0);
    let mut rounds = 0_u64;
    let error = loop {
        rounds += 1;
        assert!(rounds < 1_000, "it is full some day");
        let mut moved = step(&before, state(StateWord::Parked), op(1));
        moved.expect_version = u64::MAX - 1;
        let fill = Write::Flag {
            name: format!("fill-{rounds}"),
            value: json!("x".repeat(9_000)),
        };
        let batch = [fill, Write::Step(Box::new(moved))];
        match store.commit(&batch) {
            Ok(results) => assert!(results[1].is_err()),
            Err(e) => break e,
        }
    };
    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    assert_eq!(error.class(), ErrorClass::Retryable);
    assert_eq!(store.flags().unwrap().len() as u64, rounds - 1);
    assert_eq!(store.live().unwrap(), std::slice::from_ref(&before));
    store.set_size_cap(None).unwrap();
    let moved = step(&before, state(StateWord::Parked), op(1));
    one(&mut store, Write::Step(Box::new(moved))).unwrap();
    let chain = store.reader().unwrap().verify_chain(id(1)).unwrap();
    assert!(
        matches!(chain, Some(Chain::Intact { rows: 2, .. })),
        "{chain:?}"
    );
}

#[test]
fn a_long_log_is_moved_into_the_database_when_idle() {
    let folder = Folder::new();
    let mut store = SqliteStore::open(&folder.db()).unwrap();
    for n in 0..50 {
        let value = json!("x".repeat(40_000));
        let flag = Write::Flag {
            name: format!("{n}"),
            value,
        };
        one(&mut store, flag).unwrap();
    }
    let small = folder.db().metadata().unwrap().len();
    store.idle().unwrap();
    assert!(folder.db().metadata().unwrap().len() > small + 500_000);
}

/// A folder that may not be written. Root may write everywhere, so as root the attempt is made by a
/// child that is nobody.
#[test]
fn a_folder_that_may_not_be_written_is_a_named_error() {
    let folder = Folder::new();
    let closed = folder.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    let set = |path: &Utf8Path, mode| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    };
    set(folder.path(), 0o755);
    set(&closed, 0o555);
    if !rustix::process::geteuid().is_root() {
        let error = SqliteStore::open(&closed.join("state/longhaul.db")).unwrap_err();
        assert!(matches!(error, StoreError::NoAccess { .. }), "{error:?}");
        assert_eq!(error.class(), ErrorClass::Config);
        set(&closed, 0o755);
        return;
    }
    let nobody = 65_534;
    let out = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "files::opens_where_it_is_told",
            "--ignored",
            "--nocapture",
        ])
        .env("LONGHAUL_STORE_TEST_DB", closed.join("state/longhaul.db"))
        .current_dir("/")
        .uid(nobody)
        .gid(nobody)
        .output();
    match out {
        Ok(out) => {
            let text = String::from_utf8_lossy(&out.stdout).into_owned();
            assert!(text.contains("refused: NoAccess Config"), "{text}\n{out:?}");
        }
        Err(e) if std::env::var_os("CI").is_none() => {
            eprintln!("NOT TESTED: the test program cannot be started as nobody: {e}");
        }
        Err(e) => panic!("the test program cannot be started as nobody: {e}"),
    }
}

/// The child of the test above; nothing by itself.
#[test]
#[ignore = "run by another test"]
fn opens_where_it_is_told() {
    let Some(db) = std::env::var("LONGHAUL_STORE_TEST_DB").ok() else {
        return;
    };
    match SqliteStore::open(Utf8Path::new(&db)) {
        Ok(_) => println!("opened"),
        Err(e @ StoreError::NoAccess { .. }) => println!("refused: NoAccess {:?}", e.class()),
        Err(e) => println!("refused: {e:?}"),
    }
}
