//! A plain HTTP client on a unix socket.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

/// How long any single thing may take in a test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The code of a problem, after a look at its shape.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let problem: longhaul_api::Problem = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem.status, self.status.as_u16());
        assert_eq!(
            problem.problem_type,
            format!("urn:longhaul:error:{}", problem.code)
        );
        problem.code
    }
}

pub(crate) async fn open(
    socket: &Path,
    method: Method,
    target: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Response<Incoming> {
    let stream = UnixStream::connect(socket)
        .await
        .expect("the server listens");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .expect("a handshake");
    tokio::spawn(connection);
    let mut request = Request::builder()
        .method(method)
        .uri(target)
        .header("host", "longhaul");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request
        .body(Full::new(Bytes::from(body)))
        .expect("a request");
    tokio::time::timeout(PATIENCE, sender.send_request(request))
        .await
        .expect("an answer in time")
        .expect("an answer")
}

pub(crate) async fn call(
    socket: &Path,
    method: Method,
    target: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Answer {
    let response = open(socket, method, target, headers, body).await;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = tokio::time::timeout(PATIENCE, response.into_body().collect())
        .await
        .expect("a body in time")
        .expect("a whole body")
        .to_bytes();
    Answer {
        status,
        headers,
        body,
    }
}

pub(crate) async fn get(socket: &Path, target: &str) -> Answer {
    call(socket, Method::GET, target, &[], Vec::new()).await
}

pub(crate) async fn post(socket: &Path, target: &str, body: &Value) -> Answer {
    let json = [("content-type", "application/json")];
    call(
        socket,
        Method::POST,
        target,
        &json,
        body.to_string().into_bytes(),
    )
    .await
}

/// Reads a body piece by piece.
pub(crate) struct Reading {
    body: Incoming,
    seen: String,
}

impl Reading {
    pub(crate) fn new(response: Response<Incoming>) -> Self {
        assert_eq!(response.status(), StatusCode::OK);
        Self {
            body: response.into_body(),
            seen: String::new(),
        }
    }

    /// Everything so far, once it contains `wanted`.
    pub(crate) async fn until(&mut self, wanted: &str) -> &str {
        while !self.seen.contains(wanted) {
            assert!(self.more().await, "ended without {wanted:?}: {}", self.seen);
        }
        &self.seen
    }

    /// Everything, once it has ended.
    pub(crate) async fn rest(mut self) -> String {
        while self.more().await {}
        self.seen
    }

    async fn more(&mut self) -> bool {
        let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await;
        match frame.unwrap_or_else(|_| panic!("nothing more came after {:?}", self.seen)) {
            Some(Ok(frame)) => {
                let data = frame.into_data().unwrap_or_default();
                self.seen.push_str(&String::from_utf8_lossy(&data));
                true
            }
            Some(Err(error)) => panic!("{error} after {:?}", self.seen),
            None => false,
        }
    }
}
