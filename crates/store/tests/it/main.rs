//! Tests of the store through its public interface, on every engine it has.

mod conformance;
mod cost;
mod differential;
mod epoch;
mod files;
mod killed;
mod points;
mod power;
mod world;
