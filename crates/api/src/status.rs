//! The daemon's condition and the counts of tasks.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{API_VERSION, API_VERSION_MIN, Bucket};

/// `GET /v1/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StatusView {
    /// The daemon; null where none runs and the store was read directly.
    pub daemon: Option<DaemonView>,
    /// Tasks by bucket.
    pub buckets: BucketCounts,
    /// Tasks by state; states without tasks are left out.
    pub states: BTreeMap<String, u64>,
    /// Harnesses and accounts that rest.
    pub resting: Vec<RestingView>,
}

/// Numbers of tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BucketCounts {
    /// Nothing moves them without a person.
    pub needs_you: u64,
    /// They move by themselves, or will.
    pub working: u64,
    /// Final.
    pub done: u64,
}

impl BucketCounts {
    /// Counts one task.
    pub const fn count(&mut self, bucket: Bucket) {
        match bucket {
            Bucket::NeedsYou => self.needs_you += 1,
            Bucket::Working => self.working += 1,
            Bucket::Done => self.done += 1,
        }
    }
}

/// A running daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DaemonView {
    /// Its process.
    pub pid: u32,
    /// Version of its program.
    pub version: String,
    /// When it started: UTC milliseconds.
    pub started_at_ms: i64,
    /// Live sessions.
    pub sessions: u32,
    /// Slots.
    pub slots: u32,
    /// Ready tasks.
    pub ready: u32,
    /// Drained (T16).
    pub draining: bool,
    /// Stopped by `estop`.
    pub estopped: bool,
    /// Why nothing new starts, if so.
    pub holding: Option<String>,
}

/// A harness or account that rests (I15).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RestingView {
    /// Which.
    pub scope: String,
    /// Until when: UTC milliseconds.
    pub until_ms: i64,
    /// The provider's own name of the window.
    pub window: Option<String>,
    /// The time is over and one session proves that it works again.
    pub probing: bool,
    /// In words.
    pub line: String,
}

/// `GET /v1/version` (T29).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VersionView {
    /// Version of the daemon's program.
    pub version: String,
    /// The daemon's process.
    pub pid: u32,
    /// Versions of this API that it serves.
    pub api: ApiRange,
}

/// A range of API versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApiRange {
    /// The oldest.
    pub min: u32,
    /// The newest.
    pub max: u32,
}

impl ApiRange {
    /// What this code reads and serves.
    pub const OURS: Self = Self {
        min: API_VERSION_MIN,
        max: API_VERSION,
    };

    /// True if both sides know a common version: reading works.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        self.min <= other.max && other.min <= self.max
    }
}
