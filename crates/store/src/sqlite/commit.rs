//! Applying a batch inside one transaction.
//!
//! Every operation looks before it writes, under the write lock that `BEGIN IMMEDIATE` took: once it
//! has written its first row it cannot be refused any more. That gives what a savepoint per operation
//! would give, without its cost; any other error sinks the whole transaction.

#![expect(
    clippy::disallowed_methods,
    reason = "rows inside the transaction; the points are around its commit"
)]

use std::collections::{BTreeMap, HashSet};

use longhaul_core::ids::{Fence, TaskId};
use longhaul_core::ledger::LedgerEntry;
use longhaul_core::task::{StateWord, Task};
use rusqlite::{Connection, params};
use uuid::Uuid;

use super::hot::Hot;
use super::known::{Head, Known, KnownAttempt};
use super::query::applied;
use super::rows::{At, int, json, task_body};
use crate::chain::{Hash, Link, START};
use crate::check;
use crate::error::StoreError;
use crate::write::{Applied, NewTask, Refusal, Step, Submission, Write};

/// What one write came to.
pub(super) type Outcome = Result<Applied, Refusal>;

/// The host under which attempts begin.
pub(super) type Host = Option<(String, u64)>;

/// A batch being applied.
pub(super) struct Batch<'c> {
    pub(super) conn: &'c Connection,
    /// As it will be if the batch is committed.
    pub(super) host: Host,
    /// By how much the number of tasks in each state changes.
    counts: BTreeMap<StateWord, i64>,
    pub(super) hot: Hot<'c>,
    known: &'c mut Known,
}

impl<'c> Batch<'c> {
    pub(super) const fn new(conn: &'c Connection, known: &'c mut Known, host: Host) -> Self {
        Self {
            conn,
            host,
            counts: BTreeMap::new(),
            hot: Hot::new(conn),
            known,
        }
    }

    pub(super) fn apply(&mut self, write: &Write) -> Result<Outcome, StoreError> {
        match write {
            Write::Submit(s) => self.submit(s),
            Write::Step(s) => self.step(s),
            Write::Line(s) => self.line(s),
            Write::Window(w) => self.window(w).map(|()| Ok(Applied::Stored)),
            Write::ClearWindow { scope } => {
                let sql = "DELETE FROM limit_window WHERE scope = ?1";
                self.conn.prepare_cached(sql)?.execute([scope])?;
                Ok(Ok(Applied::Stored))
            }
            Write::Flag { name, value } => self.flag(name, value).map(|()| Ok(Applied::Stored)),
            Write::HostStart {
                host,
                boot_id,
                version,
                at,
            } => self.host_start(host, boot_id, version, *at).map(Ok),
        }
    }

    /// Writes what the batch gathered.
    pub(super) fn finish(&self) -> Result<(), StoreError> {
        for (state, delta) in self.counts.iter().filter(|(_, n)| **n != 0) {
            let sql = "INSERT INTO state_count (state, tasks) VALUES (?1, ?2)
                       ON CONFLICT (state) DO UPDATE SET tasks = tasks + excluded.tasks";
            let mut sql = self.conn.prepare_cached(sql)?;
            sql.execute(params![state.as_str(), delta])?;
        }
        Ok(())
    }

    fn submit(&mut self, s: &Submission) -> Result<Outcome, StoreError> {
        if let Err(refusal) = check::submission(s) {
            return Ok(Err(refusal));
        }
        let known = "SELECT 1 FROM submission WHERE id = ?1";
        if self.conn.prepare_cached(known)?.exists([s.id])? {
            return Ok(Ok(Applied::Before));
        }
        if let Some(refusal) = self.unfit(s)? {
            return Ok(Err(refusal));
        }
        let sql = "INSERT INTO submission (id, source, digest, created_at, tasks, seq)
             VALUES (?1, ?2, ?3, ?4, ?5, (SELECT coalesce(max(seq), 0) + 1 FROM submission))";
        self.conn.prepare_cached(sql)?.execute(params![
            s.id,
            s.source,
            s.digest,
            s.created_at.0,
            int(s.tasks.len() as u64)
        ])?;
        let mut seqs = Vec::with_capacity(s.tasks.len());
        for (ord, new) in s.tasks.iter().enumerate() {
            seqs.push(self.new_task(s.id, ord, new)?);
        }
        for new in &s.tasks {
            for needs in &new.task.terms.depends_on {
                let sql = "INSERT OR IGNORE INTO task_dep (needs, task) VALUES (?1, ?2)";
                let mut sql = self.conn.prepare_cached(sql)?;
                sql.execute([needs.uuid(), new.task.id.uuid()])?;
            }
        }
        Ok(Ok(Applied::Ledger {
            first: seqs.iter().copied().min().unwrap_or_default(),
            last: seqs.iter().copied().max().unwrap_or_default(),
        }))
    }

    /// The first reason why what is stored does not allow a submission.
    fn unfit(&self, s: &Submission) -> Result<Option<Refusal>, StoreError> {
        let own: HashSet<TaskId> = s.tasks.iter().map(|n| n.task.id).collect();
        let mut stored = self
            .conn
            .prepare_cached("SELECT 1 FROM task WHERE id = ?1")?;
        for new in &s.tasks {
            let id = new.task.id;
            if stored.exists([id.uuid()])? {
                return Ok(Some(Refusal::Exists(id)));
            }
            if applied(self.conn, id.uuid())?.is_some() {
                return Ok(Some(Refusal::OpReused(id.uuid())));
            }
            for needs in &new.task.terms.depends_on {
                if !own.contains(needs) && !stored.exists([needs.uuid()])? {
                    return Ok(Some(Refusal::UnknownDependency(*needs)));
                }
            }
        }
        Ok(None)
    }

    fn new_task(&mut self, submission: Uuid, ord: usize, new: &NewTask) -> Result<u64, StoreError> {
        let NewTask { task, spec, entry } = new;
        let data = json(&entry.data)?;
        let op_id = task.id.uuid();
        let hash = link(entry, op_id, &data).hash(&START);
        let word = task.state.word();
        let sql =
            "INSERT INTO task (id, name, repo, harness, project, grp, labels, submission, ord,
               prio, created_at, final_at, terms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
        self.conn.prepare_cached(sql)?.execute(params![
            task.id.uuid(),
            task.name,
            task.terms.repo,
            task.terms.harness,
            spec.project,
            spec.group,
            json(&spec.labels)?,
            submission,
            int(ord as u64),
            json(&task.terms.priority)?.trim_matches('"'),
            task.created_at.0,
            final_at(task),
            json(&task.terms)?,
        ])?;
        let key = self.conn.last_insert_rowid();
        let sql = "INSERT INTO task_now (key, version, epoch, state, changed_at, chain, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        self.conn.prepare_cached(sql)?.execute(params![
            key,
            int(task.version),
            int(task.fence.0),
            word.as_str(),
            task.changed_at.0,
            hash,
            task_body(task)?,
        ])?;
        let sql = "INSERT INTO task_carry (key, body) VALUES (?1, ?2)";
        let mut sql = self.conn.prepare_cached(sql)?;
        sql.execute(params![key, json(&task.carry)?])?;
        let sql = "INSERT INTO task_spec (task, spec) VALUES (?1, ?2)";
        let mut sql = self.conn.prepare_cached(sql)?;
        sql.execute(params![task.id.uuid(), json(spec)?])?;
        *self.counts.entry(word).or_default() += 1;
        self.ledger(key, entry, op_id, &data, &hash)?
            .ok_or_else(|| StoreError::Bug {
                source: "an operation id appeared within a transaction".into(),
            })
    }

    fn step(&mut self, s: &Step) -> Result<Outcome, StoreError> {
        if let Err(refusal) = check::step(s) {
            return Ok(Err(refusal));
        }
        let known = self.known.take(s.task.id);
        let Some(mut head) = known.map_or_else(|| self.head(s.task.id), |h| Ok(Some(h)))? else {
            return Ok(Err(Refusal::Unknown(s.task.id)));
        };
        // An error ends the whole batch, and then every head is forgotten.
        let outcome = self.step_from(&mut head, s)?;
        self.known.put(s.task.id, head);
        Ok(outcome)
    }

    fn step_from(&mut self, head: &mut Head, s: &Step) -> Result<Outcome, StoreError> {
        if head.version != s.expect_version || head.fence != s.expect_fence {
            return Ok(match applied(self.conn, s.op_id)? {
                Some(op) if op.task == s.task.id && op.version == s.task.version => {
                    Ok(Applied::Before)
                }
                _ => Err(Refusal::Stale {
                    version: head.version,
                    fence: head.fence,
                }),
            });
        }
        if head.state != s.entry.from {
            return Ok(Err(Refusal::Malformed(
                "the ledger row does not start from the stored state",
            )));
        }
        let data = json(&s.entry.data)?;
        let hash = link(&s.entry, s.op_id, &data).hash(&head.chain);
        let Some(seq) = self.ledger(head.key, &s.entry, s.op_id, &data, &hash)? else {
            return Ok(Err(Refusal::OpReused(s.op_id)));
        };
        self.update(head, s, &hash)?;
        if head.carry.as_ref() != Some(&s.task.carry) {
            self.carry(head.key, &s.task.carry)?;
            head.carry = Some(s.task.carry.clone());
        }
        if let Some(attempt) = &s.task.attempt {
            self.attempt(s.task.id, attempt, &mut head.attempt)?;
        }
        if let Some(verdict) = &s.verdict {
            self.verdict(s.task.id, verdict)?;
        }
        if let Some(window) = &s.window {
            self.window(window)?;
        }
        Ok(Ok(Applied::Ledger {
            first: seq,
            last: seq,
        }))
    }

    fn head(&self, id: TaskId) -> Result<Option<Head>, StoreError> {
        let sql = "SELECT t.key, n.version, n.epoch, n.state, n.chain, a.key
             FROM task t LEFT JOIN task_now n ON n.key = t.key
             LEFT JOIN attempt a ON a.task = t.id AND a.epoch = n.epoch WHERE t.id = ?1";
        let mut sql = self.conn.prepare_cached(sql)?;
        let mut rows = sql.query([id.uuid()])?;
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        let at = At {
            table: "task",
            row: &id,
        };
        let version: Option<i64> = row.get(1)?;
        let version = version.ok_or_else(|| at.bad("version", "nothing"))?;
        let attempt: Option<i64> = row.get(5)?;
        Ok(Some(Head {
            key: row.get(0)?,
            version: at.count("version", version)?,
            fence: Fence(at.count("epoch", row.get(2)?)?),
            state: at.state("state", super::rows::text(row, 3)?)?,
            chain: row.get(4)?,
            carry: None,
            attempt: attempt.map(|key| KnownAttempt { key, body: None }),
        }))
    }

    /// Moves the task's row. The column that the partial indexes depend on is only named where a task
    /// becomes final (or, against all rules, live again), so that other moves touch no index.
    fn update(&mut self, head: &mut Head, s: &Step, hash: &Hash) -> Result<(), StoreError> {
        let task = &s.task;
        let word = task.state.word();
        let changed = self.hot.moves()?.execute(params![
            int(task.version),
            int(task.fence.0),
            word.as_str(),
            task.changed_at.0,
            hash,
            task_body(task)?,
            head.key,
            int(head.version),
            int(head.fence.0)
        ])?;
        if changed != 1 {
            return Err(StoreError::Bug {
                source: "a row changed within a transaction".into(),
            });
        }
        if word.is_final() != head.state.is_final() {
            let sql = "UPDATE task SET final_at = ?2 WHERE key = ?1";
            let mut sql = self.conn.prepare_cached(sql)?;
            sql.execute(params![head.key, final_at(task)])?;
        }
        if word != head.state {
            *self.counts.entry(head.state).or_default() -= 1;
            *self.counts.entry(word).or_default() += 1;
        }
        if head.fence != task.fence {
            head.attempt = None;
        }
        head.version = task.version;
        head.fence = task.fence;
        head.state = word;
        head.chain = *hash;
        Ok(())
    }
}

fn final_at(task: &Task) -> Option<i64> {
    task.state.word().is_final().then_some(task.changed_at.0)
}

fn link<'a>(entry: &LedgerEntry, op_id: Uuid, data: &'a str) -> Link<'a> {
    Link {
        task: entry.task,
        version: entry.version,
        fence: entry.fence,
        from: entry.from.as_str(),
        to: entry.to.as_str(),
        cause: entry.cause.as_str(),
        actor: entry.actor.as_str(),
        op_id,
        at: entry.at.0,
        data,
    }
}
