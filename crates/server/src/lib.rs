//! What is stored and what lives, shown: pure views over a reader, their wording, and the HTTP
//! routes on the daemon's unix socket. Decides nothing, writes nothing (I7): every change goes
//! through the engine's handle.
//!
//! Start reading at [`views::Views`] (what is shown) and [`serve`] (how it travels). The CLI uses
//! the views directly where no daemon runs.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod routes;
pub mod views;
pub mod wording;

pub use http::authority::{Authority, Peer, PeerAuthority, RefusedCall};
pub use http::foresight::Foresight;
pub use http::logs::{LogPiece, LogSource};
pub use http::serve::{
    BindError, Listener, OpenReader, Reload, ServerDeps, bind, listen_private, serve,
};
pub use wording::Phrasing;
