//! One writer per epoch: whoever wrote before another daemon began is refused (T19).

use longhaul_core::time::UnixMs;
use longhaul_store::{Applied, MemoryStore, SqliteStore, Store, StoreError, Write};
use serde_json::json;

use crate::world::Folder;

fn start() -> Write {
    Write::HostStart {
        host: "local".to_owned(),
        boot_id: "boot".to_owned(),
        version: "1".to_owned(),
        at: UnixMs(1),
    }
}

fn flag(value: &str) -> Write {
    Write::Flag {
        name: "drain".to_owned(),
        value: json!(value),
    }
}

fn the_newer_one_writes_alone(
    older: &mut dyn Store,
    newer: &mut dyn Store,
) -> Result<(), StoreError> {
    assert_eq!(
        older.commit(&[start(), flag("older")])?,
        [Ok(Applied::HostEpoch(1)), Ok(Applied::Stored)]
    );
    assert_eq!(newer.commit(&[start()])?, [Ok(Applied::HostEpoch(2))]);
    let refused = older.commit(&[flag("late")]);
    assert!(
        matches!(refused, Err(StoreError::Superseded { own: 1, found: 2 })),
        "{refused:?}"
    );
    assert_eq!(newer.flags()?["drain"], "older");
    newer.commit(&[flag("newer")])?;
    let refused = older.commit(&[flag("later")]);
    assert!(matches!(refused, Err(StoreError::Superseded { .. })));
    assert_eq!(newer.flags()?["drain"], "newer");
    Ok(())
}

#[test]
fn t19_in_memory_the_newer_daemon_writes_alone() {
    let mut older = MemoryStore::new();
    let mut newer = older.clone();
    the_newer_one_writes_alone(&mut older, &mut newer).unwrap();
}

/// The lock keeps a second writer out, unless somebody takes its file away.
#[test]
fn t19_without_its_lock_file_the_newer_daemon_writes_alone() {
    let folder = Folder::new();
    let db = folder.db();
    let mut older = SqliteStore::open(&db).unwrap();
    assert!(matches!(
        SqliteStore::open(&db),
        Err(StoreError::InUse { .. })
    ));
    std::fs::remove_file(format!("{db}.lock")).unwrap();
    let mut newer = SqliteStore::open(&db).unwrap();
    the_newer_one_writes_alone(&mut older, &mut newer).unwrap();
}
