//! The daemon's routes over the real dispatcher and a store in memory, in this process: any methods,
//! paths and bodies, of a person or of a session.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, Uri, header};
use http_body_util::BodyExt as _;
use longhaul_api::{LogStream, Problem};
use longhaul_core::ids::{Fence, TaskId};
use longhaul_core::queue::{Forecast, Head, Landing, LineId, Undoing};
use longhaul_core::spec::{
    CheckKind, CheckSpec, CommitMode, Expect, Land, OnDrift, Permission, Priority, Sandbox,
    TaskSpec, WorkspaceKind,
};
use longhaul_core::time::{Now, SpanMs, UnixMs};
use longhaul_core::usage::MicroUsd;
use longhaul_engine::event::Event;
use longhaul_engine::handle::EngineHandle;
use longhaul_engine::machine::{About, Limits, Machine};
use longhaul_server::fuzzing::Api;
use longhaul_server::{
    Authority, Foresight, LogPiece, LogSource, Peer, PeerAuthority, Phrasing, ServerDeps,
};
use longhaul_store::{MemoryStore, Store as _};
use tokio::sync::watch;
use uuid::Uuid;

pub(super) const WORDS: &[&str] = &[
    "\n===\n",
    "GET ",
    "POST ",
    "DELETE ",
    "/v1/tasks",
    "/v1/tasks/orders",
    "/v1/queue",
    "/v1/status",
    "/events?after=",
    "/logs?tail=",
    "{\"tasks\":[\"fix\"],\"order\":\"retry\"}",
    "\"add_budget_usd\":",
    "\"add_tokens\":",
    "\"depends_on\":[",
    "\"timeout\":",
    "\"max_retries\":",
    "%00",
    "%2e%2e",
    "?follow=true",
    "&state=",
    "\"again\":true",
    "\"order\":\"cancel\"",
    "\"budget\":",
    "\"land\":",
];

/// Between two requests of an input.
const NEXT: &[u8] = b"\n===\n";
/// Most requests of one input.
const MOST: usize = 12;
/// Longest answer: lists and reports of what twelve requests can have stored.
const ANSWER_BYTES: usize = 16 << 20;
/// 2026-11-21 08:27:20 UTC.
const START: i64 = 1_795_249_640_000;

fn id(n: u8) -> TaskId {
    TaskId::new(START, [n; 10])
}

fn spec(name: &str, depends_on: &[TaskId]) -> TaskSpec {
    TaskSpec {
        name: name.to_owned(),
        prompt: "do it".to_owned(),
        repo: "/repo".into(),
        dir: None,
        workspace: WorkspaceKind::Worktree,
        base: Some("main".to_owned()),
        harness: "script".to_owned(),
        profile: None,
        model: None,
        role: None,
        depends_on: depends_on.to_vec(),
        priority: Priority::Normal,
        budget: Some(MicroUsd(2_000_000)),
        budget_tokens: Some(5_000),
        timeout: SpanMs::from_secs(60),
        idle_timeout: SpanMs::from_secs(60),
        answer_timeout: SpanMs::from_secs(60),
        max_retries: 2,
        max_restarts: 5,
        on_drift: OnDrift::Ask,
        land: Land::Yes,
        land_checks: vec![],
        land_unverified: false,
        merge_style: None,
        project: None,
        group: None,
        labels: vec!["a".to_owned()],
        allow: vec!["make".to_owned()],
        keep: vec![],
        sandbox: Sandbox::Write,
        protect: vec![],
        expect: Expect::Change,
        permission: Permission::Edits,
        commit: CommitMode::Auto,
        env: BTreeMap::new(),
        env_pass: vec![],
        setup: None,
        teardown: None,
        checks: vec![CheckSpec {
            name: "test".to_owned(),
            kind: CheckKind::Run {
                command: "true".to_owned(),
            },
            timeout: SpanMs::from_secs(60),
            retry_flaky: 1,
        }],
        task_file: None,
        caller_env: BTreeMap::new(),
    }
}

/// A submission of two tasks, the second waiting for the first.
fn submission() -> String {
    let task = |n, spec: &TaskSpec| serde_json::json!({ "id": id(n), "spec": spec });
    serde_json::json!({
        "source": "/repo/tasks.toml",
        "digest": "0".repeat(64),
        "tasks": [task(1, &spec("fix-login", &[])), task(2, &spec("docs", &[id(1)]))],
    })
    .to_string()
}

/// Bodies that routes take.
pub(super) fn bodies() -> Vec<Vec<u8>> {
    let others = [
        "{\"tasks\":[\"fix-login\"],\"order\":\"retry\",\"note\":\"n\",\"add_budget_usd\":1.5,\"add_tokens\":7}",
        "{\"tasks\":[\"docs\",\"fix\"],\"order\":\"stop\"}",
        "{\"order\":\"freeze\",\"repo\":\"/repo\",\"base\":\"main\",\"below\":\"high\"}",
        "{\"order\":\"add\",\"branch\":{\"name\":\"topic\",\"repo\":\"/repo\",\"base\":\"main\"}}",
        "{\"scope\":\"claude\"}",
        "{\"text\":\"hello\"}",
        "{\"stop\":true}",
    ];
    let mut all: Vec<Vec<u8>> = others.iter().map(|b| b.as_bytes().to_vec()).collect();
    all.push(submission().into_bytes());
    all
}

/// Inputs to begin with. The first byte says who asks: `S` a session of the first task, `U` somebody
/// unknown, `F` another user, everything else a person.
pub(super) fn requests() -> Vec<Vec<u8>> {
    let submit = format!("POST /v1/tasks\n{}", submission());
    let reads = "GET /v1/status\n===\nGET /v1/tasks?all=true&state=ready\n===\nGET /v1/tasks/fix-login\n===\nGET /v1/report?since_ms=1\n===\nGET /v1/queue?forecast=true\n===\nGET /v1/tasks/docs/events?after=0\n===\nGET /v1/tasks/fix-login/logs?attempt=1&stream=out&tail=10\n===\nGET /v1/version";
    let orders = "POST /v1/tasks/orders\n{\"tasks\":[\"fix-login\"],\"order\":\"cancel\"}\n===\nPOST /v1/drain\n{\"stop\":true}\n===\nPOST /v1/undrain\n\n===\nPOST /v1/estop\n\n===\nPOST /v1/thaw\n\n===\nPOST /v1/limits/clear\n{\"scope\":\"claude\"}";
    let queue = "POST /v1/queue\n{\"order\":\"freeze\",\"repo\":\"/repo\",\"base\":\"main\"}\n===\nPOST /v1/queue\n{\"order\":\"add\",\"repo\":\"/repo\",\"base\":\"main\",\"branch\":{\"name\":\"topic\"}}\n===\nGET /v1/queue/topic\n===\nPOST /v1/tasks/docs/send\n{\"text\":\"hello\"}";
    let mut all = Vec::new();
    for who in ["P", "S", "U", "F"] {
        for rest in [reads, orders, queue] {
            all.push(format!("{who}{submit}\n===\n{rest}").into_bytes());
        }
        all.push(format!("{who}{orders}").into_bytes());
    }
    all.push(b"PGET /v1/events?follow=true&after=0\n===\nGET /v1/tasks/x%2f..%2f/logs\n===\nPUT /v1/tasks".to_vec());
    all
}

/// No log was ever written.
struct NoLogs;

impl LogSource for NoLogs {
    fn read_at(
        &self,
        _: TaskId,
        _: Fence,
        _: LogStream,
        _: u64,
        _: &mut [u8],
    ) -> io::Result<LogPiece> {
        Ok(LogPiece::End)
    }

    fn end(&self, _: TaskId, _: Fence, _: LogStream) -> io::Result<u64> {
        Ok(0)
    }
}

/// No repository is there.
struct NoGit;

impl Foresight for NoGit {
    fn undo(&self, _: &Landing) -> Result<Undoing, String> {
        Err("there is no repository".to_owned())
    }

    fn forecast(&self, _: &LineId, _: &[Head]) -> Result<Forecast, String> {
        Err("there is no repository".to_owned())
    }
}

/// Never asked: there is no socket.
struct Nobody;

impl Authority for Nobody {
    fn of_peer(&self, _: &Peer<'_>) -> PeerAuthority {
        PeerAuthority::Unknown
    }
}

/// A daemon without a socket, and its store.
struct Daemon {
    api: Api,
    store: MemoryStore,
    machine: Arc<Mutex<Machine<MemoryStore>>>,
    _ends: (watch::Sender<u64>, watch::Sender<bool>),
}

fn open(store: MemoryStore) -> Machine<MemoryStore> {
    let mut ops = 0_u128;
    let op = move || {
        ops += 1;
        Uuid::from_u128((ops << 80) | 0x7000_8000_0000_0000_0000)
    };
    Machine::open(store, Limits::default(), About::default(), op).expect("a store in memory")
}

impl Daemon {
    fn new() -> Self {
        let store = MemoryStore::new();
        let machine = Arc::new(Mutex::new(open(store.clone())));
        let (advance, advanced) = watch::channel(0);
        let (shutdown, ending) = watch::channel(false);
        let (dispatcher, readers) = (Arc::clone(&machine), store.clone());
        let clock = Mutex::new(0_i64);
        let engine = EngineHandle::new(move |request| {
            let mut passed = clock.lock().unwrap_or_else(PoisonError::into_inner);
            *passed += 60_000;
            let now = Now {
                wall: UnixMs(START + *passed),
                mono_ms: passed.unsigned_abs(),
            };
            // A panic in the step is the finding; that the lock is poisoned afterwards is not.
            let mut machine = dispatcher.lock().unwrap_or_else(PoisonError::into_inner);
            let step = machine.step(vec![Event::Request(request)], now);
            assert!(step.store_trouble.is_none(), "{:?}", step.store_trouble);
            for answer in step.replies {
                (answer.to)(answer.reply);
            }
            true
        });
        let api = Api::new(&ServerDeps {
            engine,
            readers: Arc::new(move || readers.reader()),
            authority: Arc::new(Nobody),
            on_refused: Arc::new(|_| {}),
            logs: Arc::new(NoLogs),
            foresight: Arc::new(NoGit),
            reload_accounts: Arc::new(|| Err("there are none".to_owned())),
            advance: advanced,
            shutdown: ending,
            phrasing: Phrasing::default(),
            clock: Arc::new(|| UnixMs(START + 3_600_000)),
            version: "1.2.3".to_owned(),
        });
        Self {
            api,
            store,
            machine,
            _ends: (advance, shutdown),
        }
    }

    /// All that is stored of tasks and of what happened.
    fn picture(&self) -> String {
        let mut store = self.store.clone();
        let ledger = store.reader().and_then(|r| r.ledger_tail(0, 100_000));
        format!(
            "{:?} {:?} {:?} {:?}",
            store.live(),
            store.lines(),
            store.flags(),
            ledger
        )
    }
}

/// Requests one after the other. No answer is a bug's, each is bounded JSON, nobody but a person
/// changes anything (I17), and afterwards another daemon takes over the same tasks (I3).
pub(super) fn api(data: &[u8]) {
    let who = match data.first() {
        Some(b'S') => PeerAuthority::Session { task: Some(id(1)) },
        Some(b'U') => PeerAuthority::Unknown,
        Some(b'F') => PeerAuthority::Foreign { uid: 7 },
        _ => PeerAuthority::Person,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .max_blocking_threads(2)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let daemon = Daemon::new();
        if who != PeerAuthority::Person {
            // Something there is to be protected, and something lives.
            let first = format!("POST /v1/tasks\n{}", submission());
            daemon.ask(PeerAuthority::Person, first.as_bytes()).await;
        }
        let before = daemon.picture();
        let mut rest = data.get(1..).unwrap_or_default();
        for _ in 0..MOST {
            let end = rest.windows(NEXT.len()).position(|w| w == NEXT);
            let (request, more) = rest.split_at(end.unwrap_or(rest.len()));
            daemon.ask(who, request).await;
            let Some(more) = more.get(NEXT.len()..) else {
                break;
            };
            rest = more;
        }
        // Nothing lives in these stores, so somebody unknown counts as the person.
        if matches!(
            who,
            PeerAuthority::Session { .. } | PeerAuthority::Foreign { .. }
        ) {
            assert_eq!(daemon.picture(), before, "I17: {who:?} changed something");
        }
        daemon.ask(PeerAuthority::Person, b"GET /v1/status").await;
        daemon
            .ask(PeerAuthority::Person, b"GET /v1/tasks?all=true")
            .await;
        daemon.ask(PeerAuthority::Person, b"GET /v1/report").await;
        let tasks = |machine: &Machine<MemoryStore>| {
            let mut tasks: Vec<String> = machine.tasks().map(|t| format!("{t:?}")).collect();
            tasks.sort();
            tasks
        };
        let machine = daemon
            .machine
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        assert_eq!(tasks(&open(daemon.store.clone())), tasks(&machine), "I3");
    });
}

impl Daemon {
    /// `METHOD PATH`, a line feed, the body.
    async fn ask(&self, who: PeerAuthority, request: &[u8]) {
        let (line, body) = match request.iter().position(|b| *b == b'\n') {
            Some(end) => (&request[..end], &request[end + 1..]),
            None => (request, &[][..]),
        };
        let mut words = line.splitn(2, |b| *b == b' ');
        let method = Method::from_bytes(words.next().unwrap_or_default());
        let target = Uri::try_from(words.next().unwrap_or_default());
        // What is no HTTP never reaches a route.
        let (Ok(method), Ok(target)) = (method, target) else {
            return;
        };
        let sent = Request::builder()
            .method(method)
            .uri(target)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_vec()))
            .expect("a request");
        let what = String::from_utf8_lossy(line).into_owned();
        let response = self.api.call(sent, who).await;
        let (status, kind) = (
            response.status(),
            response.headers().get(header::CONTENT_TYPE).cloned(),
        );
        let kind = kind
            .and_then(|k| k.to_str().map(str::to_owned).ok())
            .unwrap_or_default();
        assert!(status.as_u16() != 500, "{what}: {status}");
        let body = bounded(response.into_body()).await;
        if kind == "application/problem+json" {
            let problem: Problem = serde_json::from_slice(&body).expect("a problem");
            assert_eq!(problem.status, status.as_u16(), "{what}");
            let said = format!("{} {:?}", problem.code, problem.detail);
            assert!(said.len() < 20_000, "{what}: {said}");
        } else if kind == "application/json" {
            let json: serde_json::Value = serde_json::from_slice(&body).expect("an envelope");
            assert_eq!(json["longhaul"], 1, "{what}");
        } else {
            assert!(
                status.is_success(),
                "{what}: {status} without a reason ({kind})"
            );
        }
    }
}

/// A body, or the first of one that does not end: who follows waits for news.
async fn bounded(mut body: Body) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Ok(Some(Ok(frame))) =
        tokio::time::timeout(Duration::from_millis(5), body.frame()).await
    {
        bytes.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        assert!(
            bytes.len() <= ANSWER_BYTES,
            "an answer of more than {ANSWER_BYTES} bytes"
        );
    }
    bytes
}
