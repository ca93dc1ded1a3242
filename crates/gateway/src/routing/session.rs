//! Sessions: their tokens, what they spent, what they may still spend (I10).

use std::collections::{BTreeMap, HashMap};

use longhaul_core::usage::Usage;
use serde::{Deserialize, Serialize};

use crate::api::{Price, SessionSpec, TokenHash};
use crate::meter::Count;
use crate::price;

/// Sessions at the same time.
const MAX_SESSIONS: usize = 10_000;

/// There are too many sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are {MAX_SESSIONS} sessions already; end some")]
pub struct TooMany;

/// A session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// What it was given.
    pub spec: SessionSpec,
    /// What it used so far.
    pub total: Usage,
    /// The account that served it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

/// Whether a request may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Yes,
    /// The session's budget is used up, or what it would cost cannot be known.
    OverBudget {
        /// The latter.
        unknown_price: bool,
    },
    /// The session ended meanwhile.
    Gone,
}

impl Session {
    /// Whether it may spend more, asking this model.
    #[must_use]
    pub fn admit(&self, model: Option<&str>, prices: &BTreeMap<String, Price>) -> Admission {
        let budget = self.spec.budget;
        if budget
            .tokens
            .is_some_and(|most| self.total.tokens() >= most)
        {
            return Admission::OverBudget {
                unknown_price: false,
            };
        }
        let Some(most) = budget.cost else {
            return Admission::Yes;
        };
        // A sum with something unknown in it is no sum to compare.
        let known = model.is_some_and(|model| price::is_known(prices, model));
        let spent = if self.total.tokens() == 0 {
            Some(Default::default())
        } else {
            self.total.cost
        };
        match spent {
            Some(spent) if known && spent < most => Admission::Yes,
            Some(spent) if spent >= most => Admission::OverBudget {
                unknown_price: false,
            },
            _ => Admission::OverBudget {
                unknown_price: true,
            },
        }
    }
}

/// What an answer used, with its cost where it is known.
pub(super) fn priced(
    count: &Count,
    asked: Option<&str>,
    prices: &BTreeMap<String, Price>,
) -> Usage {
    let mut usage = count.usage;
    // The name in the answer is the more exact one; a price may be known of either.
    usage.cost = [count.model.as_deref(), asked]
        .into_iter()
        .flatten()
        .find_map(|model| price::cost(prices, model, &usage));
    usage
}

/// Makes or changes a session; what it spent is kept.
pub(super) fn put(
    sessions: &mut BTreeMap<String, Session>,
    by_token: &mut HashMap<TokenHash, String>,
    id: &str,
    spec: SessionSpec,
) -> Result<(), TooMany> {
    let (total, account) = match sessions.remove(id) {
        Some(before) => {
            by_token.remove(&before.spec.token_hash);
            (before.total, before.account)
        }
        None if sessions.len() >= MAX_SESSIONS => return Err(TooMany),
        None => Default::default(),
    };
    by_token.insert(spec.token_hash, id.to_owned());
    let session = Session {
        spec,
        total,
        account,
    };
    sessions.insert(id.to_owned(), session);
    Ok(())
}
