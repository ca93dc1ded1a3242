//! The merge queue as plain values: one *line* per repository and base branch, its entries, and
//! `decide`, which says what a line becomes by a fact (landing.md L8–L18).
//!
//! As with tasks, the state is the intent: a committed line names at most one outstanding effect
//! ([`outstanding`]), keyed by (line, round), and every effect is an idempotent *ensure*.
//!
//! What holds here, whatever the world does:
//! - only a candidate whose checks all passed on that very tree is landed, or one whose entries have
//!   none and were allowed to go without (I9);
//! - an entry is sent back only if its own candidate was red twice and the tree below it was green;
//! - order follows priority and age; an entry that waits says why.

mod decide;
mod entry;
mod explain;
mod fact;
mod forecast;
mod line;
mod plan;
mod undo;

pub use decide::decide;
pub use entry::{Entry, EntryId, LandCheck, MergeStyle, Origin, Wait, WaitOn};
pub use explain::{Standing, standing};
pub use fact::{
    ConflictKind, ConflictPath, ConflictReport, FollowEnd, Judgement, LandNews, QueueFact,
    QueueNews, QueueOrder, ToTask, TrialEnd, TrialReport,
};
pub use forecast::{Forecast, Foreseen, Head, HeadAt, Meeting};
pub use line::{
    Behind, Block, Candidate, Effort, Line, LineId, Outcome, Point, QueueAct, QueueCause,
    QueueChange, QueueEffect, QueueRow, Record, Stage, Subject, outstanding,
};
pub use plan::{QueuePolicy, batch_size, order};
pub use undo::{Landing, NotUndone, Undoing, to_undo};
