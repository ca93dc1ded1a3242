//! Tokens and money on the wire.

use longhaul_core::usage::{MicroUsd, Usage};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Tokens by kind, and their cost where it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UsageView {
    /// All tokens of all kinds.
    pub tokens: u64,
    /// Input tokens that were not read from a cache.
    pub input: u64,
    /// Output tokens, reasoning included.
    pub output: u64,
    /// Input tokens read from a cache.
    pub cache_read: u64,
    /// Input tokens written to a cache.
    pub cache_write: u64,
    /// US dollars; null where nobody knows (never 0 for unknown).
    pub cost_usd: Option<f64>,
}

impl UsageView {
    /// The cost as exact money.
    #[must_use]
    pub fn cost(&self) -> Option<MicroUsd> {
        self.cost_usd.map(MicroUsd::from_usd)
    }
}

/// An amount in US dollars, exact to a millionth.
#[expect(
    clippy::cast_precision_loss,
    reason = "amounts stay far below 2^52 micro-dollars"
)]
pub(crate) fn usd(amount: MicroUsd) -> f64 {
    amount.0 as f64 / 1e6
}

impl From<Usage> for UsageView {
    fn from(usage: Usage) -> Self {
        Self {
            tokens: usage.tokens(),
            input: usage.input,
            output: usage.output,
            cache_read: usage.cache_read,
            cache_write: usage.cache_write,
            cost_usd: usage.cost.map(usd),
        }
    }
}

impl From<UsageView> for Usage {
    fn from(view: UsageView) -> Self {
        Self {
            input: view.input,
            output: view.output,
            cache_read: view.cache_read,
            cache_write: view.cache_write,
            cost: view.cost(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_survives_the_wire_to_the_millionth() {
        for micro in [0, 1, 5_000, 123_456_789, 999_999_999_999] {
            let usage = Usage {
                input: 3,
                cost: Some(MicroUsd(micro)),
                ..Usage::default()
            };
            let text = serde_json::to_string(&UsageView::from(usage)).unwrap();
            let back: UsageView = serde_json::from_str(&text).unwrap();
            assert_eq!(Usage::from(back), usage);
        }
    }
}
