//! What a person may type for a task: parsing it, and guessing what was meant. No queries.

use std::collections::HashSet;

use uuid::Uuid;

use crate::read::{Candidate, Resolution};

/// Fewest hexadecimal digits that are taken for the beginning of an id.
const MIN_PREFIX: usize = 4;
/// At most so many tasks are named when a text is ambiguous.
pub(crate) const MAX_CANDIDATES: usize = 10;
/// At most so many names are suggested.
const MAX_NEAREST: usize = 3;
/// A longer text is not a mistyped name.
const MAX_TYPED: usize = 200;
/// At most so many of the newest names are compared with an unknown one.
pub(crate) const MAX_COMPARED: usize = 500;

/// The ids that a text may stand for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needle {
    /// Ids from the first to the second, both included.
    pub(crate) range: Option<(Uuid, Uuid)>,
    /// The last four bytes of an id.
    pub(crate) tail: Option<[u8; 4]>,
}

impl Needle {
    pub(crate) fn parse(text: &str) -> Self {
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        let hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
        if !hex || digits.len() < MIN_PREFIX || digits.len() > 32 {
            return Self::default();
        }
        let bound = |fill: &str| {
            let padding = fill.repeat(32 - digits.len());
            Uuid::try_parse(&format!("{digits}{padding}")).ok()
        };
        let tail = (text.len() == 8)
            .then(|| u32::from_str_radix(text, 16).ok())
            .flatten()
            .map(u32::to_be_bytes);
        Self {
            range: bound("0").zip(bound("f")),
            tail,
        }
    }
}

/// The verdict over everything that was found; a task may be in `found` more than once.
pub(crate) fn settle(
    found: Vec<Candidate>,
    text: &str,
    names: impl FnOnce() -> Result<Vec<String>, crate::StoreError>,
) -> Result<Resolution, crate::StoreError> {
    let mut seen = HashSet::new();
    let mut distinct: Vec<Candidate> = found.into_iter().filter(|c| seen.insert(c.id)).collect();
    distinct.sort_by_key(|c| c.id);
    Ok(match distinct.as_slice() {
        [] => Resolution::None {
            nearest: nearest(text, names()?),
        },
        [one] => Resolution::One(one.id),
        _ => {
            distinct.truncate(MAX_CANDIDATES);
            Resolution::Ambiguous(distinct)
        }
    })
}

/// The names that are most like a text, the best first.
fn nearest(text: &str, names: Vec<String>) -> Vec<String> {
    if text.len() > MAX_TYPED {
        return Vec::new();
    }
    let mut seen = HashSet::new();
    let mut scored: Vec<(f64, String)> = names
        .into_iter()
        .filter(|n| seen.insert(n.clone()))
        .map(|n| (strsim::jaro_winkler(text, &n), n))
        .filter(|(score, _)| *score >= 0.8)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    scored.truncate(MAX_NEAREST);
    scored.into_iter().map(|(_, n)| n).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_needle_is_a_prefix_a_tail_or_neither() {
        assert_eq!(Needle::parse("abc"), Needle::default());
        assert_eq!(Needle::parse("fix-login"), Needle::default());
        assert_eq!(Needle::parse(""), Needle::default());
        let n = Needle::parse("019a-bC");
        let (lo, hi) = n.range.expect("hex digits are a prefix");
        assert_eq!(lo.simple().to_string(), format!("019abc{}", "0".repeat(26)));
        assert_eq!(hi.simple().to_string(), format!("019abc{}", "f".repeat(26)));
        assert_eq!(n.tail, None);
        assert_eq!(Needle::parse("0000002a").tail, Some([0, 0, 0, 42]));
        assert!(Needle::parse(&"f".repeat(33)).range.is_none());
    }

    #[test]
    fn near_names_are_suggested_and_far_ones_are_not() {
        let names = ["fix-login", "fix-logon", "docs", "fix-login"].map(str::to_owned);
        assert_eq!(
            nearest("fix-logni", names.to_vec()),
            ["fix-login", "fix-logon"]
        );
        assert!(nearest("zzz", names.to_vec()).is_empty());
    }
}
