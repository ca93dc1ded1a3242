//! Typed identifiers. Ids are UUIDv7, made by the caller from a clock and random bytes, never reused.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Identity of a task: a wanted outcome.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskId(Uuid);

impl TaskId {
    /// Wraps a UUID (a version 7 one, when it is new).
    #[must_use]
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// A new id from wall-clock milliseconds and ten random bytes.
    #[must_use]
    pub fn new(unix_ms: i64, random: [u8; 10]) -> Self {
        let ms = u64::try_from(unix_ms).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(ms, &random).into_uuid())
    }

    /// The UUID inside.
    #[must_use]
    pub const fn uuid(self) -> Uuid {
        self.0
    }

    /// The last eight hexadecimal digits: random, so they tell tasks of one file apart, for names
    /// of branches and folders (L1).
    #[must_use]
    pub fn short(self) -> String {
        let full = self.0.simple().to_string();
        full[full.len() - 8..].to_owned()
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskId({})", self.0)
    }
}

impl FromStr for TaskId {
    type Err = uuid::Error;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(s).map(Self)
    }
}

/// A number that grows with every attempt of a task; news that carries an older one is logged and
/// never obeyed (I2). Zero means that no attempt was ever made.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Fence(pub u64);

impl Fence {
    /// The fence of the next attempt.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names everything one attempt starts: its bundle folder, its processes' environment, its records.
/// Derived from (task, fence), so that repeating an effect finds what the first run left.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SpawnKey(String);

impl SpawnKey {
    /// The key of a task's session under this fence.
    #[must_use]
    pub fn session(task: TaskId, fence: Fence) -> Self {
        Self(format!("{}-{fence}", task.uuid().simple()))
    }

    /// The key of the workspace set-up under this fence.
    #[must_use]
    pub fn setup(task: TaskId, fence: Fence) -> Self {
        Self(format!("{}-{fence}-setup", task.uuid().simple()))
    }

    /// The key of one run of one check under this fence.
    #[must_use]
    pub fn check(task: TaskId, fence: Fence, check: u16, run: u16) -> Self {
        Self(format!(
            "{}-{fence}-check{check}-{run}",
            task.uuid().simple()
        ))
    }

    /// The key of one run of a workspace's `teardown`; the fence is of the last attempt in it.
    #[must_use]
    pub fn teardown(task: TaskId, fence: Fence, run: u32) -> Self {
        Self(format!("{}-{fence}-teardown{run}", task.uuid().simple()))
    }

    /// The key of what opens the pull request for an attempt's work.
    #[must_use]
    pub fn proposal(task: TaskId, fence: Fence) -> Self {
        Self(format!("{}-{fence}-proposal", task.uuid().simple()))
    }

    /// A key that belongs to no task: what the merge queue starts. Never the beginning of a task's.
    #[must_use]
    pub const fn raw(text: String) -> Self {
        Self(text)
    }

    /// The text: ASCII letters, digits and `-`, safe as a file name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SpawnKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
