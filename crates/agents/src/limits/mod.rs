//! What agents say about limits: the sentences (facts/limits.md §1a) and their reset times.
//!
//! Only words of the *client* are ever read here: error results, error events, stderr. What the model
//! itself says about limits never is. Unknown wording is no limit (A5).

mod reset;
mod rules;
#[cfg(test)]
mod table;

pub(crate) use reset::epoch_secs;
pub use reset::{ResetText, Zone};
pub use rules::{Client, Meaning, Reading, read, read_status};

/// The longest snippet of a notice, in characters (A6).
pub const SNIPPET_CHARS: usize = 120;
