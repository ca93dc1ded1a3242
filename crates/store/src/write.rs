//! What can be written, and what became of it.

use longhaul_core::decide::Change;
use longhaul_core::ids::{Fence, TaskId};
use longhaul_core::ledger::LedgerEntry;
use longhaul_core::queue::{Judgement, Line, QueueRow};
use longhaul_core::spec::TaskSpec;
use longhaul_core::task::Task;
use longhaul_core::time::UnixMs;
use longhaul_core::verdict::Verdict;
use longhaul_core::window::Window;
use serde_json::Value;
use uuid::Uuid;

/// One operation of a batch. Each succeeds or is refused by itself.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Accepts new tasks: all of them or none.
    Submit(Box<Submission>),
    /// Moves a task.
    Step(Box<Step>),
    /// Moves a line of the merge queue.
    Line(Box<LineStep>),
    /// Notes that a harness or account rests (A4); replaces what was known of that scope.
    Window(Window),
    /// Forgets the window of a scope, if there is one.
    ClearWindow {
        /// The harness or account.
        scope: String,
    },
    /// Sets a flag of the whole daemon, such as `drain` or `estop`; `null` removes it.
    Flag {
        /// Its name.
        name: String,
        /// Its value.
        value: Value,
    },
    /// A daemon starts on a host: the host's epoch grows by one, and attempts that begin from here
    /// on are recorded under it.
    HostStart {
        /// The host's name.
        host: String,
        /// Boot id of the machine.
        boot_id: String,
        /// Version of the daemon.
        version: String,
        /// When.
        at: UnixMs,
    },
}

/// Tasks that were handed in together.
#[derive(Clone, Debug, PartialEq)]
pub struct Submission {
    /// Identity, chosen by the submitter: handing in the same one again changes nothing.
    pub id: Uuid,
    /// Where the tasks came from: the path of the task file, or a word.
    pub source: String,
    /// Digest of what was handed in, to recognise the same file.
    pub digest: String,
    /// When.
    pub created_at: UnixMs,
    /// The tasks in the order of their file.
    pub tasks: Vec<NewTask>,
}

/// A task being accepted. The operation id of its first ledger row is the task's own id.
#[derive(Clone, Debug, PartialEq)]
pub struct NewTask {
    /// The task at version 1.
    pub task: Task,
    /// What was asked for; immutable from here on.
    pub spec: TaskSpec,
    /// The ledger row of its acceptance, version 1.
    pub entry: LedgerEntry,
}

/// A move of one task: a compare-and-set with everything that belongs to it (T1, I1).
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The version the decision was made on.
    pub expect_version: u64,
    /// The fence the decision was made on.
    pub expect_fence: Fence,
    /// The task after the move; its attempt, if any, is stored with it.
    pub task: Task,
    /// Why.
    pub entry: LedgerEntry,
    /// A verdict to keep.
    pub verdict: Option<Verdict>,
    /// A limit window that was learned.
    pub window: Option<Window>,
    /// Names this move for ever (version 7, so that it sorts by time): tells whether a commit of
    /// unknown outcome took place.
    pub op_id: Uuid,
}

impl Step {
    /// The write of a decided change of `before`.
    #[must_use]
    pub fn of(before: &Task, change: Change, op_id: Uuid) -> Self {
        Self {
            expect_version: before.version,
            expect_fence: before.fence,
            task: change.task,
            entry: change.entry,
            verdict: change.verdict,
            window: change.window,
            op_id,
        }
    }
}

/// A move of one line: a compare-and-set with everything that belongs to it (L18). The writes that tell
/// its tasks stand in the same batch.
#[derive(Clone, Debug, PartialEq)]
pub struct LineStep {
    /// The version the decision was made on; 0 = there is no such line yet.
    pub expect_version: u64,
    /// The line after the move.
    pub line: Line,
    /// Why, row by row.
    pub rows: Vec<QueueRow>,
    /// A check that passed, to be remembered.
    pub green: Option<TreeVerdict>,
}

/// A check that passed on a tree.
#[derive(Clone, Debug, PartialEq)]
pub struct TreeVerdict {
    /// The tree.
    pub tree: String,
    /// Digest of all else that the verdict depends on.
    pub key: String,
    /// The verdict.
    pub judgement: Judgement,
    /// When it was given.
    pub at: UnixMs,
}

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Ledger rows were written.
    Ledger {
        /// Sequence number of the first.
        first: u64,
        /// Sequence number of the last; the same for a single move.
        last: u64,
    },
    /// This very operation was applied before; nothing was written now.
    Before,
    /// A line, window or flag is as asked for.
    Stored,
    /// The host's new epoch.
    HostEpoch(u64),
}

/// Why one write of a batch was not applied. The other writes of the batch are not affected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The task has moved on: read it again and decide again; never repeat blindly.
    #[error("the task is at version {version}, fence {fence}")]
    Stale {
        /// The stored version.
        version: u64,
        /// The stored fence.
        fence: Fence,
    },
    /// The line has moved on.
    #[error("the line is at version {version}")]
    StaleLine {
        /// The stored version; 0 = there is none.
        version: u64,
    },
    /// There is no such task.
    #[error("there is no task {0}")]
    Unknown(TaskId),
    /// A task of this id exists already, from another submission.
    #[error("there is a task {0} already")]
    Exists(TaskId),
    /// A dependency that is neither stored nor part of the submission.
    #[error("it depends on task {0}, which does not exist")]
    UnknownDependency(TaskId),
    /// The operation id was used for something else.
    #[error("the operation id {0} was used before")]
    OpReused(Uuid),
    /// The write contradicts itself or the stored state; the caller is wrong.
    #[error("the write is malformed: {0}")]
    Malformed(&'static str),
}

/// A move that is known to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppliedOp {
    /// Sequence number of its ledger row.
    pub seq: u64,
    /// The task that it moved.
    pub task: TaskId,
    /// The task's version after it.
    pub version: u64,
}
