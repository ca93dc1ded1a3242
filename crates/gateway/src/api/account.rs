//! Accounts as the gateway is given them: resolved keys, in memory only.

use std::collections::BTreeMap;
use std::fmt;

use longhaul_core::account::Provider;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// An API key. Shown nowhere but in the one control request that carries it (I12).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(String);

impl Key {
    /// Wraps a key.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The key itself, for the header that carries it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Eight hexadecimal digits of its hash: tells keys apart without telling them.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::digest(self.0.as_bytes());
        digest.iter().take(4).map(|b| format!("{b:02x}")).collect()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.fingerprint())
    }
}

/// An account of kind *key*.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountSpec {
    /// Its name.
    pub id: String,
    /// Whose key it is.
    pub provider: Provider,
    /// The key.
    pub key: Key,
    /// Another place than the provider's own, `http://` or `https://`; a path in it stays in front of
    /// the client's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// For [`Strategy::Priority`](super::Strategy::Priority): lower goes first.
    #[serde(default)]
    pub priority: u32,
    /// Requests at the same time, at most; `None` = 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<u32>,
    /// The model that checks of it ask; `None` = the provider's cheapest that this program knows. Limits may be a
    /// model's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_model: Option<String>,
    /// Grows whenever the user says that the account is to be tried again (enabled, tested, changed): what
    /// the gateway had found against it (a refused key, no credit, a rest) is then forgotten.
    #[serde(default)]
    pub generation: u64,
}

impl AccountSpec {
    /// The model that checks of it ask.
    #[must_use]
    pub fn check_model(&self) -> &str {
        let cheapest = match self.provider {
            Provider::Anthropic => "claude-haiku-4-5",
            Provider::Openai => "gpt-5-nano",
            Provider::Gemini => "gemini-2.5-flash-lite",
        };
        self.check_model.as_deref().unwrap_or(cheapest)
    }
}

/// `PUT /v1/accounts`: all accounts that one giver has. Those of the same giver that are missing are gone; those of
/// others stay.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AccountsRequest {
    /// Who gives them; empty = the daemon. Where two give one name, the daemon's counts, then the first by name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub giver: String,
    /// The accounts, in the user's order.
    pub accounts: Vec<AccountSpec>,
    /// How they are used. The daemon's counts; without one, the last that was given.
    #[serde(default)]
    pub policy: Policy,
}

/// How accounts are used, and what tokens cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// From this share of a window of an hour or more on, in percent, an account counts as near its limit
    /// (A10).
    pub threshold_pct: u8,
    /// How often, at most, an exhausted account that nothing else can stand in for is asked whether its window
    /// has started anew early; 0 = never.
    pub probe_every_ms: u64,
    /// How often an account that no traffic tells about is checked by a cheap call of the gateway's own (A10);
    /// 0 = never.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub check_every_ms: u64,
    /// Prices that the user sets, by model, before the bundled ones (A11).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub prices: BTreeMap<String, Price>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            threshold_pct: 95,
            probe_every_ms: 15 * 60 * 1000,
            check_every_ms: 0,
            prices: BTreeMap::new(),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// What a million tokens cost, in US dollars.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Input that was not read from a cache.
    pub input: f64,
    /// Output, reasoning included.
    pub output: f64,
    /// Input read from a cache; without it, as `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<f64>,
    /// Input written to a cache; without it, as `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i12_a_key_is_not_in_debug_texts() {
        let key = Key::new("sk-ant-very-secret".to_owned());
        let shown = format!("{key:?}");
        assert!(!shown.contains("secret"), "{shown}");
        assert_eq!(key.fingerprint().len(), 8);
    }
}
