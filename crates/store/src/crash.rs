//! Named points where a test lets the process die. Without the feature `crash-points` they are nothing.

/// Kills this process with SIGKILL if `LONGHAUL_CRASH_POINT` is `name:n` and this is the n-th time
/// (from 1) that the point of that name is passed.
#[cfg(feature = "crash-points")]
pub(crate) fn point(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static ARMED: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);
    let armed = ARMED.get_or_init(|| {
        let text = std::env::var("LONGHAUL_CRASH_POINT").ok()?;
        let (name, n) = text.rsplit_once(':')?;
        Some((name.to_owned(), n.parse().ok()?))
    });
    if let Some((wanted, n)) = armed
        && wanted == name
        && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *n
    {
        let me = rustix::process::getpid();
        rustix::process::kill_process(me, rustix::process::Signal::KILL)
            .expect("a process may always signal itself");
        // The signal ends every thread; this one must not run on until it does.
        loop {
            std::thread::park();
        }
    }
}

/// Nothing: the feature `crash-points` is off.
#[cfg(not(feature = "crash-points"))]
#[inline]
pub(crate) const fn point(_name: &str) {}
