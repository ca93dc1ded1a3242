//! The writer: one connection, one transaction per batch.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_core::queue::Line;
use longhaul_core::task::Task;
use longhaul_core::window::Window;
use rusqlite::Connection;
use serde_json::Value;
use uuid::Uuid;

use super::commit::{Batch, Host};
use super::errors::of_commit;
use super::known::Known;
use super::lock::WriterLock;
use super::migrate::{self, Migration};
use super::reader::SqliteReader;
use super::{idle, open, query, queue};
use crate::error::StoreError;
use crate::store::{Reader, Store, Upkeep};
use crate::write::{Applied, AppliedOp, Refusal, Write};

/// A store in one SQLite file: write-ahead log, every commit flushed to the disk before it is
/// acknowledged.
///
/// The folder is made for this user alone, the file too. As long as the value lives no other process
/// can open the same file for writing (T19).
pub struct SqliteStore {
    conn: Connection,
    path: Utf8PathBuf,
    host: Host,
    known: Known,
    // Last: let go only after the connection is closed.
    _lock: WriterLock,
}

/// Moves the log into the database, so that one file holds everything while nobody writes.
impl Drop for SqliteStore {
    fn drop(&mut self) {
        if let Err(error) = idle::empty_log(&self.conn) {
            tracing::warn!(%error, "the log of the database stays beside it");
        }
    }
}

impl SqliteStore {
    /// Opens the database at `path`, making it, or migrating it after a copy was made, as needed.
    ///
    /// # Errors
    /// Refuses before anything is written: a database of a newer Longhaul, of another program, or one
    /// that is damaged; a network file system (T30); a second writer (T19); a place that cannot be
    /// written; a library with a known defect.
    pub fn open(path: &Utf8Path) -> Result<Self, StoreError> {
        Self::open_with(path, migrate::ALL)
    }

    pub(super) fn open_with(path: &Utf8Path, list: &[Migration]) -> Result<Self, StoreError> {
        let (conn, lock) = open::writer(path, list)?;
        Ok(Self {
            conn,
            path: path.to_owned(),
            host: None,
            known: Known::default(),
            _lock: lock,
        })
    }

    /// Caps the database's size in bytes (rounded down to pages, never below its present size), so
    /// that it is full before the disk is; `None` lifts the cap.
    ///
    /// # Errors
    /// If the database does not answer.
    pub fn set_size_cap(&mut self, bytes: Option<u64>) -> Result<(), StoreError> {
        let page: i64 = self
            .conn
            .pragma_query_value(None, "page_size", |r| r.get(0))?;
        let most = i64::from(u32::MAX) - 1;
        let pages = bytes.map_or(most, |b| i64::try_from(b).unwrap_or(i64::MAX) / page);
        self.conn
            .query_row(
                &format!("PRAGMA max_page_count = {}", pages.clamp(1, most)),
                [],
                |_| Ok(()),
            )
            .map_err(StoreError::from)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the frame of a transaction; its points are in `commit`"
    )]
    fn run(&self, sql: &str) -> rusqlite::Result<()> {
        self.conn.prepare_cached(sql)?.execute([]).map(|_| ())
    }

    /// Applies a batch inside the transaction that is open.
    fn apply(
        &mut self,
        batch: &[Write],
    ) -> Result<(Vec<Result<Applied, Refusal>>, Host), StoreError> {
        self.still_current()?;
        let mut open = Batch::new(&self.conn, &mut self.known, self.host.clone());
        let results = batch
            .iter()
            .map(|write| open.apply(write))
            .collect::<Result<_, _>>()?;
        open.finish()?;
        Ok((results, open.host))
    }

    /// No daemon began on this host after this one. Inside the transaction: nobody can begin until it
    /// has ended.
    fn still_current(&self) -> Result<(), StoreError> {
        let Some((host, own)) = &self.host else {
            return Ok(());
        };
        let sql = "SELECT host_epoch FROM host WHERE host = ?1";
        let mut sql = self.conn.prepare_cached(sql)?;
        let found: i64 = sql.query_row([host], |row| row.get(0))?;
        let found = found.unsigned_abs();
        if found == *own {
            return Ok(());
        }
        Err(StoreError::Superseded { own: *own, found })
    }

    /// Ends a transaction that went wrong; some errors have ended it already.
    fn roll_back(&self) {
        if !self.conn.is_autocommit()
            && let Err(e) = self.run("ROLLBACK")
        {
            // The next BEGIN will fail and say so; nothing of the batch is visible to anyone.
            tracing::error!(error = %e, "a failed batch could not be rolled back");
        }
    }
}

impl Store for SqliteStore {
    fn commit(&mut self, batch: &[Write]) -> Result<Vec<Result<Applied, Refusal>>, StoreError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        self.run("BEGIN IMMEDIATE")?;
        longhaul_acts::point("store.begun");
        let applied = self.apply(batch).and_then(|done| {
            longhaul_acts::around("store.commit", || self.run("COMMIT")).map_err(of_commit)?;
            Ok(done)
        });
        match applied {
            Ok((results, host)) => {
                self.host = host;
                Ok(results)
            }
            Err(e) => {
                self.known.forget();
                self.roll_back();
                Err(e)
            }
        }
    }

    fn live(&mut self) -> Result<Vec<Task>, StoreError> {
        query::live(&self.conn)
    }

    fn lines(&mut self) -> Result<Vec<Line>, StoreError> {
        queue::lines(&self.conn)
    }

    fn windows(&mut self) -> Result<Vec<Window>, StoreError> {
        query::windows(&self.conn)
    }

    fn flags(&mut self) -> Result<BTreeMap<String, Value>, StoreError> {
        query::flags(&self.conn)
    }

    fn applied(&mut self, op_id: Uuid) -> Result<Option<AppliedOp>, StoreError> {
        query::applied(&self.conn, op_id)
    }

    fn idle(&mut self) -> Result<Upkeep, StoreError> {
        idle::step(&self.conn)
    }

    fn reader(&self) -> Result<Box<dyn Reader>, StoreError> {
        Ok(Box::new(SqliteReader::open(&self.path)?))
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.path)
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}
