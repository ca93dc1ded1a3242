//! Housekeeping in small pieces: moving the log into the database while nothing is waiting.
//!
//! Deliberately absent: refreshing the planner's numbers (the queries are written for one plan each,
//! and a test holds them to it), and an archive of finished tasks. History stays where it is, which
//! costs room and nothing else, because no tick reads it; an archive would be one more piece here.

use std::time::Duration;

use rusqlite::Connection;

use crate::error::StoreError;
use crate::store::Upkeep;

/// Pages in the log that are worth two flushes of the disk.
const WORTH_MOVING: i64 = 256;
/// A log longer than this is cut back to nothing, so that one long day does not keep the room.
const LONG_LOG: i64 = 16_384;

/// How long the last piece waits for readers.
const LAST_PATIENCE: Duration = Duration::from_millis(200);

/// What the log holds.
struct Log {
    /// Pages in it.
    pages: i64,
    /// How many of them are in the database, too.
    moved: i64,
}

/// Does one piece.
pub(super) fn step(conn: &Connection) -> Result<Upkeep, StoreError> {
    let log = checkpoint(conn, "NOOP")?;
    if log.pages - log.moved >= WORTH_MOVING {
        // A reader in the middle of a call may hold back a part; another piece will move that.
        let log = checkpoint(conn, "PASSIVE")?;
        let cut_next = log.pages > LONG_LOG && log.moved == log.pages;
        return Ok(if cut_next { Upkeep::More } else { Upkeep::Done });
    }
    if log.pages > LONG_LOG && log.moved == log.pages {
        checkpoint(conn, "TRUNCATE")?;
    }
    Ok(Upkeep::Done)
}

/// Moves all of it that readers allow, and cuts the log back to nothing.
pub(super) fn empty_log(conn: &Connection) -> Result<(), StoreError> {
    // An end in order is not held up by a reader; the log is as good beside the database.
    conn.busy_timeout(LAST_PATIENCE)?;
    checkpoint(conn, "TRUNCATE").map(drop)
}

fn checkpoint(conn: &Connection, how: &str) -> Result<Log, StoreError> {
    let sql = format!("PRAGMA wal_checkpoint({how})");
    let ask = || {
        conn.query_row(&sql, [], |r| {
            Ok(Log {
                pages: r.get(1)?,
                moved: r.get(2)?,
            })
        })
    };
    // The first kind only looks.
    Ok(match how {
        "NOOP" => ask(),
        _ => longhaul_acts::around("store.checkpoint", ask),
    }?)
}
