//! Sessions: who may use the gateway, with which accounts, up to which budget.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};

use longhaul_core::account::{Provider, Strategy};
use longhaul_core::ids::{Fence, TaskId};
use longhaul_core::usage::MicroUsd;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// Bytes of randomness in a token.
const TOKEN_BYTES: usize = 32;

/// What a session shows in place of a key. It goes into the session's environment and nowhere else.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A new one, from the system's randomness.
    ///
    /// # Errors
    /// The system gives none.
    pub fn generate() -> io::Result<Self> {
        let mut bytes = [0; TOKEN_BYTES];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        Ok(Self(format!("lh-{}", hex(&bytes))))
    }

    /// A token that was kept.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// Whether a text has the form of a token, so that it is no provider's key.
    #[must_use]
    pub fn is_one(text: &str) -> bool {
        text.strip_prefix("lh-").and_then(unhex).is_some()
    }

    /// The text.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What the gateway is told of it.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        TokenHash::of(self.0.as_bytes())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The SHA-256 of a token.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// Of a token as it was presented.
    #[must_use]
    pub fn of(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// Whether it is the same, in a time that does not tell where it differs.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

impl Serialize for TokenHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for TokenHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        unhex(&text)
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom("a token's hash has 64 hexadecimal digits"))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (n, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * n..2 * n + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// Which accounts a session may use. All are of the session's provider; others in a pool are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountChoice {
    /// Every account of the provider.
    #[default]
    Any,
    /// This one alone.
    Pinned(String),
    /// These.
    Pool(Vec<String>),
}

/// What a session may spend in all, from its first request on. Whichever is reached first ends it (I10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Money. A model without a price is refused, since its cost is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<MicroUsd>,
    /// Tokens of all kinds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
}

/// `PUT /v1/sessions/<id>`: a session, new or changed. What it has spent is kept when it is changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionSpec {
    /// The hash of its token.
    pub token_hash: TokenHash,
    /// The task it works for; `None` for another program of the user's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// The fence of the attempt.
    #[serde(default)]
    pub fence: Fence,
    /// Whose language it speaks.
    pub provider: Provider,
    /// Its accounts.
    #[serde(default)]
    pub accounts: AccountChoice,
    /// How they are picked.
    #[serde(default)]
    pub strategy: Strategy,
    /// What it may spend.
    #[serde(default)]
    pub budget: Budget,
    /// The client sleeps through a long `retry-after` by itself: when everything is exhausted it is told that
    /// trying again helps (`x-should-retry`).
    #[serde(default)]
    pub waits: bool,
    /// A request that finds every account at its limit is kept until one is not, instead of being refused:
    /// whoever made the session pauses the client meanwhile (A15).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub holds: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_hash_and_shown_nowhere() {
        let token = Token::generate().unwrap();
        assert_ne!(token, Token::generate().unwrap());
        assert!(!format!("{token:?} {:?}", token.hash()).contains(&token.expose()[3..9]));
        let text = serde_json::to_string(&token.hash()).unwrap();
        let back: TokenHash = serde_json::from_str(&text).unwrap();
        assert!(back.is(&token.hash()));
        assert!(!back.is(&TokenHash::of(b"another")));
        for wrong in ["\"\"", "\"zz\"", "5"] {
            assert!(serde_json::from_str::<TokenHash>(wrong).is_err(), "{wrong}");
        }
    }
}
