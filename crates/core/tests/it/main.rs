//! Tests of the rules: the whole decision table as one snapshot, and properties over random histories.

mod cases;
mod prompt;
mod properties;
mod schedule;
mod table;
mod world;
