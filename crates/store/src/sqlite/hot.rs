//! The statements that nearly every move needs, looked up once per batch.

use rusqlite::{CachedStatement, Connection};

/// Moves a task's row.
const MOVE: &str = "UPDATE task_now SET version = ?1, epoch = ?2, state = ?3, changed_at = ?4,
     chain = ?5, body = ?6 WHERE key = ?7 AND version = ?8 AND epoch = ?9";
/// Adds a ledger row.
const LEDGER: &str = "INSERT INTO ledger (task, version, epoch, from_state, to_state, cause, actor,
       op_id, at, data, hash)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
/// Replaces what a task inherits.
const CARRY: &str = "UPDATE task_carry SET body = ?2 WHERE key = ?1";
/// Replaces an attempt.
const ATTEMPT: &str = "UPDATE attempt SET n = ?2, outcome = ?3, started_at = ?4, tokens = ?5,
     cost = ?6, body = ?7 WHERE key = ?1";
/// Replaces an attempt that ends: the only one that touches an index.
const ATTEMPT_ENDED: &str = "UPDATE attempt SET n = ?2, outcome = ?3, started_at = ?4, tokens = ?5,
     cost = ?6, body = ?7, ended_at = ?8 WHERE key = ?1";

/// The statements, each prepared when it is first needed.
pub(super) struct Hot<'c> {
    conn: &'c Connection,
    moves: Option<CachedStatement<'c>>,
    ledger: Option<CachedStatement<'c>>,
    carry: Option<CachedStatement<'c>>,
    attempt: Option<CachedStatement<'c>>,
    attempt_ended: Option<CachedStatement<'c>>,
}

/// A statement to run.
type Ready<'s, 'c> = rusqlite::Result<&'s mut CachedStatement<'c>>;

impl<'c> Hot<'c> {
    pub(super) const fn new(conn: &'c Connection) -> Self {
        Self {
            conn,
            moves: None,
            ledger: None,
            carry: None,
            attempt: None,
            attempt_ended: None,
        }
    }

    pub(super) fn moves(&mut self) -> Ready<'_, 'c> {
        ready(self.conn, &mut self.moves, MOVE)
    }

    pub(super) fn ledger(&mut self) -> Ready<'_, 'c> {
        ready(self.conn, &mut self.ledger, LEDGER)
    }

    pub(super) fn carry(&mut self) -> Ready<'_, 'c> {
        ready(self.conn, &mut self.carry, CARRY)
    }

    pub(super) fn attempt(&mut self) -> Ready<'_, 'c> {
        ready(self.conn, &mut self.attempt, ATTEMPT)
    }

    pub(super) fn attempt_ended(&mut self) -> Ready<'_, 'c> {
        ready(self.conn, &mut self.attempt_ended, ATTEMPT_ENDED)
    }
}

fn ready<'s, 'c>(
    conn: &'c Connection,
    slot: &'s mut Option<CachedStatement<'c>>,
    sql: &str,
) -> Ready<'s, 'c> {
    match slot {
        Some(statement) => Ok(statement),
        empty => Ok(empty.insert(conn.prepare_cached(sql)?)),
    }
}
