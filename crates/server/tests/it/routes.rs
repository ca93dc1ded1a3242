//! What every route answers, to good requests and to bad ones.

use hyper::{Method, StatusCode};
use longhaul_api::{
    Envelope, OrderResponse, OrderWord, ReportView, StatusView, SubmissionView, SubmitResponse,
    TaskDetail, TaskList, VersionView,
};
use longhaul_engine::handle::{Command, RefusalClass, Reply};
use serde_json::{Value, json};

use crate::client::{call, get, post};
use crate::history::{History, all_states, id, spec};
use crate::host::{Host, submission_path};

fn submission(again: bool) -> Value {
    let task = |n: usize, name: &str| json!({"id": id(n), "spec": spec(name, &[])});
    json!({
        "source": "/repo/tasks.toml", "digest": "ab".repeat(32), "again": again,
        "tasks": [task(100, "x"), task(101, "y")],
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_answer_in_their_envelope() {
    let host = Host::new(all_states());
    let body = async |path: &str| {
        let answer = get(&host.socket, path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.json());
        assert_eq!(answer.headers["content-type"], "application/json");
        answer.body
    };
    let version = Envelope::<VersionView>::read(&body("/v1/version").await).unwrap();
    assert_eq!((version.version.as_str(), version.api.max), ("1.2.3", 1));
    let status = Envelope::<StatusView>::read(&body("/v1/status").await).unwrap();
    assert_eq!(status.daemon.unwrap().slots, 4);
    let list = Envelope::<TaskList>::read(&body("/v1/tasks").await).unwrap();
    assert_eq!(list.tasks.len(), 12);
    let running = list.tasks.iter().find(|t| t.name == "running").unwrap();
    assert_eq!(
        running.line, "edits src/lib.rs",
        "what the engine knows is in it, cleaned"
    );
    assert_eq!(running.usage.output, 500);
    let list = body("/v1/tasks?state=done&repo=%2Frepo&all=true").await;
    assert_eq!(Envelope::<TaskList>::read(&list).unwrap().tasks.len(), 1);
    let detail = Envelope::<TaskDetail>::read(&body("/v1/tasks/running").await).unwrap();
    assert_eq!(detail.live.unwrap().logs.as_deref(), Some("/state/jobs/x"));
    let path = format!("/v1/tasks/{}", id(1).to_string().to_uppercase());
    let detail = Envelope::<TaskDetail>::read(&body(&path).await).unwrap();
    assert_eq!(detail.task.name, "retrying");
    let report = Envelope::<ReportView>::read(&body("/v1/report?since_ms=0").await).unwrap();
    assert_eq!((report.since_ms, report.totals.done), (0, 1));
    let view = Envelope::<SubmissionView>::read(&body(&submission_path()).await).unwrap();
    assert_eq!(view.tasks.len(), 12);
    host.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn submitting_hands_the_tasks_to_the_engine() {
    let host = Host::new(History::new());
    let answer = post(&host.socket, "/v1/tasks", &submission(false)).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let view = Envelope::<SubmitResponse>::read(&answer.body).unwrap();
    assert_eq!(view.tasks, [id(100), id(101)]);
    let again = post(&host.socket, "/v1/tasks", &submission(true)).await;
    assert_eq!(again.status, StatusCode::OK, "re-attached");
    let asked = host.asked.lock().unwrap().join("\n");
    assert!(
        asked.contains("again: false") && asked.contains("name: \"y\""),
        "{asked}"
    );
    host.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_submission_is_taken() {
    let host = Host::new(History::new());
    let mut task = spec("large", &[]);
    task.prompt = "x".repeat(1 << 20);
    let tasks: Vec<Value> = (0..8).map(|n| json!({"id": id(n), "spec": task})).collect();
    let body = json!({"source": "add", "digest": "0".repeat(64), "tasks": tasks});
    assert_eq!(
        post(&host.socket, "/v1/tasks", &body).await.status,
        StatusCode::CREATED
    );
    host.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn submissions_that_make_no_sense_are_refused_here() {
    let host = Host::new(History::new());
    let bad = async |change: fn(&mut Value)| {
        let mut body = submission(false);
        change(&mut body);
        let answer = post(&host.socket, "/v1/tasks", &body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        answer.problem()
    };
    assert_eq!(bad(|b| b["tasks"] = json!([])).await, "bad_submission");
    assert_eq!(bad(|b| b["digest"] = json!("zz")).await, "bad_submission");
    assert_eq!(
        bad(|b| b["tasks"][1]["id"] = b["tasks"][0]["id"].clone()).await,
        "bad_submission"
    );
    assert_eq!(
        bad(|b| b["tasks"][0]["spec"]["harness"] = json!(7)).await,
        "bad_body"
    );
    assert_eq!(bad(|b| b["surprise"] = json!(1)).await, "bad_body");
    assert_eq!(bad(|b| *b = json!([])).await, "bad_body");
    assert!(host.asked.lock().unwrap().is_empty());
    host.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_are_for_all_tasks_or_for_none() {
    let host = Host::new(all_states());
    let order =
        json!({"tasks": ["running", "done", "needy", "queued", "running"], "order": "stop"});
    let answer = post(&host.socket, "/v1/tasks/orders", &order).await;
    let view = Envelope::<OrderResponse>::read(&answer.body).unwrap();
    let told: Vec<_> = view
        .results
        .iter()
        .map(|r| (r.name.as_str(), r.result, r.message.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("running", OrderWord::Done, "parked"),
            ("done", OrderWord::Already, "stopped already"),
            ("needy", OrderWord::Refused, "no work"),
            (
                "queued",
                OrderWord::NotFound,
                "there is no such task any more"
            ),
        ]
    );
    assert_eq!(host.asked.lock().unwrap().len(), 1);
    let prefix = id(0).to_string()[..8].to_owned();
    for (wrong, code, status) in [
        (
            json!({"tasks": ["running", "nobody"], "order": "stop"}),
            "task_not_found",
            404,
        ),
        (
            json!({"tasks": ["running", prefix], "order": "stop"}),
            "task_ambiguous",
            409,
        ),
        (json!({"tasks": [], "order": "stop"}), "bad_order", 400),
        (
            json!({"tasks": ["done"], "order": "stop", "note": "x"}),
            "bad_order",
            400,
        ),
        (
            json!({"tasks": ["done"], "order": "explode"}),
            "bad_body",
            400,
        ),
        (
            json!({"tasks": ["done"], "order": "retry", "add_budget_usd": -1.0}),
            "bad_order",
            400,
        ),
    ] {
        let answer = post(&host.socket, "/v1/tasks/orders", &wrong).await;
        assert_eq!(
            (answer.problem().as_str(), answer.status.as_u16()),
            (code, status)
        );
    }
    assert_eq!(
        host.asked.lock().unwrap().len(),
        1,
        "nothing of a wrong order is followed"
    );
    let retry =
        json!({"tasks": ["needy"], "order": "retry", "note": "look", "add_budget_usd": 1.5});
    post(&host.socket, "/v1/tasks/orders", &retry).await;
    let asked = host.asked.lock().unwrap()[1].clone();
    assert!(
        asked.contains(r#"note: Some("look"), add_budget: Some(MicroUsd(1500000))"#),
        "{asked}"
    );
    host.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t16_commands_to_the_daemon_are_acknowledged() {
    let host = Host::new(all_states());
    for path in ["drain", "undrain", "estop", "thaw", "shutdown"] {
        let path = format!("/v1/{path}");
        let answer = call(&host.socket, Method::POST, &path, &[], Vec::new()).await;
        assert_eq!(
            answer.json(),
            json!({"longhaul": 1, "kind": "ok", "data": {"message": "so be it"}})
        );
    }
    post(&host.socket, "/v1/drain", &json!({"stop": true})).await;
    assert_eq!(
        *host.asked.lock().unwrap(),
        [
            "Drain { stop: false }",
            "Undrain",
            "Estop",
            "Thaw",
            "Shutdown",
            "Drain { stop: true }"
        ]
    );
    host.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_of_the_engine_keeps_its_class() {
    let said = std::sync::atomic::AtomicUsize::new(0);
    let host = Host::with_engine(all_states(), move |command| match command {
        Command::Live { .. } => Reply::Live(Vec::new()),
        _ => Reply::Refused {
            class: [
                RefusalClass::Invalid,
                RefusalClass::Conflict,
                RefusalClass::NotFound,
                RefusalClass::Unavailable,
            ][said.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 4],
            message: "not now".to_owned(),
        },
    });
    for status in [400, 409, 404, 503] {
        let answer = post(
            &host.socket,
            "/v1/tasks/running/send",
            &json!({"text": "hi"}),
        )
        .await;
        assert_eq!(answer.status.as_u16(), status);
        assert_eq!(answer.json()["detail"], "not now");
    }
    host.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i7_reads_work_without_the_engine() {
    let folder = Host::with_engine(all_states(), |command| match command {
        // An engine that is wedged: the answer never comes, or makes no sense.
        Command::Live { .. } => Reply::Ok(String::new()),
        _ => Reply::Live(Vec::new()),
    });
    let list = get(&folder.socket, "/v1/tasks").await;
    assert_eq!(
        Envelope::<TaskList>::read(&list.body).unwrap().tasks.len(),
        12
    );
    assert_eq!(get(&folder.socket, "/v1/status").await.problem(), "bug");
    folder.end().await;
}

/// Method, path, headers, body.
type BadRequest<'a> = (Method, String, &'a [(&'a str, &'a str)], Vec<u8>);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_requests_are_told_what_is_wrong() {
    let host = Host::new(all_states());
    let text = [("content-type", "text/plain")];
    let json = [("content-type", "application/json; charset=utf-8")];
    let long = "x".repeat(5 << 20).into_bytes();
    let prefix = &id(0).to_string()[..8];
    let cases: Vec<BadRequest<'_>> = vec![
        (Method::GET, "/v1/tasks/nobody".into(), &[], vec![]),
        (Method::GET, format!("/v1/tasks/{prefix}"), &[], vec![]),
        (Method::GET, "/v1/tasks/%ff".into(), &[], vec![]),
        (Method::GET, "/v1/tasks/%1b%5b31m".into(), &[], vec![]),
        (Method::GET, "/v1/tasks/".into(), &[], vec![]),
        (Method::GET, "/v1/tasks?state=runing".into(), &[], vec![]),
        (Method::GET, "/v1/tasks?stat=done".into(), &[], vec![]),
        (
            Method::GET,
            "/v1/report?since_ms=yesterday".into(),
            &[],
            vec![],
        ),
        (Method::GET, "/v1/submissions/7".into(), &[], vec![]),
        (
            Method::GET,
            "/v1/submissions/00000000-0000-0000-0000-000000000000".into(),
            &[],
            vec![],
        ),
        (
            Method::GET,
            "/v1/events".into(),
            &[("last-event-id", "x")],
            vec![],
        ),
        (Method::GET, "/v1/tasks/queued/logs".into(), &[], vec![]),
        (
            Method::GET,
            "/v1/tasks/running/logs?attempt=9".into(),
            &[],
            vec![],
        ),
        (
            Method::GET,
            "/v1/tasks/running/logs?offset=1&tail=1".into(),
            &[],
            vec![],
        ),
        (
            Method::GET,
            "/v1/tasks/running/logs?stream=both".into(),
            &[],
            vec![],
        ),
        (Method::GET, "/v2/tasks".into(), &[], vec![]),
        (Method::DELETE, "/v1/tasks".into(), &[], vec![]),
        (Method::GET, "/v1/drain".into(), &[], vec![]),
        (Method::POST, "/v1/drain".into(), &text, b"{}".to_vec()),
        (Method::POST, "/v1/drain".into(), &json, b"{".to_vec()),
        (
            Method::POST,
            "/v1/drain".into(),
            &json,
            b"{\"hard\":true}".to_vec(),
        ),
        (Method::POST, "/v1/tasks/orders".into(), &json, vec![]),
        (
            Method::POST,
            "/v1/tasks/orders".into(),
            &json,
            b"\xff\xfe".to_vec(),
        ),
        (Method::POST, "/v1/tasks/orders".into(), &json, long),
        (
            Method::POST,
            "/v1/tasks/running/send".into(),
            &json,
            b"{\"text\":\" \"}".to_vec(),
        ),
        (
            Method::POST,
            "/v1/tasks/nobody/send".into(),
            &json,
            b"{\"text\":\"x\"}".to_vec(),
        ),
    ];
    let mut lines = Vec::new();
    for (method, path, headers, body) in cases {
        let answer = call(&host.socket, method.clone(), &path, headers, body).await;
        let code = answer.problem();
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        lines.push(format!(
            "{method} {path}\n  {} {code}: {detail}",
            answer.status.as_u16()
        ));
    }
    insta::assert_snapshot!("bad_requests", lines.join("\n"));
    assert!(host.asked.lock().unwrap().is_empty());
    host.end().await;
}
