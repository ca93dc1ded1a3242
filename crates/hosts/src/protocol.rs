//! The words on a shim's socket: one JSON object a line, both ways. Sans-IO.
//!
//! The client says `hello` with the highest version it speaks and is answered with the version both
//! speak. What a shim does not know is answered with `refused` and changes nothing.

use serde::{Deserialize, Serialize};

/// Oldest version of the socket's words that is still spoken.
pub(crate) const PROTOCOL_MIN: u32 = 1;

/// Longest line either side takes in.
pub(crate) const MAX_LINE_BYTES: usize = 256 * 1024;

/// Most bytes in one `input` (they travel as hexadecimal digits).
pub(crate) const MAX_INPUT_BYTES: usize = 64 * 1024;

/// What a client may ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(crate) enum Request {
    /// Which version?
    Hello { version: u32 },
    /// Tell me of growth and of the end.
    Watch,
    /// End the tree: TERM, after the grace KILL.
    Stop { grace_ms: u64 },
    /// Write to the job's input.
    Input { hex: String },
    /// No more input.
    CloseStdin,
    /// The terminal's size.
    Resize { rows: u16, cols: u16 },
}

/// What a shim says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event {
    /// Answer to `hello`.
    Hello { version: u32, key: String },
    /// Done as asked.
    Ok,
    /// Not done.
    Refused { reason: Refusal },
    /// So many bytes are in the logs.
    Grew { out: u64, err: u64 },
    /// The exit record is on disk.
    Exited,
    /// From a later version.
    #[serde(other)]
    Unknown,
}

/// Why a request was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// Not understood.
    BadRequest,
    /// There is no input (any more), or it ended.
    NoInput,
    /// Too much input waits already; try again later.
    Busy,
    /// There is no terminal.
    NoTerminal,
    /// From a later version.
    #[serde(other)]
    Other,
}

/// One line, its end included.
pub(crate) fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    let mut line = serde_json::to_vec(message).expect("our messages are plain data");
    line.push(b'\n');
    line
}

/// Splits a byte stream into lines, bounded.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    buffer: Vec<u8>,
}

/// A line longer than [`MAX_LINE_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LineTooLong;

impl Lines {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole line without its end.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<u8>>, LineTooLong> {
        match self.buffer.iter().position(|b| *b == b'\n') {
            Some(end) if end <= MAX_LINE_BYTES => {
                let rest = self.buffer.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.buffer, rest);
                line.pop();
                Ok(Some(line))
            }
            None if self.buffer.len() <= MAX_LINE_BYTES => Ok(None),
            _ => Err(LineTooLong),
        }
    }
}

/// Bytes as hexadecimal digits.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            write!(text, "{byte:02x}").expect("writing to a string cannot fail");
            text
        })
}

/// Hexadecimal digits as bytes.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || digits.len() / 2 > MAX_INPUT_BYTES {
        return None;
    }
    let value = |digit: u8| char::from(digit).to_digit(16);
    digits
        .chunks_exact(2)
        .map(|pair| u8::try_from(value(pair[0])? * 16 + value(pair[1])?).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_split_gives_the_same_lines() {
        let text = b"one\n\ntwo\nthree";
        for split in 0..=text.len() {
            let mut lines = Lines::default();
            let mut seen = Vec::new();
            for part in [&text[..split], &text[split..]] {
                lines.push(part);
                while let Some(line) = lines.next().unwrap() {
                    seen.push(line);
                }
            }
            assert_eq!(seen, [&b"one"[..], b"", b"two"]);
        }
        let mut lines = Lines::default();
        lines.push(&vec![b'x'; MAX_LINE_BYTES + 1]);
        assert_eq!(lines.next(), Err(LineTooLong));
    }

    #[test]
    fn hex_round_trips_and_refuses_nonsense() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(from_hex(&to_hex(&all)), Some(all));
        for bad in ["a", "zz", "ää", "+1"] {
            assert_eq!(from_hex(bad), None);
        }
    }

    #[test]
    fn later_versions_words_are_understood_as_unknown() {
        let event: Event = serde_json::from_str(r#"{"event":"melted","at":3}"#).unwrap();
        assert_eq!(event, Event::Unknown);
        let refused: Event =
            serde_json::from_str(r#"{"event":"refused","reason":"tired"}"#).unwrap();
        assert_eq!(
            refused,
            Event::Refused {
                reason: Refusal::Other
            }
        );
    }
}
