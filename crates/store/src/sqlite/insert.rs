//! The single rows that the operations of a batch write.

#![expect(
    clippy::disallowed_methods,
    reason = "rows inside the transaction; the points are around its commit"
)]

use longhaul_core::attempt::Attempt;
use longhaul_core::ids::{SpawnKey, TaskId};
use longhaul_core::ledger::LedgerEntry;
use longhaul_core::task::Carry;
use longhaul_core::time::UnixMs;
use longhaul_core::verdict::{Grade, Verdict};
use longhaul_core::window::Window;
use rusqlite::{ErrorCode, OptionalExtension, params};
use serde_json::Value;
use uuid::Uuid;

use super::commit::Batch;
use super::known::KnownAttempt;
use super::query::applied;
use super::rows::{At, int, json};
use crate::chain::Hash;
use crate::error::StoreError;
use crate::write::Applied;

impl Batch<'_> {
    /// Writes a ledger row of the task with this key; `None` if its operation id is taken.
    pub(super) fn ledger(
        &mut self,
        key: i64,
        entry: &LedgerEntry,
        op_id: Uuid,
        data: &str,
        hash: &Hash,
    ) -> Result<Option<u64>, StoreError> {
        let written = self.hot.ledger()?.insert(params![
            key,
            int(entry.version),
            int(entry.fence.0),
            entry.from.as_str(),
            entry.to.as_str(),
            entry.cause.as_str(),
            entry.actor.as_str(),
            op_id,
            entry.at.0,
            data,
            hash
        ]);
        match written {
            Ok(seq) => Ok(Some(seq.unsigned_abs())),
            // Nothing of the row was written.
            Err(e)
                if e.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
                    && applied(self.conn, op_id)?.is_some() =>
            {
                Ok(None)
            }
            Err(e) => Err(e.into()),
        }
    }

    /// Writes what the next attempt of the task with this key inherits.
    pub(super) fn carry(&mut self, key: i64, carry: &Carry) -> Result<(), StoreError> {
        let body = json(carry)?;
        let changed = self.hot.carry()?.execute(params![key, body])?;
        one_row(changed)
    }

    /// Writes the attempt, unless it is stored just so: the body holds all that the columns hold.
    pub(super) fn attempt(
        &mut self,
        task: TaskId,
        a: &Attempt,
        known: &mut Option<KnownAttempt>,
    ) -> Result<(), StoreError> {
        let Some(stored) = known else {
            let key = self.new_attempt(task, a)?;
            let body = Some(a.clone());
            *known = Some(KnownAttempt { key, body });
            return Ok(());
        };
        let before = stored.body.as_ref();
        if before == Some(a) {
            return Ok(());
        }
        let ended = before.is_none_or(|b| b.ended_at != a.ended_at);
        let outcome = a.end.as_ref().map(|e| e.word());
        let started = a.started_at.map(|t| t.0);
        let tokens = int(a.usage.tokens());
        let cost = a.usage.cost.map(|c| int(c.0));
        let body = json(a)?;
        let changed = if ended {
            let at = a.ended_at.map(|t| t.0);
            self.hot.attempt_ended()?.execute(params![
                stored.key, a.number, outcome, started, tokens, cost, body, at
            ])?
        } else {
            self.hot.attempt()?.execute(params![
                stored.key, a.number, outcome, started, tokens, cost, body
            ])?
        };
        stored.body = Some(a.clone());
        one_row(changed)
    }

    fn new_attempt(&self, task: TaskId, a: &Attempt) -> Result<i64, StoreError> {
        let sql = "INSERT INTO attempt (task, n, epoch, host, host_epoch, spawn_key, outcome,
               started_at, ended_at, tokens, cost, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
        let host = self.host.as_ref();
        Ok(self.conn.prepare_cached(sql)?.insert(params![
            task.uuid(),
            a.number,
            int(a.fence.0),
            host.map(|h| &h.0),
            host.map(|h| int(h.1)),
            SpawnKey::session(task, a.fence).as_str(),
            a.end.as_ref().map(|e| e.word()),
            a.started_at.map(|t| t.0),
            a.ended_at.map(|t| t.0),
            int(a.usage.tokens()),
            a.usage.cost.map(|c| int(c.0)),
            json(a)?
        ])?)
    }

    pub(super) fn verdict(&self, task: TaskId, v: &Verdict) -> Result<(), StoreError> {
        let sql =
            "INSERT INTO verdict (task, epoch, name, kind, run, grade, at, tokens, cost, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
        self.conn.prepare_cached(sql)?.execute(params![
            task.uuid(),
            int(v.fence.0),
            v.name,
            v.kind,
            v.run,
            match v.grade {
                Grade::Pass => "pass",
                Grade::Fail => "fail",
            },
            v.at.0,
            int(v.usage.tokens()),
            v.usage.cost.map(|c| int(c.0)),
            json(v)?
        ])?;
        Ok(())
    }

    pub(super) fn window(&self, w: &Window) -> Result<(), StoreError> {
        let sql = "INSERT INTO limit_window (scope, until, body) VALUES (?1, ?2, ?3)
             ON CONFLICT (scope) DO UPDATE SET until = excluded.until, body = excluded.body";
        let mut sql = self.conn.prepare_cached(sql)?;
        sql.execute(params![w.scope, w.until.0, json(w)?])?;
        Ok(())
    }

    pub(super) fn flag(&self, name: &str, value: &Value) -> Result<(), StoreError> {
        if value.is_null() {
            let sql = "DELETE FROM flag WHERE name = ?1";
            self.conn.prepare_cached(sql)?.execute([name])?;
        } else {
            let sql = "INSERT INTO flag (name, value) VALUES (?1, ?2)
                 ON CONFLICT (name) DO UPDATE SET value = excluded.value";
            let mut sql = self.conn.prepare_cached(sql)?;
            sql.execute([name, json(value)?.as_str()])?;
        }
        Ok(())
    }

    pub(super) fn host_start(
        &mut self,
        host: &str,
        boot_id: &str,
        version: &str,
        at: UnixMs,
    ) -> Result<Applied, StoreError> {
        let sql = "INSERT INTO host (host, host_epoch, boot_id, version, started_at)
             VALUES (?1, 1, ?2, ?3, ?4)
             ON CONFLICT (host) DO UPDATE SET host_epoch = host_epoch + 1,
               boot_id = excluded.boot_id, version = excluded.version,
               started_at = excluded.started_at
             RETURNING host_epoch";
        let epoch: Option<i64> = self
            .conn
            .prepare_cached(sql)?
            .query_row(params![host, boot_id, version, at.0], |r| r.get(0))
            .optional()?;
        let epoch = At {
            table: "host",
            row: &host,
        }
        .count("host_epoch", epoch.unwrap_or_default())?;
        self.host = Some((host.to_owned(), epoch));
        Ok(Applied::HostEpoch(epoch))
    }
}

/// A row that is known to be there was not.
fn one_row(changed: usize) -> Result<(), StoreError> {
    if changed == 1 {
        return Ok(());
    }
    Err(StoreError::Bug {
        source: "a row that belongs to a task is missing".into(),
    })
}
