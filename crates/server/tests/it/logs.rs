//! Logs by offset, while they grow, and across a cut.

use hyper::{Method, StatusCode};
use longhaul_api::LogStream;
use longhaul_core::attempt::AttemptEnd;
use longhaul_core::ids::Fence;

use crate::client::{Reading, get, open};
use crate::history::{all_states, id};
use crate::host::Host;

fn key(stream: LogStream) -> (longhaul_core::ids::TaskId, Fence, LogStream) {
    (id(2), Fence(1), stream)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_read_by_offset_tail_attempt_and_stream() {
    let host = Host::new(all_states());
    host.logs
        .append(key(LogStream::Out), 0, "one\ntwo\nthree\n");
    host.logs.append(key(LogStream::Err), 0, "oops\n");
    let read = async |query: &str| {
        let answer = get(&host.socket, &format!("/v1/tasks/running/logs{query}")).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.headers["content-type"], "application/octet-stream");
        let offset = answer.headers["longhaul-offset"]
            .to_str()
            .unwrap()
            .to_owned();
        (offset, String::from_utf8(answer.body.to_vec()).unwrap())
    };
    assert_eq!(
        read("").await,
        ("0".to_owned(), "one\ntwo\nthree\n".to_owned())
    );
    assert_eq!(
        read("?offset=4&attempt=1").await,
        ("4".to_owned(), "two\nthree\n".to_owned())
    );
    assert_eq!(
        read("?tail=6").await,
        ("8".to_owned(), "three\n".to_owned())
    );
    assert_eq!(read("?tail=600").await.0, "0");
    assert_eq!(read("?offset=99").await, ("99".to_owned(), String::new()));
    assert_eq!(read("?stream=err").await.1, "oops\n");
    host.end().await;
}

/// S2: the middle of a log was cut. The body ends there; the next one says where it begins.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s2_a_cut_is_seen_by_the_reader() {
    let host = Host::new(all_states());
    host.logs.append(key(LogStream::Out), 0, "head");
    host.logs.append(key(LogStream::Out), 1_000, "tail");
    let first = get(&host.socket, "/v1/tasks/running/logs").await;
    assert_eq!(&first.body[..], b"head");
    let second = get(&host.socket, "/v1/tasks/running/logs?offset=4").await;
    assert_eq!(
        (&second.body[..], &second.headers["longhaul-offset"]),
        (&b"tail"[..], &"1000".parse().unwrap())
    );
    let end = get(&host.socket, "/v1/tasks/running/logs?offset=1004").await;
    assert!(end.body.is_empty());
    host.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_reads_on_until_the_attempt_is_over() {
    let host = Host::new(all_states());
    host.logs.append(key(LogStream::Out), 0, "one\n");
    let path = "/v1/tasks/running/logs?follow=1";
    let mut reading = Reading::new(open(&host.socket, Method::GET, path, &[], Vec::new()).await);
    reading.until("one\n").await;
    host.logs.append(key(LogStream::Out), 4, "two\n");
    reading.until("two\n").await;
    // The last bytes come before the news of the end; all of them are read.
    host.logs.append(key(LogStream::Out), 8, "three\n");
    host.happen(|h| h.end(id(2), AttemptEnd::Idle));
    assert_eq!(reading.rest().await, "one\ntwo\nthree\n");
    host.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_log_comes_whole_and_a_shutdown_ends_a_follower() {
    let host = Host::new(all_states());
    let line = "0123456789abcdef".repeat(64);
    for n in 0..2_048_u64 {
        host.logs.append(key(LogStream::Out), n * 1024, &line);
    }
    let whole = get(&host.socket, "/v1/tasks/running/logs").await;
    assert_eq!(whole.body.len(), 2 << 20);
    let path = format!("/v1/tasks/running/logs?follow=1&offset={}", 2 << 20);
    let reading = Reading::new(open(&host.socket, Method::GET, &path, &[], Vec::new()).await);
    host.begin_end();
    assert_eq!(reading.rest().await, "");
    host.end().await;
}
