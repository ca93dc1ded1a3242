//! Opening a database: everything that can be refused is refused before a byte is written.

use std::time::Duration;

use camino::Utf8Path;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::errors::while_opening;
use super::lock::WriterLock;
use super::migrate::{self, Migration};
use super::place;
use super::probe::{APPLICATION_ID, Found, probe};
use crate::error::StoreError;

/// Older ones can lose commits when the log is reset (facts/engines.md §2).
const OLDEST_LIBRARY: (i32, &str) = (3_051_003, "3.51.3");
/// How long a call waits for another process that holds the database.
const BUSY: Duration = Duration::from_secs(5);
/// Pages that the log may hold before a commit has to check-point by itself; being idle does it sooner.
const LOG_PAGES: i64 = 8_192;
/// Memory for pages of the writer, in KiB. It fills up as history grows and stays full, so it is what the
/// daemon's memory levels off at: room for a large batch (4,096 pages), not for all that was ever touched.
const CACHE_KIB: i64 = 16_384;

/// Opens a database for the one writer, making and migrating it as needed.
pub(super) fn writer(
    db: &Utf8Path,
    migrations: &[Migration],
) -> Result<(Connection, WriterLock), StoreError> {
    refuse_old_library()?;
    let folder = place::folder_of(db);
    refuse_unfit(db, migrations)?;
    place::make_folder(folder)?;
    place::refuse_network(folder)?;
    let lock = WriterLock::take(db)?;
    // Again: another process may have worked on it until the lock was ours.
    refuse_unfit(db, migrations)?;
    place::make_private_file(db)?;
    let fail = while_opening(db);
    let conn = Connection::open_with_flags(
        db,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(&fail)?;
    // Closing carries the log over into the file. A file that turns out to be damaged stays as it is.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .map_err(&fail)?;
    conn.busy_timeout(BUSY).map_err(&fail)?;
    conn.set_prepared_statement_cache_capacity(64);
    let mode: String = longhaul_acts::around("store.wal", || {
        conn.pragma_update_and_check(None, "journal_mode", "wal", |r| r.get(0))
    })
    .map_err(&fail)?;
    if mode != "wal" {
        return Err(StoreError::NoAccess {
            path: db.to_owned(),
            source: format!("the journal mode is {mode}, not wal").into(),
        });
    }
    let set = format!(
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;
         PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON; PRAGMA cell_size_check = ON;
         PRAGMA temp_store = MEMORY; PRAGMA cache_size = -{CACHE_KIB}; PRAGMA journal_size_limit = -1;
         PRAGMA wal_autocheckpoint = {LOG_PAGES};"
    );
    set_up(&conn, &set).map_err(&fail)?;
    migrate::run(&conn, db, migrations)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)
        .map_err(&fail)?;
    // A plan never depends on a bound value: without this, a statement with an outer join is planned anew
    // each time that another value is bound, which was a tenth of a move.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .map_err(&fail)?;
    Ok((conn, lock))
}

/// Opens a database for reading only.
pub(super) fn reader(db: &Utf8Path) -> Result<Connection, StoreError> {
    refuse_old_library()?;
    match probe(db)? {
        Found::Nothing | Found::Unmade => {
            return Err(StoreError::NoAccess {
                path: db.to_owned(),
                source: std::io::Error::from(std::io::ErrorKind::NotFound).into(),
            });
        }
        found => refuse(db, found, migrate::ALL)?,
    }
    let fail = while_opening(db);
    let conn = Connection::open_with_flags(
        db,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(&fail)?;
    conn.busy_timeout(BUSY).map_err(&fail)?;
    conn.set_prepared_statement_cache_capacity(64);
    set_up(
        &conn,
        "PRAGMA query_only = ON; PRAGMA trusted_schema = OFF;",
    )
    .map_err(&fail)?;
    Ok(conn)
}

#[expect(
    clippy::disallowed_methods,
    reason = "these settings are of the connection, not of the file"
)]
fn set_up(conn: &Connection, pragmas: &str) -> rusqlite::Result<()> {
    conn.execute_batch(pragmas)
}

fn refuse_old_library() -> Result<(), StoreError> {
    if rusqlite::version_number() < OLDEST_LIBRARY.0 {
        return Err(StoreError::LibraryTooOld {
            found: rusqlite::version().to_owned(),
            needed: OLDEST_LIBRARY.1,
        });
    }
    Ok(())
}

/// Refuses what is there if it is damaged, of another program, or of a newer Longhaul.
fn refuse_unfit(db: &Utf8Path, migrations: &[Migration]) -> Result<(), StoreError> {
    refuse(db, probe(db)?, migrations)
}

fn refuse(db: &Utf8Path, found: Found, migrations: &[Migration]) -> Result<(), StoreError> {
    let (application, schema, has_log) = match found {
        Found::Nothing | Found::Unmade => return Ok(()),
        Found::Garbage => {
            return Err(StoreError::DamagedFile {
                path: db.to_owned(),
                source: "it does not begin like a database".into(),
            });
        }
        Found::Database {
            application,
            schema,
            has_log,
        } => (application, schema, has_log),
    };
    let ours = application == APPLICATION_ID;
    if ours && schema > migrate::newest(migrations) {
        return Err(StoreError::TooNew {
            path: db.to_owned(),
            found: schema,
            known: migrate::newest(migrations),
        });
    }
    if !ours && (application != 0 || schema != 0) {
        return Err(StoreError::NotOurs {
            path: db.to_owned(),
        });
    }
    // With a log, only an ordinary open sees a consistent state.
    if has_log {
        Ok(())
    } else {
        look_inside(db, ours)
    }
}

/// Reads the schema and a row of each table without locks or side files.
fn look_inside(db: &Utf8Path, ours: bool) -> Result<(), StoreError> {
    let fail = while_opening(db);
    let escaped = db
        .as_str()
        .replace('%', "%25")
        .replace('?', "%3f")
        .replace('#', "%23");
    let conn = Connection::open_with_flags(
        format!("file:{escaped}?immutable=1"),
        OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(&fail)?;
    let mut tables = conn
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")
        .map_err(&fail)?;
    let tables: Vec<String> = tables
        .query_map([], |r| r.get(0))
        .and_then(Iterator::collect)
        .map_err(&fail)?;
    if !ours {
        // Making a database can be cut short after its header and before its tables.
        return if tables.is_empty() {
            Ok(())
        } else {
            Err(StoreError::NotOurs {
                path: db.to_owned(),
            })
        };
    }
    for table in tables {
        let sql = format!("SELECT 1 FROM \"{}\" LIMIT 1", table.replace('"', "\"\""));
        let mut one = conn.prepare(&sql).map_err(&fail)?;
        one.exists([]).map_err(&fail)?;
    }
    Ok(())
}
