//! What a provider or agent said about limits, as typed facts (accounts.md A5).

use serde::{Deserialize, Serialize};

use crate::time::UnixMs;

/// The class of a refusal by a provider. Only [`LimitClass::Quota`] rests an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitClass {
    /// A usage window is used up: a reset time, or a rejected top-level status, was seen.
    Quota,
    /// A bare 429: same account, brief jitter.
    Throttle,
    /// 529, 503 and other 5xx: the service, never the account.
    Overload,
    /// Credit, billing, spending caps: no reset, a person is needed.
    Billing,
    /// Logged out, bad key, revoked token: a person is needed.
    Auth,
}

impl LimitClass {
    /// The stored and shown word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Quota => "quota",
            Self::Throttle => "throttle",
            Self::Overload => "overload",
            Self::Billing => "billing",
            Self::Auth => "auth",
        }
    }
}

/// A refusal, with what is known of its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitNotice {
    /// Its class.
    pub class: LimitClass,
    /// When it ends, where that was said.
    pub reset_at: Option<UnixMs>,
    /// The window's name in the provider's own words (`five_hour`, `weekly`…), if any.
    pub window: Option<String>,
    /// What was seen, at most 120 characters, free of control characters.
    pub snippet: String,
}
