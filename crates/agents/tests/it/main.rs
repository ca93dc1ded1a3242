//! Recorded streams of the real agents (facts/agents.md, and runs of the same versions for the cases
//! the facts leave out), and launch plans.

mod hostile;
mod launch;
mod refused;
mod samples;
mod screens;
mod turns;
mod world;
