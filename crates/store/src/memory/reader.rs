//! The reads from plain maps.

use std::collections::BTreeMap;

use longhaul_core::ids::{Fence, TaskId};
use longhaul_core::queue::{EntryId, Line, LineId};
use longhaul_core::spec::TaskSpec;
use longhaul_core::time::UnixMs;
use longhaul_core::verdict::Verdict;
use longhaul_core::window::Window;
use serde_json::Value;
use uuid::Uuid;

use super::Shared;
use super::model::{Kept, Model, with_link};
use crate::chain::{Chain, Walk};
use crate::error::StoreError;
use crate::read::{
    Candidate, Counts, HostRow, LedgerRow, QueueLedgerRow, Resolution, StoredAttempt, StoredTask,
    SubmissionRow, TaskFilter, Totals,
};
use crate::resolve::{self, MAX_COMPARED, Needle};
use crate::store::Reader;
use crate::write::TreeVerdict;

/// Reads a [`super::MemoryStore`].
#[derive(Debug)]
pub(super) struct MemoryReader(pub(super) Shared);

impl Reader for MemoryReader {
    fn task(&self, id: TaskId) -> Result<Option<StoredTask>, StoreError> {
        Ok(self.0.lock().tasks.get(&id).map(|k| k.stored.clone()))
    }

    fn spec(&self, id: TaskId) -> Result<Option<TaskSpec>, StoreError> {
        Ok(self.0.lock().tasks.get(&id).map(|k| k.spec.clone()))
    }

    fn list(&self, filter: &TaskFilter) -> Result<Vec<StoredTask>, StoreError> {
        let model = self.0.lock();
        let newest_first = model.tasks.values().rev().map(|k| &k.stored);
        let admitted = newest_first.filter(|t| filter.admits(t));
        Ok(admitted.take(filter.limit).cloned().collect())
    }

    fn counts(&self) -> Result<Counts, StoreError> {
        let mut counts = Counts::default();
        for kept in self.0.lock().tasks.values() {
            let word = kept.stored.task.state.word();
            *counts.0.entry(word).or_default() += 1;
        }
        Ok(counts)
    }

    fn resolve(&self, text: &str) -> Result<Resolution, StoreError> {
        let model = self.0.lock();
        let needle = Needle::parse(text);
        let all = || model.tasks.values().map(|k| &k.stored);
        let named = || all().filter(|t| t.task.name == text);
        let mut meant: Vec<_> = named().filter(|t| t.final_at.is_none()).collect();
        if meant.is_empty() {
            meant.extend(named().max_by_key(|t| t.task.id));
        }
        let fitting = all().filter(|t| {
            let id = t.task.id.uuid();
            needle
                .range
                .is_some_and(|(low, high)| low <= id && id <= high)
                || needle
                    .tail
                    .is_some_and(|tail| id.as_bytes().ends_with(&tail))
        });
        let found = meant.into_iter().chain(fitting).map(candidate).collect();
        resolve::settle(found, text, || {
            let names = model.tasks.values().rev().take(MAX_COMPARED);
            Ok(names.map(|k| k.stored.task.name.clone()).collect())
        })
    }

    fn ledger(&self, task: TaskId) -> Result<Vec<LedgerRow>, StoreError> {
        let model = self.0.lock();
        Ok(ledger_of(&model, task).cloned().collect())
    }

    fn ledger_tail(&self, after_seq: u64, limit: usize) -> Result<Vec<LedgerRow>, StoreError> {
        let model = self.0.lock();
        let rows = model.ledger.iter().filter(|r| r.seq > after_seq);
        Ok(rows.take(limit).cloned().collect())
    }

    fn newest_seq(&self) -> Result<u64, StoreError> {
        Ok(self.0.lock().ledger.last().map_or(0, |r| r.seq))
    }

    fn attempts(&self, task: TaskId) -> Result<Vec<StoredAttempt>, StoreError> {
        let model = self.0.lock();
        let of_task = (task, Fence(0))..=(task, Fence(u64::MAX));
        Ok(model
            .attempts
            .range(of_task)
            .map(|(_, a)| a.clone())
            .collect())
    }

    fn verdicts(&self, task: TaskId) -> Result<Vec<Verdict>, StoreError> {
        let model = self.0.lock();
        let of_task = model.verdicts.iter().filter(|(id, _)| *id == task);
        Ok(of_task.map(|(_, v)| v.clone()).collect())
    }

    fn verdict(
        &self,
        task: TaskId,
        fence: Fence,
        name: &str,
    ) -> Result<Option<Verdict>, StoreError> {
        let model = self.0.lock();
        let mut newest_first = model.verdicts.iter().rev();
        let found = newest_first.find(|(id, v)| *id == task && v.fence == fence && v.name == name);
        Ok(found.map(|(_, v)| v.clone()))
    }

    fn submission(&self, id: Uuid) -> Result<Option<SubmissionRow>, StoreError> {
        let model = self.0.lock();
        Ok(model.submissions.iter().find(|s| s.id == id).cloned())
    }

    fn live_from(&self, source: &str) -> Result<Vec<StoredTask>, StoreError> {
        let model = self.0.lock();
        let of_source = |t: &&StoredTask| {
            let mut submissions = model.submissions.iter();
            submissions.any(|s| s.id == t.submission && s.source == source)
        };
        let live = model.tasks.values().map(|k| &k.stored);
        let live = live.filter(|t| t.final_at.is_none());
        Ok(live.filter(of_source).cloned().collect())
    }

    fn tasks_of(&self, submission: Uuid) -> Result<Vec<StoredTask>, StoreError> {
        let model = self.0.lock();
        let tasks = model.tasks.values();
        let mut own: Vec<&Kept> = tasks
            .filter(|k| k.stored.submission == submission)
            .collect();
        own.sort_by_key(|k| k.ord);
        Ok(own.into_iter().map(|k| k.stored.clone()).collect())
    }

    fn dependents(&self, task: TaskId) -> Result<Vec<TaskId>, StoreError> {
        let model = self.0.lock();
        let tasks = model.tasks.values().map(|k| &k.stored.task);
        let waiting = tasks.filter(|t| t.terms.depends_on.contains(&task));
        Ok(waiting.map(|t| t.id).collect())
    }

    fn totals(&self, since: UnixMs) -> Result<Totals, StoreError> {
        let model = self.0.lock();
        let mut totals = Totals::default();
        for kept in model.tasks.values() {
            if kept.stored.final_at.is_none_or(|at| at >= since) {
                totals.tally(kept.stored.task.state.word(), 1);
            }
        }
        for ((task, fence), a) in &model.attempts {
            let current = model
                .tasks
                .get(task)
                .is_some_and(|k| k.stored.final_at.is_none() && k.stored.task.fence == *fence);
            if a.attempt.ended_at.map_or(current, |at| at >= since) {
                let usage = a.attempt.usage;
                totals.spend(usage.tokens(), usage.cost.map(|c| c.0));
            }
        }
        let verdicts = model.verdicts.iter().map(|(_, v)| v);
        for v in verdicts.filter(|v| v.at >= since && v.usage.tokens() > 0) {
            totals.spend(v.usage.tokens(), v.usage.cost.map(|c| c.0));
        }
        Ok(totals)
    }

    fn lines(&self) -> Result<Vec<Line>, StoreError> {
        Ok(self.0.lock().lines())
    }

    fn line(&self, id: &LineId) -> Result<Option<Line>, StoreError> {
        Ok(self.0.lock().queue.lines.get(id).cloned())
    }

    fn queue_tail(&self, line: &LineId, limit: usize) -> Result<Vec<QueueLedgerRow>, StoreError> {
        let model = self.0.lock();
        let rows: Vec<&QueueLedgerRow> = model.queue.of_line(line).collect();
        let tail = &rows[rows.len().saturating_sub(limit)..];
        Ok(tail.iter().map(|r| (*r).clone()).collect())
    }

    fn queue_of(&self, entry: EntryId) -> Result<Vec<QueueLedgerRow>, StoreError> {
        let model = self.0.lock();
        let rows = model.queue.ledger.iter();
        Ok(rows
            .filter(|r| r.row.entry == Some(entry))
            .cloned()
            .collect())
    }

    fn tree_verdict(&self, tree: &str, key: &str) -> Result<Option<TreeVerdict>, StoreError> {
        let wanted = (tree.to_owned(), key.to_owned());
        Ok(self.0.lock().queue.green.get(&wanted).cloned())
    }

    fn verify_line(&self, line: &LineId) -> Result<Option<Chain>, StoreError> {
        Ok(self.0.lock().queue.verify(line))
    }

    fn windows(&self) -> Result<Vec<Window>, StoreError> {
        Ok(self.0.lock().windows.values().cloned().collect())
    }

    fn flags(&self) -> Result<BTreeMap<String, Value>, StoreError> {
        Ok(self.0.lock().flags.clone())
    }

    fn hosts(&self) -> Result<Vec<HostRow>, StoreError> {
        Ok(self.0.lock().hosts.values().cloned().collect())
    }

    fn verify_chain(&self, task: TaskId) -> Result<Option<Chain>, StoreError> {
        let model = self.0.lock();
        let Some(kept) = model.tasks.get(&task) else {
            return Ok(None);
        };
        let mut walk = Walk::new();
        for row in ledger_of(&model, task) {
            with_link(&row.entry, row.op_id, |link| walk.row(link, &row.hash));
        }
        let now = &kept.stored.task;
        Ok(Some(walk.end(now.version, now.state.word(), &kept.chain)))
    }
}

fn ledger_of(model: &Model, task: TaskId) -> impl Iterator<Item = &LedgerRow> {
    model.ledger.iter().filter(move |r| r.entry.task == task)
}

fn candidate(t: &StoredTask) -> Candidate {
    Candidate {
        id: t.task.id,
        name: t.task.name.clone(),
        state: t.task.state.word(),
    }
}
