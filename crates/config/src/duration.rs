//! Durations as people write them: `45m`, `1h30m`, `90s`, `500ms`, `2d`. Not times of day.

use longhaul_core::time::SpanMs;

/// The longest duration accepted: a hundred years of 365 days.
pub const MAX: SpanMs = SpanMs(36_500 * DAY_MS);

const DAY_MS: u64 = 86_400_000;

/// The units, longest first: a duration names each at most once and in this order.
const UNITS: [(&str, u64); 5] = [
    ("d", DAY_MS),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Why a text is not a duration. None of these goes away by trying again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Nothing between the quotes.
    #[error("is empty")]
    Empty,
    /// `45`: a number alone could be seconds, minutes or milliseconds.
    #[error("has no unit")]
    NoUnit {
        /// The number as written.
        number: String,
    },
    /// A unit that does not exist, such as `45min`.
    #[error("has an unknown unit `{0}`")]
    UnknownUnit(String),
    /// `30m1h` or `1h2h`.
    #[error("names its units out of order or twice")]
    Order,
    /// Something that is neither a number nor a unit: a sign, a fraction, a blank.
    #[error("has an unexpected `{0}`")]
    Unexpected(char),
    /// Longer than [`MAX`], or not a 64-bit number at all.
    #[error("is longer than 100 years")]
    TooLong,
}

impl DurationError {
    /// What to write instead.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::NoUnit { number } => {
                let number: String = number.chars().take(12).collect();
                format!("say which unit: `{number}s`, `{number}m` or `{number}h`")
            }
            Self::Order => "longest unit first, each once: `1h30m`".to_owned(),
            Self::Unexpected('.' | ',') => {
                "no fractions; use a smaller unit: `90s` for one and a half minutes".to_owned()
            }
            Self::UnknownUnit(unit) if unit.starts_with("mi") => {
                "minutes are `m`, milliseconds `ms`".to_owned()
            }
            Self::Empty | Self::UnknownUnit(_) | Self::Unexpected(_) | Self::TooLong => {
                "write it like `45m`, `1h30m`, `90s`, `500ms` or `2d`".to_owned()
            }
        }
    }
}

/// Reads a duration.
///
/// # Errors
/// [`DurationError`] if the text is anything but whole numbers with the units `d h m s ms`, longest
/// first, each at most once, [`MAX`] in all.
pub fn parse(text: &str) -> Result<SpanMs, DurationError> {
    if text.is_empty() {
        return Err(DurationError::Empty);
    }
    let mut rest = text;
    let mut total: u64 = 0;
    let mut next_unit = 0;
    while let Some(first) = rest.chars().next() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return Err(DurationError::Unexpected(first));
        }
        let (number, tail) = rest.split_at(digits);
        let letters = tail
            .chars()
            .take_while(|c| c.is_alphabetic())
            .map(char::len_utf8)
            .sum();
        let (unit, tail) = tail.split_at(letters);
        if unit.is_empty() {
            return Err(tail.chars().next().map_or_else(
                || DurationError::NoUnit {
                    number: number.to_owned(),
                },
                DurationError::Unexpected,
            ));
        }
        let index = UNITS
            .iter()
            .position(|(name, _)| *name == unit)
            .ok_or_else(|| DurationError::UnknownUnit(unit.chars().take(20).collect()))?;
        if index < next_unit {
            return Err(DurationError::Order);
        }
        next_unit = index + 1;
        total = number
            .parse::<u64>()
            .ok()
            .and_then(|n| n.checked_mul(UNITS[index].1))
            .and_then(|ms| total.checked_add(ms))
            .filter(|ms| *ms <= MAX.0)
            .ok_or(DurationError::TooLong)?;
        rest = tail;
    }
    Ok(SpanMs(total))
}

/// Writes a duration so that [`parse`] reads back the same one, to the millisecond.
#[must_use]
pub fn format(span: SpanMs) -> String {
    if span.0 == 0 {
        return "0s".to_owned();
    }
    let mut rest = span.0;
    let mut text = String::new();
    for (unit, ms) in UNITS {
        if rest >= ms {
            text.push_str(&format!("{}{unit}", rest / ms));
            rest %= ms;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_every_unit_and_their_sums() {
        for (text, ms) in [
            ("45m", 45 * 60_000),
            ("1h30m", 90 * 60_000),
            ("90s", 90_000),
            ("500ms", 500),
            ("2d", 2 * DAY_MS),
            ("1d2h3m4s5ms", DAY_MS + 7_200_000 + 180_000 + 4_005),
            ("0s", 0),
            ("36500d", MAX.0),
        ] {
            assert_eq!(parse(text), Ok(SpanMs(ms)), "{text}");
        }
    }

    #[test]
    fn refuses_with_the_reason() {
        use DurationError as E;
        for (text, error) in [
            ("", E::Empty),
            (
                "45",
                E::NoUnit {
                    number: "45".into(),
                },
            ),
            (
                "1h30",
                E::NoUnit {
                    number: "30".into(),
                },
            ),
            ("45min", E::UnknownUnit("min".into())),
            ("30m1h", E::Order),
            ("1h1h", E::Order),
            ("-5m", E::Unexpected('-')),
            ("1.5h", E::Unexpected('.')),
            ("1 h", E::Unexpected(' ')),
            ("h", E::Unexpected('h')),
            ("36501d", E::TooLong),
            ("36500d1ms", E::TooLong),
            ("99999999999999999999s", E::TooLong),
            ("18446744073709551615d", E::TooLong),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(ms in 0..=MAX.0) {
            prop_assert_eq!(parse(&format(SpanMs(ms))), Ok(SpanMs(ms)));
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            if let Err(error) = parse(&text) {
                prop_assert!(!error.help().is_empty());
            }
        }
    }
}
