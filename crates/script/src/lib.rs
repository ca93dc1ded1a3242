//! The built-in `script` harness: an agent without a model, that does what a small text file says.
//!
//! `longhaul demo`, `--rehearse` and users' own dry runs use it (tasks.md "Commands"); the language is
//! documented in `docs/script-harness.md`. [`parse`] is sans-IO; [`play`] does the IO: files in the
//! working folder, commands by `/bin/sh`, sleeping, and one JSON event per line on the output.

mod cli;
mod command;
mod event;
mod parse;
mod play;
mod process;
mod rehearsal;
mod values;

pub use cli::{UsageError, main};
pub use command::{Command, LimitKind, Script, Section, Tokens, When};
pub use event::Event;
pub use parse::{Problem, ScriptError, parse};
pub use play::{Ending, Mode, PlayContext, play};
pub use rehearsal::rehearsal;
