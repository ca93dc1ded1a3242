//! The real binary in a hermetic world.
