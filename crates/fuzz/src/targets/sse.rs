//! The client's reader of server-sent events.

// It is private to the binary, which is no library.
#[path = "../../../cli/src/client/sse.rs"]
mod parser;

use crate::mutate::Rng;
use parser::{SseEvent, SseParser};

pub(super) const STREAMS: &[&str] = &[
    ": hello\r\nid: 7\nevent: ledger\ndata: {\"a\":\ndata: 1}\n\ndata:x\r\rretry: 5\n\n",
    "id: 1\ndata: {\"longhaul\":1,\"kind\":\"event\",\"data\":{}}\n\n:\n\n",
];

/// Any split gives the same events.
pub(super) fn sse(data: &[u8]) {
    let whole = events(&[data]);
    let longest = 1 + Rng::of(data).below(40);
    let pieces: Vec<&[u8]> = data.chunks(longest).collect();
    assert_eq!(events(&pieces), whole, "in pieces of {longest}");
    let held: usize = whole.iter().map(|e| e.data.len()).sum();
    // A byte that is not UTF-8 becomes three.
    assert!(held <= data.len() * 3);
}

fn events(pieces: &[&[u8]]) -> Vec<SseEvent> {
    let mut parser = SseParser::default();
    let mut events = Vec::new();
    for piece in pieces {
        parser.feed(piece);
        events.extend(std::iter::from_fn(|| parser.next()));
    }
    events
}
