//! Reset times as agents write them: `3pm`, `Nov 24, 11:55am (UTC)`, `9:13 PM`, `in 5 days 2 hours`.

use std::sync::LazyLock;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, ToSpan, Zoned};
use longhaul_core::time::{SpanMs, UnixMs};
use regex_lite::{Captures, Regex};

/// A time that lies this little in the past has just come; one further back means tomorrow.
const JUST_RESET: SpanMs = SpanMs::from_secs(10 * 60);
const FIVE_HOUR_AT_MOST: SpanMs = SpanMs::from_secs(5 * 3600 + 10 * 60);
const WEEK_AT_MOST: SpanMs = SpanMs::from_secs((7 * 24 + 1) * 3600);
/// No window that anybody sells is longer; a later reset is a misreading or a lie.
const ANY_AT_MOST: SpanMs = SpanMs::from_secs(62 * 24 * 3600);

/// A time zone for texts that name none.
#[derive(Clone, Debug)]
pub struct Zone(TimeZone);

impl Zone {
    /// The zone of an IANA name; UTC without a name or for an unknown one. Reads no files: the
    /// database is compiled in.
    #[must_use]
    pub fn named(name: Option<&str>) -> Self {
        Self(name.and_then(zone_of).unwrap_or(TimeZone::UTC))
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

/// A reset as it was written, before `now` and the time zone make a time of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResetText {
    /// An absolute time.
    At(UnixMs),
    /// After this span.
    In(SpanMs),
    /// A time of day, perhaps with a date and a zone.
    Clock {
        /// Month 1–12, day, and year if it was written.
        date: Option<(i8, i8, Option<i16>)>,
        /// Hour 0–23.
        hour: i8,
        /// Minute.
        minute: i8,
        /// Zone as written: an IANA name or `GMT-3`.
        zone: Option<String>,
    },
    /// The next midnight in California, when Google's daily quotas start anew.
    PacificMidnight,
}

impl ResetText {
    /// Reads a reset text; `None` for what the grammar does not know (a weekday alone, say).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.is_empty() || text.len() > 200 {
            return None;
        }
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return epoch_secs(text.parse().ok()?).map(Self::At);
        }
        if let Some(c) = CLOCK.captures(text) {
            return clock(&c);
        }
        span(text).map(Self::In)
    }

    /// The time it means, seen from `now`.
    ///
    /// A time of day is its next occurrence, or the last one if that is at most ten minutes ago; in
    /// a gap of summer time the later reading holds. `window` bounds the result: a five-hour window
    /// ends within 5 h 10 min, a weekly one within 7 d 1 h, any other within 62 days (else `None`).
    /// No jitter is added; whoever waits adds 30 to 90 s. A known reset is never shortened otherwise.
    #[must_use]
    pub fn resolve(&self, now: UnixMs, zone: &Zone, window: Option<&str>) -> Option<UnixMs> {
        let at = match self {
            Self::At(at) => *at,
            Self::In(span) => now.plus(*span),
            Self::PacificMidnight => pacific_midnight(now)?,
            Self::Clock {
                date,
                hour,
                minute,
                zone: written,
            } => {
                let zone = match written {
                    Some(name) => zone_of(name)?,
                    None => zone.0.clone(),
                };
                let time = Time::new(*hour, *minute, 0, 0).ok()?;
                next_clock(now, &zone, *date, time)?
            }
        };
        bounded(at, now, window)
    }
}

/// An epoch in seconds as a time; 0, negative and absurd ones are `None`.
pub(crate) fn epoch_secs(secs: i64) -> Option<UnixMs> {
    (1_000_000_000..10_000_000_000)
        .contains(&secs)
        .then(|| UnixMs(secs * 1000))
}

fn bounded(at: UnixMs, now: UnixMs, window: Option<&str>) -> Option<UnixMs> {
    let clamp = |most: SpanMs| Some(at.min(now.plus(most)));
    match window {
        Some("five_hour") => clamp(FIVE_HOUR_AT_MOST),
        Some(w) if w.starts_with("seven_day") || w == "weekly" => clamp(WEEK_AT_MOST),
        _ => (at <= now.plus(ANY_AT_MOST)).then_some(at),
    }
}

static CLOCK: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?x)^(?: ([A-Z][a-z]{2})[a-z]*\ (\d{1,2})(?:st|nd|rd|th)? (?:,\ (\d{4}))? ,?\ (?:at\ )? )?
          (\d{1,2}) (?: :(\d{2}))? \ ? ([AaPp])\.?[Mm]\.?
          (?: \ \(([A-Za-z0-9_+/-]{1,64})\) | \ ([A-Z]{3,4}(?:[+-]\d{1,2}(?::\d{2})?)?) )? \.?$",
    )
    .expect("a constant pattern")
});

static SPAN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)^(\d{1,9}(?:\.\d{1,12})?)\s*(ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?)\b[,\s]*(?:and\s+)?")
        .expect("a constant pattern")
});

fn clock(c: &Captures<'_>) -> Option<ResetText> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let number = |i: usize| c.get(i).map(|m| m.as_str().parse::<i16>());
    let date = match c.get(1) {
        None => None,
        Some(name) => {
            let month = MONTHS.iter().position(|m| *m == name.as_str())?;
            let day = number(2)?.ok()?;
            let year = number(3).transpose().ok()?;
            Some((i8::try_from(month + 1).ok()?, i8::try_from(day).ok()?, year))
        }
    };
    let hour = number(4)?.ok()?;
    let minute = number(5).unwrap_or(Ok(0)).ok()?;
    if !(1..=12).contains(&hour) || minute > 59 {
        return None;
    }
    let afternoon = c.get(6)?.as_str().eq_ignore_ascii_case("p");
    let hour = hour % 12 + if afternoon { 12 } else { 0 };
    Some(ResetText::Clock {
        date,
        hour: i8::try_from(hour).ok()?,
        minute: i8::try_from(minute).ok()?,
        zone: c.get(7).or_else(|| c.get(8)).map(|z| z.as_str().to_owned()),
    })
}

/// `5 days 22 hours 11 minutes`, `1.054s`, `1m23.45s`, `20ms`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "never negative, and `as` saturates"
)]
fn span(text: &str) -> Option<SpanMs> {
    let mut rest = text.trim_end_matches('.');
    let mut total_ms = 0.0_f64;
    while !rest.is_empty() {
        // `1m23s`: a unit letter directly before a digit is no word boundary.
        let c = SPAN.captures(rest).or_else(|| GO_SPAN.captures(rest))?;
        let number: f64 = c.get(1)?.as_str().parse().ok()?;
        let unit = c.get(2)?.as_str().to_ascii_lowercase();
        let unit_ms = match unit.as_str() {
            "ms" => 1.0,
            u if u.starts_with("milli") => 1.0,
            u if u.starts_with('s') => 1e3,
            u if u.starts_with('m') => 6e4,
            u if u.starts_with('h') => 3.6e6,
            u if u.starts_with('d') => 8.64e7,
            _ => 6.048e8,
        };
        total_ms += number * unit_ms;
        rest = rest.get(c.get(0)?.end()..)?;
    }
    (text.len() > 1).then_some(SpanMs(total_ms.ceil() as u64))
}

static GO_SPAN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(\d{1,9}(?:\.\d{1,12})?)(ms|s|m|h)").expect("a constant pattern")
});

/// An IANA name, `UTC`, or `GMT` with an offset. Other abbreviations are ambiguous: `None`.
fn zone_of(name: &str) -> Option<TimeZone> {
    if matches!(name, "UTC" | "GMT" | "Z" | "Etc/UTC") {
        return Some(TimeZone::UTC);
    }
    if let Some(offset) = name
        .strip_prefix("GMT")
        .or_else(|| name.strip_prefix("UTC"))
    {
        let (sign, digits) = match offset.split_at_checked(1)? {
            ("+", d) => (1, d),
            ("-", d) => (-1, d),
            _ => return None,
        };
        let (hours, minutes) = digits.split_once(':').unwrap_or((digits, "0"));
        let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
        if hours > 14 || minutes > 59 {
            return None;
        }
        let offset = jiff::tz::Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()?;
        return Some(TimeZone::fixed(offset));
    }
    TimeZoneDatabase::bundled().get(name).ok()
}

fn zoned(now: UnixMs, zone: &TimeZone) -> Option<Zoned> {
    Some(
        Timestamp::from_millisecond(now.0)
            .ok()?
            .to_zoned(zone.clone()),
    )
}

fn instant(date: Date, time: Time, zone: &TimeZone) -> Option<UnixMs> {
    // "Compatible": in a gap the later reading, in a fold the earlier one.
    let at = DateTime::from_parts(date, time)
        .to_zoned(zone.clone())
        .ok()?;
    Some(UnixMs(at.timestamp().as_millisecond()))
}

fn next_clock(
    now: UnixMs,
    zone: &TimeZone,
    date: Option<(i8, i8, Option<i16>)>,
    time: Time,
) -> Option<UnixMs> {
    let today = zoned(now, zone)?.date();
    let recent = |at: &UnixMs| at.plus(JUST_RESET) >= now;
    match date {
        // Yesterday too: shortly after midnight, 11:55pm has just come.
        None => [-1_i64, 0, 1, 2]
            .into_iter()
            .filter_map(|days| instant(today.checked_add(days.days()).ok()?, time, zone))
            .find(recent),
        Some((month, day, Some(year))) => instant(Date::new(year, month, day).ok()?, time, zone),
        // The year is left out when it is this one; around New Year the nearest reading holds.
        Some((month, day, None)) => [-1_i16, 0, 1]
            .into_iter()
            .filter_map(|y| instant(Date::new(today.year() + y, month, day).ok()?, time, zone))
            .min_by_key(|at| at.0.abs_diff(now.0)),
    }
}

fn pacific_midnight(now: UnixMs) -> Option<UnixMs> {
    let zone = zone_of("America/Los_Angeles")?;
    let tomorrow = zoned(now, &zone)?.date().tomorrow().ok()?;
    instant(tomorrow, Time::midnight(), &zone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> UnixMs {
        UnixMs(text.parse::<Timestamp>().expect(text).as_millisecond())
    }

    fn at(text: &str, now: &str, zone: &str, window: Option<&str>) -> Option<String> {
        let reset = ResetText::parse(text)?;
        let at = reset.resolve(ms(now), &Zone::named(Some(zone)), window)?;
        Some(
            Timestamp::from_millisecond(at.0)
                .expect("valid")
                .to_string(),
        )
    }

    #[test]
    fn a5_every_way_a_reset_is_written() {
        const NOW: &str = "2026-11-21T00:20:00Z";
        for (text, zone, window, want) in [
            ("2:12am (UTC)", "Asia/Tokyo", None, "2026-11-21T02:12:00Z"),
            (
                "10:21pm (America/New_York)",
                "UTC",
                None,
                "2026-11-21T03:21:00Z",
            ),
            ("3pm", "UTC", None, "2026-11-21T15:00:00Z"),
            ("3pm", "Europe/Berlin", None, "2026-11-21T14:00:00Z"),
            ("12am", "UTC", None, "2026-11-22T00:00:00Z"),
            ("12pm", "UTC", None, "2026-11-21T12:00:00Z"),
            (
                "Nov 24, 11:55am (UTC)",
                "UTC",
                Some("seven_day"),
                "2026-11-24T11:55:00Z",
            ),
            (
                "Jan 2, 2027, 8am (UTC)",
                "UTC",
                None,
                "2027-01-02T08:00:00Z",
            ),
            ("9:13 PM", "UTC", None, "2026-11-21T21:13:00Z"),
            (
                "Nov 24th, 2026 9:13 PM",
                "UTC",
                None,
                "2026-11-24T21:13:00Z",
            ),
            ("10:57 PM GMT-3", "UTC", None, "2026-11-21T01:57:00Z"),
            ("10:57 PM GMT+5:30", "UTC", None, "2026-11-21T17:27:00Z"),
            ("1795227168", "UTC", None, "2026-11-21T02:12:48Z"),
            (
                "5 days 22 hours 11 minutes",
                "UTC",
                None,
                "2026-11-26T22:31:00Z",
            ),
            ("1.5s", "UTC", None, "2026-11-21T00:20:01.5Z"),
            ("1m23.45s", "UTC", None, "2026-11-21T00:21:23.45Z"),
            ("1h0m0s", "UTC", None, "2026-11-21T01:20:00Z"),
            ("20ms", "UTC", None, "2026-11-21T00:20:00.02Z"),
            // An unknown session zone reads as UTC.
            ("3pm", "Mars/Olympus", None, "2026-11-21T15:00:00Z"),
        ] {
            assert_eq!(at(text, NOW, zone, window).as_deref(), Some(want), "{text}");
        }
    }

    #[test]
    fn a5_what_is_no_time_stays_unknown() {
        for text in [
            "",
            "0",
            "Mon",
            "Mon (America/New_York)",
            "soon",
            "later",
            "13pm",
            "3:60pm",
            "25",
            "99999999999999",
            "Feb 30, 3pm (UTC)",
            "3pm (Mars/Olympus)",
            "3pm PST",
            "every 5h and every week.",
            "3",
            "resets 3pm",
        ] {
            assert_eq!(
                at(text, "2026-11-21T00:20:00Z", "UTC", None),
                None,
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_time_just_past_has_come_and_an_older_one_is_tomorrow() {
        let t = |now: &str| at("2am", now, "UTC", None);
        assert_eq!(
            t("2026-11-21T02:10:00Z").as_deref(),
            Some("2026-11-21T02:00:00Z")
        );
        assert_eq!(
            t("2026-11-21T02:10:01Z").as_deref(),
            Some("2026-11-22T02:00:00Z")
        );
        // Over midnight.
        let late = at("11:55pm", "2026-11-21T00:03:00Z", "UTC", None);
        assert_eq!(late.as_deref(), Some("2026-11-20T23:55:00Z"));
        // Over New Year.
        let jan = at("Jan 2, 8am (UTC)", "2026-12-30T00:00:00Z", "UTC", None);
        assert_eq!(jan.as_deref(), Some("2027-01-02T08:00:00Z"));
    }

    #[test]
    fn summer_time_gap_takes_the_later_reading() {
        // 2:30 does not exist on 2026-03-08 in New York: 3:30 EDT.
        let gap = at("2:30am", "2026-03-08T05:00:00Z", "America/New_York", None);
        assert_eq!(gap.as_deref(), Some("2026-03-08T07:30:00Z"));
    }

    #[test]
    fn windows_bound_a_misread_reset_but_never_shorten_a_plausible_one() {
        let now = "2026-11-21T12:00:00Z";
        let five = at("11am", now, "UTC", Some("five_hour"));
        assert_eq!(five.as_deref(), Some("2026-11-21T17:10:00Z"));
        let week = at("Nov 28, 11am (UTC)", now, "UTC", Some("seven_day_opus"));
        assert_eq!(week.as_deref(), Some("2026-11-28T11:00:00Z"));
        assert_eq!(at("900 days", now, "UTC", None), None);
        assert_eq!(at("Nov 24, 2029, 3pm (UTC)", now, "UTC", None), None);
    }

    #[test]
    fn google_days_end_at_midnight_in_california() {
        let at = |now: &str| {
            let at = ResetText::PacificMidnight.resolve(ms(now), &Zone::default(), None);
            Timestamp::from_millisecond(at.expect("a time").0)
                .expect("valid")
                .to_string()
        };
        assert_eq!(at("2026-11-21T00:20:00Z"), "2026-11-21T08:00:00Z");
        assert_eq!(at("2026-07-01T07:00:00Z"), "2026-07-02T07:00:00Z");
    }
}
