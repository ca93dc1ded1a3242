//! The two traits: a store that writes and a reader that never does.

use std::collections::BTreeMap;

use longhaul_core::ids::{Fence, TaskId};
use longhaul_core::queue::{EntryId, Line, LineId};
use longhaul_core::spec::TaskSpec;
use longhaul_core::task::Task;
use longhaul_core::time::UnixMs;
use longhaul_core::verdict::Verdict;
use longhaul_core::window::Window;
use serde_json::Value;
use uuid::Uuid;

use crate::chain::Chain;
use crate::error::StoreError;
use crate::read::{
    Counts, HostRow, LedgerRow, QueueLedgerRow, Resolution, StoredAttempt, StoredTask,
    SubmissionRow, TaskFilter, Totals,
};
use crate::write::{Applied, AppliedOp, Refusal, TreeVerdict, Write};

/// The one writer of a state. Owned and called by a single thread, which gathers what is waiting into
/// batches: a batch is one durable transaction, so its cost is shared (group commit).
pub trait Store: Send {
    /// Applies a batch in order, in one transaction, and returns after it is durable.
    ///
    /// There is one result per write, in the same order. A refused write changes nothing and does not
    /// affect the others; later writes of a batch see what earlier ones did.
    ///
    /// # Errors
    /// The whole batch was rolled back, except for [`StoreError::CommitUnknown`]. Once a daemon began by
    /// way of another writer ([`Write::HostStart`]), every batch of one that began before is
    /// [`StoreError::Superseded`].
    fn commit(&mut self, batch: &[Write]) -> Result<Vec<Result<Applied, Refusal>>, StoreError>;

    /// Every task that is not final, oldest id first. Costs what is live, never history.
    ///
    /// # Errors
    /// If it cannot be read, or a stored value is unknown (I1).
    fn live(&mut self) -> Result<Vec<Task>, StoreError>;

    /// The lines of the merge queue, by repository and base.
    ///
    /// # Errors
    /// As [`Store::live`].
    fn lines(&mut self) -> Result<Vec<Line>, StoreError>;

    /// The limit windows, by scope.
    ///
    /// # Errors
    /// As [`Store::live`].
    fn windows(&mut self) -> Result<Vec<Window>, StoreError>;

    /// The flags, by name.
    ///
    /// # Errors
    /// As [`Store::live`].
    fn flags(&mut self) -> Result<BTreeMap<String, Value>, StoreError>;

    /// Whether the move of this operation id is stored: the answer after
    /// [`StoreError::CommitUnknown`].
    ///
    /// # Errors
    /// If it cannot be read.
    fn applied(&mut self, op_id: Uuid) -> Result<Option<AppliedOp>, StoreError>;

    /// Does a small piece of housekeeping; to be called when nothing is waiting.
    ///
    /// # Errors
    /// If that piece failed; nothing is lost by it.
    fn idle(&mut self) -> Result<Upkeep, StoreError>;

    /// A reader of the same state, for another thread.
    ///
    /// # Errors
    /// If it cannot be opened.
    fn reader(&self) -> Result<Box<dyn Reader>, StoreError>;
}

/// Whether housekeeping is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upkeep {
    /// There is nothing to do until something was written.
    Done,
    /// Call again when nothing is waiting.
    More,
}

/// Reads a state and never writes (I7). Every call sees one consistent state and holds nothing when it
/// returns, so a reader that is kept open does not hinder the writer.
///
/// Every method fails if the state cannot be read, and where a stored value is unknown (I1).
#[expect(
    clippy::missing_errors_doc,
    reason = "said once for all of them, just above"
)]
pub trait Reader: Send {
    /// A task.
    fn task(&self, id: TaskId) -> Result<Option<StoredTask>, StoreError>;

    /// What was asked for.
    fn spec(&self, id: TaskId) -> Result<Option<TaskSpec>, StoreError>;

    /// Tasks by filter, newest id first.
    fn list(&self, filter: &TaskFilter) -> Result<Vec<StoredTask>, StoreError>;

    /// How many tasks there are in each state, final ones included. Does not read the tasks.
    fn counts(&self) -> Result<Counts, StoreError>;

    /// The task that a person means: a full id, the first digits of one (four at least), its
    /// eight-digit short form ([`TaskId::short`]), or a name. Of a name, live tasks come first; where
    /// several are live, none of them is guessed ([`Resolution::Ambiguous`]); where none is, the newest
    /// finished one is meant.
    fn resolve(&self, text: &str) -> Result<Resolution, StoreError>;

    /// The ledger of a task, oldest row first.
    fn ledger(&self, task: TaskId) -> Result<Vec<LedgerRow>, StoreError>;

    /// Ledger rows of all tasks after a sequence number, oldest first: the feed of events. Rows appear
    /// in the order of their numbers, so a reader that goes on from the last number misses none.
    fn ledger_tail(&self, after_seq: u64, limit: usize) -> Result<Vec<LedgerRow>, StoreError>;

    /// The sequence number of the newest ledger row; 0 if there is none.
    fn newest_seq(&self) -> Result<u64, StoreError>;

    /// The attempts of a task, oldest first.
    fn attempts(&self, task: TaskId) -> Result<Vec<StoredAttempt>, StoreError>;

    /// The verdicts of a task, oldest first.
    fn verdicts(&self, task: TaskId) -> Result<Vec<Verdict>, StoreError>;

    /// The newest verdict of a check on an attempt.
    fn verdict(
        &self,
        task: TaskId,
        fence: Fence,
        name: &str,
    ) -> Result<Option<Verdict>, StoreError>;

    /// A submission by its id.
    fn submission(&self, id: Uuid) -> Result<Option<SubmissionRow>, StoreError>;

    /// Tasks from this source, of any submission, that are not final; oldest id first.
    fn live_from(&self, source: &str) -> Result<Vec<StoredTask>, StoreError>;

    /// The tasks of a submission in the order of their file.
    fn tasks_of(&self, submission: Uuid) -> Result<Vec<StoredTask>, StoreError>;

    /// Tasks that name this one in `depends_on`.
    fn dependents(&self, task: TaskId) -> Result<Vec<TaskId>, StoreError>;

    /// What came of the work since a time.
    fn totals(&self, since: UnixMs) -> Result<Totals, StoreError>;

    /// The lines of the merge queue, by repository and base.
    fn lines(&self) -> Result<Vec<Line>, StoreError>;

    /// A line of the merge queue.
    fn line(&self, id: &LineId) -> Result<Option<Line>, StoreError>;

    /// The newest rows of a line's ledger, oldest first.
    fn queue_tail(&self, line: &LineId, limit: usize) -> Result<Vec<QueueLedgerRow>, StoreError>;

    /// What the queue's ledger says of an entry, oldest row first.
    fn queue_of(&self, entry: EntryId) -> Result<Vec<QueueLedgerRow>, StoreError>;

    /// A check that passed on a tree, if it did.
    fn tree_verdict(&self, tree: &str, key: &str) -> Result<Option<TreeVerdict>, StoreError>;

    /// Walks the hash chain of a line; `None` if there is no such line.
    fn verify_line(&self, line: &LineId) -> Result<Option<Chain>, StoreError>;

    /// The limit windows, by scope.
    fn windows(&self) -> Result<Vec<Window>, StoreError>;

    /// The flags, by name.
    fn flags(&self) -> Result<BTreeMap<String, Value>, StoreError>;

    /// The hosts, by name.
    fn hosts(&self) -> Result<Vec<HostRow>, StoreError>;

    /// Walks the hash chain of a task; `None` if there is no such task.
    fn verify_chain(&self, task: TaskId) -> Result<Option<Chain>, StoreError>;
}
