//! An agent's own record of a conversation (its transcript, its rollout), read as it grows: what the
//! stream does not say, above all what a turn had used that was killed (T13). Sans-IO: bytes in.

use longhaul_core::usage::Usage;
use serde_json::Value;

use crate::stream::{Line, LineBuffer};

/// What a record says was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spent {
    /// One API message; told again, and with larger numbers, while it grows. To be counted once by its
    /// id, whoever else tells of it.
    Message {
        /// The message's id.
        id: String,
        /// What it used.
        usage: Usage,
    },
    /// The whole conversation until now, earlier attempts included: a running total, no difference.
    Conversation {
        /// What it used.
        usage: Usage,
    },
}

/// Reads one file of a record from where an attempt began. Input is hostile: nothing in it is an error.
pub trait RecordReader: Send {
    /// Takes the next bytes of the file. A torn last line waits for its rest.
    fn push(&mut self, bytes: &[u8], spent: &mut Vec<Spent>);

    /// The file will not grow any more: a last line without a line feed counts if it is whole.
    fn finish(&mut self, spent: &mut Vec<Spent>);
}

/// What the entries of a record mean.
pub(crate) trait Entries: Send {
    fn take(&mut self, entry: &Value, spent: &mut Vec<Spent>);
}

/// A record of one JSON object a line, in bounded memory; lines that are none are passed over.
#[derive(Default)]
pub(crate) struct JsonLines<S> {
    lines: LineBuffer,
    pub(crate) seen: S,
}

impl<S: Entries> RecordReader for JsonLines<S> {
    fn push(&mut self, bytes: &[u8], spent: &mut Vec<Spent>) {
        let seen = &mut self.seen;
        self.lines.push(bytes, |line| entry(seen, line, spent));
    }

    fn finish(&mut self, spent: &mut Vec<Spent>) {
        let seen = &mut self.seen;
        self.lines.finish(|line| entry(seen, line, spent));
    }
}

fn entry(seen: &mut impl Entries, line: Line<'_>, spent: &mut Vec<Spent>) {
    if let Line::Whole(line) = line
        && let Ok(entry) = serde_json::from_slice::<Value>(line)
    {
        seen.take(&entry, spent);
    }
}
