//! Sizes in bytes as people write them: `2GiB`, `500MB`, `64KiB`, `0B`. Not rates.

/// Why a text is not a size. None of these goes away by trying again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// No number in front.
    #[error("does not start with a number")]
    NoNumber,
    /// A number alone.
    #[error("has no unit")]
    NoUnit,
    /// A unit that does not exist.
    #[error("has an unknown unit `{0}`")]
    UnknownUnit(String),
    /// More than 2^63 - 1 bytes.
    #[error("is too large")]
    TooLarge,
}

const UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

/// Reads a size in bytes: a whole number and one of `B KiB MiB GiB TiB kB MB GB TB`, with at most
/// one space between.
///
/// # Errors
/// [`SizeError`] for anything else.
pub fn parse(text: &str) -> Result<u64, SizeError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(SizeError::NoNumber);
    }
    let unit = unit.strip_prefix(' ').unwrap_or(unit);
    if unit.is_empty() {
        return Err(SizeError::NoUnit);
    }
    let (_, factor) = UNITS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit))
        .ok_or_else(|| SizeError::UnknownUnit(unit.chars().take(20).collect()))?;
    number
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(*factor))
        .filter(|bytes| i64::try_from(*bytes).is_ok())
        .ok_or(SizeError::TooLarge)
}

/// Writes a size exactly, in the largest binary unit that divides it.
#[must_use]
pub fn format(bytes: u64) -> String {
    let (unit, factor) = UNITS[..5]
        .iter()
        .rev()
        .find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor))
        .copied()
        .unwrap_or(("B", 1));
    format!("{}{unit}", bytes / factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes() {
        for (text, bytes) in [
            ("2GiB", 2 << 30),
            ("2 GiB", 2 << 30),
            ("2gib", 2 << 30),
            ("500MB", 500_000_000),
            ("0B", 0),
            ("64KiB", 65_536),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
            assert_eq!(parse(&format(bytes)), Ok(bytes));
        }
    }

    #[test]
    fn refuses_with_the_reason() {
        for (text, error) in [
            ("", SizeError::NoNumber),
            ("-1GiB", SizeError::NoNumber),
            ("1024", SizeError::NoUnit),
            ("2G", SizeError::UnknownUnit("G".into())),
            ("99999999TiB", SizeError::TooLarge),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }
}
