//! Checks end to end on the real binary (T9–T12, I13): commands, models and reviewing agents.

#![expect(
    clippy::unwrap_used,
    reason = "helpers fail the test they help; the exception for tests covers test functions only"
)]

mod agent;
mod judge_server;
mod model;
mod run;
mod stage;
