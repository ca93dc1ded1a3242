//! The merge queue over the wire: what landed, and taking it back.

use longhaul_api::{Envelope, QueueView};
use longhaul_core::ledger::Actor;
use longhaul_core::queue::{
    EntryId, LandCheck, Landing, Line, LineId, Origin, QueueCause, QueueRow,
};
use longhaul_core::time::SpanMs;
use longhaul_store::{LineStep, Write};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::client::{get, post};
use crate::history::History;
use crate::host::Host;

fn line() -> LineId {
    LineId {
        repo: "/repo".to_owned(),
        base: "main".to_owned(),
    }
}

fn id(n: u128) -> EntryId {
    EntryId(Uuid::from_u128((0x0199_0000_0000_7000 << 64) | n))
}

/// A row of a landing with a check.
fn landed(h: &History, entry: EntryId, title: &str, commit: &str, origin: &Origin) -> QueueRow {
    let check = LandCheck {
        name: "test".to_owned(),
        command: "make test".to_owned(),
        timeout: SpanMs(1),
        key: "k".to_owned(),
        of: entry,
    };
    let data = json!({
        "origin": origin, "title": title, "head": "4".repeat(40), "commit": commit,
        "tree": "t", "checks": [check], "verified": true,
    });
    QueueRow {
        version: 1,
        entry: Some(entry),
        cause: QueueCause::Landed,
        actor: Actor::Daemon,
        at: h.now,
        data,
    }
}

fn branch(name: &str) -> Origin {
    Origin::Branch {
        name: name.to_owned(),
    }
}

/// `parser`, `built` (on which something builds) and `gone`, which was taken back, have landed.
fn past() -> History {
    let mut h = History::new();
    let gone = landed(&h, id(3), "gone", "c3", &branch("gone"));
    let undo = Landing::of(&line(), &gone).unwrap().undo_id();
    let origin = Origin::Undo {
        of: id(3),
        landed: "c3".to_owned(),
    };
    let rows = vec![
        landed(&h, id(1), "parser", "c1", &branch("parser")),
        landed(&h, id(2), "built", "built-on", &branch("built")),
        gone,
        landed(&h, undo, "undo of gone", "c4", &origin),
    ];
    let mut line = Line::new(line());
    line.version = 1;
    h.commit(Write::Line(Box::new(LineStep {
        expect_version: 0,
        line,
        rows,
        green: None,
    })));
    h
}

async fn undo(host: &Host, body: Value) -> (u16, Value) {
    let mut whole = json!({"order": "undo"});
    whole
        .as_object_mut()
        .unwrap()
        .extend(body.as_object().unwrap().clone());
    let answer = post(&host.socket, "/v1/queue", &whole).await;
    (
        answer.status.as_u16(),
        serde_json::from_slice(&answer.body).unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_undo_is_queued_with_its_commit_or_refused_with_the_reason() {
    let host = Host::new(past());
    let (status, _) = undo(&host, json!({"entry": "parser"})).await;
    assert_eq!(status, 200);
    let asked = host.asked.lock().unwrap().join("\n");
    for word in ["Enqueue", "undo of parser", &"5".repeat(40), "make test"] {
        assert!(asked.contains(word), "{word} is not in {asked}");
    }
    host.asked.lock().unwrap().clear();
    let (status, _) = undo(&host, json!({"entry": "parser", "checks": ["true"]})).await;
    assert_eq!(status, 200);
    let asked = host.asked.lock().unwrap().join("\n");
    assert!(
        asked.contains("\"true\"") && !asked.contains("make test"),
        "{asked}"
    );
    host.asked.lock().unwrap().clear();

    for (body, status, code, words) in [
        (
            json!({"entry": "built"}),
            409,
            "built_on",
            "f.txt (content), src/lib.rs (content)",
        ),
        (
            json!({"entry": "gone"}),
            409,
            "not_undone",
            "it was taken back already, by c4",
        ),
        (
            json!({"entry": "nobody"}),
            404,
            "task_not_found",
            "no task is called",
        ),
        (json!({}), 400, "bad_queue_order", "names an entry"),
    ] {
        let (got, problem) = undo(&host, body.clone()).await;
        assert_eq!(
            (got, problem["code"].as_str()),
            (status, Some(code)),
            "{body} {problem}"
        );
        assert!(problem.to_string().contains(words), "{problem}");
    }
    assert!(
        host.asked.lock().unwrap().is_empty(),
        "nothing was asked of the engine"
    );
    host.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_taken_back_is_told_with_the_landing() {
    let host = Host::new(past());
    let answer = get(&host.socket, "/v1/queue").await;
    let view = Envelope::<QueueView>::read(&answer.body).unwrap();
    let told: Vec<_> = view.lines[0]
        .landed
        .iter()
        .map(|l| (l.title.as_str(), l.undoes.is_some(), l.undone_by.as_deref()))
        .collect();
    assert_eq!(
        told,
        [
            ("undo of gone", true, None),
            ("gone", false, Some("c4")),
            ("built", false, None),
            ("parser", false, None),
        ]
    );
    host.end().await;
}
