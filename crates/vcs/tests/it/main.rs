//! Real git in temporary folders: what the crate does to repositories, worktrees and users.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests are tests, and a skipped test says so"
)]

mod crash;
mod files;
mod hostile;
mod oddities;
mod queue;
mod refs;
mod remembered;
mod seal;
mod support;
mod unaided;
mod worktrees;
