//! Server-sent events, taken apart as they come. Bytes in, events' data out; any split of the input gives the
//! same events. An event larger than the bound is skipped, never kept.

/// Largest `data` of an event that is looked at.
pub const MAX_EVENT_BYTES: usize = 4 << 20;

/// The state of a stream.
#[derive(Debug, Default)]
pub struct Events {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    /// The event became too large: the rest of it is dropped.
    oversize: bool,
    after_cr: bool,
}

impl Events {
    /// Takes in bytes; `event` gets the data of each event that they complete.
    pub fn push(&mut self, mut bytes: &[u8], mut event: impl FnMut(&[u8])) {
        if std::mem::take(&mut self.after_cr) && bytes.first() == Some(&b'\n') {
            bytes = &bytes[1..];
        }
        while let Some(at) = bytes.iter().position(|b| *b == b'\n' || *b == b'\r') {
            let (head, rest) = bytes.split_at(at);
            if self.line.is_empty() {
                self.line_ended(head, &mut event);
            } else {
                self.keep(head);
                let line = std::mem::take(&mut self.line);
                self.line_ended(&line, &mut event);
                self.line = line;
                self.line.clear();
            }
            bytes = &rest[1..];
            if rest[0] == b'\r' {
                match bytes.first() {
                    Some(b'\n') => bytes = &bytes[1..],
                    Some(_) => {}
                    None => self.after_cr = true,
                }
            }
        }
        self.keep(bytes);
    }

    fn keep(&mut self, part: &[u8]) {
        if self.line.len() + part.len() > MAX_EVENT_BYTES {
            self.oversize = true;
            self.line.clear();
            // Not empty, so that its end is not taken for the end of the event.
            self.line.push(b':');
        } else {
            self.line.extend_from_slice(part);
        }
    }

    fn line_ended(&mut self, line: &[u8], event: &mut impl FnMut(&[u8])) {
        if line.is_empty() {
            if self.has_data && !self.oversize {
                event(&self.data);
            }
            self.data.clear();
            self.has_data = false;
            self.oversize = false;
            return;
        }
        let Some(data) = line.strip_prefix(b"data") else {
            return;
        };
        let data = match data.strip_prefix(b":") {
            Some(data) => data.strip_prefix(b" ").unwrap_or(data),
            None if data.is_empty() => data,
            None => return,
        };
        if self.data.len() + data.len() > MAX_EVENT_BYTES {
            self.oversize = true;
        }
        if self.oversize {
            return;
        }
        if self.has_data {
            self.data.push(b'\n');
        }
        self.has_data = true;
        self.data.extend_from_slice(data);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(parts: &[&[u8]]) -> Vec<String> {
        let mut parser = Events::default();
        let mut found = Vec::new();
        for part in parts {
            parser.push(part, |data| {
                found.push(String::from_utf8_lossy(data).into_owned())
            });
        }
        found
    }

    #[test]
    fn lines_end_in_three_ways_and_data_is_joined() {
        let text =
            b"event: a\r\ndata: one\r\n\r\ndata:two\ndata: three\n\n: a comment\rdata\r\rid: 5\n\n";
        assert_eq!(events(&[text]), ["one", "two\nthree", ""]);
    }

    #[test]
    fn any_split_gives_the_same_events() {
        let text: &[u8] =
            b"data: {\"a\":1}\r\n\r\nevent: x\rdata: b\r\rdata: c\ndata: d\n\ndata: cut";
        let whole = events(&[text]);
        for a in 0..text.len() {
            for b in a..text.len() {
                assert_eq!(
                    events(&[&text[..a], &text[a..b], &text[b..]]),
                    whole,
                    "{a} {b}"
                );
            }
        }
    }

    #[test]
    fn an_event_too_large_is_skipped_and_the_next_one_read() {
        let mut text = b"data: ".to_vec();
        text.resize(MAX_EVENT_BYTES + 100, b'x');
        text.extend_from_slice(b"\ndata: more\n\ndata: next\n\n");
        for size in [7, 4096, text.len()] {
            let parts: Vec<&[u8]> = text.chunks(size).collect();
            assert_eq!(events(&parts), ["next"], "{size}");
        }
        let mut parser = Events::default();
        for _ in 0..100 {
            parser.push(&[b'y'; 100_000], |_| {});
        }
        assert!(parser.line.capacity() <= 2 * MAX_EVENT_BYTES + 200_000);
    }
}
