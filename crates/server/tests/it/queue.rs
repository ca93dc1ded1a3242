//! The merge queue over the wire: what landed, and taking it back.

use longhaul_api::{Envelope, QueueView};
use longhaul_core::ledger::Actor;
use longhaul_core::queue::{
    Entry, EntryId, LandCheck, Landing, Line, LineId, MergeStyle, Origin, QueueCause, QueueRow,
};
use longhaul_core::spec::Priority;
use longhaul_core::time::SpanMs;
use longhaul_store::{LineStep, Write};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::client::{get, post};
use crate::history::{History, all_states};
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

/// Two branches wait in the line of `/repo`, another one in a line whose git is broken; beside them the
/// tasks of every state.
fn waiting() -> History {
    let mut h = all_states();
    for (base, names) in [("main", &["first", "second"][..]), ("broken", &["third"])] {
        let id = LineId {
            repo: "/repo".to_owned(),
            base: base.to_owned(),
        };
        let mut line = Line::new(id);
        line.version = 1;
        line.entries = names.iter().map(|name| waits(&h, name)).collect();
        h.commit(Write::Line(Box::new(LineStep {
            expect_version: 0,
            line,
            rows: Vec::new(),
            green: None,
        })));
    }
    h
}

fn waits(h: &History, name: &str) -> Entry {
    let unique = name.bytes().map(u128::from).sum();
    Entry {
        id: id(unique),
        origin: branch(name),
        title: name.to_owned(),
        commit: format!("commit-of-{name}"),
        priority: Priority::Normal,
        since: h.now,
        style: MergeStyle::Merge,
        checks: Vec::new(),
        land_unverified: true,
        held: false,
        wait: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l10_l13_the_forecast_names_who_conflicts_and_what_keeps_each_from_landing() {
    let host = Host::new(waiting());
    let plain = get(&host.socket, "/v1/queue").await;
    let view = Envelope::<QueueView>::read(&plain.body).unwrap();
    assert!(
        view.lines.iter().all(|l| l.forecast.is_none()),
        "git is asked on demand only"
    );

    let answer = get(&host.socket, "/v1/queue?forecast=true").await;
    let view = Envelope::<QueueView>::read(&answer.body).unwrap();
    let of = |base: &str| {
        let line = view.lines.iter().find(|l| l.base == base).unwrap();
        line.forecast.clone().unwrap()
    };
    let told: String = of("main")
        .heads
        .iter()
        .map(|h| {
            let with: Vec<&str> = h.conflicts.iter().map(|c| c.with_title.as_str()).collect();
            format!(
                "{:?} {} | {:?} | {:?} | {with:?}\n",
                h.place, h.title, h.blocker, h.action
            )
        })
        .collect();
    insta::assert_snapshot!(told);
    let preview = &of("main").heads[1].conflicts[0].preview;
    assert_eq!(preview, "<<<<<<<\nours\n", "cleaned, its lines kept");
    let broken = of("broken");
    assert_eq!(broken.error.as_deref(), Some("git said no"));
    assert_eq!(broken.heads.len(), 1, "what waits is told all the same");
    host.end().await;
}
