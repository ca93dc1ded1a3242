//! Clients that misbehave: half a head, half a body, an answer that nobody reads (A12, I16).

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use longhaul_gateway::Times;
use longhaul_gateway::api::Provider;
use longhaul_testkit::provider::{MockProvider, Step};

use crate::failover::{places, turns};
use crate::gate::{Gate, TOKEN, messages, until};

fn impatient() -> Times {
    Times {
        request_head: Duration::from_millis(500),
        body: Duration::from_millis(500),
        ..Times::default()
    }
}

fn connect(gate: &Gate) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", gate.port)).unwrap();
    let limit = Some(Duration::from_secs(20));
    stream.set_read_timeout(limit).unwrap();
    stream
}

fn head(gate: &Gate, length: usize) -> String {
    format!(
        "POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nx-api-key: {TOKEN}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n",
        gate.port
    )
}

#[test]
fn a12_half_a_head_and_half_a_body_are_given_up_and_nobody_else_waits() {
    let provider = MockProvider::start().unwrap();
    let gate = Gate::with(impatient());
    gate.serve(Provider::Anthropic, &places(&provider, &["k1"]));
    let begun = Instant::now();
    let mut halves: Vec<TcpStream> = (0..40)
        .map(|n| {
            let mut stream = connect(&gate);
            let head = head(&gate, 1000);
            let sent = match n % 2 {
                0 => head[..head.len() - 30].to_owned(),
                _ => head + "{\"model\":",
            };
            stream.write_all(sent.as_bytes()).unwrap();
            stream
        })
        .collect();
    provider.script("k1", [Step::text("served meanwhile")]);
    assert!(gate.ask().body.contains("served meanwhile"));
    for (n, stream) in halves.iter_mut().enumerate() {
        let mut told = String::new();
        // One that is closed with bytes unread is reset, which is an end too.
        drop(stream.read_to_string(&mut told));
        if n % 2 == 1 {
            assert!(told.starts_with("HTTP/1.1 408"), "{n}: {told}");
        } else {
            assert!(!told.contains(" 200 "), "{n}: {told}");
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(15));
    assert_eq!(turns(&provider, "k1"), 1, "a half request went on");
}

/// Much more than the sockets on the way hold.
const ANSWER: usize = 96 << 20;
const PIECE: usize = 64 << 10;

/// A provider that writes its answer as fast as it is taken, and how much of it was.
fn fast_provider() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = format!("http://{}", listener.local_addr().unwrap());
    let written = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&written);
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let _some = stream.read(&mut request).unwrap();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {ANSWER}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let piece = vec![b':'; PIECE];
        for _ in 0..ANSWER / PIECE {
            if stream.write_all(&piece).is_err() {
                return;
            }
            count.fetch_add(PIECE, Ordering::SeqCst);
        }
    });
    (place, written)
}

#[test]
fn i16_a_slow_reader_holds_back_the_provider_and_gets_all_of_it() {
    let (place, written) = fast_provider();
    let gate = Gate::start();
    gate.serve(Provider::Anthropic, &[("k1", place)]);
    let body = messages(true).to_string();
    let mut stream = connect(&gate);
    stream
        .write_all((head(&gate, body.len()) + &body).as_bytes())
        .unwrap();
    until("the answer begins", || written.load(Ordering::SeqCst) > 0);
    // Until no more is taken.
    let mut before = 0;
    until("the provider waits", || {
        std::thread::sleep(Duration::from_millis(300));
        let now = written.load(Ordering::SeqCst);
        std::mem::replace(&mut before, now) == now
    });
    assert!(
        before < ANSWER / 2,
        "{before} bytes were taken that nobody reads"
    );
    let mut read = Vec::new();
    stream.read_to_end(&mut read).unwrap();
    let at = read
        .windows(4)
        .position(|part| part == b"\r\n\r\n")
        .unwrap();
    assert_eq!(read.len() - at - 4, ANSWER);
}
