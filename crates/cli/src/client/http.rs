//! HTTP/1.1 over the daemon's unix socket: one connection for all plain requests of a verb, since the daemon
//! has to find out anew who is behind each (I17); bodies bounded. Knows nothing of tasks.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::time::timeout;

/// Most bytes of an answer.
const BODY_MAX: usize = 64 << 20;
/// How long an answer may take to begin and, for plain answers, to end.
const ANSWER_TIME: Duration = Duration::from_secs(60);
/// How long a connection is kept for the next request.
const SPARE_TIME: Duration = Duration::from_secs(1);

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

/// A way to the daemon: its socket, and a connection to it that waits for the next request.
#[derive(Clone, Debug)]
pub(super) struct Line {
    socket: Utf8PathBuf,
    spare: Arc<Mutex<Option<(Sender, Instant)>>>,
}

type Sender = SendRequest<Full<Bytes>>;

impl Line {
    pub(super) fn to(socket: &Utf8Path) -> Self {
        Self {
            socket: socket.to_owned(),
            spare: Arc::default(),
        }
    }

    /// Sends a request and reads the whole answer.
    pub(super) async fn exchange(
        &self,
        method: Method,
        target: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Answer, HttpError> {
        let answer = async {
            let request = request(method, target, body, "application/json")?;
            let (mut sender, request) = match self.take_spare().await {
                None => (self.connect().await?, request),
                // A connection that ended meanwhile gives the request back, and nobody has seen it.
                Some(mut spare) => match spare.try_send_request(request).await {
                    Ok(response) => return self.whole(spare, response).await,
                    Err(mut error) => match error.take_message() {
                        Some(request) => (self.connect().await?, request),
                        None => return Err(HttpError::Broken(error.into_error())),
                    },
                },
            };
            let response = sender.send_request(request).await;
            self.whole(sender, response.map_err(HttpError::Broken)?)
                .await
        };
        timeout(ANSWER_TIME, answer)
            .await
            .map_err(|_| HttpError::Silent)?
    }

    /// Sends a request and gives the answer back once its head has come. It has a connection of its own,
    /// which ends with the answer's body.
    pub(super) async fn open(&self, target: &str) -> Result<Response<Incoming>, HttpError> {
        let response = async {
            let request = request(Method::GET, target, None, "text/event-stream")?;
            let mut sender = self.connect().await?;
            let response = sender.send_request(request).await;
            response.map_err(HttpError::Broken)
        };
        timeout(ANSWER_TIME, response)
            .await
            .map_err(|_| HttpError::Silent)?
    }

    async fn whole(
        &self,
        sender: Sender,
        response: Response<Incoming>,
    ) -> Result<Answer, HttpError> {
        let status = response.status();
        let body = Limited::new(response.into_body(), BODY_MAX)
            .collect()
            .await
            .map_err(HttpError::Body)?
            .to_bytes();
        self.spare().replace((sender, Instant::now()));
        Ok(Answer { status, body })
    }

    /// The connection, if it was used a moment ago: one that has waited for long may be ending.
    async fn take_spare(&self) -> Option<Sender> {
        let (mut sender, used) = self.spare().take()?;
        let fresh = used.elapsed() < SPARE_TIME;
        (fresh && sender.ready().await.is_ok()).then_some(sender)
    }

    fn spare(&self) -> MutexGuard<'_, Option<(Sender, Instant)>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self) -> Result<Sender, HttpError> {
        let stream =
            UnixStream::connect(&self.socket)
                .await
                .map_err(|source| HttpError::Connect {
                    path: self.socket.clone(),
                    source,
                })?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(HttpError::Broken)?;
        // It ends with its sender.
        tokio::spawn(async move { drop(connection.await) });
        Ok(sender)
    }
}

fn request(
    method: Method,
    target: &str,
    body: Option<Vec<u8>>,
    accept: &str,
) -> Result<Request<Full<Bytes>>, HttpError> {
    let mut request = Request::builder()
        .method(method)
        .uri(target)
        .header(HOST, "longhaul")
        .header(ACCEPT, accept)
        .header(USER_AGENT, concat!("longhaul/", env!("CARGO_PKG_VERSION")));
    if body.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    request
        .body(Full::new(Bytes::from(body.unwrap_or_default())))
        .map_err(HttpError::Request)
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
