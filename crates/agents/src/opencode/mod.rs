//! OpenCode: `opencode run --format json`.

mod launch;
mod stream;

pub(crate) use launch::{capabilities, launch};
pub(crate) use stream::OpencodeStream;
