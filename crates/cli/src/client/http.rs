//! HTTP/1.1 over the daemon's unix socket: one connection per request, bodies bounded. Knows
//! nothing of tasks.

use std::io;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::time::timeout;

/// Most bytes of an answer.
const BODY_MAX: usize = 64 << 20;
/// How long an answer may take to begin and, for plain answers, to end.
const ANSWER_TIME: Duration = Duration::from_secs(60);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// Nobody listens on the socket.
    #[error("nobody answers at {path}")]
    Connect {
        /// The socket.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The connection broke.
    #[error("the connection to the daemon broke")]
    Broken(#[source] hyper::Error),
    /// The answer broke off or is too large.
    #[error("the daemon's answer broke off")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Nothing came.
    #[error("the daemon did not answer within {} seconds", ANSWER_TIME.as_secs())]
    Silent,
    /// The request could not be written down.
    #[error("the request is not valid HTTP")]
    Request(#[source] hyper::http::Error),
}

impl HttpError {
    /// Whether the socket is there but nobody, or nothing at all, is behind it.
    pub(crate) fn is_absent(&self) -> bool {
        match self {
            Self::Connect { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ),
            Self::Broken(_) | Self::Body(_) | Self::Silent | Self::Request(_) => false,
        }
    }

    /// Whether somebody was there who went before the answer was whole.
    pub(crate) fn is_broken(&self) -> bool {
        match self {
            Self::Broken(_) | Self::Body(_) => true,
            Self::Connect { source, .. } => source.kind() == io::ErrorKind::ConnectionReset,
            Self::Silent | Self::Request(_) => false,
        }
    }
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its body.
    pub(crate) body: Bytes,
}

/// Sends a request and reads the whole answer.
pub(crate) async fn exchange(
    socket: &Utf8Path,
    method: Method,
    target: &str,
    body: Option<Vec<u8>>,
) -> Result<Answer, HttpError> {
    let answer = async {
        let response = send(socket, method, target, body, "application/json").await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), BODY_MAX)
            .collect()
            .await
            .map_err(HttpError::Body)?
            .to_bytes();
        Ok(Answer { status, body })
    };
    timeout(ANSWER_TIME, answer)
        .await
        .map_err(|_| HttpError::Silent)?
}

/// Sends a request and gives the answer back once its head has come.
pub(crate) async fn open(socket: &Utf8Path, target: &str) -> Result<Response<Incoming>, HttpError> {
    timeout(
        ANSWER_TIME,
        send(socket, Method::GET, target, None, "text/event-stream"),
    )
    .await
    .map_err(|_| HttpError::Silent)?
}

async fn send(
    socket: &Utf8Path,
    method: Method,
    target: &str,
    body: Option<Vec<u8>>,
    accept: &str,
) -> Result<Response<Incoming>, HttpError> {
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|source| HttpError::Connect {
            path: socket.to_owned(),
            source,
        })?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(HttpError::Broken)?;
    // Owned by this request: it ends with the answer's body or when the sender is dropped.
    tokio::spawn(async move { drop(connection.await) });
    let mut request = Request::builder()
        .method(method)
        .uri(target)
        .header(HOST, "longhaul")
        .header(ACCEPT, accept)
        .header(USER_AGENT, concat!("longhaul/", env!("CARGO_PKG_VERSION")));
    if body.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    let request = request
        .body(Full::new(Bytes::from(body.unwrap_or_default())))
        .map_err(HttpError::Request)?;
    sender
        .send_request(request)
        .await
        .map_err(HttpError::Broken)
}

/// A value for a query string: everything but unreserved characters is percent-encoded.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for nibble in [byte >> 4, byte & 15] {
                out.push(
                    char::from_digit(u32::from(nibble), 16).map_or('0', |d| d.to_ascii_uppercase()),
                );
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_values_are_encoded() {
        assert_eq!(encode("a b/ü&"), "a%20b%2F%C3%BC%26");
    }
}
