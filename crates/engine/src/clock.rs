//! Where the dispatcher's idea of now comes from.

use std::time::{SystemTime, UNIX_EPOCH};

use longhaul_core::time::{Now, UnixMs};

/// A clock.
pub trait Clock: Send + Sync {
    /// Both clocks, read together.
    fn now(&self) -> Now;
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Now {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Now {
            wall: UnixMs(i64::try_from(wall.as_millis()).unwrap_or(i64::MAX)),
            mono_ms: monotonic_ms(),
        }
    }
}

/// Milliseconds since boot, suspended time not counted (T21).
fn monotonic_ms() -> u64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(t.tv_sec).unwrap_or(0) * 1000 + u64::try_from(t.tv_nsec).unwrap_or(0) / 1_000_000
}
