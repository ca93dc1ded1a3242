//! Worktrees of tasks: made, found, repaired, removed.

pub(crate) mod admin;
mod discard;
mod ensure;
mod plan;
mod record;
mod write_paths;

pub use plan::{EnsureError, Ensured, Made, Note, WorkspacePlan, Worktree};
pub(crate) use record::Record;
