//! The real binary in a hermetic world.

#![expect(
    clippy::unwrap_used,
    reason = "helpers fail the test they help; the exception for tests covers test functions only"
)]

mod account_homes;
mod accounts;
mod cost;
mod docs;
mod help;
mod live;
mod offline;
mod world;
