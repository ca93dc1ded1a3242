//! The gateway end to end: its real process parts in this process, real sockets, pretended providers.

#![expect(
    clippy::unwrap_used,
    reason = "helpers fail the test they help; the exception for tests covers test functions only"
)]

mod failover;
mod gate;
