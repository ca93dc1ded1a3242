//! `GET /v1/status`: how the gateway is.

use longhaul_core::account::Provider;
use longhaul_core::ids::{Fence, TaskId};
use longhaul_core::time::UnixMs;
use longhaul_core::usage::Usage;
use serde::{Deserialize, Serialize};

use super::report::{AccountCondition, WindowView};

/// How the gateway is. Holds no secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusView {
    /// [`CONTROL_VERSION`](super::CONTROL_VERSION) of the one that answers.
    pub control: u32,
    /// Version of the program.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// The port on 127.0.0.1. It stays the same over restarts.
    pub port: u16,
    /// Since when it runs.
    pub started_at: UnixMs,
    /// Whether it was given accounts since its start; without them every request is answered with 503.
    pub ready: bool,
    /// The accounts.
    pub accounts: Vec<AccountView>,
    /// Who gave accounts since its start; empty = the daemon.
    #[serde(default)]
    pub givers: Vec<String>,
    /// The sessions.
    pub sessions: Vec<SessionView>,
    /// Reports that wait.
    pub spool: SpoolView,
}

impl StatusView {
    /// The base URL for clients, without a path: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// An account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccountView {
    /// Its name.
    pub id: String,
    /// Its provider.
    pub provider: Provider,
    /// Tells its key from others.
    pub fingerprint: String,
    /// How it is.
    pub condition: AccountCondition,
    /// Models that rest while the account serves others, and until when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resting_models: Vec<(String, UnixMs)>,
    /// Its windows.
    pub windows: Vec<WindowView>,
    /// Requests on their way.
    pub in_flight: u32,
    /// Answers so far since the gateway's start.
    pub answered: u64,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionView {
    /// Its id.
    pub id: String,
    /// Its task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// Its fence.
    pub fence: Fence,
    /// Its provider.
    pub provider: Provider,
    /// What it used so far.
    pub total: Usage,
    /// The account that served it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Requests that are kept until an account can serve.
    #[serde(default)]
    pub held: u32,
}

/// What came of `POST /v1/check/NAME?older_than_ms=N`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckView {
    /// The account, as it is now.
    pub account: AccountView,
    /// How that is known.
    pub outcome: CheckOutcome,
}

/// How an account's check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "check", rename_all = "snake_case")]
pub enum CheckOutcome {
    /// Not asked: its traffic told enough a moment ago.
    Fresh,
    /// Not asked: it rests, or its key was refused (I15).
    Out,
    /// Asked.
    Asked {
        /// The status of the answer.
        status: u16,
    },
    /// The provider did not answer.
    Silent,
}

/// Reports that wait to be acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpoolView {
    /// The number of the last report; 0 = none ever.
    pub last: u64,
    /// Up to here they are acknowledged.
    pub acknowledged: u64,
}

/// The body of a control answer that is no success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What is wrong.
    pub error: String,
}
