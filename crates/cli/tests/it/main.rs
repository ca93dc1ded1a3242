//! The real binary in a hermetic world.

mod help;
mod offline;
mod world;
