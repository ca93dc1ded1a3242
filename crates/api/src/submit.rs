//! Handing in tasks.

use longhaul_core::ids::TaskId;
use longhaul_core::spec::TaskSpec;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::TaskSummary;

/// `POST /v1/tasks`: tasks to accept together, validated and with every default filled in. The ids
/// are made by the client, so that a repeated request is recognised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SubmitRequest {
    /// What they came from: a task file's absolute path, or `add`.
    pub source: String,
    /// SHA-256 (hex) of the file's bytes: the same file that is still live is re-attached.
    pub digest: String,
    /// Accept them even if the same file is live already.
    #[serde(default)]
    pub again: bool,
    /// The tasks; dependencies are named by id, of this list or stored.
    pub tasks: Vec<SubmitTask>,
}

/// One task to accept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SubmitTask {
    /// A new UUIDv7.
    #[schemars(with = "String")]
    pub id: TaskId,
    /// The task in its stored form, which belongs to one version of Longhaul: programs hand in task
    /// files through the CLI.
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub spec: TaskSpec,
}

/// Tasks that were accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubmitResponse {
    /// The submission, for `GET /v1/submissions/{id}`.
    #[schemars(with = "String")]
    pub submission: Uuid,
    /// Its tasks in order. After a re-attachment these are the stored ones.
    #[schemars(with = "Vec<String>")]
    pub tasks: Vec<TaskId>,
    /// True if they were in the queue already.
    pub reattached: bool,
}

/// A submission and how its tasks stand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SubmissionView {
    /// Its id.
    #[schemars(with = "String")]
    pub submission: Uuid,
    /// What it came from.
    pub source: String,
    /// When it was accepted: UTC milliseconds.
    pub at_ms: i64,
    /// Its tasks in order.
    pub tasks: Vec<TaskSummary>,
    /// True when nothing in it moves without a person (T3): `run` ends.
    pub settled: bool,
}
