//! Paths inside a repository: bytes, separated by `/`, in any encoding. Not file system paths.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A path relative to the top of a repository, as git keeps it: any bytes but NUL.
///
/// [`fmt::Display`], [`FromStr`] and serde use one lossless printable form: control characters,
/// bytes that are not UTF-8, and the backslash are written as `\xHH`, so that a hostile name
/// cannot reach a terminal (T31) and is still the same name when it is read back.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepoPath(Vec<u8>);

/// A printable path with a broken escape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a backslash in a printed path must start an escape of the form \\xHH")]
pub struct BadEscape;

impl RepoPath {
    /// Wraps raw bytes as git prints them under `-z`.
    #[must_use]
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The raw bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// As a relative path of the file system.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// The path in a folder.
    #[must_use]
    pub fn under(&self, folder: &Path) -> PathBuf {
        folder.join(self.as_path())
    }

    /// True if joining this to a folder can only give something below that folder: relative, and
    /// without empty, `.`, `..` or `.git` components.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        !self.0.is_empty()
            && !self.0.contains(&0)
            && self.0.split(|b| *b == b'/').all(|part| {
                !matches!(part, b"" | b"." | b"..") && !part.eq_ignore_ascii_case(b".git")
            })
    }
}

impl From<&Path> for RepoPath {
    fn from(path: &Path) -> Self {
        Self(path.as_os_str().to_os_string().into_vec())
    }
}

impl fmt::Display for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if c.is_control() || c == '\\' {
                    let mut buffer = [0; 4];
                    for b in c.encode_utf8(&mut buffer).bytes() {
                        write!(f, "\\x{b:02x}")?;
                    }
                } else {
                    write!(f, "{c}")?;
                }
            }
            for b in chunk.invalid() {
                write!(f, "\\x{b:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

impl FromStr for RepoPath {
    type Err = BadEscape;
    fn from_str(text: &str) -> Result<Self, BadEscape> {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let Some((&first, after)) = rest.split_first() {
            if first != b'\\' {
                bytes.push(first);
                rest = after;
                continue;
            }
            let digits = after
                .strip_prefix(b"x")
                .and_then(|d| d.get(..2))
                .and_then(|d| std::str::from_utf8(d).ok())
                .ok_or(BadEscape)?;
            bytes.push(u8::from_str_radix(digits, 16).map_err(|_| BadEscape)?);
            rest = &after[3..];
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for RepoPath {
    type Error = BadEscape;
    fn try_from(text: String) -> Result<Self, BadEscape> {
        text.parse()
    }
}

impl From<RepoPath> for String {
    fn from(path: RepoPath) -> Self {
        path.to_string()
    }
}

/// Splits NUL-terminated output of git into paths.
pub(crate) fn split_nul(bytes: &[u8]) -> impl Iterator<Item = RepoPath> + '_ {
    bytes
        .split(|b| *b == 0)
        .filter(|part| !part.is_empty())
        .map(|part| RepoPath(part.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t31_printed_paths_are_harmless_and_lossless() {
        let names: [&[u8]; 4] = [
            b"a b/c\nd",
            b"\xff\xfe.rs",
            b"back\\slash",
            b"esc\x1b[31m\xc2\x9b",
        ];
        for name in names {
            let path = RepoPath::from_bytes(name);
            let text = path.to_string();
            assert!(!text.chars().any(char::is_control), "{text}");
            assert_eq!(text.parse::<RepoPath>().unwrap(), path);
        }
        assert_eq!("a\\q".parse::<RepoPath>(), Err(BadEscape));
    }

    #[test]
    fn plain_paths_stay_inside() {
        for bad in [
            "",
            "/etc",
            "../x",
            "a/../b",
            "a//b",
            ".git/config",
            "a/.GIT/x",
            "a/",
        ] {
            assert!(!RepoPath::from_bytes(bad).is_plain(), "{bad}");
        }
        assert!(RepoPath::from_bytes("a/.gitignore").is_plain());
    }
}
