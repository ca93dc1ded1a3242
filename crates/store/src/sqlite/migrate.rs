//! Numbered migrations. Each is one transaction; a copy of the database is made before the first.

use std::fs::File;

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_acts::files;
use rusqlite::Connection;
use rusqlite::backup::Backup;

use super::errors::while_opening;
use super::place::{make_private_file, no_access, sync_folder_of};
use super::probe::APPLICATION_ID;
use crate::error::StoreError;

/// A step from the schema before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Migration {
    /// Schema number after it.
    pub(super) version: u32,
    /// What it does.
    pub(super) sql: &'static str,
}

/// All of them. A released one is never changed: write another.
pub(super) const ALL: &[Migration] = &[
    Migration {
        version: 1,
        sql: include_str!("migrations/0001.sql"),
    },
    Migration {
        version: 2,
        sql: include_str!("migrations/0002.sql"),
    },
    Migration {
        version: 3,
        sql: include_str!("migrations/0003.sql"),
    },
];

/// The schema number that a list of migrations leads to.
pub(super) fn newest(list: &[Migration]) -> u32 {
    list.last().map_or(0, |m| m.version)
}

/// Brings a database to the newest schema.
pub(super) fn run(conn: &Connection, db: &Utf8Path, list: &[Migration]) -> Result<(), StoreError> {
    let fail = while_opening(db);
    let found: u32 = conn
        .pragma_query_value(None, "user_version", |r| r.get(0))
        .map_err(&fail)?;
    if found >= newest(list) {
        return Ok(());
    }
    if found > 0 {
        copy(conn, db, found)?;
    }
    for m in list.iter().filter(|m| m.version > found) {
        tracing::info!(schema = m.version, "migrating the database");
        let sql = format!(
            "BEGIN IMMEDIATE;\n{}\nPRAGMA application_id = {APPLICATION_ID};\n\
             PRAGMA user_version = {};\nCOMMIT;",
            m.sql, m.version
        );
        let step = longhaul_acts::around("store.migrate.step", || batch(conn, &sql));
        if let Err(e) = step {
            if !conn.is_autocommit() {
                batch(conn, "ROLLBACK").map_err(&fail)?;
            }
            return Err(fail(e));
        }
    }
    // The header is what an older Longhaul looks at, so the new number belongs into the file itself.
    longhaul_acts::around("store.migrate.number", || {
        conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
    })
    .map_err(&fail)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a migration; its points are where it is called"
)]
fn batch(conn: &Connection, sql: &str) -> rusqlite::Result<()> {
    conn.execute_batch(sql)
}

/// Copies the database to `<name>.v<schema>.bak`, whole or not at all.
fn copy(conn: &Connection, db: &Utf8Path, schema: u32) -> Result<(), StoreError> {
    let target = Utf8PathBuf::from(format!("{db}.v{schema}.bak"));
    let part = Utf8PathBuf::from(format!("{target}.part"));
    match files::remove_file("store.copy.clear", &part) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(no_access(&part, e)),
        _ => {}
    }
    make_private_file(&part)?;
    {
        let fail = while_opening(&part);
        let mut to = Connection::open(&part).map_err(&fail)?;
        let backup = Backup::new(conn, &mut to).map_err(&fail)?;
        longhaul_acts::around("store.copy.write", || backup.step(-1)).map_err(&fail)?;
    }
    let publish = || {
        files::sync_all("store.copy.flush", &File::open(&part)?)?;
        files::rename("store.copy.rename", &part, &target)?;
        sync_folder_of(&target)
    };
    publish().map_err(|e| no_access(&target, e))?;
    tracing::info!(copy = %target, "copied the database before migrating it");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::Chain;
    use crate::read::TaskFilter;
    use crate::sqlite::{SqliteReader, SqliteStore};
    use crate::store::{Reader, Store};
    use crate::write::{Step, Write};

    const NEXT: Migration = Migration {
        version: 4,
        sql: "ALTER TABLE flag ADD COLUMN note TEXT;",
    };
    const BROKEN: Migration = Migration {
        version: 4,
        sql: "ALTER TABLE flag ADD COLUMN note TEXT; ALTER TABLE nothing ADD COLUMN note TEXT;",
    };

    fn with(last: Migration) -> Vec<Migration> {
        ALL.iter().copied().chain([last]).collect()
    }

    fn temporary() -> (tempfile::TempDir, Utf8PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let db = Utf8Path::from_path(folder.path()).unwrap().join("a ?%#.db");
        (folder, db)
    }

    fn fill(db: &Utf8Path) {
        let mut store = SqliteStore::open(db).unwrap();
        let flag = Write::Flag {
            name: "drain".to_owned(),
            value: true.into(),
        };
        store.commit(&[flag]).unwrap().remove(0).unwrap();
    }

    #[test]
    fn numbers_grow_one_by_one() {
        for (n, m) in (1..).zip(ALL) {
            assert_eq!(m.version, n);
        }
    }

    #[test]
    fn a_copy_is_made_before_a_migration() {
        let (_folder, db) = temporary();
        fill(&db);
        let mut store = SqliteStore::open_with(&db, &with(NEXT)).unwrap();
        assert!(store.flags().unwrap().contains_key("drain"));
        drop(store);
        // The copy is as it was, and good to go on with.
        let copy = Utf8PathBuf::from(format!("{db}.v3.bak"));
        let reader = SqliteReader::open(&copy).unwrap();
        assert!(reader.flags().unwrap().contains_key("drain"));
        drop(reader);
        SqliteStore::open(&copy).unwrap();
        // The older Longhaul refuses the new schema.
        let error = SqliteStore::open(&db).unwrap_err();
        assert!(
            matches!(
                error,
                StoreError::TooNew {
                    found: 4,
                    known: 3,
                    ..
                }
            ),
            "{error:?}"
        );
    }

    #[test]
    fn a_migration_that_fails_changes_nothing() {
        let (_folder, db) = temporary();
        fill(&db);
        SqliteStore::open_with(&db, &with(BROKEN)).unwrap_err();
        let mut store = SqliteStore::open(&db).unwrap();
        assert!(store.flags().unwrap().contains_key("drain"));
        drop(store);
        SqliteStore::open_with(&db, &with(NEXT)).unwrap();
    }

    /// What an older Longhaul stored is all there, its chains hold, and its tasks go on.
    #[test]
    fn older_schemas_become_the_newest_whole() {
        migrates_whole(1, include_str!("../../tests/samples/schema-1.sql"));
        migrates_whole(2, include_str!("../../tests/samples/schema-2.sql"));
    }

    fn migrates_whole(schema: usize, sample: &str) {
        let (_folder, db) = temporary();
        drop(SqliteStore::open_with(&db, &ALL[..schema]).unwrap());
        let old = Connection::open(&db).unwrap();
        old.execute_batch(sample).unwrap();
        drop(old);

        let mut store = SqliteStore::open(&db).unwrap();
        assert!(Utf8PathBuf::from(format!("{db}.v{schema}.bak")).exists());
        let reader = SqliteReader::open(&db).unwrap();
        let all = reader.list(&TaskFilter::default()).unwrap();
        let stand: Vec<(&str, &str, u64, bool)> = all
            .iter()
            .map(|t| {
                let word = t.task.state.word().as_str();
                let kept = t.task.carry.workspace.is_some();
                (t.task.name.as_str(), word, t.task.version, kept)
            })
            .collect();
        assert_eq!(
            stand,
            [
                ("waits", "ready", 1, false),
                ("fails", "needs_human", 14, true),
                ("passes", "done", 8, true)
            ]
        );
        let mut rows = 0;
        for t in &all {
            let chain = reader.verify_chain(t.task.id).unwrap().unwrap();
            assert!(matches!(chain, Chain::Intact { .. }), "{chain:?}");
            let ledger = reader.ledger(t.task.id).unwrap();
            assert!(ledger.iter().all(|r| r.entry.task == t.task.id));
            rows += ledger.len();
            assert_eq!(
                reader.attempts(t.task.id).unwrap().len() as u64,
                t.task.fence.0
            );
        }
        assert_eq!(reader.ledger_tail(0, 100).unwrap().len(), rows);
        assert_eq!(reader.counts().unwrap().live(), 2);

        let before = all[1].task.clone();
        let mut task = before.clone();
        task.version += 1;
        let mut entry = reader.ledger(task.id).unwrap().pop().unwrap().entry;
        entry.from = entry.to;
        entry.version = task.version;
        let id = task.id;
        let moved = Write::Step(Box::new(Step {
            expect_version: before.version,
            expect_fence: before.fence,
            task,
            entry,
            verdict: None,
            window: None,
            op_id: uuid::Uuid::from_u128(7),
        }));
        store.commit(&[moved]).unwrap().remove(0).unwrap();
        let chain = reader.verify_chain(id).unwrap().unwrap();
        assert!(matches!(chain, Chain::Intact { .. }), "{chain:?}");
    }
}
