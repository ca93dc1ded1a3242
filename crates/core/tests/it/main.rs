//! Tests of the rules: the whole decision table as one snapshot, and properties over random histories.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cases;
mod homes;
mod overlap;
mod prompt;
mod properties;
mod queue;
mod schedule;
mod table;
mod world;
