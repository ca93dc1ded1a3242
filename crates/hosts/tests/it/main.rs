//! Real processes under real shims.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "tests, and loud skips"
)]

mod adopt;
mod confined;
mod cost;
mod crash;
mod ends;
mod hostile;
mod io;
mod power;
mod trees;
mod world;
