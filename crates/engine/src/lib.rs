//! The dispatcher: one owner of all live state, fed by one closed event enum; it decides, commits, then acts.
//!
//! No HTTP, no terminal, no SQL here.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

pub mod clock;
pub mod event;
pub mod executor;
pub mod handle;
pub mod machine;
pub mod runtime;
