//! The daemon's side of a shim's socket: watching a job, ending it, writing to it.

use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};

use crate::bundle::{Bundle, BundleState, SOCKET, SurveyError};
use crate::identity::{Liveness, Signal, SignalOutcome};
use crate::logs::{JobLog, Stream};
use crate::protocol::{
    Event, Lines, MAX_INPUT_BYTES, PROTOCOL_MIN, Refusal, Request, encode, to_hex,
};
use crate::record::{JobIdentity, PROTOCOL_VERSION};

/// How long a shim may take to answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);

/// How often a job is looked at whose socket cannot be reached.
const POLL_PAUSE: Duration = Duration::from_millis(50);
/// How soon its socket is tried again, and how seldom in the end; each time twice as long. A shim refuses whom it
/// cannot tell apart, and right after a daemon's start, whose starter may go in that moment, it cannot always.
const RETRY_PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// A job that ran under its shim when it was looked at.
#[derive(Clone, Debug)]
pub struct ShimHandle {
    bundle: Bundle,
    identity: Option<Box<JobIdentity>>,
}

/// Why a shim did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum ShimError {
    /// It cannot be reached: it has just ended, or its socket is gone. Survey the bundle.
    #[error("the shim of {key} cannot be reached")]
    Unreachable {
        /// The job.
        key: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It answered with something else than an answer.
    #[error("the shim of {key} does not speak our protocol")]
    Protocol {
        /// The job.
        key: String,
    },
    /// It refused.
    #[error("the shim of {key} refused: {reason:?}")]
    Refused {
        /// The job.
        key: String,
        /// Why.
        reason: Refusal,
    },
    /// It can neither be reached nor identified, so it was not signalled.
    #[error("the shim of {key} cannot be told apart from other processes")]
    Unknown {
        /// The job.
        key: String,
    },
}

impl ShimError {
    /// Whether asking again can help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Unknown { .. } => true,
            Self::Refused { reason, .. } => *reason == Refusal::Busy,
            Self::Protocol { .. } => false,
        }
    }
}

impl ShimHandle {
    pub(crate) fn new(bundle: Bundle, identity: Option<Box<JobIdentity>>) -> Self {
        Self { bundle, identity }
    }

    /// The job's bundle.
    #[must_use]
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// Who runs; `None` if the record cannot be understood.
    #[must_use]
    pub fn identity(&self) -> Option<&JobIdentity> {
        self.identity.as_deref()
    }

    /// Starts to watch. If the socket cannot be reached, the watch looks at the bundle instead.
    #[must_use]
    pub fn watch(&self) -> JobWatch {
        let link = match self.watching_link() {
            Ok(link) => Some(link),
            Err(err) => {
                tracing::debug!(key = self.bundle.key(), %err, "watching the bundle instead");
                None
            }
        };
        JobWatch {
            shim: self.clone(),
            link,
            tried: Instant::now(),
            pause: RETRY_PAUSE.0,
            told: None,
        }
    }

    fn watching_link(&self) -> Result<Link, ShimError> {
        let mut link = self.connect()?;
        self.expect_ok(&mut link, &Request::Watch)?;
        Ok(link)
    }

    /// Asks the shim to end the job: TERM to its whole tree, after `grace` KILL, until none remain
    /// (I8). Returns when the shim has taken the request; the end comes through the watch. Where the
    /// socket cannot be reached, the shim is asked by signal (and uses its own grace).
    ///
    /// # Errors
    /// See [`ShimError`]. A job that has ended already is no error.
    pub fn stop(&self, grace: Duration) -> Result<(), ShimError> {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        match self.ask(&Request::Stop { grace_ms }) {
            Err(ShimError::Unreachable { .. }) => self.stop_by_signal(),
            other => other,
        }
    }

    fn stop_by_signal(&self) -> Result<(), ShimError> {
        let outcome = match &self.identity {
            Some(identity) => identity.shim.signal(Signal::Term),
            None => SignalOutcome::Unknown,
        };
        match outcome {
            SignalOutcome::Sent | SignalOutcome::Gone => Ok(()),
            SignalOutcome::Unknown => Err(ShimError::Unknown {
                key: self.bundle.key().to_owned(),
            }),
        }
    }

    /// Writes to the job's input, in order. Large input goes in parts; what the job does not read
    /// waits in the shim, up to 1 MiB.
    ///
    /// # Errors
    /// [`Refusal::Busy`] when too much waits (nothing of that part was taken), [`Refusal::NoInput`]
    /// when the job has no input.
    pub fn input(&self, bytes: &[u8]) -> Result<(), ShimError> {
        let mut link = self.connect()?;
        for part in bytes.chunks(MAX_INPUT_BYTES) {
            self.expect_ok(&mut link, &Request::Input { hex: to_hex(part) })?;
        }
        Ok(())
    }

    /// Ends the job's input (on a terminal: types the end-of-file character).
    ///
    /// # Errors
    /// See [`ShimError`].
    pub fn close_stdin(&self) -> Result<(), ShimError> {
        self.ask(&Request::CloseStdin)
    }

    /// Sets the size of the job's terminal.
    ///
    /// # Errors
    /// [`Refusal::NoTerminal`] when it has none.
    pub fn resize(&self, rows: u16, cols: u16) -> Result<(), ShimError> {
        self.ask(&Request::Resize { rows, cols })
    }

    /// Whether the job's main process runs, by its identity.
    #[must_use]
    pub fn liveness(&self) -> Liveness {
        self.identity
            .as_ref()
            .map_or(Liveness::Unknown, |identity| identity.child.liveness())
    }

    fn ask(&self, request: &Request) -> Result<(), ShimError> {
        let mut link = self.connect()?;
        self.expect_ok(&mut link, request)
    }

    fn connect(&self) -> Result<Link, ShimError> {
        let unreachable = |source| ShimError::Unreachable {
            key: self.bundle.key().to_owned(),
            source,
        };
        let socket = connect(&self.bundle).map_err(unreachable)?;
        let mut link = Link {
            socket,
            lines: Lines::default(),
        };
        let hello = Request::Hello {
            version: PROTOCOL_VERSION,
        };
        match link.exchange(&hello).map_err(unreachable)? {
            Event::Hello { version, key }
                if (PROTOCOL_MIN..=PROTOCOL_VERSION).contains(&version)
                    && key == self.bundle.key() =>
            {
                Ok(link)
            }
            _ => Err(self.confused()),
        }
    }

    fn expect_ok(&self, link: &mut Link, request: &Request) -> Result<(), ShimError> {
        let answer = link
            .exchange(request)
            .map_err(|source| ShimError::Unreachable {
                key: self.bundle.key().to_owned(),
                source,
            })?;
        match answer {
            Event::Ok => Ok(()),
            Event::Refused { reason } => Err(ShimError::Refused {
                key: self.bundle.key().to_owned(),
                reason,
            }),
            Event::Hello { .. } | Event::Grew { .. } | Event::Exited | Event::Unknown => {
                Err(self.confused())
            }
        }
    }

    fn confused(&self) -> ShimError {
        ShimError::Protocol {
            key: self.bundle.key().to_owned(),
        }
    }
}

/// What a watch reports.
#[derive(Debug)]
pub enum Frame {
    /// The logs are now so long. Read them with [`JobLog`].
    Grew {
        /// Bytes of standard output (or the terminal) so far, cut ones included.
        out: u64,
        /// Bytes of standard error so far.
        err: u64,
    },
    /// Nothing happened within the time given.
    Quiet,
    /// The shim is gone; this is what it left. No more frames follow.
    Ended(BundleState),
}

/// Follows one job until its shim is gone.
#[derive(Debug)]
pub struct JobWatch {
    shim: ShimHandle,
    link: Option<Link>,
    /// When the socket was tried last.
    tried: Instant,
    /// How long to wait before it is tried again.
    pause: Duration,
    told: Option<(u64, u64)>,
}

impl JobWatch {
    /// Waits for the next news, at most `timeout`. Blocks; for a thread of its own.
    ///
    /// # Errors
    /// When the bundle cannot be read.
    pub fn next_frame(&mut self, timeout: Duration) -> Result<Frame, SurveyError> {
        let deadline = Instant::now() + timeout;
        loop {
            let Some(link) = &mut self.link else {
                match self.look(deadline)? {
                    Some(frame) => return Ok(frame),
                    None => continue,
                }
            };
            match link.next_event(deadline) {
                Ok(Some(Event::Grew { out, err })) => {
                    if self.told != Some((out, err)) {
                        self.told = Some((out, err));
                        return Ok(Frame::Grew { out, err });
                    }
                }
                Ok(None) => return Ok(Frame::Quiet),
                Ok(Some(Event::Exited)) | Err(_) => self.link = None,
                // Words that mean nothing here, or come from a later version.
                Ok(Some(
                    Event::Hello { .. } | Event::Ok | Event::Refused { .. } | Event::Unknown,
                )) => {}
            }
        }
    }

    /// Whether the shim tells by its socket, and is not looked at.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.link.is_some()
    }

    /// Looks at the bundle until something changes: without a socket, or after it closed. `None`: there
    /// is a socket again.
    fn look(&mut self, deadline: Instant) -> Result<Option<Frame>, SurveyError> {
        loop {
            let bundle = self.shim.bundle();
            let lives = match bundle.survey()? {
                BundleState::Live(_) => true,
                BundleState::Starting => false,
                state => return Ok(Some(Frame::Ended(state))),
            };
            let lengths = |stream| JobLog::new(bundle.dir(), stream).end().unwrap_or(0);
            let now = (lengths(Stream::Out), lengths(Stream::Err));
            if self.told != Some(now) {
                self.told = Some(now);
                return Ok(Some(Frame::Grew {
                    out: now.0,
                    err: now.1,
                }));
            }
            if lives && self.tried.elapsed() >= self.pause {
                self.link = self.shim.watching_link().ok();
                if self.link.is_some() {
                    self.pause = RETRY_PAUSE.0;
                    return Ok(None);
                }
                self.tried = Instant::now();
                self.pause = (self.pause * 2).min(RETRY_PAUSE.1);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Some(Frame::Quiet));
            }
            std::thread::sleep(left.min(POLL_PAUSE).min(self.pause));
        }
    }
}

/// One connection.
#[derive(Debug)]
struct Link {
    socket: UnixStream,
    lines: Lines,
}

impl Link {
    fn exchange(&mut self, request: &Request) -> io::Result<Event> {
        let deadline = Instant::now() + ANSWER_PATIENCE;
        self.socket.set_write_timeout(Some(ANSWER_PATIENCE))?;
        longhaul_acts::files::write_all("watch.ask", &mut self.socket, &encode(request))?;
        self.next_event(deadline)?
            .ok_or_else(|| io::ErrorKind::TimedOut.into())
    }

    /// The next event, `None` at the deadline; an error means that the connection is over.
    fn next_event(&mut self, deadline: Instant) -> io::Result<Option<Event>> {
        loop {
            let line = self
                .lines
                .next()
                .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
            if let Some(line) = line {
                return Ok(Some(serde_json::from_slice(&line)?));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            // Zero would mean "wait for ever" to the socket.
            self.socket
                .set_read_timeout(Some(left.max(Duration::from_micros(1))))?;
            let mut chunk = [0; 4096];
            match self.socket.read(&mut chunk) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => self.lines.push(&chunk[..read]),
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err)
                    if matches!(
                        err.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ) =>
                {
                    if left.is_zero() {
                        return Ok(None);
                    }
                }
                Err(err) => return Err(err),
            }
        }
    }
}

/// Connects through a short path: a socket's address holds 107 bytes only (T30).
fn connect(bundle: &Bundle) -> io::Result<UnixStream> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    #[expect(
        clippy::disallowed_methods,
        reason = "a folder is only looked up through it"
    )]
    let dir = rustix::fs::open(bundle.dir(), flags, Mode::empty())?;
    UnixStream::connect(format!("/proc/self/fd/{}/{SOCKET}", dir.as_raw_fd()))
}
