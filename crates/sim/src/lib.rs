//! The simulator: the real rules (`core`) and the real dispatcher (`engine::machine`) over the
//! in-memory store, in a pretended world that fails in every way we know, on a virtual clock.
//!
//! A seed determines a run entirely. After every step all invariants that can be seen are checked.
//! What is pretended: the executor, processes, disks, agents and people ([`world`]); what is not
//! simulated at all is the code of the real executor, which has its own tests.

mod agent;
mod daemon;
mod disk;
mod executor;
mod jobs;
mod nemesis;
mod oracle;
mod overlap;
mod people;
mod queue;
mod report;
mod rng;
mod scenario;
mod sim;
mod store;
mod threads;
pub mod world;

pub use report::{Outcome, Violation};
pub use sim::{Mutant, Options, run, run_twice};
