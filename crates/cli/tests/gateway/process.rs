//! The process: one at a time, killed and started anew, and no secret anywhere (A8, I12, I17).

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use longhaul_gateway::api::{Provider, ReportBody};
use longhaul_testkit::provider::Step;
use longhaul_testkit::world::wait_until;
use serde_json::json;

use crate::stage::{Stage, TOKEN, key, limited};

/// A request, and its answer until its end or, with `until`, until this was seen.
fn ask(stage: &Stage, until: Option<&str>) -> Result<String, std::io::Error> {
    let port = stage.status().port;
    let body = json!({"model": "claude-sonnet-4-5", "stream": true, "tools": [{"name": "Bash"}],
        "messages": [{"role": "user", "content": "hi"}]})
    .to_string();
    let mut socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    write!(
        socket,
        "POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nx-api-key: {TOKEN}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let n = socket.read(&mut buffer)?;
        text.extend_from_slice(&buffer[..n]);
        let shown = String::from_utf8_lossy(&text).into_owned();
        if n == 0 || until.is_some_and(|word| shown.contains(word)) {
            return Ok(shown);
        }
    }
}

#[test]
fn a8_a_killed_gateway_comes_back_with_its_port_its_sessions_and_its_reports() {
    let stage = Stage::new(Provider::Anthropic);
    stage.provider.script("k1", [limited(Provider::Anthropic)]);
    assert!(ask(&stage, None).unwrap().contains("message_stop"));
    let port = stage.status().port;
    let rested = || {
        let text = std::fs::read_to_string(stage.world.state().join("gateway/state.json"));
        text.is_ok_and(|t| t.contains("\"asked_at\""))
    };
    assert!(
        wait_until(Duration::from_secs(10), rested),
        "a rest is kept at once"
    );
    let mut slow = Step::text("to be cut");
    slow.chunk_delay_ms = 5000;
    stage.provider.script("k2", [slow]);
    // In the middle of an answer.
    assert!(ask(&stage, Some("message_start")).is_ok());
    stage.kill();
    stage.start();
    let status = stage.status();
    assert_eq!((status.port, status.ready), (port, false));
    let answer = ask(&stage, None).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("no keys yet"),
        "{answer}"
    );
    stage.put_accounts();
    assert!(ask(&stage, None).unwrap().contains("message_stop"));
    // I15: it still rests. And nothing that was counted is lost or counted again.
    assert_eq!(stage.turns("k1"), 1);
    let reports = stage.client().reports(0).unwrap().reports;
    let numbers: Vec<_> = reports.iter().map(|r| r.seq).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    let complete = reports
        .iter()
        .filter(|r| matches!(r.body, ReportBody::Usage { complete: true, .. }));
    assert_eq!(complete.count(), 2);
}

#[test]
fn a8_a_second_gateway_goes_with_a_word() {
    let stage = Stage::new(Provider::Anthropic);
    let ran = stage.world.longhaul(&stage.world.home(), ["__gateway"]);
    let ran = ran.expect_code(7);
    assert!(ran.stderr.contains("another gateway runs"), "{ran:?}");
    assert!(stage.status().ready, "the first one is as it was");
}

/// Every file below a folder, as text.
fn files(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files(&entry.path(), found);
        } else if kind.is_file() {
            let text = std::fs::read(entry.path()).unwrap_or_default();
            found.push((entry.path(), String::from_utf8_lossy(&text).into_owned()));
        }
    }
}

/// The memory that the gateway holds, in KiB.
fn resident(stage: &Stage) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", stage.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.unwrap().parse().unwrap()
}

#[test]
fn i16_what_a_burst_of_large_requests_took_is_given_back() {
    let stage = Stage::new(Provider::Anthropic);
    let port = stage.status().port;
    let text = "x".repeat(400_000);
    let body = json!({"model": "claude-sonnet-4-5", "stream": true, "tools": [{"name": "Bash"}],
        "messages": [{"role": "user", "content": text}]})
    .to_string();
    let ask = || {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let limit = Some(Duration::from_secs(60));
        socket.set_read_timeout(limit).unwrap();
        let head = format!(
            "POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nx-api-key: {TOKEN}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        socket.write_all((head + &body).as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("message_stop"), "{answer}");
    };
    ask();
    let before = resident(&stage);
    let mut most = 0;
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..64).map(|_| scope.spawn(ask)).collect();
        while all.iter().any(|one| !one.is_finished()) {
            most = most.max(resident(&stage));
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    assert!(most > before + 14_000, "no burst: {before} {most}");
    // The allocator keeps some, and so do connections that can be used again.
    let given_back = || (most - before) * 3 / 5 + before > resident(&stage);
    assert!(
        wait_until(Duration::from_secs(30), given_back),
        "{before} KiB before, {most} then, {} now",
        resident(&stage)
    );
}

#[test]
fn i12_no_secret_is_in_a_file_an_argument_a_variable_or_a_log() {
    let mut stage = Stage::new(Provider::Anthropic);
    // The most talkative log there is.
    stage.kill();
    stage.world.set_env("LONGHAUL_LOG", "trace");
    stage.start();
    stage.put_accounts();
    stage
        .provider
        .script("k1", [Step::error(401), Step::cut("half")]);
    stage.provider.script(
        "k2",
        [Step::text("fine"), Step::error(500), Step::error(500)],
    );
    let mut seen = Vec::new();
    for _ in 0..3 {
        let answer = ask(&stage, None).unwrap_or_default();
        seen.push((PathBuf::from("an answer"), answer));
    }
    let pid = stage.pid();
    for part in ["cmdline", "environ"] {
        let path = PathBuf::from(format!("/proc/{pid}/{part}"));
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.is_empty());
        seen.push((path, String::from_utf8_lossy(&bytes).into_owned()));
    }
    files(stage.world.root(), &mut seen);
    let logged = stage.log();
    assert!(
        logged.contains("TRACE") || logged.contains("DEBUG"),
        "the log was on: {logged}"
    );
    seen.push((PathBuf::from("the log"), logged));
    assert!(
        seen.len() > 6,
        "{:?}",
        seen.iter().map(|(p, _)| p).collect::<Vec<_>>()
    );
    for secret in [key("k1"), key("k2"), TOKEN.to_owned()] {
        for (place, text) in &seen {
            assert!(!text.contains(&secret), "{secret} in {}", place.display());
        }
    }
}

#[test]
fn i17_a_session_can_neither_order_nor_become_the_gateway() {
    if std::process::Command::new("python3")
        .arg("--version")
        .output()
        .is_err()
    {
        assert!(std::env::var_os("CI").is_none(), "CI must have python3");
        eprintln!("SKIPPED: no python3");
        return;
    }
    let stage = Stage::new(Provider::Anthropic);
    // What a shim gives to those it starts.
    let python = "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); \
        s.sendall(b'GET /v1/status HTTP/1.1\\r\\nHost: g\\r\\nConnection: close\\r\\n\\r\\n'); \
        print(s.makefile().read())";
    let mut command = stage.world.command("python3");
    command.args(["-c", python]).arg(stage.client().socket());
    command.env(
        longhaul_hosts::SPAWN_KEY_ENV,
        "0123456789abcdef0123456789abcdef-1",
    );
    let ran = stage.world.run_within(Duration::from_secs(20), command);
    assert!(ran.stdout.contains("no session may"), "{ran:?}");
    assert!(
        !ran.stdout.contains("token_hash") && !ran.stdout.contains("\"port\""),
        "{ran:?}"
    );
}
