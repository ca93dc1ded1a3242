//! The gateway: a local proxy between agents and their providers. It swaps the key between two requests, fails over
//! before the first byte of an answer, meters what is used and refuses what is over budget (accounts.md A5,
//! A8–A13).
//!
//! `routing`, `signals`, `meter` and `price` decide and count without IO; `shell` is the process around them;
//! `api` and `client` are what the daemon and the verbs use. It never touches the store: what it has to tell goes out
//! as numbered reports. Start reading at [`routing::Router`].

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

pub mod api;
mod client;
pub mod launch;
pub mod meter;
pub mod outermost;
pub mod price;
mod refuse;
mod request;
pub mod routing;
mod shell;
pub mod signals;

pub use client::{Client, ClientError};
pub use shell::{MayControl, Parts, Peer, Place, PlaceError, ServeError, Times, WayOut, run};
