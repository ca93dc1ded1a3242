//! `[pool]` and `[dedicated.NAME]` (A19).

use std::collections::BTreeMap;

use longhaul_core::time::SpanMs;

/// Sessions in terminals. Whether the names are sound is for the pool to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "SETTING_KEYS documents every field")]
pub struct PoolTable {
    pub prefix: String,
    pub start_index: u32,
    pub min: u32,
    pub max: u32,
    pub ack_timeout: SpanMs,
    pub retention: SpanMs,
    pub signal: String,
    pub tmux: String,
    /// Folders of dedicated sessions, by name.
    pub dedicated: BTreeMap<String, String>,
}
