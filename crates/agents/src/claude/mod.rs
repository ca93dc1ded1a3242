//! Claude Code: `claude -p --output-format stream-json`.

mod again;
mod launch;
mod stream;
mod transcript;

pub(crate) use again::again;
pub(crate) use launch::{capabilities, launch};
pub(crate) use stream::ClaudeStream;
pub use transcript::ClaudeTranscript;
