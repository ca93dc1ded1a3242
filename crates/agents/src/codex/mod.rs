//! Codex CLI: `codex exec --json`.

mod rollout;
mod stream;

pub use rollout::{CodexRollout, RateWindow};
pub(crate) use stream::CodexStream;
