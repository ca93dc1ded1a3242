//! Providers that misbehave: no connection, silence, cuts before and after the first byte, rubbish (A9, A12).

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use longhaul_gateway::Times;
use longhaul_gateway::api::{AccountCondition, Provider, ReportBody};
use longhaul_testkit::provider::{MockProvider, Reply, Step};
use serde_json::json;

use crate::failover::{places, scene, turns};
use crate::gate::{Gate, body_of, messages, until};

/// Short waits, so that silence is soon found out.
fn impatient() -> Times {
    Times {
        connect: Duration::from_secs(2),
        request_head: Duration::from_secs(2),
        head: Duration::from_millis(700),
        silence: Duration::from_millis(700),
        body: Duration::from_millis(700),
        waiting: Duration::from_secs(2),
    }
}

/// A port on which nobody listens.
fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[test]
fn a9_no_connection_and_a_cut_before_the_head_go_elsewhere() {
    let provider = MockProvider::start().unwrap();
    let gate = Gate::start();
    let accounts = [("k1", closed_port()), ("k2", provider.url("k2"))];
    gate.serve(Provider::Anthropic, &accounts);
    provider.script("k2", [Step::text("reached")]);
    assert!(gate.ask().body.contains("reached"));

    gate.serve(Provider::Anthropic, &places(&provider, &["k3", "k4"]));
    provider.script("k3", [Step::new(Reply::Reset)]);
    provider.script("k4", [Step::text("again")]);
    assert!(gate.ask().body.contains("again"));
    assert_eq!((turns(&provider, "k3"), turns(&provider, "k4")), (1, 1));
    // Twice is once too often: it may have been done, and done twice.
    provider.script("k3", [Step::new(Reply::Reset), Step::new(Reply::Reset)]);
    provider.script("k4", [Step::new(Reply::Reset), Step::new(Reply::Reset)]);
    let answer = gate.ask();
    assert_eq!(answer.status, 502);
    assert_eq!(turns(&provider, "k3") + turns(&provider, "k4"), 4);
}

#[test]
fn a9_what_may_not_be_done_twice_is_not_sent_again() {
    let provider = MockProvider::start().unwrap();
    let gate = Gate::start();
    gate.serve(Provider::Openai, &places(&provider, &["k1", "k2"]));
    // Responses are kept by the provider unless told otherwise.
    let tools = json!([{"type": "function", "name": "shell", "parameters": {}}]);
    let kept = json!({"model": "gpt-5", "input": "hi", "tools": tools});
    provider.script("k1", [Step::new(Reply::Reset)]);
    assert_eq!(gate.post("/v1/responses", &kept).status, 502);
    assert_eq!((turns(&provider, "k1"), turns(&provider, "k2")), (1, 0));
}

#[test]
fn a9_no_provider_at_all_is_a_502() {
    let gate = Gate::start();
    gate.serve(Provider::Anthropic, &[("k1", closed_port())]);
    let answer = gate.ask();
    assert_eq!(
        (
            answer.status.as_u16(),
            answer.json()["error"]["type"].as_str()
        ),
        (502, Some("api_error"))
    );
}

#[test]
fn a12_an_account_that_cannot_be_reached_is_held_back() {
    let provider = MockProvider::start().unwrap();
    let gate = Gate::start();
    gate.serve(
        Provider::Anthropic,
        &[("k1", closed_port()), ("k2", provider.url("k2"))],
    );
    for _ in 0..5 {
        // Each one begins with k1: a conversation of its own.
        let id = format!("c{}", Instant::now().elapsed().as_nanos());
        let request = gate
            .request("/v1/messages", &json!({}))
            .header("session-id", id);
        assert_eq!(
            gate.send(request.body(body_of(&messages(true))).unwrap())
                .status,
            200
        );
    }
    gate.serve(Provider::Anthropic, &[("k1", closed_port())]);
    let mut last = gate.ask();
    for _ in 0..5 {
        last = gate.ask();
    }
    assert_eq!(last.status, 529, "{last:?}");
    let soon: u64 = last.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=5).contains(&soon));
    let account = &gate.control.status().unwrap().accounts[0];
    assert!(
        matches!(account.condition, AccountCondition::Tripped { .. }),
        "{account:?}"
    );
}

#[test]
fn a9_a_cut_in_the_middle_is_passed_on_and_nothing_is_spliced() {
    let (provider, gate) = scene(&["k1", "k2"]);
    provider.script("k1", [Step::cut("only half of th")]);
    provider.script("k2", [Step::text("never")]);
    let answer = gate.ask();
    assert_eq!((answer.status.as_u16(), answer.whole), (200, false));
    assert_eq!(answer.body.matches("message_start\"").count(), 1);
    assert_eq!((turns(&provider, "k1"), turns(&provider, "k2")), (1, 0));
    // What was seen of it is counted, once, and called incomplete.
    until("the usage of the cut answer", || !gate.usage().is_empty());
    assert_eq!(gate.usage(), [("k1".to_owned(), 1501, false)]);
}

#[test]
fn a9_an_error_event_inside_a_200_is_passed_on_and_counted() {
    let (provider, gate) = scene(&["k1", "k2"]);
    let overloaded = Step::new(Reply::StreamError {
        text: "so far".to_owned(),
        error: "overloaded_error".to_owned(),
        message: "Overloaded".to_owned(),
    });
    provider.script("k1", [overloaded]);
    let answer = gate.ask();
    assert!(answer.body.contains("overloaded_error") && answer.whole);
    assert_eq!(turns(&provider, "k2"), 0);
    let told = gate.reports().into_iter().find_map(|r| match r.body {
        ReportBody::Limit { status, notice, .. } => Some((status, notice.class.as_str())),
        _ => None,
    });
    assert_eq!(told, Some((200, "overload")));
}

#[test]
fn a9_a_provider_that_never_answers_is_left_and_one_that_falls_silent_is_cut() {
    let provider = MockProvider::start().unwrap();
    let gate = Gate::with(impatient());
    gate.serve(Provider::Anthropic, &places(&provider, &["k1", "k2"]));
    provider.script("k1", [Step::hang()]);
    provider.script("k2", [Step::text("here")]);
    let started = Instant::now();
    assert!(gate.ask().body.contains("here"));
    assert!(started.elapsed() < Duration::from_secs(5));
    gate.serve(Provider::Anthropic, &places(&provider, &["k1"]));
    provider.script("k1", [Step::hang(), Step::hang()]);
    assert_eq!(gate.ask().status, 504);
    let mut slow = Step::text("slow");
    slow.chunk_delay_ms = 20_000;
    provider.script("k1", [slow]);
    let answer = gate.ask();
    assert_eq!((answer.status.as_u16(), answer.whole), (200, false));
    assert!(answer.body.contains("message_start"));
}

#[test]
fn a8_answers_stream_piece_by_piece() {
    let (provider, gate) = scene(&["k1"]);
    let mut slow = Step::text("slow");
    slow.chunk_delay_ms = 200;
    provider.script("k1", [slow]);
    let mut socket = std::net::TcpStream::connect(("127.0.0.1", gate.port)).unwrap();
    let body = messages(true).to_string();
    write!(
        socket,
        "POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nx-api-key: {}\r\ncontent-length: {}\r\n\r\n{body}",
        gate.port,
        crate::gate::TOKEN,
        body.len()
    )
    .unwrap();
    let started = Instant::now();
    let mut text = String::new();
    let mut first = None;
    let mut buffer = [0; 4096];
    while !text.contains("message_stop") {
        let n = socket.read(&mut buffer).unwrap();
        assert_ne!(n, 0);
        text.push_str(&String::from_utf8_lossy(&buffer[..n]));
        if text.contains("message_start") {
            first.get_or_insert(started.elapsed());
        }
    }
    assert!(first.unwrap() + Duration::from_millis(600) < started.elapsed());
}

#[test]
fn a9_rubbish_in_a_stream_is_passed_on_as_it_is() {
    let (provider, gate) = scene(&["k1"]);
    let rubbish = "data: {\"usage\": \n\nevent: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":-5,\"output_tokens\":\"x\"}}}\n\ndata\n\n: \u{1F600}\r\rdata: [DONE]\n\n";
    provider.script(
        "k1",
        [
            Step::new(Reply::Raw {
                body: rubbish.to_owned(),
            }),
            Step::text("next"),
        ],
    );
    let answer = gate.ask();
    assert_eq!(answer.body, rubbish);
    assert!(answer.whole);
    assert_eq!(gate.usage(), [("k1".to_owned(), 0, false)]);
    assert!(gate.ask().body.contains("next"));
}

/// A client that goes away takes the provider's connection with it, before the head and in the middle.
#[test]
fn a12_a_client_that_goes_away_ends_the_request_at_the_provider() {
    for head_first in [false, true] {
        let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = format!("http://{}", upstream.local_addr().unwrap());
        let gate = Gate::start();
        gate.serve(Provider::Anthropic, &[("k1", place)]);
        let (asked, was_asked) = channel();
        let played = std::thread::spawn(move || {
            let (mut socket, _) = upstream.accept().unwrap();
            socket
                .set_read_timeout(Some(Duration::from_secs(20)))
                .unwrap();
            let mut buffer = [0; 65536];
            let mut seen = Vec::new();
            while !seen.ends_with(b"}") {
                let n = socket.read(&mut buffer).unwrap();
                seen.extend_from_slice(&buffer[..n]);
            }
            if head_first {
                socket
                    .write_all(
                        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: x\n\n",
                    )
                    .unwrap();
            }
            asked.send(()).unwrap();
            // The end of the connection, and no time-out.
            socket.read(&mut buffer).is_ok_and(|n| n == 0)
        });
        let mut client = std::net::TcpStream::connect(("127.0.0.1", gate.port)).unwrap();
        let body = messages(true).to_string();
        write!(
            client,
            "POST /v1/messages HTTP/1.1\r\nHost: localhost:{}\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n{body}",
            gate.port,
            crate::gate::TOKEN,
            body.len()
        )
        .unwrap();
        was_asked.recv_timeout(Duration::from_secs(20)).unwrap();
        if head_first {
            let mut buffer = [0; 1024];
            assert_ne!(client.read(&mut buffer).unwrap(), 0);
        }
        drop(client);
        assert!(played.join().unwrap(), "head first: {head_first}");
        until("the account is free again", || {
            gate.control.status().unwrap().accounts[0].in_flight == 0
        });
    }
}
