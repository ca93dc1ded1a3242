//! The documented task file that `longhaul init` writes.

/// A task file with one small task and every other key explained; it is valid as it stands.
#[must_use]
pub fn scaffold() -> &'static str {
    include_str!("scaffold.toml")
}
