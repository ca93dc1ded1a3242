//! The dispatcher's machine against the in-memory store and a pretended world.

mod machine;
mod pretend;
