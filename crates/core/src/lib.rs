//! The rules of Longhaul as plain values: what a task is, which moves are legal, what happens next.
//!
//! Nothing here reads a clock, a file, the environment or a random source; everything comes in as a
//! value and goes out as a value, so the same facts always give the same decision.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

pub mod account;
pub mod allow;
pub mod attempt;
pub mod decide;
pub mod effect;
pub mod fact;
pub mod home;
pub mod ids;
pub mod inbox;
pub mod janitor;
pub mod ledger;
pub mod limit;
pub mod moves;
pub mod overlap;
pub mod policy;
pub mod prompt;
pub mod queue;
pub mod schedule;
pub mod spec;
pub mod supervise;
pub mod task;
pub mod time;
pub mod usage;
pub mod verdict;
pub mod window;
