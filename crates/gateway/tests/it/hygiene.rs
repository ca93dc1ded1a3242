//! Who may use it, what goes on and what does not, and that no secret is where it does not belong (A13, I12, I17).

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use longhaul_gateway::api::{AccountsRequest, Policy, Provider};
use longhaul_gateway::{Client, ClientError, Parts, Place, Times};
use longhaul_testkit::provider::{MockProvider, Step};
use serde_json::json;

use crate::failover::{places, scene, turns};
use crate::gate::{Gate, TOKEN, account, body_of, key, messages};

/// Sends bytes as they are, and reads until the other end closes or falls silent.
fn raw(gate: &Gate, text: &str) -> String {
    let mut socket = TcpStream::connect(("127.0.0.1", gate.port)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(1500)))
        .unwrap();
    socket.write_all(text.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(n @ 1..) = socket.read(&mut buffer) {
        answer.extend_from_slice(&buffer[..n]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a13_a_token_is_needed_and_a_wrong_one_is_refused() {
    let (provider, gate) = scene(&["k1"]);
    for token in [
        "",
        "wrong",
        &key("k1"),
        &TOKEN[..TOKEN.len() - 1],
        &format!("{TOKEN}x"),
    ] {
        let mut request = gate.request("/v1/messages", &json!({}));
        request
            .headers_mut()
            .unwrap()
            .insert("x-api-key", token.parse().unwrap());
        let answer = gate.send(request.body(body_of(&messages(true))).unwrap());
        assert_eq!(answer.status, 401, "{token}");
        assert_eq!(answer.json()["error"]["type"], "authentication_error");
    }
    gate.control.delete_session(crate::gate::SESSION).unwrap();
    assert_eq!(
        gate.ask().status,
        401,
        "an ended session's token is worth nothing"
    );
    assert_eq!(turns(&provider, "k1"), 0);
}

#[test]
fn a13_the_token_is_taken_wherever_clients_put_a_key() {
    let (provider, gate) = scene(&["k1"]);
    for (name, value) in [
        ("authorization", format!("Bearer {TOKEN}")),
        ("authorization", format!("bearer {TOKEN}")),
        ("x-goog-api-key", TOKEN.to_owned()),
        ("api-key", TOKEN.to_owned()),
    ] {
        let mut request = gate.request("/v1/messages", &json!({})).header(name, value);
        request.headers_mut().unwrap().remove("x-api-key");
        let answer = gate.send(request.body(body_of(&messages(true))).unwrap());
        assert_eq!(answer.status, 200, "{name}");
    }
    let mut request = gate.request(&format!("/v1/messages?key={TOKEN}&alt=sse"), &json!({}));
    request.headers_mut().unwrap().remove("x-api-key");
    assert_eq!(
        gate.send(request.body(body_of(&messages(true))).unwrap())
            .status,
        200
    );
    for sent in provider.turns("k1") {
        assert_eq!(sent.header("x-api-key"), Some("***f-k1"));
        for name in ["authorization", "x-goog-api-key", "api-key"] {
            assert_eq!(sent.header(name), None);
        }
        assert!(!sent.query.contains("key"), "{}", sent.query);
    }
}

#[test]
fn a13_a_foreign_host_is_refused() {
    let (provider, gate) = scene(&["k1"]);
    let port = gate.port;
    let body = messages(false).to_string();
    let ask = |hosts: &str, target: &str| {
        let text = format!(
            "POST {target} HTTP/1.1\r\n{hosts}x-api-key: {TOKEN}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = raw(&gate, &text);
        answer.split(' ').nth(1).unwrap_or("none").to_owned()
    };
    let path = "/v1/messages";
    for (hosts, target) in [
        ("Host: evil.example\r\n".to_owned(), path.to_owned()),
        (format!("Host: evil.example:{port}\r\n"), path.to_owned()),
        (
            format!("Host: 127.0.0.1:{port}.evil.example\r\n"),
            path.to_owned(),
        ),
        ("Host: 127.0.0.1:1\r\n".to_owned(), path.to_owned()),
        ("Host: 127.0.0.1\r\n".to_owned(), path.to_owned()),
        (
            format!("Host: 127.0.0.1:{port}\r\nHost: evil.example\r\n"),
            path.to_owned(),
        ),
        (
            format!("Host: 127.0.0.1:{port}\r\n"),
            "http://evil.example/v1/messages".to_owned(),
        ),
        (String::new(), path.to_owned()),
    ] {
        let status = ask(&hosts, &target);
        assert!(
            ["403", "400"].contains(&status.as_str()),
            "{status}: {hosts}{target}"
        );
    }
    for name in ["127.0.0.1", "localhost"] {
        assert_eq!(ask(&format!("Host: {name}:{port}\r\n"), path), "200");
    }
    assert_eq!(turns(&provider, "k1"), 2);
}

#[test]
fn a13_headers_of_the_connection_and_cookies_do_not_go_on() {
    let (provider, gate) = scene(&["k1"]);
    provider.script(
        "k1",
        [Step::text("x")
            .header("set-cookie", "a=b")
            .header("connection", "x-private")
            .header("x-private", "1")
            .header("anthropic-new-thing", "kept")],
    );
    let body = messages(false).to_string();
    let text = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nx-api-key: {TOKEN}\r\nConnection: close, X-Hidden, anthropic-beta\r\n\
         X-Hidden: 1\r\nanthropic-beta: hop\r\nanthropic-version: 2023-06-01\r\nCookie: c=d\r\nTE: trailers\r\nProxy-Authorization: p\r\n\
         Keep-Alive: 5\r\nUpgrade: websocket\r\nx-stainless-os: Linux\r\ncontent-length: {}\r\n\r\n{body}",
        gate.port,
        body.len()
    );
    let answer = raw(&gate, &text).to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 200"), "{answer}");
    assert!(answer.contains("anthropic-new-thing: kept"));
    for gone in ["set-cookie", "x-private", "***"] {
        assert!(!answer.contains(gone), "{gone}: {answer}");
    }
    let sent = &provider.turns("k1")[0];
    assert_eq!(sent.header("anthropic-version"), Some("2023-06-01"));
    assert_eq!(sent.header("x-stainless-os"), Some("Linux"));
    for gone in [
        "x-hidden",
        "anthropic-beta",
        "cookie",
        "te",
        "proxy-authorization",
        "keep-alive",
        "upgrade",
    ] {
        assert_eq!(sent.header(gone), None, "{gone}");
    }
    assert_eq!(
        sent.header("host"),
        Some(&*format!("127.0.0.1:{}", provider.port()))
    );
}

/// Two requests in one, for whoever disagrees with us about where the first one ends.
#[test]
fn a13_smuggled_requests_never_reach_the_provider() {
    let (provider, gate) = scene(&["k1"]);
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nx-api-key: {TOKEN}\r\n",
        gate.port
    );
    let inner = "GET /v1/smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    for lengths in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n".to_owned(),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n".to_owned(),
        "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello".to_owned(),
        "Content-Length: +5\r\n\r\nhello".to_owned(),
        "Content-Length : 5\r\n\r\nhello".to_owned(),
        " folded: 1\r\nContent-Length: 5\r\n\r\nhello".to_owned(),
        "X-A: a\rContent-Length: 5\r\n\r\nhello".to_owned(),
        "X-A: a\0b\r\nContent-Length: 5\r\n\r\nhello".to_owned(),
    ] {
        let answer = raw(&gate, &format!("{head}{lengths}{inner}"));
        let paths: Vec<_> = provider
            .requests("k1")
            .into_iter()
            .map(|r| r.path)
            .collect();
        assert!(
            !paths.iter().any(|p| p.contains("smuggled")),
            "{lengths:?}: {answer}"
        );
    }
    // A path that climbs stays what it is below the account's own place.
    let answer = raw(
        &gate,
        &format!(
            "GET /../../control/ready HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nx-api-key: {TOKEN}\r\nconnection: close\r\n\r\n",
            gate.port
        ),
    );
    assert!(!answer.contains("ready\":true"), "{answer}");
    assert!(raw(&gate, &format!("CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\nx-api-key: {TOKEN}\r\n\r\n")).starts_with("HTTP/1.1 40"));
}

#[test]
fn a8_other_paths_and_methods_pass_through_uncounted() {
    let (provider, gate) = scene(&["k1"]);
    let count = gate.post("/v1/messages/count_tokens", &messages(false));
    assert_eq!(count.json()["input_tokens"], 1000);
    let answer = raw(
        &gate,
        &format!(
            "HEAD /api/hello HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nx-api-key: {TOKEN}\r\nconnection: close\r\n\r\n",
            gate.port
        ),
    );
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(gate.usage(), []);
    assert_eq!(provider.requests("k1").len(), 2);
}

#[test]
fn i16_a_body_over_32_mb_is_refused_and_a_chunked_one_is_taken() {
    let (provider, gate) = scene(&["k1"]);
    let huge = json!({"model": "m", "x": "y".repeat(33 << 20)});
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nx-api-key: {TOKEN}\r\ncontent-length: {}\r\n\r\n",
        gate.port,
        huge.to_string().len()
    );
    assert!(raw(&gate, &head).starts_with("HTTP/1.1 413"));
    assert_eq!(turns(&provider, "k1"), 0);
    let body = messages(false).to_string();
    let (a, b) = body.split_at(40);
    let text = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nx-api-key: {TOKEN}\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{a}\r\n{:x}\r\n{b}\r\n0\r\n\r\n",
        gate.port,
        a.len(),
        b.len()
    );
    assert!(raw(&gate, &text).starts_with("HTTP/1.1 200"));
    assert_eq!(provider.turns("k1")[0].body, messages(false));
}

#[test]
fn i12_no_secret_is_on_the_disk_in_the_status_or_in_an_error() {
    let (provider, gate) = scene(&["k1", "k2"]);
    provider.script("k1", [Step::error(401)]);
    provider.script("k2", [Step::text("fine"), Step::cut("half")]);
    let mut seen = String::new();
    for _ in 0..2 {
        seen.push_str(&format!("{:?}", gate.ask()));
    }
    let status = gate.control.status().unwrap();
    seen.push_str(&format!(
        "{status:?}{}",
        serde_json::to_string(&status).unwrap()
    ));
    seen.push_str(&format!("{:?}", gate.reports()));
    // A control request that cannot be read names no key.
    let mut wrong = AccountsRequest {
        giver: String::new(),
        accounts: vec![account("k1", Provider::Anthropic, "not a url")],
        policy: Policy::default(),
    };
    let error = gate.control.put_accounts(&wrong).unwrap_err();
    seen.push_str(&format!("{error} {error:?}"));
    wrong.accounts[0] = account("k1\n", Provider::Anthropic, "http://127.0.0.1:1");
    wrong.accounts[0].key = longhaul_gateway::api::Key::new(format!("{}\n", key("k1")));
    seen.push_str(&format!(
        "{}",
        gate.control.put_accounts(&wrong).unwrap_err()
    ));
    let mut files = Vec::new();
    for folder in [gate.folder.clone(), gate.folder.join("spool")] {
        assert_eq!(
            std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777,
            0o700
        );
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                assert_eq!(
                    std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                    0o600
                );
                seen.push_str(&String::from_utf8_lossy(&std::fs::read(&path).unwrap()));
                files.push(path);
            }
        }
    }
    assert!(files.len() >= 3, "{files:?}");
    for secret in [key("k1"), key("k2"), TOKEN.to_owned()] {
        assert!(!seen.contains(&secret), "{secret}");
    }
    // The token is there as its hash alone.
    assert!(seen.contains("token_hash"));
}

#[test]
fn i17_a_process_that_may_not_control_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    let parts = Parts {
        place: Place::take(&dir.path().join("gateway")).unwrap(),
        control: std::os::unix::net::UnixListener::bind(&socket).unwrap(),
        may_control: std::sync::Arc::new(|peer| peer.pid.is_none()),
        version: "test".to_owned(),
        times: Times::default(),
        way: longhaul_gateway::WayOut::default(),
    };
    // It cannot be ended by this process either: the test's own end does.
    std::thread::spawn(move || longhaul_gateway::run(parts));
    let client = Client::new(&socket);
    for refused in [
        client.status().map(drop),
        client.shut_down(),
        client.delete_session("s"),
    ] {
        assert!(
            matches!(refused, Err(ClientError::Refused { status: 403, .. })),
            "{refused:?}"
        );
    }
}

#[test]
fn a13_http2_is_served_too() {
    let provider = MockProvider::start().unwrap();
    let gate = Gate::start();
    gate.serve(Provider::Anthropic, &places(&provider, &["k1"]));
    let answer = gate.send_http2(
        gate.request("/v1/messages", &json!({}))
            .body(body_of(&messages(true)))
            .unwrap(),
    );
    assert_eq!(answer.status, 200);
    assert!(answer.body.contains("message_stop"));
    let mut foreign = gate
        .request("/v1/messages", &json!({}))
        .body(body_of(&messages(true)))
        .unwrap();
    foreign
        .headers_mut()
        .insert("host", "evil.example".parse().unwrap());
    assert_eq!(gate.send_http2(foreign).status, 403);
}
