//! Named places at which a test may kill this process with SIGKILL. Nothing outside tests.
//!
//! With the feature `crash-points`, `LONGHAUL_CRASH_POINT=name:n` kills the process at its n-th
//! visit of `name` (counted per process, from 1). Without the feature [`point`] is empty.

/// The environment variable that names the point; the launcher passes it on to shims.
#[cfg(feature = "crash-points")]
pub(crate) const CRASH_ENV: &str = "LONGHAUL_CRASH_POINT";

/// A place before or after a durable write, a spawn or a signal.
#[cfg(not(feature = "crash-points"))]
#[inline(always)]
pub fn point(_name: &str) {}

/// A place before or after a durable write, a spawn or a signal: kills this process with SIGKILL
/// when `LONGHAUL_CRASH_POINT` names it and its turn has come.
#[cfg(feature = "crash-points")]
pub fn point(name: &str) {
    use std::sync::atomic::{AtomicU32, Ordering};
    static VISITS: AtomicU32 = AtomicU32::new(0);
    let Ok(wanted) = std::env::var(CRASH_ENV) else {
        return;
    };
    let (wanted_name, turn) = wanted.rsplit_once(':').unwrap_or((&wanted, "1"));
    if wanted_name != name {
        return;
    }
    let visit = VISITS.fetch_add(1, Ordering::Relaxed) + 1;
    if turn.parse() == Ok(visit) {
        // Nothing to do if the kernel refuses: the test then fails because nobody died.
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
            .ok();
    }
}
