//! Per kind of agent: how it is launched, what its output means, what it can do.
//!
//! Everything is sans-IO: no process is started, no file, clock or environment is read. Bytes of
//! streams and transcripts come in, events and ends of turns go out; a launch request comes in, a plan
//! of argv, environment and files goes out. What an agent's words mean for a task is the engine's.
//!
//! Start reading at [`Registry`], then [`Harness`] and [`StreamParser`].

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod account_home;
mod capabilities;
mod claude;
mod codex;
mod custom;
mod event;
mod gateway;
mod gemini;
mod harness;
mod launch;
pub mod limits;
mod opencode;
mod record;
mod refusal;
mod refused_write;
mod registry;
pub mod screen;
pub mod script;
mod stream;
mod tally;
pub mod text;

pub use account_home::AccountHome;
pub use capabilities::{Capabilities, PermissionMeaning, SpendingSeen, UsageCounts};
pub use claude::ClaudeTranscript;
pub use codex::{CodexRollout, RateWindow};
pub use custom::{CustomHarness, OutputFormat};
pub use event::{
    AgentEvent, Denial, ExitStatusInfo, FailureKind, SAID_CHARS, TurnEnd, TurnOutcome,
};
pub use gateway::{Again, Passage, past_proxy};
pub use harness::Harness;
pub use launch::{
    ARGV_TEXT_LIMIT, LaunchOptions, LaunchPlan, LaunchRefusal, LaunchRequest, PlacedFile,
};
pub use record::{RecordReader, Spent};
pub use registry::{Registry, RegistryError};
pub use stream::{MAX_LINE_BYTES, ParserContext, StreamParser};
pub use text::{clean_text, excerpt, snippet, tail};
