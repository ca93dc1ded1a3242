//! The socket itself: rights, leftovers, hostile bytes, and the orderly end.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use longhaul_server::{BindError, bind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::client::{PATIENCE, get};
use crate::history::all_states;
use crate::host::Host;

#[tokio::test]
async fn the_socket_is_for_its_owner_and_replaces_a_dead_one_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    let first = bind(&path).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(matches!(bind(&path), Err(BindError::InUse { .. })), "T19");
    drop(first);
    assert!(!path.exists());

    // A socket file whose process is gone.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    drop(bind(&path).unwrap());

    std::fs::write(&path, "precious").unwrap();
    assert!(matches!(bind(&path), Err(BindError::InTheWay { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");

    let long = folder.path().join("x".repeat(108));
    assert!(
        matches!(bind(&long), Err(BindError::TooLong { bytes, .. }) if bytes > 107),
        "T30"
    );
    assert!(matches!(
        bind(&folder.path().join("no/api.sock")),
        Err(BindError::Io { .. })
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_that_was_cleaned_away_comes_back() {
    let host = Host::new(all_states());
    get(&host.socket, "/v1/version").await;
    std::fs::remove_file(&host.socket).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while UnixStream::connect(&host.socket).await.is_err() {
        assert!(Instant::now() < deadline, "the socket did not come back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    get(&host.socket, "/v1/version").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_no_http_hurt_nobody() {
    let host = Host::new(all_states());
    let hostile: [&[u8]; 7] = [
        b"",
        b"\0\0\0\0",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/drain HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n",
        b"POST /v1/drain HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n{",
        b"POST /v1/drain HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET /v1/tasks/\xc3\x28 HTTP/1.1\r\nhost: x\r\n\r\n",
    ];
    for bytes in hostile {
        let mut stream = UnixStream::connect(&host.socket).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // It may be cut off without a word; what counts is that it ends.
        let read = stream.read_to_end(&mut answer);
        assert!(
            tokio::time::timeout(PATIENCE, read).await.is_ok(),
            "{bytes:?}"
        );
        let text = String::from_utf8_lossy(&answer);
        assert!(!text.contains(" 200 "), "{bytes:?} → {text}");
    }
    let mut head = b"GET / HTTP/1.1\r\n".to_vec();
    head.extend(std::iter::repeat_n(b'a', 1 << 20));
    let mut stream = UnixStream::connect(&host.socket).await.unwrap();
    // The server stops reading long before the end.
    drop(stream.write_all(&head).await);
    drop(stream);
    assert_eq!(get(&host.socket, "/v1/version").await.status.as_u16(), 200);
    assert!(
        host.asked.lock().unwrap().is_empty(),
        "nothing of it was obeyed"
    );
    host.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_oversized_body_is_refused_by_its_declared_and_by_its_true_length() {
    let host = Host::new(all_states());
    for head in ["content-length: 67108865", "transfer-encoding: chunked"] {
        let mut stream = UnixStream::connect(&host.socket).await.unwrap();
        let head = format!(
            "POST /v1/drain HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{head}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        if head.contains("chunked") {
            let chunk = format!("20000\r\n{}\r\n", " ".repeat(0x20000));
            drop(stream.write_all(chunk.as_bytes()).await);
        }
        let mut answer = vec![0; 4096];
        let n = tokio::time::timeout(PATIENCE, stream.read(&mut answer))
            .await
            .unwrap()
            .unwrap();
        let answer = String::from_utf8_lossy(&answer[..n]);
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    }
    host.end().await;
}

/// An idle connection and an open stream do not hold the end up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_is_orderly_and_quick() {
    let host = Host::new(all_states());
    let idle = UnixStream::connect(&host.socket).await.unwrap();
    let mut slow = UnixStream::connect(&host.socket).await.unwrap();
    slow.write_all(b"GET /v1/events HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut head = [0; 64];
    assert!(slow.read(&mut head).await.unwrap() > 0);
    let socket = host.socket.clone();
    let began = Instant::now();
    host.end().await;
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
    assert!(UnixStream::connect(&socket).await.is_err());
    drop(idle);
}

/// Time passes by itself here while everyone waits: no real second is spent.
#[tokio::test(start_paused = true)]
async fn a_head_that_never_ends_is_cut_off_and_a_quiet_stream_shows_that_it_lives() {
    let host = Host::new(all_states());
    let mut slow = UnixStream::connect(&host.socket).await.unwrap();
    slow.write_all(b"GET /v1/version HTTP/1.1\r\nhost:")
        .await
        .unwrap();
    let began = tokio::time::Instant::now();
    let mut answer = Vec::new();
    slow.read_to_end(&mut answer).await.unwrap();
    assert!(
        began.elapsed() >= Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
    assert!(!String::from_utf8_lossy(&answer).contains(" 200 "));

    let mut stream = UnixStream::connect(&host.socket).await.unwrap();
    stream
        .write_all(b"GET /v1/events HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut seen = String::new();
    while !seen.contains("\r\n:") {
        let mut piece = [0; 1024];
        let n = stream.read(&mut piece).await.unwrap();
        assert!(n > 0, "ended: {seen}");
        seen.push_str(&String::from_utf8_lossy(&piece[..n]));
    }
    drop(stream);
    host.end().await;
}
