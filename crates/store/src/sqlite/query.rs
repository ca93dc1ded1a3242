//! The queries that the writer and the readers share.

use std::collections::BTreeMap;

use longhaul_core::task::Task;
use longhaul_core::window::Window;
use rusqlite::{Connection, Params, Row};
use serde_json::Value;
use uuid::Uuid;

use super::rows::{At, TASK_COLUMNS, TASK_SOURCE, ledger_task, stored_task, text};
use crate::error::StoreError;
use crate::write::AppliedOp;

/// All rows of a query.
pub(super) fn rows<T>(
    conn: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = conn.prepare_cached(sql)?;
    statement.query_and_then(params, read)?.collect()
}

pub(super) fn live(conn: &Connection) -> Result<Vec<Task>, StoreError> {
    rows(conn, &live_sql(), [], |r| Ok(stored_task(r)?.task))
}

/// What is asked for at every start: costs what is live, never history.
pub(super) fn live_sql() -> String {
    format!("SELECT {TASK_COLUMNS} FROM {TASK_SOURCE} WHERE t.final_at IS NULL ORDER BY t.id")
}

pub(super) fn windows(conn: &Connection) -> Result<Vec<Window>, StoreError> {
    let sql = "SELECT scope, body FROM limit_window ORDER BY scope";
    rows(conn, sql, [], |r| {
        let at = At {
            table: "limit_window",
            row: &text(r, 0)?,
        };
        at.parse("body", text(r, 1)?)
    })
}

pub(super) fn flags(conn: &Connection) -> Result<BTreeMap<String, Value>, StoreError> {
    let pairs = rows(conn, "SELECT name, value FROM flag", [], |r| {
        let name: String = r.get(0)?;
        let at = At {
            table: "flag",
            row: &name,
        };
        let value = at.parse("value", text(r, 1)?)?;
        Ok((name, value))
    })?;
    Ok(pairs.into_iter().collect())
}

pub(super) fn applied(conn: &Connection, op_id: Uuid) -> Result<Option<AppliedOp>, StoreError> {
    let sql = "SELECT l.seq, t.id, l.version FROM ledger l LEFT JOIN task t ON t.key = l.task
         WHERE l.op_id = ?1";
    let found = rows(conn, sql, [op_id], |r| {
        let seq: i64 = r.get(0)?;
        let at = At {
            table: "ledger",
            row: &seq,
        };
        Ok(AppliedOp {
            seq: at.count("seq", seq)?,
            task: ledger_task(r, at)?,
            version: at.count("version", r.get(2)?)?,
        })
    })?;
    Ok(found.into_iter().next())
}

/// A limit as the engine takes it.
pub(super) fn capped(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
