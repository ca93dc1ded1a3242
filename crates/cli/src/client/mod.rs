//! The daemon as the verbs see it: typed requests over its socket, started if nobody is there.

mod connect;
mod http;
mod person;
mod reads;
mod routes;
mod sse;

use std::future::Future;

use camino::Utf8Path;
use http_body_util::BodyExt as _;
use hyper::Method;
use hyper::body::Incoming;
use longhaul_api::{
    Acknowledged, ApiRange, Envelope, ErrorBody, ErrorClass, EventView, ExitCode, OrderRequest,
    OrderResponse, Payload, Problem, QueueRequest, SubmissionView, SubmitRequest, SubmitResponse,
    TaskDetail, VersionView,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;

use crate::failure::Failure;

pub(crate) use connect::{Presence, look, start, stop};
pub(crate) use http::HttpError;
pub(crate) use person::{person_only, refuse_session};
pub(crate) use reads::{Reads, is_at_work, live_tasks, stored_log};
use sse::SseParser;

/// A connection to a daemon whose version was looked at.
#[derive(Debug)]
pub(crate) struct Client {
    runtime: Runtime,
    wire: Wire,
    version: VersionView,
}

/// The way to the daemon, for use inside [`Client::block_on`].
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    line: http::Line,
}

/// Why a daemon did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// No answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// It says why not.
    #[error("{}", .0.message)]
    Refused(ErrorBody),
    /// An answer that this program does not understand (T29).
    #[error("the daemon's answer cannot be read")]
    Unreadable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused(body) => Self::answered(body),
            ClientError::Http(e) => Self::of(ExitCode::Unavailable, "the daemon does not answer")
                .because(e)
                .help("`longhaul daemon status` says how it is; tasks that run go on without it"),
            ClientError::Unreadable(_) => {
                Self::of(ExitCode::Unavailable, "the daemon has another version")
                    .because(error)
                    .help("`longhaul daemon restart` starts this version; sessions go on meanwhile")
            }
        }
    }
}

impl Wire {
    /// At a socket.
    pub(crate) fn at(socket: &Utf8Path) -> Self {
        Self {
            line: http::Line::to(socket),
        }
    }

    /// Asks for something.
    pub(crate) async fn get<T: Payload + DeserializeOwned>(
        &self,
        target: &str,
    ) -> Result<T, ClientError> {
        read(self.line.exchange(Method::GET, target, None).await?)
    }

    /// Asks for something to be done.
    pub(crate) async fn post<T: Payload + DeserializeOwned>(
        &self,
        target: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|e| ClientError::Unreadable(Box::new(e)))?;
        read(self.line.exchange(Method::POST, target, Some(body)).await?)
    }

    /// A submission and how its tasks stand.
    pub(crate) async fn submission(&self, id: uuid::Uuid) -> Result<SubmissionView, ClientError> {
        self.get(&routes::submission(id)).await
    }

    /// A task.
    pub(crate) async fn task(&self, reference: &str) -> Result<TaskDetail, ClientError> {
        self.get(&routes::task(reference)).await
    }

    /// The events after a position (`None` = those that come from now on), as they come.
    pub(crate) async fn events(&self, after: Option<u64>) -> Result<Events, ClientError> {
        let response = self.line.open(&routes::events(after)).await?;
        Ok(Events {
            body: accept(response).await?,
            parser: SseParser::default(),
        })
    }

    /// A log from an offset on; with `follow`, also what comes.
    pub(crate) fn log<'a>(&self, request: LogRequest<'a>) -> Log<'a> {
        Log {
            wire: self.clone(),
            offset: request.offset,
            attempt: request.attempt.unwrap_or(0),
            request,
            body: None,
            fresh: false,
        }
    }
}

/// Which log is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogRequest<'a> {
    /// The task.
    pub(crate) task: &'a str,
    /// Number of the attempt; `None` = the last.
    pub(crate) attempt: Option<u32>,
    /// Which file.
    pub(crate) stream: longhaul_api::LogStream,
    /// From which byte.
    pub(crate) offset: u64,
    /// Wait for more.
    pub(crate) follow: bool,
}

/// Events as they come.
#[derive(Debug)]
pub(crate) struct Events {
    body: Incoming,
    parser: SseParser,
}

impl Events {
    /// The next event; `None` once the daemon is gone. Cancel safe: bytes taken from the body are
    /// in the parser before anything is awaited again.
    pub(crate) async fn next(&mut self) -> Option<EventView> {
        loop {
            while let Some(event) = self.parser.next() {
                if let Ok(view) = Envelope::<EventView>::read(event.data.as_bytes()) {
                    return Some(view);
                }
            }
            let frame = self.body.frame().await?.ok()?;
            if let Ok(data) = frame.into_data() {
                self.parser.feed(&data);
            }
        }
    }
}

/// A log as it comes. Where its middle was cut, it goes on behind the cut.
#[derive(Debug)]
pub(crate) struct Log<'a> {
    wire: Wire,
    request: LogRequest<'a>,
    body: Option<Incoming>,
    fresh: bool,
    offset: u64,
    attempt: u32,
}

/// A piece of a log.
#[derive(Debug)]
pub(crate) struct Piece {
    /// Where it begins.
    pub(crate) offset: u64,
    /// Number of the attempt that wrote it.
    pub(crate) attempt: u32,
    /// Its bytes; never none.
    pub(crate) bytes: hyper::body::Bytes,
}

impl Log<'_> {
    /// The next piece; `None` at the end. Cancel safe but for the request itself, which is sent again.
    pub(crate) async fn next(&mut self) -> Result<Option<Piece>, ClientError> {
        loop {
            let Some(body) = &mut self.body else {
                self.ask().await?;
                continue;
            };
            match body.frame().await {
                Some(Ok(frame)) => {
                    let Ok(bytes) = frame.into_data() else {
                        continue;
                    };
                    if bytes.is_empty() {
                        continue;
                    }
                    let offset = self.offset;
                    self.offset += bytes.len() as u64;
                    self.fresh = false;
                    return Ok(Some(Piece {
                        offset,
                        attempt: self.attempt,
                        bytes,
                    }));
                }
                Some(Err(e)) => return Err(HttpError::Broken(e).into()),
                // An empty answer says that there is no more; any other may have ended at a cut.
                None if self.fresh => return Ok(None),
                None => self.body = None,
            }
        }
    }

    async fn ask(&mut self) -> Result<(), ClientError> {
        let request = LogRequest {
            offset: self.offset,
            ..self.request
        };
        let response = self.wire.line.open(&routes::log(&request)).await?;
        let number = |name: &str| {
            response
                .headers()
                .get(name)
                .and_then(|v| v.to_str().ok())
                .and_then(|v| v.parse::<u64>().ok())
        };
        self.offset = number("longhaul-offset").unwrap_or(self.offset);
        if let Some(n) = number("longhaul-attempt").and_then(|n| u32::try_from(n).ok()) {
            self.attempt = n;
            self.request.attempt = Some(n);
        }
        self.body = Some(accept(response).await?);
        self.fresh = true;
        Ok(())
    }
}

impl Client {
    /// Runs a future of [`Wire`]'s.
    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// The way to it, for use inside [`Client::block_on`].
    pub(crate) fn wire(&self) -> Wire {
        self.wire.clone()
    }

    /// The daemon's version and process.
    pub(crate) const fn version(&self) -> &VersionView {
        &self.version
    }

    /// Asks for something.
    pub(crate) fn get<T: Payload + DeserializeOwned>(&self, target: &str) -> Result<T, Failure> {
        Ok(self.block_on(self.wire.get(target))?)
    }

    /// Stored events after a position, at most `limit` of them.
    pub(crate) fn stored_events(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<Vec<EventView>, Failure> {
        self.block_on(async {
            let response = self.wire.line.open(&routes::stored_events(after)).await?;
            let mut events = Events {
                body: accept(response).await?,
                parser: SseParser::default(),
            };
            let mut out = Vec::new();
            while out.len() < limit
                && let Some(event) = events.next().await
            {
                out.push(event);
            }
            Ok(out)
        })
        .map_err(|e: ClientError| e.into())
    }

    /// Hands tasks in.
    pub(crate) fn submit(&self, request: &SubmitRequest) -> Result<SubmitResponse, Failure> {
        self.post(routes::SUBMIT, request)
    }

    /// Gives an order.
    pub(crate) fn order(&self, request: &OrderRequest) -> Result<OrderResponse, Failure> {
        self.post(routes::ORDERS, request)
    }

    /// Passes a word for the merge queue on.
    pub(crate) fn queue(&self, request: &QueueRequest) -> Result<Acknowledged, Failure> {
        self.post(routes::QUEUE, request)
    }

    /// Sends text to a live session.
    pub(crate) fn send(&self, task: &str, text: &str) -> Result<Acknowledged, Failure> {
        let request = longhaul_api::SendRequest {
            text: text.to_owned(),
        };
        self.post(&routes::send(task), &request)
    }

    /// Says that a limit is over.
    pub(crate) fn clear_limit(&self, scope: &str) -> Result<Acknowledged, Failure> {
        let request = longhaul_api::ClearLimitRequest {
            scope: scope.to_owned(),
        };
        self.post(routes::CLEAR_LIMIT, &request)
    }

    /// Has the accounts read anew.
    pub(crate) fn reload_accounts(&self) -> Result<Acknowledged, Failure> {
        self.post(routes::RELOAD_ACCOUNTS, &Empty {})
    }

    /// `drain`, `undrain`, `estop`, `thaw`, `shutdown`.
    pub(crate) fn whole(&self, what: Whole) -> Result<Acknowledged, Failure> {
        match what {
            Whole::Drain { stop } => self.post(routes::DRAIN, &longhaul_api::DrainRequest { stop }),
            Whole::Undrain => self.post(routes::UNDRAIN, &Empty {}),
            Whole::Estop => self.post(routes::ESTOP, &Empty {}),
            Whole::Thaw => self.post(routes::THAW, &Empty {}),
            Whole::Shutdown => self.post(routes::SHUTDOWN, &Empty {}),
        }
    }

    fn post<T: Payload + DeserializeOwned>(
        &self,
        target: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        self.check_writable()?;
        Ok(self.block_on(self.wire.post(target, body))?)
    }

    /// Reading works with any version; changing something needs the same one (T29).
    fn check_writable(&self) -> Result<(), Failure> {
        let ours = env!("CARGO_PKG_VERSION");
        if self.version.version == ours && ApiRange::OURS.overlaps(self.version.api) {
            return Ok(());
        }
        Err(Failure::of(
            ExitCode::Unavailable,
            format!(
                "the daemon (pid {}) has version {}, and this is {ours}",
                self.version.pid, self.version.version
            ),
        )
        .help("`longhaul daemon restart` starts this version; sessions go on meanwhile"))
    }
}

/// A command to the daemon as a whole.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whole {
    /// Start nothing new; with `stop`, park what runs.
    Drain {
        /// Also park what runs.
        stop: bool,
    },
    /// End of `Drain`.
    Undrain,
    /// Stop everything now.
    Estop,
    /// End of `Estop`.
    Thaw,
    /// End the daemon; sessions go on.
    Shutdown,
}

#[derive(Serialize)]
struct Empty {}

fn read<T: Payload + DeserializeOwned>(answer: http::Answer) -> Result<T, ClientError> {
    if answer.status.is_success() {
        Envelope::<T>::read(&answer.body).map_err(|e| ClientError::Unreadable(Box::new(e)))
    } else {
        Err(refusal(answer.status, &answer.body))
    }
}

async fn accept(response: hyper::Response<Incoming>) -> Result<Incoming, ClientError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response.into_body());
    }
    let body = http_body_util::Limited::new(response.into_body(), 1 << 20)
        .collect()
        .await
        .map_err(HttpError::Body)?
        .to_bytes();
    Err(refusal(status, &body))
}

fn refusal(status: hyper::StatusCode, body: &[u8]) -> ClientError {
    let error = match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => ErrorBody {
            code: problem.code,
            message: problem.detail,
            hint: problem.hint,
            class: problem.class,
            candidates: problem.candidates,
        },
        Err(_) => ErrorBody {
            code: "unknown_answer".to_owned(),
            message: format!("the daemon answered {status}"),
            hint: Some("`longhaul doctor` looks for what is wrong".to_owned()),
            class: ErrorClass::Internal,
            candidates: Vec::new(),
        },
    };
    ClientError::Refused(error)
}
