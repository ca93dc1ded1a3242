//! Codex CLI: `codex exec --json`.

mod launch;
mod rollout;
mod stream;

pub(crate) use launch::{capabilities, launch};
pub use rollout::{CodexRollout, RateWindow};
pub(crate) use stream::CodexStream;
