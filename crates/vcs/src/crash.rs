//! Named points around every mutating git call and file write, where a crash test can end the
//! process. Without the feature `crash-points` this is nothing at all.

/// Passes a named point. With the feature `crash-points` and `LONGHAUL_CRASH_POINT=name:n` in the
/// environment, the n-th passage (from 1) kills this process with SIGKILL; the name `any` counts all points.
#[cfg(not(feature = "crash-points"))]
#[inline]
pub(crate) fn point(_name: &'static str) {}

/// Passes a named point; see above.
#[cfg(feature = "crash-points")]
pub(crate) fn point(name: &'static str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicI64, Ordering};

    static WANTED: OnceLock<Option<(String, AtomicI64)>> = OnceLock::new();
    let wanted = WANTED.get_or_init(|| {
        let text = std::env::var("LONGHAUL_CRASH_POINT").ok()?;
        let (name, count) = text.rsplit_once(':')?;
        Some((name.to_owned(), AtomicI64::new(count.parse().ok()?)))
    });
    if let Some((wanted, left)) = wanted
        && (wanted == name || wanted == "any")
        && left.fetch_sub(1, Ordering::SeqCst) == 1
    {
        let killed =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        debug_assert!(killed.is_ok(), "a process may always kill itself");
    }
}
