//! Processor time: of this process, of the children it waited for, of another process.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A tick of `/proc/PID/stat`, everywhere Longhaul runs.
const TICK: Duration = Duration::from_millis(10);

/// What this process used so far.
pub(crate) fn own() -> Duration {
    let t = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        t.tv_sec.unsigned_abs(),
        u32::try_from(t.tv_nsec).unwrap_or_default(),
    )
}

/// What all children that were waited for used so far.
pub(crate) fn children() -> Duration {
    ticks("self", [13, 14])
}

/// What another process used so far.
pub(crate) fn of(pid: u32) -> Duration {
    ticks(&pid.to_string(), [11, 12])
}

/// Two fields of `stat`, counted from behind the name.
fn ticks(pid: &str, fields: [usize; 2]) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let values: Vec<u32> = rest
        .split_whitespace()
        .map(|v| v.parse().unwrap_or_default())
        .collect();
    let sum: u32 = fields.iter().filter_map(|n| values.get(*n)).sum();
    TICK * sum
}
