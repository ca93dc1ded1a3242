//! One try at a task by one session, and how it ended (T6).

use serde::{Deserialize, Serialize};

use crate::ids::Fence;
use crate::limit::LimitNotice;
use crate::time::UnixMs;
use crate::usage::Usage;

/// The current or last attempt of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// 1 for the first.
    pub number: u32,
    /// Its fence.
    pub fence: Fence,
    /// When it was assigned.
    pub assigned_at: UnixMs,
    /// When its session started, if it did.
    pub started_at: Option<UnixMs>,
    /// Milliseconds since boot (sleep not counted) at the session's start, with the boot they belong to.
    pub started_mono: Option<BootMs>,
    /// When its session was seen to have ended.
    pub ended_at: Option<UnixMs>,
    /// The agent process, for people to read; identity is checked by the hosts crate's own record.
    pub pid: Option<u32>,
    /// The agent's conversation id, once known.
    pub conversation: Option<String>,
    /// The account home that its session used, if one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// True if it continued an earlier conversation.
    pub resumed: bool,
    /// What it was found to have used.
    pub usage: Usage,
    /// Writes outside its sandbox that were refused, as its tools told the agent (T25).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused_writes: Vec<RefusedWrite>,
    /// The work it left.
    pub sealed: Option<Sealed>,
    /// How it ended.
    pub end: Option<AttemptEnd>,
}

/// A point on a machine's monotonic clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootMs {
    /// Boot id of the machine.
    pub boot: String,
    /// Milliseconds since that boot, suspended time not counted.
    pub ms: u64,
}

/// How a session ended, as told by its exit record, its stream's terminal event and the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum AttemptEnd {
    /// The stream's terminal event says the turn was finished.
    Completed {
        /// The agent's last words, shortened.
        summary: String,
        /// Tools that its permission mode denied (T23).
        denials: Vec<Denial>,
    },
    /// The agent reported an error.
    AgentError {
        /// In its words.
        message: String,
    },
    /// It ran longer than `timeout`.
    TimedOut,
    /// It gave no sign of life for `idle_timeout`.
    Idle,
    /// It was stopped by Longhaul for this reason.
    Halted {
        /// Why.
        why: Halt,
    },
    /// A provider refused to serve it.
    Limited {
        /// What was said.
        notice: LimitNotice,
    },
    /// The agent process ended without a terminal event.
    Crashed {
        /// Exit code or signal, and the last words of its error output.
        detail: String,
    },
    /// The session vanished.
    Lost {
        /// How.
        why: LostWhy,
    },
    /// The conversation to resume was not known to the agent.
    NotResumable,
    /// It could not be started.
    LaunchFailed {
        /// Why.
        detail: String,
        /// Trying again gives the same: not installed, a wrong flag, an untrusted folder.
        permanent: bool,
    },
}

/// A tool that the agent asked for and was denied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// The tool.
    pub tool: String,
    /// What it was asked to do, shortened.
    pub detail: String,
}

/// What a tool told the agent when the system refused it a write (T25). It is the tool's word: the kernel
/// keeps no record of its own that an unprivileged program could read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedWrite {
    /// The tool.
    pub tool: String,
    /// The line of its output that says so, shortened.
    pub line: String,
    /// The path, where the line or the call names it plainly.
    pub path: Option<String>,
}

/// How a session vanished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LostWhy {
    /// Its shim was gone without an exit record.
    Shim,
    /// The machine was restarted.
    Reboot,
}

/// Why Longhaul stops a live session, setup or check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Halt {
    /// The task was cancelled.
    Cancel,
    /// `retry` of a live task.
    Retry,
    /// `stop`.
    Stop,
    /// `drain --stop`.
    Drain,
    /// `estop`.
    Estop,
    /// `timeout` was reached.
    Timeout,
    /// `idle_timeout` was reached.
    Idle,
    /// The task's budget is used up.
    Budget,
    /// A question that nobody answered within `answer_timeout`.
    Unanswered {
        /// The question.
        question: String,
    },
    /// The agent runs in another permission mode than it was given (T23).
    ModeMismatch {
        /// What was asked for.
        wanted: String,
        /// What the agent reported.
        got: String,
    },
}

impl Halt {
    /// True for a person's own word, which outranks whatever else ended the session.
    #[must_use]
    pub const fn is_operator(&self) -> bool {
        matches!(
            self,
            Self::Cancel | Self::Retry | Self::Stop | Self::Drain | Self::Estop
        )
    }

    /// The stored and shown word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Retry => "retry",
            Self::Stop => "stop",
            Self::Drain => "drain",
            Self::Estop => "estop",
            Self::Timeout => "timeout",
            Self::Idle => "idle",
            Self::Budget => "budget",
            Self::Unanswered { .. } => "unanswered",
            Self::ModeMismatch { .. } => "mode_mismatch",
        }
    }
}

impl AttemptEnd {
    /// The stored and shown word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Completed { .. } => "completed",
            Self::AgentError { .. } => "agent_error",
            Self::TimedOut => "timed_out",
            Self::Idle => "idle",
            Self::Halted { .. } => "halted",
            Self::Limited { .. } => "limited",
            Self::Crashed { .. } => "crashed",
            Self::Lost { .. } => "lost",
            Self::NotResumable => "not_resumable",
            Self::LaunchFailed { .. } => "launch_failed",
        }
    }
}

/// The work an attempt left, frozen at the end of its turn (T8, L5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// The commit the checks run on; empty for in-place work without git.
    pub commit: String,
    /// Its tree.
    pub tree: String,
    /// Snapshot ref that keeps the work, if one was made.
    pub snapshot: Option<String>,
    /// Number of changed files since the task's start.
    pub changed_files: u32,
    /// A short diffstat for people and prompts.
    pub diffstat: String,
    /// Protected paths that were changed (lossy text).
    pub protected: Vec<String>,
    /// True if files were left uncommitted although `commit = "agent"`.
    pub uncommitted: bool,
    /// The tree holds files that the commit does not: they were left uncommitted, and `approve`
    /// commits them.
    #[serde(default)]
    pub loose: bool,
    /// A problem with the branch that a person has to look at.
    pub branch_problem: Option<String>,
    /// What the session changed outside its workspace (L4, L20), if anything.
    pub escaped: Vec<String>,
}
