//! Accounts: whose they are and how they are picked (accounts.md A1, A3). What an account may still use is
//! learned elsewhere; no secret is ever part of these.

use serde::{Deserialize, Serialize};

/// A provider whose way of speaking Longhaul knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// Anthropic: Messages.
    Anthropic,
    /// OpenAI and what speaks like it: Responses and Chat Completions.
    Openai,
    /// Google: generateContent.
    Gemini,
}

impl Provider {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 3] = [Self::Anthropic, Self::Openai, Self::Gemini];

    /// The word in settings, URLs and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::Openai => "openai",
            Self::Gemini => "gemini",
        }
    }

    /// The provider of that word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.as_str() == word)
    }

    /// Where the provider is, if an account names no other place. Without a path: the client's own path
    /// is appended as it is.
    #[must_use]
    pub const fn base_url(self) -> &'static str {
        match self {
            Self::Anthropic => "https://api.anthropic.com",
            Self::Openai => "https://api.openai.com",
            Self::Gemini => "https://generativelanguage.googleapis.com",
        }
    }
}

/// Variables that say how the world outside is reached: a company's proxy, and the certificates that are trusted.
pub const WAY_OUT: [&str; 8] = [
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// How an account is picked among those that are equally well (A3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// A conversation stays where its prompt cache is; new ones go where the fewest are.
    #[default]
    Sticky,
    /// The one with the most left in its fullest window.
    LeastUsed,
    /// The one whose window starts anew first.
    SoonestReset,
    /// One after the other.
    RoundRobin,
    /// By the accounts' own priority, then by the user's order.
    Priority,
}

impl Strategy {
    /// All of them, with their words in settings.
    pub const ALL: [(&'static str, Self); 5] = [
        ("sticky", Self::Sticky),
        ("least_used", Self::LeastUsed),
        ("soonest_reset", Self::SoonestReset),
        ("round_robin", Self::RoundRobin),
        ("priority", Self::Priority),
    ];

    /// The strategy of that word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        let known = Self::ALL.into_iter().find(|(w, _)| *w == word);
        known.map(|(_, strategy)| strategy)
    }

    /// The word in settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        let known = Self::ALL.into_iter().find(|(_, s)| *s == self);
        known.map_or("sticky", |(word, _)| word)
    }
}
