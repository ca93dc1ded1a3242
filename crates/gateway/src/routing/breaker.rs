//! The circuit breaker of an account (A12): Serving, Tripped, Probing. It is about the way to the service, never
//! about the account's limits.

use longhaul_core::time::{SpanMs, UnixMs};
use serde::{Deserialize, Serialize};

/// Failures in a row that trip it.
const TRIPS_AFTER: u32 = 5;
/// The first rest, and the longest; each further failure doubles it.
const FIRST: SpanMs = SpanMs::from_secs(5);
const LONGEST: SpanMs = SpanMs::from_secs(5 * 60);
/// A probe that never came back is forgotten after this.
const PROBE_LOST: SpanMs = SpanMs::from_secs(10 * 60);

/// Where the breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Breaker {
    /// Requests pass; so many failed in a row.
    Serving {
        /// Failures in a row.
        failures: u32,
    },
    /// No request passes until then; then one does.
    Tripped {
        /// Until then.
        until: UnixMs,
        /// How often it tripped in a row.
        times: u32,
    },
    /// One request is out to see.
    Probing {
        /// Since then.
        since: UnixMs,
        /// How often it tripped in a row.
        times: u32,
    },
}

impl Default for Breaker {
    fn default() -> Self {
        Self::Serving { failures: 0 }
    }
}

impl Breaker {
    /// Whether a request may pass; if not, the time from which one may.
    ///
    /// # Errors
    /// The time. A clock that went back cannot make it longer than the longest rest.
    pub fn check(&self, now: UnixMs) -> Result<(), UnixMs> {
        match *self {
            Self::Serving { .. } => Ok(()),
            Self::Tripped { until, .. } => {
                let until = until.min(now.plus(LONGEST));
                if now < until { Err(until) } else { Ok(()) }
            }
            Self::Probing { since, .. } => {
                let until = since.min(now).plus(PROBE_LOST);
                if now < until { Err(until) } else { Ok(()) }
            }
        }
    }

    /// A request that [`check`](Self::check) let pass is sent.
    pub fn sent(&mut self, now: UnixMs) {
        if let Self::Tripped { times, .. } | Self::Probing { times, .. } = *self {
            *self = Self::Probing { since: now, times };
        }
    }

    /// An answer came, whatever it says but that the service fails.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// The service failed. True if it has tripped by that.
    pub fn failed(&mut self, now: UnixMs) -> bool {
        let times = match *self {
            Self::Serving { failures } if failures + 1 < TRIPS_AFTER => {
                *self = Self::Serving {
                    failures: failures + 1,
                };
                return false;
            }
            // One that was sent before it tripped.
            Self::Tripped { .. } => return false,
            Self::Serving { .. } => 1,
            Self::Probing { times, .. } => times.saturating_add(1),
        };
        let rest = FIRST
            .0
            .saturating_mul(1 << (times - 1).min(16))
            .min(LONGEST.0);
        *self = Self::Tripped {
            until: now.plus(SpanMs(rest)),
            times,
        };
        true
    }

    /// A request that was sent came to no end that says anything.
    pub fn abandoned(&mut self, now: UnixMs) {
        if let Self::Probing { times, .. } = *self {
            *self = Self::Tripped { until: now, times };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a12_it_trips_lets_one_pass_and_serves_again() {
        let mut b = Breaker::default();
        let t = UnixMs(1_000_000);
        for _ in 0..4 {
            assert!(!b.failed(t));
            assert_eq!(b.check(t), Ok(()));
        }
        assert!(b.failed(t));
        assert_eq!(b.check(t), Err(t.plus(FIRST)));
        assert!(!b.failed(t), "a late failure changes nothing");
        let later = t.plus(FIRST);
        assert_eq!(b.check(later), Ok(()));
        b.sent(later);
        assert!(b.check(later).is_err(), "one alone");
        assert!(b.failed(later));
        // Twice as long.
        assert_eq!(b.check(later), Err(later.plus(SpanMs(10_000))));
        let again = later.plus(SpanMs(10_000));
        b.sent(again);
        b.succeeded();
        assert_eq!(b, Breaker::default());
    }

    #[test]
    fn a12_no_rest_is_longer_than_five_minutes_even_if_the_clock_goes_back() {
        let mut b = Breaker::Probing {
            since: UnixMs(0),
            times: 40,
        };
        b.failed(UnixMs(1_000_000_000));
        assert_eq!(b.check(UnixMs(1_000_000_000)), Err(UnixMs(1_000_300_000)));
        assert_eq!(b.check(UnixMs(0)), Err(UnixMs(300_000)));
    }

    #[test]
    fn a_probe_that_a_client_gave_up_lets_the_next_one_pass() {
        let mut b = Breaker::Tripped {
            until: UnixMs(0),
            times: 1,
        };
        b.sent(UnixMs(5));
        b.abandoned(UnixMs(6));
        assert_eq!(b.check(UnixMs(6)), Ok(()));
    }
}
