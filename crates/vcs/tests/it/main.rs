//! Real git in temporary folders: what the crate does to repositories, worktrees and users.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod seal;
mod support;
mod worktrees;
