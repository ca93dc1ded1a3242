//! Gemini CLI: `gemini --output-format stream-json`.

mod launch;
mod stream;

pub(crate) use launch::{capabilities, launch};
pub(crate) use stream::GeminiStream;
