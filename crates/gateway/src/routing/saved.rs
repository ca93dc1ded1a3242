//! What is kept over restarts: sessions with the hashes of their tokens, what was learned, where conversations
//! are. No key, no token.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Router;
use super::account::Learned;
use super::pins::Pins;
use super::session::Session;

/// The kept state.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Saved {
    sessions: BTreeMap<String, Session>,
    accounts: BTreeMap<String, Learned>,
    #[serde(default)]
    pins: Pins,
}

impl Router {
    /// What is to be kept.
    #[must_use]
    pub fn saved(&self) -> Saved {
        let mut accounts = self.remembered.clone();
        for account in &self.accounts {
            accounts.insert(account.spec.id.clone(), account.learned.clone());
        }
        Saved {
            sessions: self.sessions.clone(),
            accounts,
            pins: self.pins.clone(),
        }
    }

    /// Goes on from what was kept. It waits for accounts.
    #[must_use]
    pub fn restored(saved: Saved) -> Self {
        let by_token = saved.sessions.iter();
        Self {
            by_token: by_token
                .map(|(id, s)| (s.spec.token_hash, id.clone()))
                .collect(),
            sessions: saved.sessions,
            remembered: saved.accounts,
            pins: saved.pins,
            ..Self::default()
        }
    }
}
