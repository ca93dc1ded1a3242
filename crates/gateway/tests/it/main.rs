//! The gateway end to end: its real process parts in this process, real sockets, pretended providers. And the
//! properties of the parts that decide and count.

#![expect(
    clippy::unwrap_used,
    reason = "helpers fail the test they help; the exception for tests covers test functions only"
)]

mod budgets;
mod clients;
mod failover;
mod faults;
mod gate;
mod held;
mod hygiene;
mod life;
mod load;
mod meter;
mod routing;
