//! The reader: its own connection, which the engine itself keeps from writing.

use std::collections::BTreeMap;

use camino::Utf8Path;
use longhaul_core::ids::{Fence, TaskId};
use longhaul_core::queue::{EntryId, Line, LineId};
use longhaul_core::spec::TaskSpec;
use longhaul_core::time::UnixMs;
use longhaul_core::verdict::Verdict;
use longhaul_core::window::Window;
use rusqlite::{Connection, Params, Row, params, params_from_iter};
use serde_json::Value;
use uuid::Uuid;

use super::filter::where_clause;
use super::query::{self, capped, rows};
use super::rows::{
    At, LEDGER_COLUMNS, LEDGER_SOURCE, TASK_COLUMNS, TASK_SOURCE, ledger_row, stored_attempt,
    stored_task, text, with_link,
};
use super::{open, queue, totals};
use crate::chain::{Chain, Walk};
use crate::error::StoreError;
use crate::read::{
    Candidate, Counts, HostRow, LedgerRow, QueueLedgerRow, Resolution, StoredAttempt, StoredTask,
    SubmissionRow, TaskFilter, Totals,
};
use crate::resolve::{self, MAX_CANDIDATES, MAX_COMPARED, Needle};
use crate::store::Reader;
use crate::write::TreeVerdict;

/// Reads a store's file while its writer works, or when there is none.
///
/// It never changes what is stored. The engine may put its empty side files (`-wal`, `-shm`) beside the
/// database while nobody else has it open.
#[derive(Debug)]
pub struct SqliteReader {
    conn: Connection,
}

impl SqliteReader {
    /// Opens the database at `path` for reading.
    ///
    /// # Errors
    /// If there is none, or it is damaged, another program's, or a newer Longhaul's.
    pub fn open(path: &Utf8Path) -> Result<Self, StoreError> {
        let conn = open::reader(path)?;
        Ok(Self { conn })
    }

    /// Whether the tables are there. They are not between the making of the file and the first
    /// migration, for a moment or, if the maker died there, until a daemon starts: nothing is stored then.
    ///
    /// # Errors
    /// If the database does not answer.
    pub fn is_made(&self) -> Result<bool, StoreError> {
        let schema: u32 = self
            .conn
            .pragma_query_value(None, "user_version", |r| r.get(0))?;
        Ok(schema > 0)
    }

    /// Runs several queries on one consistent state.
    fn at_once<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let state = self.conn.unchecked_transaction()?;
        let result = read(&state)?;
        #[expect(clippy::disallowed_methods, reason = "it only read")]
        state.commit()?;
        Ok(result)
    }

    fn tasks(&self, tail: &str, params: impl Params) -> Result<Vec<StoredTask>, StoreError> {
        let sql = format!("SELECT {TASK_COLUMNS} FROM {TASK_SOURCE} {tail}");
        rows(&self.conn, &sql, params, stored_task)
    }
}

impl Reader for SqliteReader {
    fn task(&self, id: TaskId) -> Result<Option<StoredTask>, StoreError> {
        Ok(self.tasks("WHERE t.id = ?1", [id.uuid()])?.pop())
    }

    fn spec(&self, id: TaskId) -> Result<Option<TaskSpec>, StoreError> {
        let sql = "SELECT spec FROM task_spec WHERE task = ?1";
        let at = At {
            table: "task_spec",
            row: &id,
        };
        let found = rows(&self.conn, sql, [id.uuid()], |r| {
            at.parse("spec", text(r, 0)?)
        })?;
        Ok(found.into_iter().next())
    }

    fn list(&self, filter: &TaskFilter) -> Result<Vec<StoredTask>, StoreError> {
        let (tail, params) = where_clause(filter);
        self.tasks(&tail, params_from_iter(params))
    }

    fn counts(&self) -> Result<Counts, StoreError> {
        let sql = "SELECT state, tasks FROM state_count WHERE tasks <> 0";
        let pairs = rows(&self.conn, sql, [], |r| {
            let word = text(r, 0)?;
            let at = At {
                table: "state_count",
                row: &word,
            };
            Ok((at.state("state", word)?, at.count("tasks", r.get(1)?)?))
        })?;
        Ok(Counts(pairs.into_iter().collect()))
    }

    fn resolve(&self, wanted: &str) -> Result<Resolution, StoreError> {
        self.at_once(|conn| {
            let needle = Needle::parse(wanted);
            let most = capped(MAX_CANDIDATES + 1);
            let live = "SELECT t.id, t.name, n.state FROM task t LEFT JOIN task_now n
                   ON n.key = t.key WHERE t.name = ?1 AND t.final_at IS NULL ORDER BY t.id LIMIT ?2";
            let mut found = rows(conn, live, params![wanted, most], candidate)?;
            if found.is_empty() {
                let last = "SELECT t.id, t.name, n.state FROM task t LEFT JOIN task_now n
                       ON n.key = t.key WHERE t.name = ?1 ORDER BY t.id DESC LIMIT 1";
                found = rows(conn, last, [wanted], candidate)?;
            }
            if let Some((low, high)) = needle.range {
                let sql = "SELECT t.id, t.name, n.state FROM task t LEFT JOIN task_now n
                       ON n.key = t.key WHERE t.id BETWEEN ?1 AND ?2 ORDER BY t.id LIMIT ?3";
                found.extend(rows(conn, sql, params![low, high, most], candidate)?);
            }
            if let Some(tail) = needle.tail {
                let sql = "SELECT t.id, t.name, n.state FROM task t LEFT JOIN task_now n
                       ON n.key = t.key WHERE substr(t.id, 13) = ?1 ORDER BY t.id LIMIT ?2";
                found.extend(rows(conn, sql, params![tail, most], candidate)?);
            }
            resolve::settle(found, wanted, || {
                let sql = "SELECT name FROM task ORDER BY id DESC LIMIT ?1";
                rows(conn, sql, [capped(MAX_COMPARED)], |r| Ok(r.get(0)?))
            })
        })
    }

    fn ledger(&self, task: TaskId) -> Result<Vec<LedgerRow>, StoreError> {
        rows(&self.conn, &ledger_of(), [task.uuid()], ledger_row)
    }

    fn ledger_tail(&self, after_seq: u64, limit: usize) -> Result<Vec<LedgerRow>, StoreError> {
        let sql = format!(
            "SELECT {LEDGER_COLUMNS} FROM {LEDGER_SOURCE} WHERE l.seq > ?1 ORDER BY l.seq LIMIT ?2"
        );
        let params = params![super::rows::int(after_seq), capped(limit)];
        rows(&self.conn, &sql, params, ledger_row)
    }

    fn newest_seq(&self) -> Result<u64, StoreError> {
        let sql = "SELECT ifnull(max(seq), 0) FROM ledger";
        let newest: i64 = self.conn.query_row(sql, [], |r| r.get(0))?;
        Ok(u64::try_from(newest).unwrap_or(0))
    }

    fn attempts(&self, task: TaskId) -> Result<Vec<StoredAttempt>, StoreError> {
        let sql = "SELECT task, epoch, host, host_epoch, spawn_key, body FROM attempt
             WHERE task = ?1 ORDER BY epoch";
        rows(&self.conn, sql, [task.uuid()], stored_attempt)
    }

    fn verdicts(&self, task: TaskId) -> Result<Vec<Verdict>, StoreError> {
        let sql = "SELECT key, body FROM verdict WHERE task = ?1 ORDER BY key";
        rows(&self.conn, sql, [task.uuid()], verdict)
    }

    fn verdict(
        &self,
        task: TaskId,
        fence: Fence,
        name: &str,
    ) -> Result<Option<Verdict>, StoreError> {
        let sql = "SELECT key, body FROM verdict WHERE task = ?1 AND epoch = ?2 AND name = ?3
             ORDER BY key DESC LIMIT 1";
        let params = params![task.uuid(), super::rows::int(fence.0), name];
        Ok(rows(&self.conn, sql, params, verdict)?.pop())
    }

    fn submission(&self, id: Uuid) -> Result<Option<SubmissionRow>, StoreError> {
        let sql = "SELECT id, source, digest, created_at, tasks FROM submission WHERE id = ?1";
        Ok(rows(&self.conn, sql, [id], submission)?.pop())
    }

    fn live_from(&self, source: &str) -> Result<Vec<StoredTask>, StoreError> {
        self.tasks(
            "WHERE t.final_at IS NULL
               AND t.submission IN (SELECT id FROM submission WHERE source = ?1) ORDER BY t.id",
            [source],
        )
    }

    fn tasks_of(&self, submission: Uuid) -> Result<Vec<StoredTask>, StoreError> {
        self.tasks("WHERE t.submission = ?1 ORDER BY t.ord", [submission])
    }

    fn dependents(&self, task: TaskId) -> Result<Vec<TaskId>, StoreError> {
        let sql = "SELECT task FROM task_dep WHERE needs = ?1 ORDER BY task";
        rows(&self.conn, sql, [task.uuid()], |r| {
            Ok(TaskId::from_uuid(r.get(0)?))
        })
    }

    fn totals(&self, since: UnixMs) -> Result<Totals, StoreError> {
        self.at_once(|conn| totals::since(conn, since))
    }

    fn lines(&self) -> Result<Vec<Line>, StoreError> {
        self.at_once(queue::lines)
    }

    fn line(&self, id: &LineId) -> Result<Option<Line>, StoreError> {
        self.at_once(|conn| queue::line(conn, id))
    }

    fn queue_tail(&self, line: &LineId, limit: usize) -> Result<Vec<QueueLedgerRow>, StoreError> {
        queue::tail(&self.conn, line, limit)
    }

    fn queue_of(&self, entry: EntryId) -> Result<Vec<QueueLedgerRow>, StoreError> {
        queue::of_entry(&self.conn, entry)
    }

    fn tree_verdict(&self, tree: &str, key: &str) -> Result<Option<TreeVerdict>, StoreError> {
        queue::tree_verdict(&self.conn, tree, key)
    }

    fn verify_line(&self, line: &LineId) -> Result<Option<Chain>, StoreError> {
        self.at_once(|conn| queue::verify(conn, line))
    }

    fn windows(&self) -> Result<Vec<Window>, StoreError> {
        query::windows(&self.conn)
    }

    fn flags(&self) -> Result<BTreeMap<String, Value>, StoreError> {
        query::flags(&self.conn)
    }

    fn hosts(&self) -> Result<Vec<HostRow>, StoreError> {
        let sql = "SELECT host, host_epoch, boot_id, version, started_at FROM host ORDER BY host";
        rows(&self.conn, sql, [], |r| {
            let host: String = r.get(0)?;
            let at = At {
                table: "host",
                row: &host,
            };
            Ok(HostRow {
                epoch: at.count("host_epoch", r.get(1)?)?,
                boot_id: r.get(2)?,
                version: r.get(3)?,
                started_at: UnixMs(r.get(4)?),
                host,
            })
        })
    }

    fn verify_chain(&self, task: TaskId) -> Result<Option<Chain>, StoreError> {
        self.at_once(|conn| {
            let at = At {
                table: "task",
                row: &task,
            };
            let sql = "SELECT n.version, n.state, n.chain FROM task t LEFT JOIN task_now n
                 ON n.key = t.key WHERE t.id = ?1";
            let found = rows(conn, sql, [task.uuid()], |r| {
                let version: Option<i64> = r.get(0)?;
                let version = version.ok_or_else(|| at.bad("version", "nothing"))?;
                let version = at.count("version", version)?;
                Ok((version, at.state("state", text(r, 1)?)?, r.get(2)?))
            })?;
            let Some((version, state, head)) = found.into_iter().next() else {
                return Ok(None);
            };
            let mut walk = Walk::new();
            rows(conn, &ledger_of(), [task.uuid()], |r| {
                with_link(r, |link, hash| walk.row(link, hash))
            })?;
            Ok(Some(walk.end(version, state, &head)))
        })
    }
}

/// The rows of one task, oldest first.
fn ledger_of() -> String {
    format!(
        "SELECT {LEDGER_COLUMNS} FROM {LEDGER_SOURCE}
         WHERE l.task = (SELECT key FROM task WHERE id = ?1) ORDER BY l.version"
    )
}

fn candidate(r: &Row<'_>) -> Result<Candidate, StoreError> {
    let id = TaskId::from_uuid(r.get(0)?);
    let at = At {
        table: "task",
        row: &id,
    };
    Ok(Candidate {
        id,
        name: r.get(1)?,
        state: at.state("state", text(r, 2)?)?,
    })
}

fn verdict(r: &Row<'_>) -> Result<Verdict, StoreError> {
    let key: i64 = r.get(0)?;
    let at = At {
        table: "verdict",
        row: &key,
    };
    at.parse("body", text(r, 1)?)
}

fn submission(r: &Row<'_>) -> Result<SubmissionRow, StoreError> {
    let id: Uuid = r.get(0)?;
    let at = At {
        table: "submission",
        row: &id,
    };
    Ok(SubmissionRow {
        id,
        source: r.get(1)?,
        digest: r.get(2)?,
        created_at: UnixMs(r.get(3)?),
        tasks: at.count("tasks", r.get(4)?)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::SqliteStore;
    use crate::sqlite::query::live_sql;
    use longhaul_core::task::StateWord;

    fn empty() -> (tempfile::TempDir, SqliteStore, SqliteReader) {
        let folder = tempfile::tempdir().unwrap();
        let db = Utf8Path::from_path(folder.path()).unwrap().join("x.db");
        let store = SqliteStore::open(&db).unwrap();
        let reader = SqliteReader::open(&db).unwrap();
        (folder, store, reader)
    }

    fn plan(conn: &Connection, sql: &str, values: Vec<rusqlite::types::Value>) -> String {
        let sql = format!("EXPLAIN QUERY PLAN {sql}");
        let steps = rows(conn, &sql, params_from_iter(values), |r| {
            Ok(r.get::<_, String>(3)?)
        });
        steps.unwrap().join("; ")
    }

    #[test]
    fn i7_a_reader_cannot_write() {
        let (_folder, _store, reader) = empty();
        for sql in ["DELETE FROM flag", "PRAGMA user_version = 9", "VACUUM"] {
            assert!(reader.conn.execute_batch(sql).is_err(), "{sql}");
        }
        // By its own word, and by what the file was opened for: neither hides that the other is gone.
        assert!(reader.conn.is_readonly(rusqlite::MAIN_DB).unwrap());
        let asks_only: bool = reader
            .conn
            .pragma_query_value(None, "query_only", |row| row.get(0))
            .unwrap();
        assert!(asks_only);
    }

    #[test]
    fn what_is_live_is_found_without_history() {
        let (_folder, _store, reader) = empty();
        let live = live_sql();
        let plan_of_live = plan(&reader.conn, &live, Vec::new());
        assert!(
            plan_of_live.contains("USING INDEX task_live"),
            "{plan_of_live}"
        );
        let filter = TaskFilter {
            states: vec![StateWord::Ready, StateWord::Parked],
            ..TaskFilter::default()
        };
        let (tail, values) = where_clause(&filter);
        let sql = format!("SELECT {TASK_COLUMNS} FROM {TASK_SOURCE} {tail}");
        let plan_of_list = plan(&reader.conn, &sql, values);
        assert!(plan_of_list.contains("task_live"), "{plan_of_list}");
        assert!(!plan_of_list.contains("TEMP B-TREE"), "{plan_of_list}");
    }

    #[test]
    fn no_query_walks_a_table() {
        let (_folder, _store, reader) = empty();
        let one = || vec![vec![0_u8; 16].into()];
        for (sql, values) in [
            (
                "SELECT id FROM task WHERE substr(id, 13) = ?1 ORDER BY id LIMIT 2",
                one(),
            ),
            ("SELECT id FROM task WHERE name = ?1", one()),
            ("SELECT * FROM verdict WHERE task = ?1 ORDER BY key", one()),
            ("SELECT seq FROM ledger WHERE op_id = ?1", one()),
            (&ledger_of(), one()),
            (
                "SELECT n.state, count(*) FROM task t JOIN task_now n ON n.key = t.key
                 WHERE t.final_at >= ?1 GROUP BY n.state",
                one(),
            ),
            ("SELECT tokens FROM attempt WHERE ended_at >= ?1", one()),
            (
                "SELECT tokens FROM verdict WHERE at >= ?1 AND tokens > 0",
                one(),
            ),
            (
                "SELECT id FROM submission WHERE source = ?1 ORDER BY seq DESC LIMIT 1",
                one(),
            ),
        ] {
            let plan = plan(&reader.conn, sql, values);
            assert!(
                plan.contains("SEARCH") && !plan.contains("SCAN"),
                "{sql}: {plan}"
            );
        }
    }

    /// A database with so many tasks that were done long ago.
    fn with_history(tasks: u32) -> (tempfile::TempDir, SqliteStore, SqliteReader) {
        let (folder, store, reader) = empty();
        let db = Utf8Path::from_path(folder.path()).unwrap().join("x.db");
        let conn = Connection::open(db).unwrap();
        conn.execute_batch(&format!(
            "PRAGMA foreign_keys = OFF;
             CREATE TEMP TABLE n AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n
               WHERE i < {tasks}) SELECT i, unhex(printf('%032x', i)) AS id FROM n;
             INSERT INTO task SELECT i, id, 'task', '/r', 'script', NULL, NULL, '[]', id, 0, 'normal',
               0, i, '{{}}' FROM n;
             INSERT INTO task_now SELECT i, 1, 0, 'done', i, zeroblob(32), '{{}}' FROM n;
             INSERT INTO task_carry SELECT i, '{{}}' FROM n;
             INSERT INTO ledger SELECT i, i, 1, 0, 'done', 'done', 'finished', 'check', id, i, '{{}}',
               zeroblob(32) FROM n;
             INSERT INTO state_count VALUES ('done', {tasks});"
        ))
        .unwrap();
        (folder, store, reader)
    }

    /// What the engine does for a statement, in its own steps.
    fn steps(reader: &SqliteReader, sql: &str, values: Vec<rusqlite::types::Value>) -> i32 {
        let mut statement = reader.conn.prepare(sql).unwrap();
        let mut found = statement.query(params_from_iter(values)).unwrap();
        while found.next().unwrap().is_some() {}
        drop(found);
        statement.get_status(rusqlite::StatementStatus::VmStep)
    }

    #[test]
    fn what_is_read_often_costs_the_same_with_fifty_times_the_history() {
        let work = |tasks| {
            let (_folder, _store, reader) = with_history(tasks);
            let listing = |filter: &TaskFilter| {
                let (tail, values) = where_clause(filter);
                let sql = format!("SELECT {TASK_COLUMNS} FROM {TASK_SOURCE} {tail}");
                steps(&reader, &sql, values)
            };
            let fifty = TaskFilter {
                limit: 50,
                ..TaskFilter::default()
            };
            let waiting = TaskFilter {
                states: vec![StateWord::Ready, StateWord::Running],
                ..TaskFilter::default()
            };
            let of = |sql: &str, values| steps(&reader, sql, values);
            [
                of(&live_sql(), Vec::new()),
                listing(&fifty),
                listing(&waiting),
                of("SELECT state, tasks FROM state_count", Vec::new()),
                of(&ledger_of(), vec![vec![0_u8; 16].into()]),
            ]
        };
        assert_eq!(work(60), work(3_000));
    }
}
