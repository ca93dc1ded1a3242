//! The gateway as its own process of the real binary: real agents whose key runs out in the middle of a task, kills,
//! and a search for secrets wherever one could be.

#![expect(
    clippy::unwrap_used,
    reason = "helpers fail the test they help; the exception for tests covers test functions only"
)]

mod agents;
mod outward;
mod process;
mod programs;
mod stage;
mod supervise;
mod terminal;
