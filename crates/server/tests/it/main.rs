//! The server as its users see it: views of a store filled by real decisions, and routes over a
//! real unix socket with a pretended engine.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod authority;
mod client;
mod events;
mod history;
mod host;
mod logs;
mod queue;
mod routes;
mod scale;
mod socket;
mod views;
