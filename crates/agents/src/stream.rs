//! From bytes to lines to events, in bounded memory. What lines mean is each harness's own affair.

use longhaul_core::attempt::RefusedWrite;
use longhaul_core::time::UnixMs;
use longhaul_core::usage::Usage;
use serde_json::Value;

use crate::event::{AgentEvent, Denial, ExitStatusInfo, TurnEnd, TurnOutcome};
use crate::limits::Zone;
use crate::record::Spent;
use crate::refused_write;
use crate::text::{clean_text, excerpt, snippet};

/// A longer line is skipped and reported as a warning.
pub const MAX_LINE_BYTES: usize = 8 << 20;

/// At most this many denials are kept for [`TurnEnd::denials`].
const MAX_DENIALS: usize = 64;

/// Bytes of stderr kept for the end of a turn that had no terminal event.
const STDERR_TAIL_BYTES: usize = 8 << 10;

/// Reads one attempt's output as it comes. Sans-IO: bytes in, events out.
///
/// Any split of the input into pushes gives the same events; input is hostile, so nothing in it is an
/// error and nothing panics.
pub trait StreamParser: Send {
    /// Takes the next bytes of stdout.
    fn push(&mut self, bytes: &[u8], out: &mut Vec<AgentEvent>);

    /// Takes the next bytes of stderr.
    fn push_stderr(&mut self, bytes: &[u8], out: &mut Vec<AgentEvent>);

    /// Takes the end of both streams and of the process. A torn last line counts only if it is whole.
    /// `now` is when the process ended; it turns `resets 3pm` into a time.
    fn finish(&mut self, exit: ExitStatusInfo, now: UnixMs, out: &mut Vec<AgentEvent>) -> TurnEnd;

    /// Takes what the agent's own record says was used: each API message counts once, whether stream,
    /// record or both tell of it (T13).
    fn recorded(&mut self, spent: &Spent);

    /// This attempt's own usage so far. After a kill it is what stream and record had said until then.
    fn usage(&self) -> Usage;

    /// The conversation's usage over all its attempts, for agents that count so (codex): to be stored
    /// and given to the next attempt as [`ParserContext::baseline`]. `None` for all others.
    fn conversation_usage(&self) -> Option<Usage> {
        None
    }
}

/// What a parser has to know of its attempt.
#[derive(Clone, Debug, Default)]
pub struct ParserContext {
    /// What the conversation had used before this attempt; zero for a fresh one. Only agents that
    /// count over the whole conversation need it.
    pub baseline: Usage,
    /// The session's IANA time zone (`TZ` of the submitter), for reset texts that name none. UTC if it
    /// is absent or unknown.
    pub time_zone: Option<String>,
}

/// The meaning of one harness's lines.
pub(crate) trait Dialect: Send {
    /// A whole line of stdout, without its end; never empty.
    fn line(&mut self, line: &str, out: &mut Vec<AgentEvent>);
    /// A whole line of stderr.
    fn stderr_line(&mut self, _line: &str, _out: &mut Vec<AgentEvent>) {}
    /// How the turn ended.
    fn outcome(&mut self, end: &Ending<'_>, out: &mut Vec<AgentEvent>) -> TurnOutcome;
    fn usage(&self) -> Usage;
    fn recorded(&mut self, _spent: &Spent) {}
    fn conversation_usage(&self) -> Option<Usage> {
        None
    }
}

/// What is known when the process is gone.
pub(crate) struct Ending<'a> {
    pub(crate) exit: ExitStatusInfo,
    pub(crate) now: UnixMs,
    pub(crate) zone: &'a Zone,
    /// Cleaned end of stderr.
    pub(crate) stderr: &'a str,
}

impl Ending<'_> {
    pub(crate) fn no_terminal_event(&self) -> TurnOutcome {
        let skip = self.stderr.chars().count().saturating_sub(1024);
        TurnOutcome::NoTerminalEvent {
            exit: self.exit,
            stderr_tail: self.stderr.chars().skip(skip).collect(),
        }
    }
}

/// A [`StreamParser`] made of a line dialect.
pub(crate) struct LineParser<D> {
    dialect: D,
    zone: Zone,
    stdout: LineBuffer,
    stderr: LineBuffer,
    stderr_tail: Vec<u8>,
    denials: Vec<Denial>,
    refused_writes: Vec<RefusedWrite>,
}

impl<D: Dialect> LineParser<D> {
    pub(crate) fn new(dialect: D, context: &ParserContext) -> Self {
        Self {
            dialect,
            zone: Zone::named(context.time_zone.as_deref()),
            stdout: LineBuffer::default(),
            stderr: LineBuffer::default(),
            stderr_tail: Vec::new(),
            denials: Vec::new(),
            refused_writes: Vec::new(),
        }
    }

    fn keep_refusals(&mut self, events: &[AgentEvent]) {
        for event in events {
            match event {
                AgentEvent::Denied(denial)
                    if self.denials.len() < MAX_DENIALS && !self.denials.contains(denial) =>
                {
                    self.denials.push(denial.clone());
                }
                AgentEvent::WriteRefused(refused) => {
                    refused_write::keep(&mut self.refused_writes, refused.clone());
                }
                _ => {}
            }
        }
    }
}

fn take_line(
    line: Line<'_>,
    out: &mut Vec<AgentEvent>,
    meaning: impl FnOnce(&str, &mut Vec<AgentEvent>),
) {
    match line {
        Line::Whole(bytes) => {
            let text = String::from_utf8_lossy(bytes);
            let text = text.trim_end_matches('\r');
            if !text.trim().is_empty() {
                meaning(text, out);
            }
        }
        Line::TooLong(bytes) => out.push(AgentEvent::Warning {
            text: format!("a line of {bytes} bytes was skipped (more than {MAX_LINE_BYTES})"),
        }),
    }
}

impl<D: Dialect> StreamParser for LineParser<D> {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<AgentEvent>) {
        let first = out.len();
        let dialect = &mut self.dialect;
        self.stdout.push(bytes, |line| {
            take_line(line, out, |text, out| dialect.line(text, out))
        });
        self.keep_refusals(out.get(first..).unwrap_or_default());
    }

    fn push_stderr(&mut self, bytes: &[u8], out: &mut Vec<AgentEvent>) {
        let first = out.len();
        self.stderr_tail.extend_from_slice(bytes);
        let excess = self.stderr_tail.len().saturating_sub(STDERR_TAIL_BYTES);
        self.stderr_tail.drain(..excess);
        let dialect = &mut self.dialect;
        self.stderr.push(bytes, |line| {
            take_line(line, out, |text, out| dialect.stderr_line(text, out))
        });
        self.keep_refusals(out.get(first..).unwrap_or_default());
    }

    fn finish(&mut self, exit: ExitStatusInfo, now: UnixMs, out: &mut Vec<AgentEvent>) -> TurnEnd {
        let first = out.len();
        let dialect = &mut self.dialect;
        self.stderr
            .finish(|line| take_line(line, out, |text, out| dialect.stderr_line(text, out)));
        self.stdout
            .finish(|line| take_line(line, out, |text, out| dialect.line(text, out)));
        let stderr = clean_text(&String::from_utf8_lossy(&self.stderr_tail));
        let outcome = dialect.outcome(
            &Ending {
                exit,
                now,
                zone: &self.zone,
                stderr: stderr.trim(),
            },
            out,
        );
        self.keep_refusals(out.get(first..).unwrap_or_default());
        TurnEnd {
            outcome,
            denials: std::mem::take(&mut self.denials),
            refused_writes: std::mem::take(&mut self.refused_writes),
        }
    }

    fn recorded(&mut self, spent: &Spent) {
        self.dialect.recorded(spent);
    }

    fn usage(&self) -> Usage {
        self.dialect.usage()
    }

    fn conversation_usage(&self) -> Option<Usage> {
        self.dialect.conversation_usage()
    }
}

/// A line, or the length of one that was too long to keep.
pub(crate) enum Line<'a> {
    Whole(&'a [u8]),
    TooLong(u64),
}

/// Cuts a byte stream into lines; holds at most one unfinished line of [`MAX_LINE_BYTES`].
#[derive(Default)]
pub(crate) struct LineBuffer {
    partial: Vec<u8>,
    /// Bytes of the present line that were dropped; zero while it still fits.
    dropped: u64,
}

impl LineBuffer {
    pub(crate) fn push(&mut self, mut bytes: &[u8], mut take: impl FnMut(Line<'_>)) {
        while let Some(end) = bytes.iter().position(|&b| b == b'\n') {
            let (line, rest) = bytes.split_at(end);
            if self.partial.is_empty() && self.dropped == 0 && line.len() <= MAX_LINE_BYTES {
                take(Line::Whole(line));
            } else {
                self.append(line);
                self.emit(&mut take);
            }
            bytes = rest.get(1..).unwrap_or_default();
        }
        self.append(bytes);
    }

    /// The last line, if the stream did not end with a line feed.
    pub(crate) fn finish(&mut self, mut take: impl FnMut(Line<'_>)) {
        if !self.partial.is_empty() || self.dropped > 0 {
            self.emit(&mut take);
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        if self.dropped > 0 || self.partial.len() + bytes.len() > MAX_LINE_BYTES {
            self.dropped += (self.partial.len() + bytes.len()) as u64;
            self.partial = Vec::new();
        } else {
            self.partial.extend_from_slice(bytes);
        }
    }

    fn emit(&mut self, take: &mut impl FnMut(Line<'_>)) {
        if self.dropped > 0 {
            take(Line::TooLong(std::mem::take(&mut self.dropped)));
        } else {
            take(Line::Whole(&self.partial));
            self.partial.clear();
        }
    }
}

/// Reads a line as a JSON object, or reports it as unknown.
pub(crate) fn json_object(line: &str, out: &mut Vec<AgentEvent>) -> Option<Value> {
    match serde_json::from_str::<Value>(line) {
        Ok(value) if value.is_object() => Some(value),
        _ => {
            out.push(AgentEvent::Unknown {
                kind: format!("not an event: {}", snippet(line, 80)),
            });
            None
        }
    }
}

/// The string at a JSON pointer, or `""`.
pub(crate) fn str_at<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

/// The whole number at a JSON pointer, or 0; fractions are cut.
pub(crate) fn u64_at(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).map_or(0, whole)
}

/// A number as a whole one: fractions cut, negatives and non-numbers 0.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, and that is wanted"
)]
pub(crate) fn whole(value: &Value) -> u64 {
    value
        .as_u64()
        .or_else(|| value.as_f64().map(|f| f as u64))
        .unwrap_or(0)
}

/// A conversation id as it may be put into a command line later: letters, digits, `-` and `_`, not
/// starting with `-`, at most 128 (A23: a corrupt id is refused).
pub(crate) fn sound_conversation(id: &str) -> Option<String> {
    let sound = !id.is_empty()
        && id.len() <= 128
        && !id.starts_with('-')
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    sound.then(|| id.to_owned())
}

/// A short cleaned text, or `None` for an empty one.
pub(crate) fn named(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| snippet(text, 120))
}

/// Words of the agent, cleaned and cut at a length no honest message has.
pub(crate) fn words(text: &str) -> String {
    excerpt(text, 64 << 10)
}

/// The most telling argument of a tool call, in one short line.
pub(crate) fn tool_summary(input: &Value) -> String {
    const TELLING: [&str; 13] = [
        "command",
        "cmd",
        "file_path",
        "filePath",
        "notebook_path",
        "absolute_path",
        "path",
        "pattern",
        "query",
        "url",
        "description",
        "prompt",
        "skill",
    ];
    for key in TELLING {
        match input.get(key) {
            Some(Value::String(text)) if !text.is_empty() => return snippet(text, 200),
            Some(Value::Array(parts)) if !parts.is_empty() => {
                let parts: Vec<&str> = parts.iter().filter_map(Value::as_str).collect();
                return snippet(&parts.join(" "), 200);
            }
            _ => {}
        }
    }
    match input {
        Value::Null => String::new(),
        Value::String(text) => snippet(text, 200),
        Value::Object(map) if map.is_empty() => String::new(),
        other => snippet(&other.to_string(), 200),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let mut buffer = LineBuffer::default();
        let mut got = Vec::new();
        let mut take = |line: Line<'_>| match line {
            Line::Whole(b) => got.push(String::from_utf8_lossy(b).into_owned()),
            Line::TooLong(n) => got.push(format!("<{n}>")),
        };
        for piece in pieces {
            buffer.push(piece, &mut take);
        }
        buffer.finish(&mut take);
        got
    }

    #[test]
    fn lines_are_cut_at_line_feeds_only() {
        assert_eq!(lines(&[b"a\nb", b"c\n\nd"]), ["a", "bc", "", "d"]);
        assert!(lines(&[b""]).is_empty());
    }

    #[test]
    fn a_line_of_any_length_costs_bounded_memory() {
        let mega = vec![b'x'; 1 << 20];
        let mut pieces: Vec<&[u8]> = vec![&mega; 20];
        pieces.push(b"\nok\n");
        assert_eq!(lines(&pieces), [format!("<{}>", 20 << 20), "ok".to_owned()]);
        let mut buffer = LineBuffer::default();
        for piece in &pieces[..20] {
            buffer.push(piece, |_| {});
            assert!(buffer.partial.capacity() <= 2 * MAX_LINE_BYTES);
        }
        let exact = vec![b'y'; MAX_LINE_BYTES];
        assert_eq!(lines(&[&exact, b"\n"])[0].len(), MAX_LINE_BYTES);
        assert_eq!(
            lines(&[&exact, b"y\n"]),
            lines(&[&exact[..5], &exact[5..], b"y", b"\n"])
        );
    }

    #[test]
    fn a23_ids_that_could_be_flags_or_paths_are_refused() {
        assert!(sound_conversation("ses_e0480bdc4ffexhqdOj00RU5g16").is_some());
        assert!(sound_conversation("11111111-1111-4111-8111-111111111111").is_some());
        for bad in [
            "",
            "-rf",
            "--resume",
            "../x",
            "a b",
            "a\nb",
            "é",
            &"x".repeat(129),
        ] {
            assert!(sound_conversation(bad).is_none(), "{bad:?}");
        }
    }
}
