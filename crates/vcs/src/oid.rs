//! Object ids as git prints them: checked hexadecimal text, SHA-1 or SHA-256. Not a hash function.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The id of a git object: 40 or 64 lower-case hexadecimal digits, never all zero.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Oid(Box<str>);

/// A text that is not an object id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an object id of 40 or 64 hexadecimal digits")]
pub struct NotAnOid;

impl Oid {
    /// Parses the bytes of git's output, with at most one newline at their end.
    ///
    /// # Errors
    /// [`NotAnOid`] for anything but 40 or 64 lower-case hexadecimal digits that are not all zero.
    pub fn parse(bytes: &[u8]) -> Result<Self, NotAnOid> {
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let hex = |b: &u8| b.is_ascii_digit() || (b'a'..=b'f').contains(b);
        if !matches!(bytes.len(), 40 | 64)
            || !bytes.iter().all(hex)
            || bytes.iter().all(|b| *b == b'0')
        {
            return Err(NotAnOid);
        }
        std::str::from_utf8(bytes)
            .map(|text| Self(text.into()))
            .map_err(|_| NotAnOid)
    }

    /// The hexadecimal text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve digits, for people.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..12]
    }

    /// The id that stands for "no object" in this id's hash format.
    pub(crate) fn zero(&self) -> String {
        "0".repeat(self.0.len())
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Oid({})", self.short())
    }
}

impl FromStr for Oid {
    type Err = NotAnOid;
    fn from_str(text: &str) -> Result<Self, NotAnOid> {
        Self::parse(text.as_bytes())
    }
}

impl TryFrom<String> for Oid {
    type Error = NotAnOid;
    fn try_from(text: String) -> Result<Self, NotAnOid> {
        text.parse()
    }
}

impl From<Oid> for String {
    fn from(oid: Oid) -> Self {
        oid.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_ids_are_ids() {
        let good = "89e6c98d92887913cadf06b2adb97f26cde4849b";
        assert_eq!(
            Oid::parse(format!("{good}\n").as_bytes()).unwrap().as_str(),
            good
        );
        for bad in [
            "",
            "89e6",
            &"0".repeat(40),
            &good.to_uppercase(),
            &format!("{good} "),
        ] {
            assert_eq!(bad.parse::<Oid>(), Err(NotAnOid), "{bad:?}");
        }
        assert!("a".repeat(64).parse::<Oid>().is_ok());
    }
}
