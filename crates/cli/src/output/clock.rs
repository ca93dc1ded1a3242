//! The wall clock and times as people read them, in the local time zone.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Unit, Zoned};
use longhaul_core::time::{SpanMs, UnixMs};

/// The wall clock now.
pub(crate) fn now() -> UnixMs {
    UnixMs(Timestamp::now().as_millisecond())
}

/// A moment in local time; `None` for a number that is no date.
fn local(at: UnixMs) -> Option<Zoned> {
    Some(
        Timestamp::from_millisecond(at.0)
            .ok()?
            .to_zoned(TimeZone::system()),
    )
}

/// `14:05:09` today, `Nov 20 14:05` on another day.
pub(crate) fn moment(at: UnixMs, now: UnixMs) -> String {
    match (local(at), local(now)) {
        (Some(t), Some(n)) if t.date() == n.date() => t.strftime("%H:%M:%S").to_string(),
        (Some(t), Some(n)) if t.year() == n.year() => t.strftime("%b %e %H:%M").to_string(),
        (Some(t), _) => t.strftime("%Y-%m-%d %H:%M").to_string(),
        (None, _) => "?".to_owned(),
    }
}

/// `14:05:09`.
pub(crate) fn time_of_day(at: UnixMs) -> String {
    local(at).map_or_else(|| "?".to_owned(), |t| t.strftime("%H:%M:%S").to_string())
}

/// `Saturday, 21 November 2026, 07:30`.
pub(crate) fn long(at: UnixMs) -> String {
    local(at).map_or_else(
        || "?".to_owned(),
        |t| t.strftime("%A, %-d %B %Y, %H:%M").to_string(),
    )
}

/// RFC 3339 in UTC, to the second.
pub(crate) fn rfc3339(at: UnixMs) -> String {
    Timestamp::from_millisecond(at.0)
        .ok()
        .and_then(|t| t.round(Unit::Second).ok())
        .map_or_else(|| "?".to_owned(), |t| t.to_string())
}

/// `3m ago`, `in 2h 10m`, `now`; to the second below a minute.
pub(crate) fn relative(at: UnixMs, now: UnixMs) -> String {
    let past = now.since(at);
    let ahead = at.since(now);
    if past.0 >= 1_000 {
        format!("{} ago", span(past))
    } else if ahead.0 >= 1_000 {
        format!("in {}", span(ahead))
    } else {
        "now".to_owned()
    }
}

/// A span in whole seconds, two units at most.
pub(crate) fn span(span: SpanMs) -> String {
    SpanMs::from_secs(span.0 / 1000)
        .to_string()
        .replace("0ms", "0s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        assert_eq!(span(SpanMs(400)), "0s");
        assert_eq!(span(SpanMs(61_500)), "1m 1s");
        assert_eq!(relative(UnixMs(0), UnixMs(120_000)), "2m ago");
        assert_eq!(relative(UnixMs(120_000), UnixMs(0)), "in 2m");
        assert_eq!(relative(UnixMs(500), UnixMs(0)), "now");
    }

    #[test]
    fn times_that_are_no_dates_do_not_panic() {
        assert_eq!(moment(UnixMs(i64::MAX), UnixMs(0)), "?");
        assert_eq!(rfc3339(UnixMs(0)), "1970-01-01T00:00:00Z");
    }
}
