//! The durable record of Longhaul: tasks, attempts, verdicts, windows, flags, and the ledger that says why.
//!
//! A [`Store`] is the one writer; a [`Reader`] reads and never writes (I7). Both are synchronous, and
//! neither knows a rule beyond compare-and-set: what a move means is decided in `longhaul-core`.
//! [`SqliteStore`] keeps one machine's state in a file; [`MemoryStore`] is the model that the
//! simulator and the differential tests compare it with.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod chain;
mod check;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod memory;
mod read;
mod resolve;
mod sqlite;
mod store;
mod write;

pub use chain::{Chain, Hash};
pub use error::{Cause, ErrorClass, StoreError};
pub use memory::MemoryStore;
pub use read::{
    Candidate, Counts, HostRow, LedgerRow, QueueLedgerRow, Resolution, StoredAttempt, StoredTask,
    SubmissionRow, TaskFilter, Totals,
};
pub use sqlite::{SqliteReader, SqliteStore};
pub use store::{Reader, Store, Upkeep};
pub use write::{
    Applied, AppliedOp, LineStep, NewTask, Refusal, Step, Submission, TreeVerdict, Write,
};
