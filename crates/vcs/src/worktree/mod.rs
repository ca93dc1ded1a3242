//! Worktrees of tasks: made, found, repaired, removed.

pub(crate) mod admin;
mod ensure;
mod record;

pub use ensure::{EnsureError, Ensured, Made, Note, WorkspacePlan, Worktree};
