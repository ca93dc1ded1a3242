//! Claude Code: `claude -p --output-format stream-json`.

mod stream;
mod transcript;

pub(crate) use stream::ClaudeStream;
pub use transcript::ClaudeTranscript;
