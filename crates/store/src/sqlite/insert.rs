//! The single rows that the operations of a batch write.

#![expect(
    clippy::disallowed_methods,
    reason = "rows inside the transaction; the points are around its commit"
)]

use longhaul_core::attempt::Attempt;
use longhaul_core::ids::{SpawnKey, TaskId};
use longhaul_core::ledger::LedgerEntry;
use longhaul_core::time::UnixMs;
use longhaul_core::verdict::{Grade, Verdict};
use longhaul_core::window::Window;
use rusqlite::{OptionalExtension, params};
use serde_json::Value;
use uuid::Uuid;

use super::commit::Batch;
use super::rows::{At, int, json};
use crate::chain::Hash;
use crate::error::StoreError;
use crate::write::Applied;

impl Batch<'_> {
    /// Writes a ledger row; `None` if its operation id is taken.
    pub(super) fn ledger(
        &self,
        entry: &LedgerEntry,
        op_id: Uuid,
        data: &str,
        hash: &Hash,
    ) -> Result<Option<u64>, StoreError> {
        let sql = "INSERT INTO ledger (task, version, epoch, from_state, to_state, cause, actor,
               op_id, at, data, hash)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT (op_id) DO NOTHING";
        let written = self.conn.prepare_cached(sql)?.execute(params![
            entry.task.uuid(),
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
        ])?;
        Ok((written == 1).then(|| self.conn.last_insert_rowid().unsigned_abs()))
    }

    /// Writes the attempt, unless it is stored just so: the body holds all that the columns hold.
    pub(super) fn attempt(&self, task: TaskId, a: &Attempt) -> Result<(), StoreError> {
        let sql = "INSERT INTO attempt (task, n, epoch, host, host_epoch, spawn_key, outcome,
               started_at, ended_at, tokens, cost, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
             ON CONFLICT (task, epoch) DO UPDATE SET n = excluded.n, outcome = excluded.outcome,
               started_at = excluded.started_at, ended_at = excluded.ended_at,
               tokens = excluded.tokens, cost = excluded.cost, body = excluded.body
             WHERE body <> excluded.body";
        let host = self.host.as_ref();
        self.conn.prepare_cached(sql)?.execute(params![
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
        ])?;
        Ok(())
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
