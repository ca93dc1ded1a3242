//! I17: every route by everyone who may ask.

use hyper::{Method, StatusCode};
use longhaul_core::attempt::AttemptEnd;
use longhaul_core::fact::Order;
use longhaul_server::PeerAuthority;
use serde_json::json;

use crate::client::{Answer, PATIENCE, call};
use crate::history::{History, all_states, id, spec};
use crate::host::{Host, submission_path};

/// Every route, with a body that it takes; those of a task for a session's own and for another one.
fn routes() -> Vec<(Method, String, Vec<u8>)> {
    let own = id(2).to_string();
    let get = |path: &str| (Method::GET, path.to_owned(), Vec::new());
    let post = |path: &str, body: serde_json::Value| {
        (Method::POST, path.to_owned(), body.to_string().into_bytes())
    };
    vec![
        get("/v1/version"),
        get("/v1/status"),
        get("/v1/report"),
        get("/v1/events?follow=0"),
        get("/v1/tasks"),
        get("/v1/tasks/running"),
        get(&format!("/v1/tasks/{own}")),
        get("/v1/tasks/running/logs"),
        get("/v1/tasks/running/events?follow=0"),
        get("/v1/tasks/needy"),
        get("/v1/tasks/needy/logs"),
        get("/v1/tasks/needy/events?follow=0"),
        get("/v1/tasks/nobody"),
        get("/v1/tasks/orders"),
        get(&submission_path()),
        get("/v1/queue"),
        get("/v1/queue/needy"),
        get("/v1/nothing"),
        get("/"),
        post(
            "/v1/tasks",
            json!({"source": "add", "digest": "0".repeat(64), "tasks": [
                {"id": id(200), "spec": spec("new", &[])}
            ]}),
        ),
        post(
            "/v1/tasks/orders",
            json!({"tasks": ["running"], "order": "stop"}),
        ),
        post("/v1/tasks/running/send", json!({"text": "hi"})),
        post("/v1/queue", json!({"order": "pause"})),
        post("/v1/drain", json!({})),
        post("/v1/undrain", json!({})),
        post("/v1/estop", json!({})),
        post("/v1/thaw", json!({})),
        post("/v1/limits/clear", json!({"scope": "script"})),
        post("/v1/shutdown", json!({})),
        (Method::DELETE, "/v1/tasks/running".to_owned(), Vec::new()),
        (Method::PUT, "/v1/version".to_owned(), Vec::new()),
    ]
}

async fn matrix(host: &Host) -> String {
    let mut lines = Vec::new();
    for (method, path, body) in routes() {
        let json = [("content-type", "application/json")];
        let answer = call(&host.socket, method.clone(), &path, &json, body).await;
        let code = if answer.status.is_success() {
            String::new()
        } else {
            answer.problem()
        };
        let path = path
            .replace(&id(2).to_string(), "OWN")
            .replace(&submission_path(), "/v1/submissions/ID");
        lines.push(format!(
            "{:<6} {path:<36} {} {code}",
            method.as_str(),
            answer.status.as_u16()
        ));
    }
    lines.join("\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i17_a_person_may_do_everything() {
    let host = Host::new(all_states());
    insta::assert_snapshot!("person", matrix(&host).await);
    assert!(host.refused.lock().unwrap().is_empty());
    host.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i17_a_session_may_read_its_own_task_and_nothing_else() {
    let host = Host::new(all_states());
    host.become_peer(PeerAuthority::Session { task: Some(id(2)) });
    insta::assert_snapshot!("session", matrix(&host).await);
    assert!(
        host.asked.lock().unwrap().is_empty(),
        "nothing reached the engine"
    );
    let refused = host.refused.lock().unwrap().clone();
    assert_eq!(
        refused.len(),
        routes().len() - 5,
        "all but version and its own task"
    );
    assert_eq!(refused[0].by, PeerAuthority::Session { task: Some(id(2)) });
    assert_eq!(
        (refused[0].method.as_str(), refused[0].path.as_str()),
        ("GET", "/v1/status")
    );
    host.end().await;
}

/// Refusals do not tell which tasks exist.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i17_a_session_learns_nothing_from_a_refusal() {
    let host = Host::new(all_states());
    host.become_peer(PeerAuthority::Session { task: Some(id(2)) });
    let ask = async |path: &str| -> Answer {
        call(&host.socket, Method::GET, path, &[], Vec::new()).await
    };
    let (there, not_there) = (ask("/v1/tasks/needy").await, ask("/v1/tasks/nobody").await);
    assert_eq!(there.body, not_there.body);
    let prefix = &id(0).to_string()[..8];
    assert_eq!(
        ask(&format!("/v1/tasks/{prefix}")).await.body,
        there.body,
        "nor an ambiguous one"
    );
    host.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i17_a_session_without_a_task_and_a_foreigner_get_nothing() {
    let host = Host::new(all_states());
    host.become_peer(PeerAuthority::Session { task: None });
    let without_task = matrix(&host).await;
    host.become_peer(PeerAuthority::Unknown);
    assert_eq!(
        matrix(&host).await,
        without_task,
        "unknown, while a session lives"
    );
    insta::assert_snapshot!("session_without_task", without_task);
    host.become_peer(PeerAuthority::Foreign { uid: 65_534 });
    insta::assert_snapshot!("foreign", matrix(&host).await);
    assert!(host.asked.lock().unwrap().is_empty());
    host.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i17_an_unknown_peer_is_a_person_only_while_nothing_lives() {
    let mut history = History::new();
    history.submit(vec![spec("a", &[])]);
    let host = Host::new(history);
    host.become_peer(PeerAuthority::Unknown);
    let list = async || {
        call(&host.socket, Method::GET, "/v1/tasks", &[], Vec::new())
            .await
            .status
    };
    assert_eq!(list().await, StatusCode::OK);
    host.happen(|h| h.start(id(0)));
    assert_eq!(list().await, StatusCode::FORBIDDEN);
    host.happen(|h| h.finish_turn(id(0)));
    assert_eq!(
        list().await,
        StatusCode::FORBIDDEN,
        "its check runs what the agent wrote"
    );
    host.happen(|h| h.judge(id(0), longhaul_core::verdict::Grade::Pass));
    assert_eq!(list().await, StatusCode::OK);
    host.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i6_an_unknown_peer_is_no_person_while_nobody_can_say_what_lives() {
    let host = Host::new(History::new());
    host.become_peer(PeerAuthority::Unknown);
    host.break_store();
    let answer = call(&host.socket, Method::POST, "/v1/estop", &[], Vec::new()).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(host.asked.lock().unwrap().len(), 0);
    host.end().await;
}

/// Authority is asked once, at `accept`; later requests of the connection keep it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i17_a_connection_keeps_what_it_was_at_accept() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let host = Host::new(all_states());
    host.become_peer(PeerAuthority::Session { task: Some(id(2)) });
    let mut stream = tokio::net::UnixStream::connect(&host.socket).await.unwrap();
    let mut status = async || {
        stream
            .write_all(b"GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        let mut head = [0; 4096];
        let n = stream.read(&mut head).await.unwrap();
        String::from_utf8_lossy(&head[..n])
            .lines()
            .next()
            .unwrap()
            .to_owned()
    };
    assert_eq!(status().await, "HTTP/1.1 403 Forbidden");
    host.become_peer(PeerAuthority::Person);
    assert_eq!(status().await, "HTTP/1.1 403 Forbidden");
    drop(stream);
    host.end().await;
}

/// A task may have the name of a route.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_called_orders_can_be_read() {
    let mut history = History::new();
    history.submit(vec![spec("orders", &[]), spec("other", &[])]);
    history.order(id(1), Order::Cancel);
    history.start(id(0));
    history.end(id(0), AttemptEnd::Idle);
    let host = Host::new(history);
    let read = async || {
        call(
            &host.socket,
            Method::GET,
            "/v1/tasks/orders",
            &[],
            Vec::new(),
        )
        .await
    };
    assert_eq!(read().await.json()["data"]["task"]["name"], "orders");
    host.become_peer(PeerAuthority::Session { task: Some(id(0)) });
    assert_eq!(read().await.status, StatusCode::OK);
    host.become_peer(PeerAuthority::Session { task: Some(id(1)) });
    assert_eq!(read().await.status, StatusCode::FORBIDDEN);
    host.end().await;
}

/// I16: sessions cannot use the connections up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i17_sessions_cannot_shut_a_person_out() {
    use tokio::io::AsyncReadExt as _;
    let host = Host::new(all_states());
    host.become_peer(PeerAuthority::Session { task: Some(id(2)) });
    let mut open = tokio::task::JoinSet::new();
    for _ in 0..140 {
        let mut stream = tokio::net::UnixStream::connect(&host.socket).await.unwrap();
        open.spawn(async move { stream.read(&mut [0]).await });
    }
    // Those beyond the bound are closed without a word, the others stay open.
    let closed = tokio::time::timeout(PATIENCE, open.join_next()).await;
    assert_eq!(closed.unwrap().unwrap().unwrap().unwrap(), 0);
    host.become_peer(PeerAuthority::Person);
    let answer = call(&host.socket, Method::GET, "/v1/status", &[], Vec::new()).await;
    assert_eq!(answer.status, StatusCode::OK);
    drop(open);
    host.end().await;
}
