//! The dispatcher's machine against the in-memory store and a pretended world.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod homes;
mod machine;
mod moody;
mod pretend;
