//! What a shim leaves on disk: who runs (`identity.json`) and how it ended (`exit.json`).
//!
//! Both are read by later versions: fields are only ever added, with a default.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::confine::ConfinementLevel;
use crate::identity::ProcessIdentity;

/// Version of the records and of the shim's socket.
pub const PROTOCOL_VERSION: u32 = 1;

/// Who runs a job. On disk before the job's program has done anything (I4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobIdentity {
    /// Version of this record.
    pub version: u32,
    /// The job's key.
    pub key: String,
    /// The job's main process.
    pub child: ProcessIdentity,
    /// Its shim.
    pub shim: ProcessIdentity,
    /// The job's own cgroup, if it got one.
    #[serde(default)]
    pub cgroup: Option<PathBuf>,
    /// How the job is confined; `None` if no confinement was asked for.
    #[serde(default)]
    pub confinement: Option<ConfinementLevel>,
    /// When it was started: wall clock, UTC milliseconds.
    pub started_ms: i64,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// Version of this record.
    pub version: u32,
    /// The job's key.
    pub key: String,
    /// How the main process ended.
    pub outcome: Outcome,
    /// Whether the end was asked for (the socket's `stop`, or TERM to the shim).
    pub stop_requested: bool,
    /// When it started and ended: wall clock, UTC milliseconds.
    pub started_ms: i64,
    /// See `started_ms`.
    pub ended_ms: i64,
    /// How long the main process ran, by the monotonic clock (time asleep not counted).
    pub duration_ms: u64,
    /// What the tree used, of all that was waited for.
    pub usage: Usage,
    /// Standard output, or the terminal.
    pub out: StreamStats,
    /// Standard error.
    pub err: StreamStats,
    /// Processes that were still there when the main process had ended, and were stopped.
    pub leftovers_stopped: usize,
    /// Processes that could not be ended even by SIGKILL.
    #[serde(default)]
    pub survivors: usize,
}

/// How the main process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Outcome {
    /// By itself, with this code.
    Exited {
        /// 0 to 255.
        code: u8,
    },
    /// By a signal.
    Signalled {
        /// The signal's number.
        signal: i32,
        /// Whether a core was dumped.
        core: bool,
    },
    /// It never ran: no effect of it exists.
    SpawnFailed {
        /// Which step failed.
        step: SpawnStep,
        /// The system's error number, if it was the system.
        errno: Option<i32>,
        /// The error's text.
        message: String,
    },
}

/// The steps to a running job that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpawnStep {
    /// Making logs, socket or pipes.
    Setup,
    /// Opening the standard input's file.
    Stdin,
    /// Making the terminal.
    Pty,
    /// Entering the working folder.
    Cwd,
    /// Making the process.
    Fork,
    /// Writing the identity.
    Identity,
    /// Confining it.
    Confine,
    /// Running the program.
    Exec,
}

/// Resources used by a job's processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// CPU milliseconds in user code.
    pub user_ms: u64,
    /// CPU milliseconds in the kernel.
    pub system_ms: u64,
    /// Largest resident size of any one process, in KiB.
    pub max_rss_kib: u64,
}

impl Usage {
    /// User and kernel time together.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        Duration::from_millis(self.user_ms.saturating_add(self.system_ms))
    }
}

/// What became of one output stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamStats {
    /// Bytes taken into the log, those cut later included; the next byte's offset.
    pub bytes: u64,
    /// Bytes cut out of the middle because of the log's limit (S2).
    pub cut: u64,
    /// Bytes that could not be written (a full disk), in no log.
    pub lost: u64,
}

impl ExitRecord {
    /// The record of a job that will never be started.
    pub(crate) fn withdrawn(key: &str) -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now_ms = now.map_or(0, |t| i64::try_from(t.as_millis()).unwrap_or(i64::MAX));
        Self {
            version: PROTOCOL_VERSION,
            key: key.to_owned(),
            outcome: Outcome::SpawnFailed {
                step: SpawnStep::Setup,
                errno: None,
                message: "withdrawn before it was started".to_owned(),
            },
            stop_requested: true,
            started_ms: now_ms,
            ended_ms: now_ms,
            duration_ms: 0,
            usage: Usage::default(),
            out: StreamStats::default(),
            err: StreamStats::default(),
            leftovers_stopped: 0,
            survivors: 0,
        }
    }

    /// Whether the program never ran: no effect of it exists.
    #[must_use]
    pub fn never_ran(&self) -> bool {
        matches!(self.outcome, Outcome::SpawnFailed { .. })
    }

    /// Whether the main process ended by itself with code 0. Not yet a success of anything
    /// (facts/agents.md §3).
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.outcome == Outcome::Exited { code: 0 }
    }

    /// Whether anything that the job wrote is missing from its logs.
    #[must_use]
    pub fn output_incomplete(&self) -> bool {
        [self.out, self.err].iter().any(|s| s.cut > 0 || s.lost > 0)
    }
}
