//! Tokens and money spent.

use std::fmt;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

/// Money in millionths of a US dollar.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct MicroUsd(pub u64);

impl MicroUsd {
    /// From dollars; negative, infinite or absurd values become zero or the largest amount.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped just before"
    )]
    pub fn from_usd(usd: f64) -> Self {
        Self((usd * 1e6).round().clamp(0.0, 1e15) as u64)
    }
}

impl fmt::Display for MicroUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cents = (self.0 + 5_000) / 10_000;
        if self.0 > 0 && cents < 10 {
            let tenths = (self.0 + 50) / 100;
            write!(f, "${}.{:04}", tenths / 10_000, tenths % 10_000)
        } else {
            write!(f, "${}.{:02}", cents / 100, cents % 100)
        }
    }
}

/// Tokens by kind, and what they cost where that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Input tokens that were not read from a cache.
    pub input: u64,
    /// Output tokens, reasoning included.
    pub output: u64,
    /// Input tokens read from a cache.
    pub cache_read: u64,
    /// Input tokens written to a cache.
    pub cache_write: u64,
    /// Cost, or `None` where neither the agent nor the price table knows (never 0 for unknown).
    pub cost: Option<MicroUsd>,
}

impl Usage {
    /// All tokens of all kinds.
    #[must_use]
    pub const fn tokens(&self) -> u64 {
        self.input
            .saturating_add(self.output)
            .saturating_add(self.cache_read)
            .saturating_add(self.cache_write)
    }

    /// True if nothing was counted.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.tokens() == 0 && self.cost.is_none_or(|c| c.0 == 0)
    }
}

impl Add for Usage {
    type Output = Self;
    /// Sums; the cost of the sum is known if at least one side has one and the other has one or no
    /// tokens at all.
    fn add(self, o: Self) -> Self {
        let cost = match (self.cost, o.cost) {
            (Some(a), Some(b)) => Some(MicroUsd(a.0.saturating_add(b.0))),
            (Some(a), None) if o.tokens() == 0 => Some(a),
            (None, Some(b)) if self.tokens() == 0 => Some(b),
            _ => None,
        };
        Self {
            input: self.input.saturating_add(o.input),
            output: self.output.saturating_add(o.output),
            cache_read: self.cache_read.saturating_add(o.cache_read),
            cache_write: self.cache_write.saturating_add(o.cache_write),
            cost,
        }
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, o: Self) {
        *self = *self + o;
    }
}
