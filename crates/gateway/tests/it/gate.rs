//! A gateway of a test: its folder, its control client, requests to it.

use std::cell::Cell;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body_util::{BodyExt as _, Full};
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use longhaul_core::ids::Fence;
use longhaul_gateway::api::{
    AccountSpec, AccountsRequest, Key, Policy, Provider, Report, ReportBody, SessionSpec, Token,
};
use longhaul_gateway::{Client, Parts, Place, Times, WayOut};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// A token that every test's session has.
pub(crate) const TOKEN: &str = "lh-token-of-the-tests";
/// The session's id.
pub(crate) const SESSION: &str = "s1";

/// A running gateway.
pub(crate) struct Gate {
    pub(crate) folder: PathBuf,
    pub(crate) control: Client,
    pub(crate) port: u16,
    pub(crate) runtime: Runtime,
    http: HttpClient<HttpConnector, Full<Bytes>>,
    thread: Option<JoinHandle<()>>,
    _dir: Option<tempfile::TempDir>,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    /// Whether it came to its end.
    pub(crate) whole: bool,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Gate {
    pub(crate) fn start() -> Self {
        Self::with(Times::default())
    }

    pub(crate) fn with(times: Times) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut gate = Self::at(dir.path(), times);
        gate._dir = Some(dir);
        gate
    }

    /// In this folder, which may have been another gateway's before.
    pub(crate) fn at(dir: &Path, times: Times) -> Self {
        let folder = dir.join("gateway");
        let socket = dir.join("gateway.sock");
        let place = Place::take(&folder).unwrap();
        drop(std::fs::remove_file(&socket));
        let parts = Parts {
            place,
            control: UnixListener::bind(&socket).unwrap(),
            may_control: Arc::new(|_| true),
            version: "test".to_owned(),
            times,
            way: WayOut::default(),
        };
        let thread = std::thread::spawn(move || longhaul_gateway::run(parts).unwrap());
        let control = Client::new(&socket);
        let port = control.status().unwrap().port;
        Self {
            folder,
            control,
            port,
            runtime: Runtime::new().unwrap(),
            http: HttpClient::builder(TokioExecutor::new()).build(HttpConnector::new()),
            thread: Some(thread),
            _dir: None,
        }
    }

    /// These accounts, and the session of the tests that may use them all.
    pub(crate) fn serve(&self, provider: Provider, places: &[(&str, String)]) {
        self.accounts(provider, places, Policy::default());
        self.session(SESSION, TOKEN, session(provider));
    }

    pub(crate) fn accounts(&self, provider: Provider, places: &[(&str, String)], policy: Policy) {
        let accounts = places
            .iter()
            .map(|(id, place)| account(id, provider, place));
        let request = AccountsRequest {
            giver: String::new(),
            accounts: accounts.collect(),
            policy,
        };
        self.control.put_accounts(&request).unwrap();
    }

    pub(crate) fn session(&self, id: &str, token: &str, mut spec: SessionSpec) {
        spec.token_hash = Token::new(token.to_owned()).hash();
        self.control.put_session(id, &spec).unwrap();
    }

    /// Asks as Claude would.
    pub(crate) fn ask(&self) -> Answer {
        self.post("/v1/messages?beta=true", &messages(true))
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(path, body).body(body_of(body)).unwrap())
    }

    pub(crate) fn request(&self, path: &str, _: &Value) -> hyper::http::request::Builder {
        Request::builder()
            .method("POST")
            .uri(format!("http://127.0.0.1:{}{path}", self.port))
            .header("content-type", "application/json")
            .header("x-api-key", TOKEN)
    }

    pub(crate) fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        self.runtime.block_on(send(&self.http, request))
    }

    /// Over HTTP/2 from the first byte.
    pub(crate) fn send_http2(&self, request: Request<Full<Bytes>>) -> Answer {
        let http = HttpClient::builder(TokioExecutor::new())
            .http2_only(true)
            .build(HttpConnector::new());
        self.runtime.block_on(send(&http, request))
    }

    /// Asks so often, so many at a time; gives how many whole answers came. `seen` gets how many answers are on their
    /// way whenever one begins.
    pub(crate) fn many(&self, count: usize, at_once: usize, seen: impl Fn(usize)) -> usize {
        let body = Bytes::from(messages(true).to_string());
        let under_way = Cell::new(0);
        let one = async |_| {
            let request = self.request("/v1/messages", &Value::Null);
            let request = request.body(Full::new(body.clone())).unwrap();
            let Ok(response) = self.http.request(request).await else {
                return false;
            };
            under_way.set(under_way.get() + 1);
            seen(under_way.get());
            let good = response.status() == StatusCode::OK;
            let whole = response.into_body().collect().await;
            under_way.set(under_way.get() - 1);
            good && whole.is_ok_and(|w| {
                let bytes = w.to_bytes();
                bytes.windows(12).any(|part| part == b"message_stop")
            })
        };
        self.runtime.block_on(async {
            let all = futures_util::stream::iter(0..count).map(one);
            let answers = all.buffer_unordered(at_once);
            answers
                .filter(|good| std::future::ready(*good))
                .count()
                .await
        })
    }

    /// All reports so far.
    pub(crate) fn reports(&self) -> Vec<Report> {
        self.control.reports(0).unwrap().reports
    }

    /// The reports of use: session, account, tokens, whether they are complete.
    pub(crate) fn usage(&self) -> Vec<(String, u64, bool)> {
        let reports = self.reports().into_iter();
        reports
            .filter_map(|r| match r.body {
                ReportBody::Usage {
                    account,
                    usage,
                    complete,
                    ..
                } => Some((account, usage.tokens(), complete)),
                _ => None,
            })
            .collect()
    }

    /// Waits for its end; it was told to end.
    pub(crate) fn joined(&mut self) {
        self.thread.take().unwrap().join().unwrap();
    }

    pub(crate) fn stop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.control.shut_down().unwrap();
            thread.join().unwrap();
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if self.thread.is_some() && !std::thread::panicking() {
            self.stop();
        }
    }
}

async fn send(
    http: &HttpClient<HttpConnector, Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Answer {
    let response = http.request(request).await.unwrap();
    let (parts, mut body) = response.into_parts();
    let mut text = Vec::new();
    let mut whole = true;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => text.extend_from_slice(&frame.into_data().unwrap()),
            Err(_) => {
                whole = false;
                break;
            }
        }
    }
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: String::from_utf8(text).unwrap(),
        whole,
    }
}

pub(crate) fn key(id: &str) -> String {
    format!("sk-ant-secret-key-of-{id}")
}

pub(crate) fn account(id: &str, provider: Provider, place: &str) -> AccountSpec {
    AccountSpec {
        id: id.to_owned(),
        provider,
        key: Key::new(key(id)),
        base_url: Some(place.to_owned()),
        priority: 0,
        max_concurrent: None,
        check_model: None,
        generation: 0,
    }
}

pub(crate) fn session(provider: Provider) -> SessionSpec {
    SessionSpec {
        token_hash: Token::new(TOKEN.to_owned()).hash(),
        task: None,
        fence: Fence(1),
        provider,
        accounts: Default::default(),
        strategy: Default::default(),
        budget: Default::default(),
        waits: false,
        holds: false,
    }
}

pub(crate) fn messages(stream: bool) -> Value {
    json!({"model": "claude-sonnet-4-5", "max_tokens": 100, "stream": stream,
        "system": [{"type": "text", "text": "be brief"}],
        "tools": [{"name": "Bash", "input_schema": {}}], "unknown_field": {"a": [1, 2.50, "x"]},
        "messages": [{"role": "user", "content": "hi"}]})
}

pub(crate) fn body_of(value: &Value) -> Full<Bytes> {
    Full::new(Bytes::from(value.to_string()))
}

/// Waits until it is so.
#[track_caller]
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
