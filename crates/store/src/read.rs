//! What a reader returns.

use std::collections::BTreeMap;

use longhaul_core::attempt::Attempt;
use longhaul_core::ids::{SpawnKey, TaskId};
use longhaul_core::ledger::LedgerEntry;
use longhaul_core::queue::{LineId, QueueRow};
use longhaul_core::task::{StateWord, Task};
use longhaul_core::time::UnixMs;
use longhaul_core::usage::MicroUsd;
use uuid::Uuid;

use crate::chain::Hash;

/// A task with what it is grouped by. The prompt and the rest of its specification are not part of
/// it: see [`crate::Reader::spec`].
#[derive(Clone, Debug, PartialEq)]
pub struct StoredTask {
    /// The task.
    pub task: Task,
    /// The submission it came with.
    pub submission: Uuid,
    /// Grouping, from its specification.
    pub project: Option<String>,
    /// Grouping, from its specification.
    pub group: Option<String>,
    /// Labels, from its specification.
    pub labels: Vec<String>,
    /// When it became final, if it is.
    pub final_at: Option<UnixMs>,
}

/// Which tasks to list. The default asks for the newest hundred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskFilter {
    /// In one of these states; empty for any.
    pub states: Vec<StateWord>,
    /// Of this repository.
    pub repo: Option<String>,
    /// Of this harness.
    pub harness: Option<String>,
    /// Of this project.
    pub project: Option<String>,
    /// Of this group.
    pub group: Option<String>,
    /// With all of these labels.
    pub labels: Vec<String>,
    /// Of this submission.
    pub submission: Option<Uuid>,
    /// Not final yet, or final only at or after this time.
    pub since: Option<UnixMs>,
    /// At most so many.
    pub limit: usize,
    /// Older than this one: the last of the page before.
    pub after: Option<TaskId>,
}

impl Default for TaskFilter {
    fn default() -> Self {
        Self {
            states: Vec::new(),
            repo: None,
            harness: None,
            project: None,
            group: None,
            labels: Vec::new(),
            submission: None,
            since: None,
            limit: 100,
            after: None,
        }
    }
}

impl TaskFilter {
    /// Whether a task is one of those asked for; `limit` aside.
    pub(crate) fn admits(&self, t: &StoredTask) -> bool {
        fn fits<T: PartialEq + ?Sized>(wanted: Option<&T>, have: Option<&T>) -> bool {
            wanted.is_none() || wanted == have
        }
        (self.states.is_empty() || self.states.contains(&t.task.state.word()))
            && fits(self.repo.as_ref(), Some(&t.task.terms.repo))
            && fits(self.harness.as_ref(), Some(&t.task.terms.harness))
            && fits(self.project.as_ref(), t.project.as_ref())
            && fits(self.group.as_ref(), t.group.as_ref())
            && self.labels.iter().all(|l| t.labels.contains(l))
            && fits(self.submission.as_ref(), Some(&t.submission))
            && self
                .since
                .is_none_or(|s| t.final_at.is_none_or(|at| at >= s))
            && self.after.is_none_or(|a| t.task.id < a)
    }
}

/// Number of tasks in each state; a state without tasks is absent or zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(pub BTreeMap<StateWord, u64>);

impl Counts {
    /// The number of tasks in a state.
    #[must_use]
    pub fn of(&self, state: StateWord) -> u64 {
        self.0.get(&state).copied().unwrap_or(0)
    }

    /// The number of tasks that are not final.
    #[must_use]
    pub fn live(&self) -> u64 {
        let live = self.0.iter().filter(|(w, _)| !w.is_final());
        live.map(|(_, n)| n).sum()
    }
}

/// What a text refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Exactly one task.
    One(TaskId),
    /// No task.
    None {
        /// Names like it, the best first.
        nearest: Vec<String>,
    },
    /// Several tasks, some of which are given.
    Ambiguous(Vec<Candidate>),
}

/// A task that a text may refer to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its id.
    pub id: TaskId,
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: StateWord,
}

/// A ledger row as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct LedgerRow {
    /// Grows with every row, never reused.
    pub seq: u64,
    /// What was decided.
    pub entry: LedgerEntry,
    /// The operation that wrote it; for the first row of a task, the task's id.
    pub op_id: Uuid,
    /// Link of the task's hash chain.
    pub hash: Hash,
}

/// An attempt with where it ran.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredAttempt {
    /// The attempt.
    pub attempt: Attempt,
    /// Names what it started.
    pub spawn_key: SpawnKey,
    /// The host whose daemon began it, with that host's epoch then; `None` if no host had started.
    pub host: Option<(String, u64)>,
}

/// A submission without its tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubmissionRow {
    /// Its id.
    pub id: Uuid,
    /// Where its tasks came from.
    pub source: String,
    /// Digest of what was handed in.
    pub digest: String,
    /// When.
    pub created_at: UnixMs,
    /// How many tasks it has.
    pub tasks: u64,
}

/// A machine whose daemon has used this state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRow {
    /// Its name.
    pub host: String,
    /// How often a daemon started on it.
    pub epoch: u64,
    /// Boot id at the last start.
    pub boot_id: String,
    /// Version of the daemon that started last.
    pub version: String,
    /// When it started.
    pub started_at: UnixMs,
}

/// What came of the work since a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Tasks that became done since then.
    pub done: u64,
    /// Tasks that were cancelled since then.
    pub cancelled: u64,
    /// Tasks that need a person now.
    pub needs_human: u64,
    /// Tasks that are neither final nor need a person now.
    pub working: u64,
    /// Tokens of the attempts and checks that ended since then, and of attempts that have not ended.
    pub tokens: u64,
    /// What is known of their cost.
    pub cost: MicroUsd,
    /// How many of them used tokens of unknown cost.
    pub unpriced: u64,
}

impl Totals {
    /// Counts tasks of a state.
    pub(crate) const fn tally(&mut self, state: StateWord, n: u64) {
        match state {
            StateWord::Done => self.done += n,
            StateWord::Cancelled => self.cancelled += n,
            StateWord::NeedsHuman => self.needs_human += n,
            StateWord::Pending
            | StateWord::Ready
            | StateWord::Assigned
            | StateWord::Running
            | StateWord::Verifying
            | StateWord::Landing
            | StateWord::Parked => self.working += n,
        }
    }

    /// Counts what an attempt or a check used, in tokens and millionths of a dollar.
    pub(crate) fn spend(&mut self, tokens: u64, cost: Option<u64>) {
        self.tokens = self.tokens.saturating_add(tokens);
        match cost {
            Some(cost) => self.cost = MicroUsd(self.cost.0.saturating_add(cost)),
            None if tokens > 0 => self.unpriced += 1,
            None => {}
        }
    }
}

/// A row of the queue's ledger as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueLedgerRow {
    /// The line.
    pub line: LineId,
    /// Counts the rows of the line, from 1.
    pub n: u64,
    /// What it says.
    pub row: QueueRow,
    /// Covers the row and the hash before it.
    pub hash: Hash,
}
