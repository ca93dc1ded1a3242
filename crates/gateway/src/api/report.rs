//! What the gateway has to tell the daemon, numbered, kept until it is acknowledged.

use longhaul_core::account::Provider;
use longhaul_core::ids::{Fence, TaskId};
use longhaul_core::limit::LimitNotice;
use longhaul_core::time::UnixMs;
use longhaul_core::usage::Usage;
use serde::{Deserialize, Serialize};

/// One report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Grows by one with each report, over restarts too. Seen twice means the same report.
    pub seq: u64,
    /// When.
    pub at: UnixMs,
    /// What.
    #[serde(flatten)]
    pub body: ReportBody,
}

/// What there is to tell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "snake_case")]
pub enum ReportBody {
    /// An answer was metered (A11).
    Usage {
        /// The session.
        session: String,
        /// Its task.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        task: Option<TaskId>,
        /// The attempt.
        fence: Fence,
        /// The account that was charged.
        account: String,
        /// The model, as the answer names it, else as it was asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model: Option<String>,
        /// What this answer used; its cost is `None` where no price is known.
        usage: Usage,
        /// False if the answer broke off: the provider may charge for more than was seen.
        complete: bool,
        /// All that the session used so far, this answer included: holds even if reports before it were
        /// dropped.
        total: Usage,
    },
    /// A provider refused, or told of a limit inside an answer (A5).
    Limit {
        /// The account.
        account: String,
        /// The session that met it.
        session: String,
        /// The model that it holds for; `None` = all of the account's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model: Option<String>,
        /// The status of the answer; 200 for a limit inside a stream.
        status: u16,
        /// What was understood.
        notice: LimitNotice,
    },
    /// What headers said of an account's windows (A2, A10); at most every five seconds for each account.
    Windows {
        /// The account.
        account: String,
        /// Its windows.
        windows: Vec<WindowView>,
    },
    /// An account's condition changed.
    Account {
        /// The account.
        account: String,
        /// How it is now.
        condition: AccountCondition,
    },
    /// A conversation went on with another account.
    Moved {
        /// The session.
        session: String,
        /// From this one.
        from: String,
        /// To this one.
        to: String,
    },
    /// A request was answered with a refusal because nothing can serve it.
    Exhausted {
        /// The session.
        session: String,
        /// The earliest time at which an account can serve again, where that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<UnixMs>,
    },
    /// A request was refused because the session's budget is used up (I10), or its cost cannot be known.
    OverBudget {
        /// The session.
        session: String,
        /// True if it was refused because the model has no price.
        unknown_price: bool,
    },
    /// A refusal in words that no rule knows. Logged, never acted on (A5).
    Candidate {
        /// Who said it.
        provider: Provider,
        /// The status.
        status: u16,
        /// The words, at most 120 characters.
        snippet: String,
    },
    /// Reports before this one were dropped because nobody collected them (I16).
    Dropped {
        /// How many.
        count: u64,
    },
}

/// How an account is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum AccountCondition {
    /// It serves.
    Serving,
    /// A window of it is used up, for all models.
    Resting {
        /// Until then.
        until: UnixMs,
        /// True if the provider named the time.
        known: bool,
    },
    /// The key was refused: not used until it is changed.
    Broken,
    /// No credit, or a cap on spending: a person is needed. Tried again now and then.
    NoCredit,
    /// The service fails for it: held back for a moment.
    Tripped {
        /// Until then.
        until: UnixMs,
    },
}

/// A window of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowView {
    /// The provider's name of it: `5h`, `7d`, `requests`, `input_tokens`, `primary`…
    pub name: String,
    /// The model it was seen with, where it is one model's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Its size, where that is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// What is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining: Option<u64>,
    /// Used, in thousandths; may exceed 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_permille: Option<u32>,
    /// Its length in minutes, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minutes: Option<u64>,
    /// When it starts anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset_at: Option<UnixMs>,
    /// When this was seen.
    pub seen_at: UnixMs,
}

/// `GET /v1/reports?after=N`: what came after N, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReportsPage {
    /// The reports, at most 1000.
    pub reports: Vec<Report>,
    /// True if there are more already.
    pub more: bool,
}
