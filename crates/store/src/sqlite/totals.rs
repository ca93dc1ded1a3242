//! What came of the work since a time: index ranges, no walk over history.

use longhaul_core::time::UnixMs;
use rusqlite::Connection;

use super::query::rows;
use super::rows::{At, text};
use crate::error::StoreError;
use crate::read::Totals;

pub(super) fn since(conn: &Connection, since: UnixMs) -> Result<Totals, StoreError> {
    let mut totals = Totals::default();
    let sql = "SELECT n.state, count(*) FROM task t JOIN task_now n ON n.key = t.key
         WHERE t.final_at >= ?1 GROUP BY n.state";
    rows(conn, sql, [since.0], |r| {
        tally(&mut totals, text(r, 0)?, r.get(1)?)
    })?;
    let sql = "SELECT state, tasks FROM state_count WHERE state NOT IN ('done', 'cancelled')";
    rows(conn, sql, [], |r| {
        tally(&mut totals, text(r, 0)?, r.get(1)?)
    })?;
    let spent = [
        "SELECT tokens, cost FROM attempt WHERE ended_at >= ?1",
        "SELECT tokens, cost FROM verdict WHERE at >= ?1 AND tokens > 0",
        // `?1` is bound and not asked for: an attempt that goes on counts whenever it began.
        "SELECT a.tokens, a.cost FROM task t JOIN task_now n ON n.key = t.key
         JOIN attempt a ON a.task = t.id AND a.epoch = n.epoch
         WHERE t.final_at IS NULL AND a.ended_at IS NULL AND ?1 IS NOT NULL",
    ];
    for sql in spent {
        rows(conn, sql, [since.0], |r| {
            let tokens: i64 = r.get(0)?;
            let cost: Option<i64> = r.get(1)?;
            totals.spend(tokens.unsigned_abs(), cost.map(i64::unsigned_abs));
            Ok(())
        })?;
    }
    Ok(totals)
}

fn tally(totals: &mut Totals, word: &str, n: i64) -> Result<(), StoreError> {
    let at = At {
        table: "task",
        row: &word,
    };
    totals.tally(at.state("state", word)?, at.count("state", n)?);
    Ok(())
}
