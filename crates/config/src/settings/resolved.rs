//! The settings as the rest of Longhaul uses them.

use std::collections::BTreeMap;

use longhaul_core::account::Strategy;
use longhaul_core::overlap::OverlapStrategy;
use longhaul_core::queue::MergeStyle;
use longhaul_core::spec::{CommitMode, Permission};
use longhaul_core::time::SpanMs;
use serde::Serialize;

use super::layers::Ignored;
use super::pool::PoolTable;
use super::profile::Profile;
use super::tables::{AccountTable, HarnessTable, HomeTable, InboxTable, JudgeTable, PriceTable};
use super::value::{Origin, SettingValue};
use crate::diag::Diagnostics;
use crate::taskfile::TaskDefaults;

/// Settings with where each value came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// The settings.
    pub settings: Settings,
    /// Every value that is set, by key (`config list --origin`).
    pub entries: Vec<SettingEntry>,
    /// What a repository's file said and may not say.
    pub ignored: Vec<Ignored>,
    /// Warnings and notes; no errors.
    pub notes: Diagnostics,
}

/// One value with where it came from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SettingEntry {
    /// The dotted key.
    pub key: String,
    /// The value.
    pub value: SettingValue,
    /// Where it came from.
    pub origin: Origin,
}

/// The settings in force. See `SETTING_KEYS` for what each means.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Sessions at once on this machine.
    pub concurrency: u32,
    /// Sessions at once in one repository.
    pub concurrency_per_repo: Option<u32>,
    /// Sessions at once of one harness.
    pub concurrency_per_harness: BTreeMap<String, u32>,
    /// Live or unlanded worktrees.
    pub max_workspaces: u32,
    /// Bytes of free disk space below which nothing starts (T20).
    pub min_free_bytes: u64,
    /// Bytes of free memory below which nothing starts (T27).
    pub min_free_memory_bytes: u64,
    /// Bytes of output kept of one session (S2).
    pub max_log_bytes: u64,
    /// How long snapshots are kept (L5).
    pub snapshot_retention: SpanMs,
    /// How long after its task's end the output of its jobs is kept; `None` = for ever (A25).
    pub log_retention: Option<SpanMs>,
    /// How long after its task's end an unlanded workspace is kept; `None` = until it has landed (L21).
    pub workspace_retention: Option<SpanMs>,
    /// Between TERM and KILL (I8).
    pub stop_grace: SpanMs,
    /// Bytes of the largest snapshot (L21).
    pub snapshot_max_bytes: u64,
    /// What branches start with, before a `/` (L1).
    pub branch_prefix: String,
    /// Who commits leftovers (T8).
    pub commit: CommitMode,
    /// Whether Longhaul's commits are signed (T8).
    pub sign: bool,
    /// The merge queue.
    pub queue: QueueSettings,
    /// Setup of workspaces whose task names none.
    pub setup: Option<String>,
    /// Teardown of workspaces whose task names none.
    pub teardown: Option<String>,
    /// Harness of tasks that name none; may be `auto`.
    pub default_harness: String,
    /// Permission of tasks that name none (T23).
    pub default_permission: Permission,
    /// Judge of `model` checks that name none (T10).
    pub default_judge: Option<String>,
    /// The user's word that the machine is a sandbox (T25).
    pub sandboxed: bool,
    /// What sessions may write to besides their workspace (T25).
    pub sandbox: SandboxPaths,
    /// Command run when a task needs a person (T28).
    pub on_needs_human: Option<String>,
    /// Waits before restarts.
    pub retry: RetryBackoff,
    /// Waits at limits and overloads (A4, A7).
    pub limits: Limits,
    /// `[harness.NAME]`.
    pub harnesses: BTreeMap<String, HarnessTable>,
    /// `[profile.NAME]`, each with what it inherits (S12).
    pub profiles: BTreeMap<String, Profile>,
    /// `[judge.NAME]`.
    pub judges: BTreeMap<String, JudgeTable>,
    /// Accounts, and how they are used.
    pub accounts: AccountSettings,
    /// `[inbox.NAME]` (A20).
    pub inboxes: BTreeMap<String, InboxTable>,
    /// `[pool]` and `[dedicated.NAME]` (A19).
    pub pool: PoolTable,
}

impl Settings {
    /// What tasks get where neither they nor their file's `[defaults]` say anything.
    #[must_use]
    pub fn task_defaults(&self) -> TaskDefaults {
        TaskDefaults {
            harness: self.default_harness.clone(),
            permission: self.default_permission,
            setup: self.setup.clone(),
            teardown: self.teardown.clone(),
        }
    }
}

/// `[queue]`: the merge queue (L11, L14, L15).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueSettings {
    /// Most entries that are checked together.
    pub batch_max: u32,
    /// How work comes onto the base branch.
    pub merge_style: MergeStyle,
    /// Whether a clean checkout of the base branch is advanced.
    pub advance_checkout: bool,
    /// Whether what has landed is pushed (L16).
    pub push: bool,
    /// What follows when two live sessions change the same file (L19).
    pub live_conflicts: OverlapStrategy,
}

/// `[account.NAME]` and `[accounts]` (A1, A3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountSettings {
    /// The accounts with a key that are written down, by name.
    pub known: BTreeMap<String, AccountTable>,
    /// The accounts that are config homes, by name.
    pub homes: BTreeMap<String, HomeTable>,
    /// Whether sessions go from one home to another.
    pub rotate_homes: bool,
    /// Where linked homes keep what they share, as it is written.
    pub shared_dir: Option<String>,
    /// The folders that homes share, by harness.
    pub shared: BTreeMap<String, Vec<String>>,
    /// Whether keys in the environment are accounts too.
    pub discover: bool,
    /// Whether sessions of key accounts go through the gateway.
    pub gateway: bool,
    /// How one is picked.
    pub strategy: Strategy,
    /// Percent of a long window from which an account counts as near its limit (A10).
    pub threshold_pct: u8,
    /// The only account of its provider that is used.
    pub only: Option<String>,
    /// Whether idle accounts are asked about (A10).
    pub probe: bool,
    /// What tokens cost, by model, before the table in the program (A11).
    pub prices: BTreeMap<String, PriceTable>,
    /// How old what is known of them may become.
    pub probe_interval: SpanMs,
}

/// Paths that sessions may write to besides their workspace (T25).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SandboxPaths {
    /// Caches.
    pub caches: Vec<String>,
    /// Anything else.
    pub writable: Vec<String>,
}

/// Waits before restarts; they double from the least to the most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetryBackoff {
    /// The first.
    pub min: SpanMs,
    /// The longest.
    pub max: SpanMs,
}

/// Waits at limits and overloads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// At a limit without a known reset.
    pub unknown_reset: SpanMs,
    /// The most that is added to a reset.
    pub wake_jitter: SpanMs,
    /// After a throttle.
    pub throttle_pause: SpanMs,
    /// The first at an overload.
    pub overload_min: SpanMs,
    /// The longest at an overload.
    pub overload_max: SpanMs,
    /// After this long an overload needs a person.
    pub overload_give_up: SpanMs,
}
