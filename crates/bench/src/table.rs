//! The only place that prints: rows of a Markdown table, as soon as they are known.

use std::io::Write as _;
use std::time::Duration;

/// Prints one row: what was measured, the figure, and what stands beside it.
pub(crate) fn row(what: &str, figure: &str, beside: &str) {
    line(&format!("| {what} | {figure} | {beside} |"));
}

/// Says something beside the table.
pub(crate) fn note(text: &str) {
    let mut err = std::io::stderr().lock();
    // Whoever closed our output does not want it.
    if writeln!(err, "{text}").is_err() {
        std::process::abort();
    }
}

fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
        std::process::abort();
    }
}

/// A time in the unit that suits it.
pub(crate) fn time(t: Duration) -> String {
    let us = t.as_secs_f64() * 1e6;
    if us < 1_000.0 {
        format!("{us:.1} µs")
    } else if us < 1_000_000.0 {
        format!("{:.2} ms", us / 1e3)
    } else {
        format!("{:.2} s", us / 1e6)
    }
}

/// A size in the unit that suits it.
pub(crate) fn size(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    format!("{mib:.1} MiB")
}

/// The value below which this share (in percent) of the sorted times lies.
pub(crate) fn at(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times
        .get(times.len().saturating_sub(1) * percent / 100)
        .copied()
        .unwrap_or_default()
}
