//! What Longhaul's tests run against: a mock model provider, a fake agent that speaks the four real
//! wire formats and misbehaves on script, homes for the real agents, and hermetic worlds.
//!
//! Development only: no crate of the product depends on it.

pub mod fake;
pub mod home;
pub mod provider;
pub mod world;
