//! The acts of Longhaul on the world outside its memory: writes, renames, removals, flushes, spawns
//! and signals. Each one stands between two crash points, so that a test can kill the process right
//! before and right after it (I3, I4).
//!
//! The raw calls are refused everywhere else by clippy (`clippy.toml`, denied at the root of each
//! product crate), so a new write without a point does not pass. Without the feature `crash-points`
//! the functions here are the raw calls and nothing else.
//!
//! Each act has a label, `crate.what`; its points are `<label>.before` and `<label>.after`.

#![deny(clippy::disallowed_methods)]

pub mod files;
mod point;
pub mod process;

#[cfg(feature = "crash-points")]
pub use point::{CRASH_DIR, CRASH_POINT};
pub use point::{Label, around, point};

/// The variables that arm crash points, for a process that is started with an empty environment.
/// None without the feature `crash-points`.
#[must_use]
pub fn crash_environment() -> Vec<(&'static str, std::ffi::OsString)> {
    #[cfg(feature = "crash-points")]
    let names = [CRASH_POINT, CRASH_DIR];
    #[cfg(not(feature = "crash-points"))]
    let names: [&'static str; 0] = [];
    let values = names
        .into_iter()
        .filter_map(|name| Some((name, std::env::var_os(name)?)));
    values.collect()
}
