//! Times and spans as plain integers with their unit in the name.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Wall-clock time: UTC milliseconds since the epoch. For schedules, resets and display only.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct UnixMs(pub i64);

impl UnixMs {
    /// This time plus a span, saturating.
    #[must_use]
    pub const fn plus(self, span: SpanMs) -> Self {
        Self(self.0.saturating_add_unsigned(span.0))
    }

    /// The span since an earlier time; zero if that time is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> SpanMs {
        let ms = self.0.saturating_sub(earlier.0);
        if ms > 0 {
            SpanMs(ms.unsigned_abs())
        } else {
            SpanMs(0)
        }
    }
}

/// A span of time in milliseconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct SpanMs(pub u64);

impl SpanMs {
    /// A span of whole seconds.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// As the standard library's type.
    #[must_use]
    pub const fn as_duration(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }
}

impl fmt::Display for SpanMs {
    /// Two units at most: `45m`, `1h 30m`, `2.5s`, `300ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0;
        let s = ms / 1000;
        match (s / 86_400, s / 3600 % 24, s / 60 % 60, s % 60) {
            (0, 0, 0, 0) => write!(f, "{ms}ms"),
            (0, 0, 0, s) if ms % 1000 >= 100 && s < 10 => write!(f, "{s}.{}s", ms % 1000 / 100),
            (0, 0, 0, s) => write!(f, "{s}s"),
            (0, 0, m, 0) => write!(f, "{m}m"),
            (0, 0, m, s) => write!(f, "{m}m {s}s"),
            (0, h, 0, _) => write!(f, "{h}h"),
            (0, h, m, _) => write!(f, "{h}h {m}m"),
            (d, 0, ..) => write!(f, "{d}d"),
            (d, h, ..) => write!(f, "{d}d {h}h"),
        }
    }
}

/// What the clocks said when an event was taken in.
///
/// `mono` counts milliseconds since boot without the time the machine slept (CLOCK_MONOTONIC), so a
/// timer on it never fires because the machine was suspended (T21).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// Wall clock.
    pub wall: UnixMs,
    /// Milliseconds since boot, suspended time not counted.
    pub mono_ms: u64,
}
