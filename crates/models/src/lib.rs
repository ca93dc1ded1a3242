//! Models of the protocols that keep a task's attempts apart, small enough that a checker visits every
//! state they can get into.
//!
//! [`spawn`] is the protocol of today's single host: the dispatcher's commits, the bundle on disk, the
//! shim's lock and records, crashes of each, a reboot, a second daemon, an operator's stop. [`lease`] is
//! the design for fleets (hosts' leases, fences at the gate); the columns for it are in the database and
//! no code uses them yet, so it checks a plan.
//!
//! Each model takes a *mutant*: the protocol with one rule left out. The tests ask the checker to find
//! nothing in the protocol and something in every mutant.
//!
//! What is left out: git, checks and seals (an attempt is "its program"), time in `spawn`, more than one
//! task (tasks share nothing here), and the rest of the code; that the code does as modelled is shown by
//! the tests that crash it.

pub mod lease;
pub mod spawn;
