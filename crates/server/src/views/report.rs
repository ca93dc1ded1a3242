//! The morning page: what happened since a time, and what is needed now.

use longhaul_api::{Bucket, CheckLine, ReportItem, ReportTotals, ReportView, UsageView};
use longhaul_core::ids::Fence;
use longhaul_core::ledger::Cause;
use longhaul_core::task::{State, StateWord};
use longhaul_core::time::{SpanMs, UnixMs};
use longhaul_core::usage::Usage;
use longhaul_core::verdict::{Grade, Verdict};
use longhaul_store::{LedgerRow, StoreError, StoredTask, TaskFilter};

use super::list::LIVE_MAX;
use super::{ViewError, Views};
use crate::wording::{Story, story};

/// Sums that grow task by task.
#[derive(Default)]
struct Sums {
    totals: ReportTotals,
    usage: Usage,
}

impl Views<'_> {
    /// The report since a time. Tasks that need a person are in it however old their need is.
    ///
    /// # Errors
    /// The store's own.
    pub fn report(&self, since: UnixMs) -> Result<ReportView, ViewError> {
        let filter = TaskFilter {
            since: Some(since),
            limit: LIVE_MAX,
            ..TaskFilter::default()
        };
        let mut found = self.remember(self.reader.list(&filter)?);
        found.sort_by_key(|t| (t.final_at, t.task.created_at, t.task.id));
        let (mut needs_you, mut working, mut done) = (Vec::new(), Vec::new(), Vec::new());
        let mut sums = Sums::default();
        for stored in found {
            let item = self.item(&stored, since, &mut sums)?;
            match item.task.bucket {
                Bucket::NeedsYou => needs_you.push(item),
                Bucket::Working => working.push(item),
                Bucket::Done => done.push(item),
            }
        }
        sums.totals.usage = UsageView::from(sums.usage);
        Ok(ReportView {
            since_ms: since.0,
            until_ms: self.now.0,
            needs_you,
            working,
            done,
            totals: sums.totals,
            resting: self.resting()?,
            queue: self.queue_since(since)?,
        })
    }

    fn item(
        &self,
        stored: &StoredTask,
        since: UnixMs,
        sums: &mut Sums,
    ) -> Result<ReportItem, StoreError> {
        let task = &stored.task;
        let totals = &mut sums.totals;
        match &task.state {
            State::Done { basis } => {
                totals.done += 1;
                totals.unverified += u64::from(basis.is_unverified());
            }
            State::Cancelled => totals.cancelled += 1,
            State::Pending
            | State::Ready { .. }
            | State::Assigned { .. }
            | State::Running { .. }
            | State::Verifying { .. }
            | State::Landing { .. }
            | State::Parked { .. }
            | State::NeedsHuman { .. } => {}
        }
        // A task that never began has no history worth a read.
        let begun = task.attempt.is_some();
        let attempts = if begun {
            self.reader.attempts(task.id)?
        } else {
            Vec::new()
        };
        let verdicts = if begun {
            self.reader.verdicts(task.id)?
        } else {
            Vec::new()
        };
        let ledger = if begun {
            self.reader.ledger(task.id)?
        } else {
            Vec::new()
        };

        totals.attempts += count(attempts.iter().filter(|a| a.attempt.assigned_at >= since));
        let caused = |cause| count(rows_since(&ledger, since).filter(|r| r.entry.cause == cause));
        totals.retries += caused(Cause::Retry);
        totals.restarts += caused(Cause::Restart);
        for verdict in verdicts.iter().filter(|v| v.at >= since) {
            match verdict.grade {
                Grade::Pass => totals.checks_passed += 1,
                Grade::Fail => totals.checks_failed += 1,
            }
            sums.usage += verdict.usage;
        }
        for attempt in attempts
            .iter()
            .map(|a| &a.attempt)
            .filter(|a| a.assigned_at >= since)
        {
            let live = self
                .live
                .get(&task.id)
                .filter(|_| attempt.fence == task.fence && attempt.ended_at.is_none());
            sums.usage += live.map_or(attempt.usage, |l| l.usage);
        }
        let limit_wait = limit_wait(&ledger, since, self.now);
        totals.limit_wait_ms += limit_wait.0;

        let last = attempts.last().map(|a| &a.attempt);
        let sealed = last.and_then(|a| a.sealed.as_ref());
        let failed = failed_checks(&verdicts, task.fence);
        let failed: Vec<String> = failed.iter().map(|n| self.phrasing.line(n)).collect();
        let standing = self.standing(task)?;
        let sentence = self.with_scene(stored, &standing, |scene| {
            story(&Story {
                scene,
                failed_checks: &failed,
                limit_wait,
                changed_files: sealed.map(|s| s.changed_files),
            })
        })?;
        Ok(ReportItem {
            sentence,
            checks: verdicts
                .iter()
                .filter(|v| v.fence == task.fence)
                .map(|v| self.check_line(v))
                .collect(),
            attempts: task.tally.attempts,
            limit_wait_ms: limit_wait.0,
            changed_files: sealed.map(|s| s.changed_files),
            diffstat: sealed.map(|s| self.phrasing.clean(&s.diffstat)),
            denials: last.map(|a| self.denials(a)).unwrap_or_default(),
            refused_writes: last.map(|a| self.refused_writes(a)).unwrap_or_default(),
            task: self.summary(stored)?,
        })
    }

    fn check_line(&self, v: &Verdict) -> CheckLine {
        CheckLine {
            name: self.phrasing.line(&v.name),
            passed: v.grade == Grade::Pass,
            flaky: v.flaky,
            reason: self.phrasing.line(&v.reason),
        }
    }
}

fn count<T>(items: impl Iterator<Item = T>) -> u64 {
    items.fold(0, |n, _| n + 1)
}

fn rows_since(rows: &[LedgerRow], since: UnixMs) -> impl Iterator<Item = &LedgerRow> {
    rows.iter().filter(move |r| r.entry.at >= since)
}

/// Checks that failed in earlier attempts, each once, in the order of their first failure.
fn failed_checks(verdicts: &[Verdict], current: Fence) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for v in verdicts
        .iter()
        .filter(|v| v.grade == Grade::Fail && v.fence != current)
    {
        if !names.contains(&v.name.as_str()) {
            names.push(&v.name);
        }
    }
    names
}

/// How long a task was parked for limits between two times, by its ledger.
fn limit_wait(rows: &[LedgerRow], since: UnixMs, now: UnixMs) -> SpanMs {
    let mut total = 0;
    let mut parked_at = None;
    for row in rows {
        // Rows that only record a fact (a pause) leave it parked; `stop` changes what it waits for.
        let parked = row.entry.to == StateWord::Parked && row.entry.cause != Cause::OperatorStop;
        match parked_at {
            None if parked && row.entry.cause == Cause::Limit => parked_at = Some(row.entry.at),
            Some(from) if !parked => {
                total += row.entry.at.since(from.max(since)).0;
                parked_at = None;
            }
            None | Some(_) => {}
        }
    }
    if let Some(from) = parked_at {
        total += now.since(from.max(since)).0;
    }
    SpanMs(total)
}

#[cfg(test)]
mod tests {
    use longhaul_core::ids::{Fence, TaskId};
    use longhaul_core::ledger::{Actor, LedgerEntry};
    use serde_json::json;

    use super::*;

    fn rows(rows: &[(i64, Cause, StateWord)]) -> Vec<LedgerRow> {
        let row = |&(at, cause, to): &(i64, Cause, StateWord)| LedgerRow {
            seq: 1,
            entry: LedgerEntry {
                task: TaskId::new(1, [0; 10]),
                version: 1,
                fence: Fence(1),
                from: to,
                to,
                cause,
                actor: Actor::Daemon,
                at: UnixMs(at),
                data: json!({}),
            },
            op_id: uuid::Uuid::nil(),
            hash: [0; 32],
        };
        rows.iter().map(row).collect()
    }

    #[test]
    fn waits_for_limits_are_summed_within_the_time_asked_for() {
        use StateWord::{Parked, Ready, Running};
        let night = rows(&[
            (10, Cause::Limit, Parked),
            (15, Cause::OperatorPause, Parked),
            (30, Cause::Woke, Ready),
            (40, Cause::Assigned, Running),
            (50, Cause::Limit, Parked),
            (60, Cause::OperatorStop, Parked),
            (90, Cause::OperatorRetry, Ready),
            (95, Cause::OperatorStop, Parked),
        ]);
        let wait = |since, now| limit_wait(&night, UnixMs(since), UnixMs(now)).0;
        assert_eq!(wait(0, 100), 20 + 10, "a stop is no wait for a limit");
        assert_eq!(wait(20, 100), 10 + 10);
        assert_eq!(wait(55, 100), 5);
        assert_eq!(wait(70, 100), 0);
        assert_eq!(
            limit_wait(&night[..1], UnixMs(0), UnixMs(25)).0,
            15,
            "still waiting"
        );
    }
}
