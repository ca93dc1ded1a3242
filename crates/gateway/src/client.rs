//! A small blocking client of the control socket, for the daemon's threads and for verbs. Not to be called
//! from within an async runtime.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::{AccountsRequest, CONTROL_VERSION, Problem, ReportsPage, SessionSpec, StatusView};

/// How long an answer may take.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// Most bytes of an answer.
const BODY_MAX: usize = 64 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No gateway listens on the socket.
    #[error("no gateway answers at {}", socket.display())]
    Absent {
        /// The socket.
        socket: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is there and did not answer, or not in our language.
    #[error("the gateway's answer broke off")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Nothing came in time.
    #[error("the gateway did not answer within {} seconds", ANSWER_TIME.as_secs())]
    Silent,
    /// It refused.
    #[error("the gateway refused: {message} (status {status})")]
    Refused {
        /// The status.
        status: u16,
        /// Its words.
        message: String,
    },
}

impl ClientError {
    /// Whether nobody is behind the socket.
    #[must_use]
    pub const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent { .. })
    }
}

/// A way to a gateway. Opens a connection for each call.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// To the gateway behind this socket.
    #[must_use]
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
        }
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// How the gateway is.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn status(&self) -> Result<StatusView, ClientError> {
        self.call(Method::GET, "status", None::<&()>)
    }

    /// Gives it all accounts with their keys, in place of those it had.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn put_accounts(&self, accounts: &AccountsRequest) -> Result<(), ClientError> {
        self.call(Method::PUT, "accounts", Some(accounts))
    }

    /// Makes or changes a session. When this returns, the session survives the gateway's death.
    ///
    /// # Errors
    /// See [`ClientError`]; an id is ASCII letters, digits, `-`, `_` and `.`, at most 128 of them.
    pub fn put_session(&self, id: &str, session: &SessionSpec) -> Result<(), ClientError> {
        self.call(Method::PUT, &format!("sessions/{id}"), Some(session))
    }

    /// Ends a session: its token is worth nothing any more. One that is not there is no error.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn delete_session(&self, id: &str) -> Result<(), ClientError> {
        self.call(Method::DELETE, &format!("sessions/{id}"), None::<&()>)
    }

    /// What it has to tell after report `after`, oldest first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn reports(&self, after: u64) -> Result<ReportsPage, ClientError> {
        self.call(Method::GET, &format!("reports?after={after}"), None::<&()>)
    }

    /// All reports up to this one are safe elsewhere; the gateway forgets them.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn acknowledge(&self, through: u64) -> Result<(), ClientError> {
        let target = format!("reports/acknowledged?through={through}");
        self.call(Method::POST, &target, None::<&()>)
    }

    /// Ends the gateway, after the answers that are on their way or ten seconds.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn shut_down(&self) -> Result<(), ClientError> {
        self.call(Method::POST, "shutdown", None::<&()>)
    }

    fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        target: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, ClientError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| ClientError::Broken(e.into()))?;
        let exchange = self.exchange(method, target, body);
        runtime.block_on(async {
            tokio::time::timeout(ANSWER_TIME, exchange)
                .await
                .map_err(|_| ClientError::Silent)?
        })
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        method: Method,
        target: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, ClientError> {
        fn broken(e: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ClientError {
            ClientError::Broken(e.into())
        }
        let body = match body {
            Some(body) => serde_json::to_vec(body).map_err(broken)?,
            None => Vec::new(),
        };
        let request = Request::builder()
            .method(method)
            .uri(format!("/v{CONTROL_VERSION}/{target}"))
            .header(HOST, "gateway")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(broken)?;
        let stream = tokio::net::UnixStream::connect(&self.socket).await;
        let stream = stream.map_err(|source| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::Absent {
                socket: self.socket.clone(),
                source,
            },
            _ => broken(source),
        })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        // Ends with the sender; what went wrong is seen in the answer.
        let connection = tokio::spawn(async move { drop(connection.await) });
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), BODY_MAX)
            .collect()
            .await
            .map_err(broken)?
            .to_bytes();
        connection.abort();
        if status == StatusCode::NO_CONTENT || status.is_success() && body.is_empty() {
            return serde_json::from_str("null").map_err(broken);
        }
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(broken);
        }
        let message = serde_json::from_slice::<Problem>(&body)
            .map_or_else(|_| "no reason given".to_owned(), |problem| problem.error);
        Err(ClientError::Refused {
            status: status.as_u16(),
            message,
        })
    }
}
