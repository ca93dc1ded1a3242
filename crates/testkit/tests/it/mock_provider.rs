//! The mock provider over plain HTTP: scripts, side requests, errors, cut streams, records.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use longhaul_testkit::provider::{MockProvider, Reply, RequestKind, Step, StepUsage};
use serde_json::{Value, json};

/// One request on a connection of its own; gives the head and the (de-chunked) body.
fn http(port: u16, method: &str, path: &str, body: &str) -> (String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-api-key: sk-secret-0123456789\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut bytes = Vec::new();
    // A cut stream ends with an error; what came before it counts.
    drop(stream.read_to_end(&mut bytes));
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let body = if head.contains("transfer-encoding: chunked") {
        dechunk(body)
    } else {
        body.to_owned()
    };
    (head.to_owned(), body)
}

fn dechunk(mut body: &str) -> String {
    let mut out = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 || rest.len() < size {
            out.push_str(&rest[..rest.len().min(size)]);
            break;
        }
        out.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
    }
    out
}

/// The data of each frame of a stream.
fn frames(body: &str) -> Vec<Value> {
    body.lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter(|data| *data != "[DONE]")
        .map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

fn anthropic(words: &str, stream: bool) -> String {
    json!({"model": "m", "stream": stream, "max_tokens": 100, "tools": [{"name": "Bash"}],
        "messages": [{"role": "user", "content": words}]})
    .to_string()
}

#[test]
fn each_vendor_takes_its_steps_in_order() {
    let provider = MockProvider::start().unwrap();
    let steps = || {
        [
            Step::new(Reply::Tool {
                text: "now".to_owned(),
                shell: "make test".to_owned(),
            }),
            Step::text("all done"),
        ]
    };
    let post = |session: &str, path: &str, body: &Value| {
        http(
            provider.port(),
            "POST",
            &format!("/s/{session}{path}"),
            &body.to_string(),
        )
        .1
    };

    provider.script("a", steps());
    let first = frames(&post(
        "a",
        "/v1/messages?beta=true",
        &json!({"model": "m", "stream": true,
        "tools": [{"name": "Bash"}], "messages": []}),
    ));
    assert_eq!(first[0]["type"], "message_start");
    assert!(first.iter().any(|f| {
        f["delta"]["partial_json"]
            .as_str()
            .is_some_and(|j| j.contains("make test"))
    }));
    let second: Value = serde_json::from_str(&post(
        "a",
        "/v1/messages",
        &json!({"model": "m", "tools": [{"name": "Bash"}], "messages": []}),
    ))
    .unwrap();
    assert_eq!(second["content"][0]["text"], "all done");
    assert_eq!(second["usage"]["cache_read_input_tokens"], 300);

    provider.script("r", steps());
    let first = frames(&post(
        "r",
        "/v1/responses",
        &json!({"model": "m", "stream": true,
        "tools": [{"type": "function", "name": "exec_command"}], "input": []}),
    ));
    let call = first
        .iter()
        .find(|f| f["item"]["type"] == "function_call")
        .unwrap();
    assert_eq!(call["item"]["name"], "exec_command");
    assert_eq!(first.last().unwrap()["type"], "response.completed");
    assert_eq!(
        first.last().unwrap()["response"]["usage"]["input_tokens"],
        1300
    );

    provider.script("c", steps());
    let first = frames(&post(
        "c",
        "/v1/chat/completions",
        &json!({"model": "m", "stream": true,
        "tools": [{"type": "function", "function": {"name": "bash"}}], "messages": []}),
    ));
    assert!(
        first
            .iter()
            .any(|f| f["choices"][0]["delta"]["tool_calls"][0]["function"]["name"] == "bash")
    );

    provider.script("g", steps());
    let tools = json!({"contents": [], "tools": [{"functionDeclarations": [{"name": "run_shell_command"}]}]});
    let first = frames(&post(
        "g",
        "/v1beta/models/gem:streamGenerateContent?alt=sse",
        &tools,
    ));
    assert_eq!(
        first[1]["candidates"][0]["content"]["parts"][0]["functionCall"]["name"],
        "run_shell_command"
    );
    let second: Value =
        serde_json::from_str(&post("g", "/v1beta/models/gem:generateContent", &tools)).unwrap();
    assert_eq!(
        second["candidates"][0]["content"]["parts"][0]["text"],
        "all done"
    );

    for (session, left) in [("a", 0), ("r", 1), ("c", 1), ("g", 0)] {
        assert_eq!(provider.steps_left(session), left, "{session}");
        assert_eq!(provider.turns(session).len(), 2 - left, "{session}");
    }
}

#[test]
fn side_requests_are_answered_without_a_step() {
    let provider = MockProvider::start().unwrap();
    provider.script("s", [Step::text("real")]);
    let port = provider.port();
    let title = json!({"model": "haiku", "messages": [{"role": "user", "content": "title?"}],
        "output_config": {"format": {"schema": {"type": "object", "required": ["title"],
            "properties": {"title": {"type": "string"}}}}}});
    let (_, body) = http(port, "POST", "/s/s/v1/messages", &title.to_string());
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["content"][0]["text"], r#"{"title":"mock"}"#);
    assert_eq!(body["usage"]["output_tokens"], 0);
    assert!(
        http(port, "POST", "/s/s/v1/messages/count_tokens", "{}")
            .1
            .contains("input_tokens")
    );
    assert!(
        http(port, "HEAD", "/s/s/api/hello", "")
            .0
            .starts_with("HTTP/1.1 200")
    );
    assert!(
        http(port, "GET", "/s/s/nowhere", "")
            .0
            .starts_with("HTTP/1.1 404")
    );
    assert_eq!(provider.steps_left("s"), 1);
    let kinds: Vec<_> = provider.requests("s").into_iter().map(|r| r.kind).collect();
    assert!(
        matches!(
            kinds[..],
            [
                RequestKind::Side { .. },
                RequestKind::Side { .. },
                RequestKind::Side { .. },
                RequestKind::Unknown
            ]
        ),
        "{kinds:?}"
    );
}

#[test]
fn requests_are_recorded_with_masked_keys() {
    let provider = MockProvider::start().unwrap();
    provider.script("s", [Step::text("one")]);
    let path = "/s/s/v1/messages?beta=true&key=AIzaSecretSecret99";
    http(
        provider.port(),
        "POST",
        path,
        &anthropic("the check said: exit 7", false),
    );
    http(
        provider.port(),
        "POST",
        "/s/s/v1/messages",
        &anthropic("again", false),
    );
    let turns = provider.wait_turns("s", 2, Duration::from_secs(5)).unwrap();
    assert!(turns[0].says("the check said: exit 7") && !turns[1].says("exit 7"));
    assert_eq!(turns[0].header("X-Api-Key"), Some("***6789"));
    assert_eq!(turns[0].query, "beta=true&key=***et99");
    assert_eq!(turns[0].kind, RequestKind::Turn { step: Some(0) });
    assert_eq!(turns[1].kind, RequestKind::Turn { step: None });
    assert!(
        provider
            .wait_turns("s", 3, Duration::from_millis(20))
            .is_none()
    );
}

#[test]
fn errors_cuts_hangs_and_delays_happen_as_scripted() {
    let provider = MockProvider::start().unwrap();
    let port = provider.port();
    let post = |stream| http(port, "POST", "/s/s/v1/messages", &anthropic("x", stream));

    provider.script(
        "s",
        [
            Step::claude_quota(1_795_227_168),
            Step::error(529),
            Step::error_body(400, json!({"error": "mine"})).header("retry-after", "2"),
            Step::cut("half of"),
            Step::new(Reply::StreamError {
                text: "well".to_owned(),
                error: "overloaded_error".to_owned(),
                message: "Overloaded".to_owned(),
            }),
            Step::text("late").delay_ms(200).usage(StepUsage {
                input: 7,
                ..StepUsage::ZERO
            }),
        ],
    );
    let (head, body) = post(true);
    assert!(head.starts_with("HTTP/1.1 429"), "{head}");
    assert!(
        head.contains("anthropic-ratelimit-unified-reset: 1795227168"),
        "{head}"
    );
    assert!(body.contains("rate_limit_error"));
    assert!(post(true).1.contains("overloaded_error"));
    let (head, body) = post(true);
    assert!(head.contains("retry-after: 2") && body.contains("mine"));
    let cut = frames(&post(true).1);
    assert!(!cut.is_empty() && cut.iter().all(|f| f["type"] != "message_stop"));
    let failed = frames(&post(true).1);
    assert_eq!(failed.last().unwrap()["error"]["type"], "overloaded_error");
    let started = Instant::now();
    let late: Value = serde_json::from_str(&post(false).1).unwrap();
    assert!(started.elapsed() >= Duration::from_millis(200));
    assert_eq!(late["usage"]["input_tokens"], 7);

    provider.script("s", [Step::hang()]);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let body = anthropic("x", true);
    write!(
        stream,
        "POST /s/s/v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    stream
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    assert!(stream.read(&mut [0; 1]).is_err(), "a hang answers nothing");
}

#[test]
fn the_program_prints_its_port_and_is_controlled_over_http() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mock-provider"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let port = line.trim().parse().unwrap();
    assert!(http(port, "GET", "/control/ready", "").1.contains("true"));
    let steps = r#"[{"reply":"text","text":"hello","usage":{"input":3}}]"#;
    assert_eq!(
        http(port, "POST", "/control/script/z", steps).1,
        r#"{"steps":1}"#
    );
    assert!(
        http(port, "POST", "/control/script/z", "[{}]")
            .0
            .starts_with("HTTP/1.1 400")
    );
    let said = http(port, "POST", "/s/z/v1/messages", &anthropic("hi", false)).1;
    assert!(said.contains("hello"), "{said}");
    let requests: Value =
        serde_json::from_str(&http(port, "GET", "/control/requests/z", "").1).unwrap();
    assert_eq!(requests[0]["kind"]["kind"], "turn");
    child.kill().unwrap();
    child.wait().unwrap();
}
