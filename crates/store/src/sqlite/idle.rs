//! Housekeeping in small pieces: moving the log into the database while nothing is waiting.
//!
//! Deliberately absent: refreshing the planner's numbers (the queries are written for one plan each,
//! and a test holds them to it), and an archive of finished tasks. History stays where it is, which
//! costs room and nothing else, because no tick reads it; an archive would be one more piece here.

use rusqlite::Connection;

use crate::error::StoreError;
use crate::store::Upkeep;

/// Pages in the log that are worth two flushes of the disk.
const WORTH_MOVING: i64 = 256;
/// A log longer than this is cut back to nothing, so that one long day does not keep the room.
const LONG_LOG: i64 = 16_384;

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
