//! Worktrees of tasks: made, found, repaired, removed.

pub(crate) mod admin;
mod discard;
mod ensure;
mod record;
mod write_paths;

pub use ensure::{EnsureError, Ensured, Made, Note, WorkspacePlan, Worktree};
