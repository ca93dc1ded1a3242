//! The rules of Longhaul as plain values: what a task is, which moves are legal, what happens next.
//!
//! Nothing here reads a clock, a file, the environment or a random source; everything comes in as a
//! value and goes out as a value, so the same facts always give the same decision.

pub mod ids;
pub mod limit;
pub mod spec;
pub mod time;
pub mod usage;
