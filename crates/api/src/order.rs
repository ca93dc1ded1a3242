//! A person's orders and what became of them.

use longhaul_core::fact::Order;
use longhaul_core::ids::TaskId;
use longhaul_core::usage::MicroUsd;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `POST /v1/tasks/orders`: one order for several tasks. If a reference fits no task or more than
/// one, nothing is changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderRequest {
    /// Ids, unique prefixes of ids, or names.
    pub tasks: Vec<String>,
    /// What to do.
    pub order: OrderVerb,
    /// For the next attempt's prompt; only with `retry`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Added to the money budget, in US dollars; only with `retry`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub add_budget_usd: Option<f64>,
    /// Added to the token budget; only with `retry`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub add_tokens: Option<u64>,
}

/// An order for a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderVerb {
    /// Give it up.
    Cancel,
    /// Stop it and keep its work; it is parked until `retry`.
    Stop,
    /// Try (again) now.
    Retry,
    /// Accept what is there.
    Approve,
    /// Hold it at the end of its turn.
    Pause,
    /// Let it go on.
    Resume,
}

impl OrderVerb {
    /// The word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Stop => "stop",
            Self::Retry => "retry",
            Self::Approve => "approve",
            Self::Pause => "pause",
            Self::Resume => "resume",
        }
    }
}

impl OrderRequest {
    /// The order of the core.
    ///
    /// # Errors
    /// A sentence, if a value goes with another order only, or is no amount.
    pub fn order(&self) -> Result<Order, String> {
        let extras =
            self.note.is_some() || self.add_budget_usd.is_some() || self.add_tokens.is_some();
        if extras && self.order != OrderVerb::Retry {
            return Err(format!(
                "`note`, `add_budget_usd` and `add_tokens` go with `retry`, not with `{}`",
                self.order.word()
            ));
        }
        if self
            .add_budget_usd
            .is_some_and(|usd| !usd.is_finite() || usd <= 0.0)
        {
            return Err("`add_budget_usd` is an amount above 0".to_owned());
        }
        Ok(match self.order {
            OrderVerb::Cancel => Order::Cancel,
            OrderVerb::Stop => Order::Stop,
            OrderVerb::Retry => Order::Retry {
                note: self.note.clone(),
                add_budget: self.add_budget_usd.map(MicroUsd::from_usd),
                add_tokens: self.add_tokens,
            },
            OrderVerb::Approve => Order::Approve,
            OrderVerb::Pause => Order::Pause,
            OrderVerb::Resume => Order::Resume,
        })
    }
}

/// What became of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderWord {
    /// Followed.
    Done,
    /// It was so already.
    Already,
    /// Not followed; the message says why.
    Refused,
    /// The task vanished meanwhile, or a word that this program does not know.
    #[serde(other)]
    NotFound,
}

/// What became of an order for one task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrderOutcome {
    /// The task.
    #[schemars(with = "String")]
    pub id: TaskId,
    /// The shortest prefix of the id that is unique now.
    pub short_id: String,
    /// Its name.
    pub name: String,
    /// The outcome.
    pub result: OrderWord,
    /// The new state in words, or why not.
    pub message: String,
}

/// Answer to an order, in the order of the tasks (T17).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrderResponse {
    /// One outcome per task.
    pub results: Vec<OrderOutcome>,
}

/// `POST /v1/drain`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DrainRequest {
    /// Also park what runs (T16).
    pub stop: bool,
}

/// `POST /v1/limits/clear`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClearLimitRequest {
    /// The harness or account whose limit is over.
    pub scope: String,
}

/// `POST /v1/tasks/{ref}/send`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SendRequest {
    /// Text for the task's agent.
    pub text: String,
}

/// It was done; the message says what it means now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Acknowledged {
    /// In a sentence.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_retry_are_refused_elsewhere() {
        let read = |text: &str| serde_json::from_str::<OrderRequest>(text).unwrap().order();
        assert_eq!(read(r#"{"tasks":["a"],"order":"stop"}"#), Ok(Order::Stop));
        assert_eq!(
            read(r#"{"tasks":["a"],"order":"retry","note":"n","add_budget_usd":1.5}"#),
            Ok(Order::Retry {
                note: Some("n".into()),
                add_budget: Some(MicroUsd(1_500_000)),
                add_tokens: None
            })
        );
        assert!(read(r#"{"tasks":["a"],"order":"cancel","note":"n"}"#).is_err());
        assert!(read(r#"{"tasks":["a"],"order":"retry","add_budget_usd":-1}"#).is_err());
        assert!(
            serde_json::from_str::<OrderRequest>(r#"{"tasks":[],"order":"stop","x":1}"#).is_err()
        );
    }
}
