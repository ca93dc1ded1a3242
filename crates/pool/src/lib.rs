//! Sessions that live in terminals: Longhaul's own tmux server, the names on it that are its to touch, and the driver that
//! types one task's prompt into one of them (A19, A21, A22).
//!
//! A pool session is a pane that outlives its agents. It is *free* while its pane is dead, and taken by one command that
//! tmux refuses where anything lives in the pane: whoever works there is never disturbed (I11). The driver is the job that
//! a shim starts in the agent's place, and the agent in the pane carries the job's spawn key: so a session in a terminal is
//! adopted, stopped and swept like any other. What a task means is not known here.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod drive;
mod names;
mod note;
mod order;
mod pane;
mod survey;
mod tmux;
mod waste;

pub use drive::{VERB as DRIVE_VERB, main as drive_main};
pub use names::{Dedicated, NameError, PoolSettings};
pub use note::{Note, Noted};
pub use order::Order;
pub use pane::{VERB as PANE_VERB, main as pane_main};
pub use survey::{Ensured, Kind, PoolSession, State, clear, ensure, ready, survey};
pub use tmux::{Place, Server, TmuxError};
pub use waste::{Waste, WasteError, throw_away, waste};
