//! G10: the ledger as a stream that can be left and taken up again.

use hyper::{Method, StatusCode};

use crate::client::{Reading, get, open};
use crate::history::{all_states, id};
use crate::host::Host;

async fn follow(host: &Host, path: &str, headers: &[(&str, &str)]) -> Reading {
    Reading::new(open(&host.socket, Method::GET, path, headers, Vec::new()).await)
}

fn ids(text: &str) -> Vec<u64> {
    text.lines()
        .filter_map(|l| l.strip_prefix("id: "))
        .map(|id| id.parse().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_taken_up_where_it_was_left() {
    let host = Host::new(all_states());
    let answer = get(&host.socket, "/v1/events?after=0&follow=0").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["content-type"], "text/event-stream");
    let all = String::from_utf8(answer.body.to_vec()).unwrap();
    let seqs = ids(&all);
    assert!(seqs.len() > 20 && seqs.is_sorted());
    insta::assert_snapshot!("sse_first", all.split("\n\n").next().unwrap());

    let middle = seqs[7].to_string();
    let headers = [("last-event-id", middle.as_str())];
    let rest = follow(&host, "/v1/events?after=0&follow=0", &headers)
        .await
        .rest()
        .await;
    assert_eq!(
        ids(&rest),
        seqs[8..],
        "the header is newer than the address"
    );
    let path = format!("/v1/events?after={middle}&follow=0");
    assert_eq!(follow(&host, &path, &[]).await.rest().await, rest);

    let fresh = follow(&host, "/v1/events?follow=0", &[]).await.rest().await;
    assert!(ids(&fresh).is_empty(), "without a number: from now on");
    host.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_hears_what_happens_and_of_its_task_only() {
    let host = Host::new(all_states());
    let mut all = follow(&host, "/v1/events", &[]).await;
    let mut one = follow(&host, "/v1/tasks/running/events", &[]).await;
    one.until("\"cause\":\"session_started\"").await;
    host.happen(|h| {
        h.start(id(11));
        h.finish_turn(id(2));
    });
    all.until("\"name\":\"queued\"").await;
    assert!(ids(all.until("\"cause\":\"turn_sealed\"").await).is_sorted());
    let text = one.until("\"cause\":\"turn_sealed\"").await;
    assert!(!text.contains("queued"), "{text}");
    host.begin_end();
    all.rest().await;
    one.rest().await;
    host.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_longer_than_a_page_is_whole() {
    let mut history = crate::history::History::new();
    history.submit(
        (0..400)
            .map(|n| crate::history::spec(&format!("t{n}"), &[]))
            .collect(),
    );
    let host = Host::new(history);
    let text = follow(&host, "/v1/events?after=0&follow=0", &[])
        .await
        .rest()
        .await;
    assert_eq!(ids(&text), (1..=400).collect::<Vec<u64>>());
    host.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_hangs_up_leaves_nothing_behind() {
    let host = Host::new(all_states());
    for _ in 0..50 {
        drop(follow(&host, "/v1/events", &[]).await);
    }
    assert_eq!(
        get(&host.socket, "/v1/version").await.status,
        StatusCode::OK
    );
    host.end().await;
}

/// The store cannot be read while a stream is open: the stream says so and ends, and the reader
/// comes back with the last id it has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_whose_store_fails_says_so() {
    let host = Host::new(all_states());
    host.break_store();
    let text = follow(&host, "/v1/events?after=0", &[]).await.rest().await;
    assert!(
        text.starts_with("event: error\ndata: {\"longhaul\":1,\"kind\":\"error\""),
        "{text}"
    );
    assert!(
        text.contains("\"code\":\"store_busy\"") && ids(&text).is_empty(),
        "{text}"
    );
    let answer = get(&host.socket, "/v1/tasks").await;
    assert_eq!(
        (answer.status.as_u16(), answer.problem().as_str()),
        (503, "store_busy")
    );
    host.end().await;
}
