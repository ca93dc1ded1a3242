//! Server-sent events, sans IO: bytes in, events out, bounded. Comments and unknown fields are
//! ignored; an overlong line or event is left out and ends nothing.

use std::collections::VecDeque;

/// Longest line, and longest data of an event, in bytes.
const LINE_MAX: usize = 16 << 20;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SseEvent {
    /// `id:`, to resume after.
    pub(crate) id: Option<String>,
    /// `event:`, its kind.
    pub(crate) kind: Option<String>,
    /// `data:`, its lines joined.
    pub(crate) data: String,
}

/// The parser.
#[derive(Debug, Default)]
pub(crate) struct SseParser {
    line: Vec<u8>,
    skip_feed: bool,
    overlong: bool,
    current: SseEvent,
    has_data: bool,
    /// The event has more data than is kept: it will not be told of.
    too_much: bool,
    ready: VecDeque<SseEvent>,
}

impl SseParser {
    /// Takes bytes in.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            match byte {
                b'\n' if std::mem::take(&mut self.skip_feed) => {}
                b'\n' | b'\r' => {
                    self.skip_feed = byte == b'\r';
                    self.end_line();
                }
                _ => {
                    self.skip_feed = false;
                    if self.line.len() < LINE_MAX {
                        self.line.push(byte);
                    } else {
                        self.overlong = true;
                    }
                }
            }
        }
    }

    /// The next whole event.
    pub(crate) fn next(&mut self) -> Option<SseEvent> {
        self.ready.pop_front()
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.overlong) {
            return;
        }
        if line.is_empty() {
            let event = std::mem::take(&mut self.current);
            let too_much = std::mem::take(&mut self.too_much);
            if std::mem::take(&mut self.has_data) && !too_much {
                self.ready.push_back(event);
            }
            return;
        }
        let text = String::from_utf8_lossy(&line);
        let (field, value) = text.split_once(':').unwrap_or((&text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" if self.current.data.len() + value.len() >= LINE_MAX => {
                self.too_much = true;
                self.current.data = String::new();
            }
            "data" => {
                if self.has_data {
                    self.current.data.push('\n');
                }
                self.has_data = true;
                self.current.data.push_str(value);
            }
            "event" => self.current.kind = Some(value.to_owned()),
            "id" => self.current.id = Some(value.to_owned()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i16_an_event_that_never_ends_is_left_out() {
        let mut parser = SseParser::default();
        let line = format!("data:{}\n", "x".repeat(1 << 20));
        for _ in 0..40 {
            parser.feed(line.as_bytes());
            assert!(parser.current.data.len() <= LINE_MAX);
        }
        parser.feed(b"\n\ndata:next\n\n");
        let told: Vec<SseEvent> = std::iter::from_fn(|| parser.next()).collect();
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].data, "next");
    }

    #[test]
    fn any_split_gives_the_same_events() {
        let text =
            b": hello\r\nid: 7\nevent: ledger\ndata: {\"a\":\ndata: 1}\n\ndata:x\r\rretry: 5\n\n";
        let whole = {
            let mut p = SseParser::default();
            p.feed(text);
            std::iter::from_fn(move || p.next()).collect::<Vec<_>>()
        };
        assert_eq!(whole.len(), 2);
        assert_eq!(whole[0].id.as_deref(), Some("7"));
        assert_eq!(whole[0].data, "{\"a\":\n1}");
        assert_eq!(whole[1].data, "x");
        for cut in 0..text.len() {
            let mut p = SseParser::default();
            p.feed(&text[..cut]);
            p.feed(&text[cut..]);
            let split: Vec<_> = std::iter::from_fn(|| p.next()).collect();
            assert_eq!(split, whole, "cut at {cut}");
        }
    }
}
