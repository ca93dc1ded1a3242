//! A small blocking client of the control socket, for the daemon's threads and for verbs: one connection, one
//! exchange, no runtime.

use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hyper::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::{
    AccountsRequest, CONTROL_VERSION, CheckView, Problem, ReportsPage, SessionSpec, StatusView,
};

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

    /// Asks a provider for an account's windows by one cheap call, unless traffic told of them within
    /// `older_than_ms`.
    ///
    /// # Errors
    /// See [`ClientError`]; there is no such account.
    pub fn check(&self, account: &str, older_than_ms: u64) -> Result<CheckView, ClientError> {
        let target = format!("check/{account}?older_than_ms={older_than_ms}");
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
        let body = match body {
            Some(body) => serde_json::to_vec(body).map_err(|e| ClientError::Broken(e.into()))?,
            None => Vec::new(),
        };
        let mut request = format!(
            "{method} /v{CONTROL_VERSION}/{target} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend(body);
        let answer = self.exchange(&request)?;
        let (status, body) =
            read_answer(&answer).map_err(|what| ClientError::Broken(what.into()))?;
        if (200..300).contains(&status) {
            let body = if body.is_empty() { b"null" } else { body };
            return serde_json::from_slice(body).map_err(|e| ClientError::Broken(e.into()));
        }
        let message = serde_json::from_slice::<Problem>(body)
            .map_or_else(|_| "no reason given".to_owned(), |problem| problem.error);
        Err(ClientError::Refused { status, message })
    }

    /// All that is answered until the other end closes.
    fn exchange(&self, request: &[u8]) -> Result<Vec<u8>, ClientError> {
        let deadline = Instant::now() + ANSWER_TIME;
        let mut stream =
            UnixStream::connect(&self.socket).map_err(|source| match source.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::Absent {
                    socket: self.socket.clone(),
                    source,
                },
                _ => ClientError::Broken(source.into()),
            })?;
        let silent = |e: io::Error| match e.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ClientError::Silent,
            _ => ClientError::Broken(e.into()),
        };
        stream
            .set_write_timeout(Some(ANSWER_TIME))
            .map_err(silent)?;
        longhaul_acts::files::write_all("gateway.order", &mut stream, request).map_err(silent)?;
        let (mut answer, mut piece) = (Vec::new(), vec![0; 64 << 10]);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ClientError::Silent);
            }
            stream.set_read_timeout(Some(left)).map_err(silent)?;
            // One read at a time: the time that is left is looked at in between.
            match stream.read(&mut piece) {
                Ok(0) => return Ok(answer),
                Ok(n) => answer.extend_from_slice(&piece[..n]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(silent(e)),
            }
            if answer.len() > BODY_MAX {
                return Err(ClientError::Broken("it is too long".into()));
            }
        }
    }
}

/// The status and the body of an answer that came whole.
fn read_answer(answer: &[u8]) -> Result<(u16, &[u8]), &'static str> {
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n");
    let (head, body) = answer.split_at(end.ok_or("it has no head")? + 4);
    let head = std::str::from_utf8(head).map_err(|_| "its head is no text")?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let status = status.and_then(|s| s.parse().ok());
    let status = status.ok_or("it has no status")?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    if length.is_some_and(|length| length != body.len()) {
        return Err("it broke off");
    }
    Ok((status, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_whole_or_not_at_all() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(read_answer(whole), Ok((200, &b"{}"[..])));
        assert_eq!(
            read_answer(b"HTTP/1.1 204 No Content\r\n\r\n"),
            Ok((204, &b""[..]))
        );
        for cut in 0..whole.len() {
            assert!(read_answer(&whole[..cut]).is_err(), "{cut}");
        }
        assert!(read_answer(b"HTTP/1.1 x\r\n\r\n").is_err());
    }
}
