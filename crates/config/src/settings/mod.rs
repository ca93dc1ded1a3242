//! The settings: built-in defaults, the user's file, the repository's files, variables, flags, in
//! this order; the later wins. Says of every value where it came from.

mod build;
mod docs;
mod key_table;
mod keys;
mod layers;
mod pool;
mod profile;
mod resolved;
mod tables;
mod value;

pub use docs::markdown;
pub use key_table::SETTING_KEYS;
pub use keys::{Guard, Kind, SettingKey};
pub use layers::{FileLayer, FlagSetting, Ignored, Layer, Layers, resolve};
pub use pool::PoolTable;
pub use profile::Profile;
pub use resolved::{
    AccountSettings, Limits, Resolved, RetryBackoff, SandboxPaths, SettingEntry, Settings,
};
pub use tables::{
    AccountTable, HarnessTable, HomeTable, InboxTable, JudgeKind, JudgeTable, KeySource,
    PriceTable, ProfileTable,
};
pub use value::{Origin, SettingValue};

/// Largest settings file in bytes.
pub const MAX_FILE_BYTES: usize = 1 << 20;
