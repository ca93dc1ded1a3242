//! Between stored rows and values. A value that no Longhaul writes is an error that names the row (I1).

use longhaul_core::attempt::{Attempt, Halt};
use longhaul_core::ids::{Fence, SpawnKey, TaskId};
use longhaul_core::ledger::{Actor, Cause, LedgerEntry};
use longhaul_core::task::{State, StateWord, Tally, Task};
use longhaul_core::time::UnixMs;
use rusqlite::Row;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::chain::{Hash, Link};
use crate::error::StoreError;
use crate::read::{LedgerRow, StoredAttempt, StoredTask};

/// The columns that [`stored_task`] reads, of `task t LEFT JOIN attempt a`.
pub(super) const TASK_COLUMNS: &str = "t.id, n.version, n.epoch, n.state, t.name, t.project, \
    t.grp, t.labels, t.submission, t.created_at, n.changed_at, t.final_at, n.body, a.body, \
    t.terms, c.body";
/// Where they come from: a task with its current or last attempt. All are outer joins, so that a row
/// that was lost is an error and not a task less.
pub(super) const TASK_SOURCE: &str = "task t LEFT JOIN task_now n ON n.key = t.key \
    LEFT JOIN task_carry c ON c.key = t.key \
    LEFT JOIN attempt a ON a.task = t.id AND a.epoch = n.epoch";
/// The columns that [`ledger_row`] reads.
pub(super) const LEDGER_COLUMNS: &str = "l.seq, t.id, l.version, l.epoch, l.from_state, \
    l.to_state, l.cause, l.actor, l.op_id, l.at, l.data, l.hash";
/// Where they come from.
pub(super) const LEDGER_SOURCE: &str = "ledger l LEFT JOIN task t ON t.key = l.task";

/// What the body of a task's moving row holds: all that has no column of its own. What was asked for
/// and what it inherits have rows that change less often; the attempt has its own table.
#[derive(Serialize)]
struct BodyOut<'a> {
    state: &'a State,
    tally: &'a Tally,
    hold: bool,
    halt: &'a Option<Halt>,
    attempt: bool,
}

#[derive(Deserialize)]
struct BodyIn {
    state: State,
    tally: Tally,
    hold: bool,
    halt: Option<Halt>,
    attempt: bool,
}

/// The body of a task's moving row. Every field is named, so that a new one is not forgotten.
pub(super) fn task_body(task: &Task) -> Result<String, StoreError> {
    let Task {
        id: _,
        name: _,
        version: _,
        fence: _,
        state,
        terms: _,
        tally,
        attempt,
        carry: _,
        hold,
        halt,
        created_at: _,
        changed_at: _,
    } = task;
    json(&BodyOut {
        state,
        tally,
        hold: *hold,
        halt,
        attempt: attempt.is_some(),
    })
}

/// A value as stored text.
pub(super) fn json<T: Serialize + ?Sized>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|e| StoreError::Bug { source: e.into() })
}

/// A number as stored; one that is too large (none is) becomes the largest.
pub(super) fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// The place of a value, for errors.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) table: &'static str,
    pub(super) row: &'a dyn std::fmt::Display,
}

impl At<'_> {
    pub(super) fn bad(&self, column: &'static str, found: impl ToString) -> StoreError {
        StoreError::BadRow {
            table: self.table,
            row: self.row.to_string(),
            column,
            found: found.to_string().chars().take(80).collect(),
        }
    }

    /// A JSON column. What it holds is never shown: it may be a prompt, or worse (I12).
    pub(super) fn parse<T: DeserializeOwned>(
        &self,
        column: &'static str,
        text: &str,
    ) -> Result<T, StoreError> {
        serde_json::from_str(text).map_err(|e| {
            let place = format!(
                "JSON that does not fit at byte {} of {}",
                e.column(),
                text.len()
            );
            self.bad(column, place)
        })
    }

    pub(super) fn count(&self, column: &'static str, n: i64) -> Result<u64, StoreError> {
        u64::try_from(n).map_err(|_| self.bad(column, n))
    }

    pub(super) fn state(&self, column: &'static str, text: &str) -> Result<StateWord, StoreError> {
        StateWord::parse(text).ok_or_else(|| self.bad(column, text))
    }
}

/// A task from [`TASK_COLUMNS`].
pub(super) fn stored_task(row: &Row<'_>) -> Result<StoredTask, StoreError> {
    let id = TaskId::from_uuid(row.get::<_, Uuid>(0)?);
    let at = At {
        table: "task",
        row: &id,
    };
    let Some(version) = row.get::<_, Option<i64>>(1)? else {
        return Err(at.bad("version", "nothing"));
    };
    let word = at.state("state", text(row, 3)?)?;
    let body: BodyIn = at.parse("body", text(row, 12)?)?;
    if body.state.word() != word {
        return Err(at.bad("state", word));
    }
    let attempt: Option<Attempt> = match row.get_ref(13)?.as_str_or_null() {
        Ok(Some(text)) if body.attempt => Some(
            At {
                table: "attempt",
                row: &id,
            }
            .parse("body", text)?,
        ),
        Ok(None) if body.attempt => return Err(at.bad("body", "an attempt that is not stored")),
        Ok(_) => None,
        Err(e) => return Err(rusqlite::Error::from(e).into()),
    };
    Ok(StoredTask {
        task: Task {
            id,
            name: row.get(4)?,
            version: at.count("version", version)?,
            fence: Fence(at.count("epoch", row.get(2)?)?),
            state: body.state,
            terms: at.parse("terms", text(row, 14)?)?,
            tally: body.tally,
            attempt,
            carry: match row.get_ref(15)?.as_str_or_null() {
                Ok(Some(text)) => at.parse("carry", text)?,
                Ok(None) => return Err(at.bad("carry", "nothing")),
                Err(e) => return Err(rusqlite::Error::from(e).into()),
            },
            hold: body.hold,
            halt: body.halt,
            created_at: UnixMs(row.get(9)?),
            changed_at: UnixMs(row.get(10)?),
        },
        submission: row.get(8)?,
        project: row.get(5)?,
        group: row.get(6)?,
        labels: at.parse("labels", text(row, 7)?)?,
        final_at: row.get::<_, Option<i64>>(11)?.map(UnixMs),
    })
}

/// A ledger row from [`LEDGER_COLUMNS`].
pub(super) fn ledger_row(row: &Row<'_>) -> Result<LedgerRow, StoreError> {
    let seq: i64 = row.get(0)?;
    let at = At {
        table: "ledger",
        row: &seq,
    };
    let actor = text(row, 7)?;
    let cause = text(row, 6)?;
    Ok(LedgerRow {
        seq: at.count("seq", seq)?,
        entry: LedgerEntry {
            task: ledger_task(row, at)?,
            version: at.count("version", row.get(2)?)?,
            fence: Fence(at.count("epoch", row.get(3)?)?),
            from: at.state("from_state", text(row, 4)?)?,
            to: at.state("to_state", text(row, 5)?)?,
            cause: Cause::parse(cause).ok_or_else(|| at.bad("cause", cause))?,
            actor: parse_actor(actor).ok_or_else(|| at.bad("actor", actor))?,
            at: UnixMs(row.get(9)?),
            data: at.parse("data", text(row, 10)?)?,
        },
        op_id: row.get(8)?,
        hash: row.get(11)?,
    })
}

/// The task of a row of [`LEDGER_COLUMNS`].
pub(super) fn ledger_task(row: &Row<'_>, at: At<'_>) -> Result<TaskId, StoreError> {
    let id: Option<Uuid> = row.get(1)?;
    let id = id.ok_or_else(|| at.bad("task", "a task that is not stored"))?;
    Ok(TaskId::from_uuid(id))
}

/// The raw texts of a ledger row from [`LEDGER_COLUMNS`], with its stored hash, to be verified.
pub(super) fn with_link<T>(
    row: &Row<'_>,
    then: impl FnOnce(&Link<'_>, &Hash) -> T,
) -> Result<T, StoreError> {
    let seq: i64 = row.get(0)?;
    let at = At {
        table: "ledger",
        row: &seq,
    };
    let link = Link {
        task: ledger_task(row, at)?,
        version: at.count("version", row.get(2)?)?,
        fence: Fence(at.count("epoch", row.get(3)?)?),
        from: text(row, 4)?,
        to: text(row, 5)?,
        cause: text(row, 6)?,
        actor: text(row, 7)?,
        op_id: row.get(8)?,
        at: row.get(9)?,
        data: text(row, 10)?,
    };
    Ok(then(&link, &row.get(11)?))
}

/// An attempt from `task, epoch, host, host_epoch, spawn_key, body`.
pub(super) fn stored_attempt(row: &Row<'_>) -> Result<StoredAttempt, StoreError> {
    let task = TaskId::from_uuid(row.get(0)?);
    let at = At {
        table: "attempt",
        row: &task,
    };
    let fence = Fence(at.count("epoch", row.get(1)?)?);
    let host: Option<String> = row.get(2)?;
    let host_epoch: Option<i64> = row.get(3)?;
    let spawn_key = SpawnKey::session(task, fence);
    let stored_key = text(row, 4)?;
    if stored_key != spawn_key.as_str() {
        return Err(at.bad("spawn_key", stored_key));
    }
    let host_epoch = host_epoch.map(|n| at.count("host_epoch", n)).transpose()?;
    Ok(StoredAttempt {
        attempt: at.parse("body", text(row, 5)?)?,
        spawn_key,
        host: host.zip(host_epoch),
    })
}

/// A text column, borrowed.
pub(super) fn text<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r str, StoreError> {
    let value = row.get_ref(column)?;
    Ok(value.as_str().map_err(rusqlite::Error::from)?)
}

pub(super) fn parse_actor(text: &str) -> Option<Actor> {
    [Actor::Operator, Actor::Daemon, Actor::Session, Actor::Check]
        .into_iter()
        .find(|a| a.as_str() == text)
}
