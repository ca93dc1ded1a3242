//! The tables that the user names: harnesses, profiles, judges.

use std::collections::BTreeMap;

use longhaul_core::account::Provider;
use longhaul_core::spec::{EnvValue, Permission};
use longhaul_core::time::SpanMs;
use longhaul_core::usage::MicroUsd;
use serde::{Deserialize, Serialize};

/// `[harness.NAME]` (S8): a custom harness, or changes to a built-in one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "SETTING_KEYS documents every field")]
pub struct HarnessTable {
    pub program: Option<String>,
    pub args: Vec<String>,
    pub base_args: Vec<String>,
    pub aliases: Vec<String>,
    /// `tmux`: its sessions live in the pool.
    pub host: Option<String>,
    pub cwd_flag: Option<String>,
    pub session_name_flag: Option<String>,
    pub task_flag: Option<String>,
    pub model_flag: Option<String>,
    pub add_dir_flag: Option<String>,
    pub include_directories_flag: Option<String>,
    pub allowed_tools_flag: Option<String>,
    pub disallowed_tools_flag: Option<String>,
    pub permission_mode_flag: Option<String>,
    pub max_budget_usd_flag: Option<String>,
    pub append_system_prompt_flag: Option<String>,
    /// `None` = the default, true.
    pub inline_system_prompt_for_task: Option<bool>,
    pub project_markers: Vec<String>,
    /// Its words for our modes.
    pub permission_modes: BTreeMap<String, String>,
    pub credentials: Vec<String>,
    pub writable: Vec<String>,
    pub resume_flag: Option<String>,
    pub output_format: Option<String>,
    /// `None` = the harness's own default; false for a custom one.
    pub cost_known: Option<bool>,
    pub env: BTreeMap<String, EnvValue>,
}

/// `[profile.NAME]` (S12) as written, before what it inherits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "SETTING_KEYS documents every field")]
pub struct ProfileTable {
    pub inherits: Option<String>,
    pub model: Option<String>,
    pub agent: Option<String>,
    pub allowed_tools: Vec<String>,
    pub disallowed_tools: Vec<String>,
    pub permission_mode: Option<Permission>,
    pub add_dirs: Vec<String>,
    pub max_budget_usd: Option<MicroUsd>,
    pub token_budget: Option<u64>,
    pub append_system_prompt: Option<String>,
    pub host: Option<String>,
}

/// `[price.NAME]` (A11): what a million tokens of a model cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceTable {
    /// Input that was not read from a cache.
    pub input: MicroUsd,
    /// Output.
    pub output: MicroUsd,
    /// Input read from a cache; none: as `input`.
    pub cache_read: Option<MicroUsd>,
    /// Input written to a cache; none: as `input`.
    pub cache_write: Option<MicroUsd>,
}

/// The style of a judge's endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JudgeKind {
    /// Anthropic's messages.
    Anthropic,
    /// OpenAI's chat completions, which local servers speak too.
    Openai,
}

/// Where a key is found. The key itself is never part of the settings (I12).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeySource {
    /// In this variable.
    Env(String),
    /// In this file.
    File(String),
    /// What this command prints.
    Command(String),
}

/// `[judge.NAME]`: an endpoint for `model` checks (T10).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgeTable {
    /// The style of the endpoint.
    pub kind: JudgeKind,
    /// Its address.
    pub url: String,
    /// The model.
    pub model: String,
    /// Its key; `None` for a local server that wants none.
    pub key: Option<KeySource>,
    /// How long one answer may take.
    pub timeout: SpanMs,
}

/// `[account.NAME]`: an API key to use a provider with (A1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountTable {
    /// Whose key it is.
    pub provider: Provider,
    /// Where it is found.
    pub key: KeySource,
    /// Another place than the provider's own.
    pub base_url: Option<String>,
    /// Requests at the same time, at most.
    pub max_concurrent: Option<u32>,
    /// The model that checks of its limits ask.
    pub check_model: Option<String>,
    /// Whether it may be used.
    pub enabled: bool,
    /// With the strategy `priority`: lower goes first.
    pub priority: u32,
}

/// `[account.NAME]` with `home`: an agent's own config home, with a login of its own (A18).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HomeTable {
    /// The harness whose home it is.
    pub harness: String,
    /// The folder as it is written; `~/` is the user's home.
    pub home: String,
    /// Whether it may be used.
    pub enabled: bool,
    /// Lower goes first.
    pub priority: u32,
}

/// `[inbox.NAME]`: a folder whose files become tasks (A20).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboxTable {
    /// The project's folder as it is written; `~/` is the user's home.
    pub project: String,
    /// The folder below it that holds `inbox`, `accepted`, `done` and `failed`.
    pub folder: String,
    /// How long files in `done` and `failed` are kept (A25).
    pub retention: SpanMs,
    /// What they may take together in bytes.
    pub max_bytes: u64,
}
