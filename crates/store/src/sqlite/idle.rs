//! Housekeeping in small pieces: moving the log into the database, and refreshing the planner's numbers.
//! An archive of finished tasks will be another piece; until then history stays where it is, which
//! costs room and nothing else, because no tick reads it.

use rusqlite::Connection;

use crate::crash;
use crate::error::StoreError;
use crate::store::Upkeep;

/// A log longer than this is cut back to nothing.
const LONG_LOG_PAGES: i64 = 16_384;
/// Commits between two looks at the planner's numbers.
const OPTIMIZE_EVERY: u64 = 10_000;

/// What has happened since the last piece of housekeeping.
#[derive(Debug, Default)]
pub(super) struct Housekeeping {
    commits: u64,
    since_optimize: u64,
}

impl Housekeeping {
    /// A batch was committed.
    pub(super) const fn committed(&mut self) {
        self.commits += 1;
        self.since_optimize += 1;
    }

    /// Does one piece.
    pub(super) fn step(&mut self, conn: &Connection) -> Result<Upkeep, StoreError> {
        if self.commits > 0 {
            crash::point("store.checkpoint");
            let (busy, log, moved) = checkpoint(conn, "PASSIVE")?;
            // A reader in the middle of a call holds some of it back; the next piece goes on.
            if !busy && moved == log && log > LONG_LOG_PAGES {
                checkpoint(conn, "TRUNCATE")?;
            }
            self.commits = 0;
            if self.since_optimize >= OPTIMIZE_EVERY {
                return Ok(Upkeep::More);
            }
        } else if self.since_optimize >= OPTIMIZE_EVERY {
            conn.execute_batch("PRAGMA optimize")?;
            self.since_optimize = 0;
        }
        Ok(Upkeep::Done)
    }
}

/// Whether it was hindered, the pages in the log, and how many of them are in the database now.
fn checkpoint(conn: &Connection, how: &str) -> Result<(bool, i64, i64), StoreError> {
    let sql = format!("PRAGMA wal_checkpoint({how})");
    Ok(conn.query_row(&sql, [], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?)
}
