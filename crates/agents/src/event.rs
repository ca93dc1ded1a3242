//! What a session's output means, in the words all harnesses share. Not what becomes of the task.

use std::fmt;

use longhaul_core::attempt::RefusedWrite;
use longhaul_core::limit::{LimitClass, LimitNotice};
use longhaul_core::time::UnixMs;
use longhaul_core::usage::Usage;
use serde::{Deserialize, Serialize};

use crate::text::tail;

/// Most characters that are kept of what a failed tool call said.
pub const SAID_CHARS: usize = 2_000;

/// One thing an agent's output said. All text in it went through [`clean_text`](crate::clean_text).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum AgentEvent {
    /// The first word of a session; a long-lived one repeats it for each turn.
    Started {
        /// The conversation to resume later, if it was named and is a sound id.
        conversation: Option<String>,
        /// The model in the agent's own spelling.
        model: Option<String>,
        /// The effective permission mode in the agent's own spelling, to be compared with
        /// [`LaunchPlan::expected_mode`](crate::LaunchPlan::expected_mode) (T23).
        mode: Option<String>,
        /// The agent's version.
        version: Option<String>,
    },
    /// Words of the agent: a whole block, or a piece of one where the agent streams pieces.
    Text {
        /// The words, line feeds kept.
        text: String,
    },
    /// A tool call began.
    ToolStarted {
        /// The call's id in the agent's stream.
        id: String,
        /// The tool's name in the agent's spelling.
        name: String,
        /// One short line: the command, the file, or the arguments.
        summary: String,
    },
    /// A tool call ended.
    ToolEnded {
        /// The id its start had.
        id: String,
        /// Whether the agent called it a success.
        ok: bool,
        /// The end of what a failed call said, at most [`SAID_CHARS`](crate::SAID_CHARS) characters.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        said: String,
    },
    /// The agent waits and will ask its provider again by itself; never race it (A5).
    Retrying {
        /// Why.
        class: LimitClass,
        /// How long it waits, where it said so.
        delay_ms: Option<u64>,
        /// Which try this is, where it said so.
        attempt: Option<u32>,
    },
    /// The provider refused. The reset is filled in only where the stream holds an absolute time;
    /// the end of the turn reads texts such as `resets 3pm` too.
    Limit(LimitNotice),
    /// A limit is near; nothing was refused.
    LimitWarning {
        /// Used share of the window, 0 to 1 and sometimes beyond.
        utilization: Option<f64>,
        /// The window in the provider's words.
        window: Option<String>,
        /// When the window starts anew.
        reset_at: Option<UnixMs>,
    },
    /// The attempt's own usage so far: a running total, never a difference.
    Usage(Usage),
    /// A tool was refused by the permission mode, a hook or a policy (T23).
    Denied(Denial),
    /// A tool's result told that the system refused it a write (T25). Probable, not proven, and not yet
    /// known to be the sandbox's doing.
    WriteRefused(RefusedWrite),
    /// A question that nobody can answer in an unattended session (T15).
    Question {
        /// The question.
        text: String,
    },
    /// Something worth a line in the log.
    Warning {
        /// What.
        text: String,
    },
    /// The agent said that the turn is over. [`StreamParser::finish`](crate::StreamParser::finish)
    /// has the meaning; a long-lived session may go on with another turn.
    TurnEnded {
        /// Whether the agent called it a success.
        ok: bool,
    },
    /// A line or record of a kind this version does not know; logged, never acted on.
    Unknown {
        /// Its kind, or the beginning of the line.
        kind: String,
    },
}

impl AgentEvent {
    /// The end of a tool call, with the end of what it said if it failed.
    pub(crate) fn tool_ended(id: String, ok: bool, output: &str) -> Self {
        let said = if ok {
            String::new()
        } else {
            tail(output, SAID_CHARS)
        };
        Self::ToolEnded { id, ok, said }
    }
}

/// A tool call that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// The tool's name.
    pub tool: String,
    /// One short line: the command or file, and the reason if one was given.
    pub detail: String,
}

/// How the process ended, as the exit record has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitStatusInfo {
    /// Exit code, if it exited.
    pub code: Option<i32>,
    /// Signal number, if a signal ended it.
    pub signal: Option<i32>,
}

impl ExitStatusInfo {
    /// Exited with this code.
    #[must_use]
    pub const fn exited(code: i32) -> Self {
        Self {
            code: Some(code),
            signal: None,
        }
    }

    /// Ended by this signal.
    #[must_use]
    pub const fn signalled(signal: i32) -> Self {
        Self {
            code: None,
            signal: Some(signal),
        }
    }

    /// Exit code 0. Never proof of a finished turn (facts/agents.md §3).
    #[must_use]
    pub const fn is_zero(self) -> bool {
        matches!(self.code, Some(0))
    }
}

impl fmt::Display for ExitStatusInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            (_, Some(signal)) => write!(f, "signal {signal}"),
            (Some(code), None) => write!(f, "exit code {code}"),
            (None, None) => f.write_str("unknown exit"),
        }
    }
}

/// How a turn ended, from its stream and its process's exit together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnEnd {
    /// The end.
    pub outcome: TurnOutcome,
    /// What was refused in the turn, at most 64 (T23, T27).
    pub denials: Vec<Denial>,
    /// Writes that the system refused, as tools told it, one of each path, at most 8 (T25).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused_writes: Vec<RefusedWrite>,
}

/// The end of a turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum TurnOutcome {
    /// The agent's terminal event said success. Whether the task is done is for its checks to say.
    Completed {
        /// The agent's last words, at most 4096 characters.
        summary: String,
    },
    /// The turn failed for a reason that is not a limit.
    Failed {
        /// What kind of failure.
        kind: FailureKind,
        /// The agent's words, at most 1024 characters.
        message: String,
    },
    /// The provider refused: quota, throttle, overload, billing or authentication (A5).
    Limited(LimitNotice),
    /// The agent said that it was interrupted.
    Interrupted,
    /// The process ended without its terminal event: killed, crashed, or stopped by a signal that
    /// it answered with exit code 0.
    NoTerminalEvent {
        /// How it ended.
        exit: ExitStatusInfo,
        /// The end of its stderr, at most 1024 characters.
        stderr_tail: String,
    },
    /// The conversation that was to be resumed is unknown to the agent: start fresh with notes (T7).
    NotResumable {
        /// The agent's words.
        message: String,
    },
}

/// Kinds of failed turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The agent gave up or broke.
    Agent,
    /// The agent stopped at its own money limit (T13).
    Budget,
    /// The agent stopped at its own turn limit.
    MaxTurns,
    /// The provider called the request wrong (400, 404, 413…): the same request fails again.
    Api,
    /// The agent refused to start: a flag, its configuration, an untrusted folder.
    Launch,
}
