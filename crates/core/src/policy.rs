//! The numbers behind retries, back-offs and limits, resolved from the settings.

use serde::{Deserialize, Serialize};

use crate::time::SpanMs;

/// Numbers that decisions use. All have defaults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Wait before the first retry; doubles up to `retry_max`.
    pub retry_min: SpanMs,
    /// Longest wait before a retry.
    pub retry_max: SpanMs,
    /// Wait before the first restart after a crash; doubles up to `retry_max`.
    pub restart_min: SpanMs,
    /// Wait after a throttle (A5).
    pub throttle_wait: SpanMs,
    /// First wait after an overload; doubles up to `overload_max` (A7).
    pub overload_min: SpanMs,
    /// Longest wait after an overload.
    pub overload_max: SpanMs,
    /// Overloads and throttles in a row after which a person is asked.
    pub max_refusals: u32,
    /// Wait for a quota without a known reset.
    pub quota_unknown_wait: SpanMs,
    /// The longest that a told reset is believed: no usual window is longer, and a misread one must not
    /// rest a harness for years.
    pub longest_rest: SpanMs,
    /// Largest jitter added to a reset, so that sessions do not all wake at once.
    pub reset_jitter: SpanMs,
    /// Failed set-ups in a row after which a person is asked.
    pub max_setup_failures: u32,
    /// How often the merge queue sends a task back to its session before a person is asked (L12).
    pub max_land_returns: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            retry_min: SpanMs::from_secs(1),
            retry_max: SpanMs::from_secs(300),
            restart_min: SpanMs::from_secs(1),
            throttle_wait: SpanMs::from_secs(20),
            overload_min: SpanMs::from_secs(15),
            overload_max: SpanMs::from_secs(1800),
            max_refusals: 40,
            quota_unknown_wait: SpanMs::from_secs(1800),
            longest_rest: SpanMs::from_secs(8 * 86_400),
            reset_jitter: SpanMs::from_secs(30),
            max_setup_failures: 3,
            max_land_returns: 2,
        }
    }
}

/// `min` doubled `step` times, at most `max`.
#[must_use]
pub fn backoff(min: SpanMs, max: SpanMs, step: u32) -> SpanMs {
    let factor = 1_u64.checked_shl(step.min(32)).unwrap_or(u64::MAX);
    SpanMs(min.0.saturating_mul(factor).min(max.0.max(min.0)))
}

/// A number below `bound` that depends on nothing but `seed`: spreads tasks without randomness.
#[must_use]
pub fn spread(seed: u128, bound: u64) -> u64 {
    if bound == 0 {
        return 0;
    }
    let mut x = (seed ^ (seed >> 64)) as u64;
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x ^ (x >> 31)) % bound
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_and_stays_bounded() {
        let (min, max) = (SpanMs(100), SpanMs(1000));
        let steps: Vec<u64> = (0..6).map(|n| backoff(min, max, n).0).collect();
        assert_eq!(steps, [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(
            backoff(SpanMs(u64::MAX / 2), SpanMs(u64::MAX), u32::MAX).0,
            u64::MAX
        );
    }

    #[test]
    fn spread_stays_below_its_bound() {
        assert_eq!(spread(7, 0), 0);
        assert!((0..1000_u128).all(|n| spread(n, 30) < 30));
        assert!(
            (0..1000_u128)
                .map(|n| spread(n, 30))
                .collect::<std::collections::BTreeSet<_>>()
                .len()
                > 25
        );
    }
}
