//! Bodies of answers: whole, streamed chunk by chunk, or broken off in the middle.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::body::{Body, Frame};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::Value;
use tokio::sync::mpsc;

use super::step::Step;
use super::wire::Rendered;

/// A body fed by a task; an error in it breaks the connection.
pub(super) struct Feed(mpsc::Receiver<io::Result<Bytes>>);

impl Body for Feed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0
            .poll_recv(cx)
            .map(|next| next.map(|r| r.map(Frame::data)))
    }
}

pub(super) type Response = hyper::Response<Feed>;

/// Feeds the answer chunk by chunk.
pub(super) fn send(rendered: Rendered, streamed: bool, cut: bool, step: &Step) -> Response {
    let mut chunks: Vec<String> = if streamed {
        rendered.frames
    } else {
        vec![rendered.whole.to_string()]
    };
    if cut {
        if streamed {
            chunks.truncate(chunks.len().div_ceil(2));
        } else if let Some(whole) = chunks.first_mut() {
            *whole = whole.chars().take(whole.chars().count() / 2).collect();
        }
    }
    let pause = Duration::from_millis(step.chunk_delay_ms);
    let (tx, rx) = mpsc::channel(1);
    // Owned by the connection: it ends when the receiver is dropped with the response.
    tokio::spawn(async move {
        for chunk in chunks {
            if tx.send(Ok(Bytes::from(chunk))).await.is_err() {
                return;
            }
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
        }
        if cut {
            // A moment for the bytes before it to be flushed; hyper drops what it still buffers.
            tokio::time::sleep(Duration::from_millis(50)).await;
            let broken = io::Error::from(io::ErrorKind::ConnectionAborted);
            drop(tx.send(Err(broken)).await);
        }
    });
    let kind = if streamed {
        "text/event-stream"
    } else {
        "application/json"
    };
    let mut response = hyper::Response::new(Feed(rx));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Bytes in the name of a stream of events.
pub(super) fn raw(body: &str, step: &Step) -> Response {
    let rendered = Rendered {
        whole: Value::Null,
        frames: vec![body.to_owned()],
    };
    send(rendered, true, false, step)
}

/// Adds the step's headers.
pub(super) fn with_headers(mut response: Response, step: &Step, serial: u64) -> Response {
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&format!("req_mock{serial:012}")) {
        headers.insert("request-id", id);
    }
    for (name, value) in &step.headers {
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_str(value),
        ) {
            headers.insert(name, value);
        }
    }
    response
}

/// A whole JSON body.
pub(super) fn plain(status: StatusCode, body: &Value) -> Response {
    let (tx, rx) = mpsc::channel(1);
    // Capacity one and nothing sent yet: this cannot be full.
    drop(tx.try_send(Ok(Bytes::from(body.to_string()))));
    let mut response = hyper::Response::new(Feed(rx));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
