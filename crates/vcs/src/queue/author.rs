//! A commit's authorship and words as bytes, to be carried into another commit, and the trailers of
//! what the queue makes.

use crate::git::GitError;
use crate::oid::Oid;
use crate::site::{Author, Site};

/// The parts of a commit object that survive being made anew.
pub(crate) struct Words {
    name: Vec<u8>,
    email: Vec<u8>,
    date: Vec<u8>,
    pub(crate) encoding: Option<Vec<u8>>,
    pub(crate) message: Vec<u8>,
}

impl Words {
    pub(crate) fn of(site: &Site<'_>, commit: &Oid) -> Result<Self, GitError> {
        let output = site
            .call()
            .args(["cat-file", "commit", commit.as_str()])
            .ok()?;
        Self::parse(&output.stdout).ok_or_else(|| output.malformed("a commit with an author"))
    }

    pub(super) fn parse(object: &[u8]) -> Option<Self> {
        let end = object.windows(2).position(|w| w == b"\n\n")?;
        let header = |key: &[u8]| {
            let mut lines = object[..end].split(|b| *b == b'\n');
            lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(b" "))
        };
        let author = header(b"author")?;
        let open = author.iter().position(|b| *b == b'<')?;
        let close = author.iter().rposition(|b| *b == b'>')?;
        let or_unknown = |bytes: &[u8]| {
            let clean = bytes.trim_ascii();
            if clean.is_empty() {
                b"unknown".to_vec()
            } else {
                clean.to_vec()
            }
        };
        let mut date = b"@".to_vec();
        date.extend_from_slice(author.get(close + 1..)?.trim_ascii());
        Some(Self {
            name: or_unknown(&author[..open]),
            email: or_unknown(author.get(open + 1..close)?),
            date,
            encoding: header(b"encoding").map(<[u8]>::to_vec),
            message: object[end + 2..].to_vec(),
        })
    }

    pub(crate) fn author(&self) -> Author<'_> {
        Author {
            name: &self.name,
            email: &self.email,
            date: &self.date,
        }
    }
}

/// The message with a `Longhaul-Task:` trailer for each task that it does not name yet (L15).
pub(super) fn with_trailers<'t>(
    message: &[u8],
    tasks: impl IntoIterator<Item = &'t str>,
) -> Vec<u8> {
    let mut text = message.trim_ascii_end().to_vec();
    let is_trailer = |line: &[u8]| {
        let colon = line.windows(2).position(|w| w == b": ");
        colon.is_some_and(|at| {
            at > 0
                && line[..at]
                    .iter()
                    .all(|b| b.is_ascii_alphanumeric() || *b == b'-')
        })
    };
    let paragraph = text.windows(2).rposition(|w| w == b"\n\n");
    let mut in_trailers =
        paragraph.is_some_and(|at| text[at + 2..].split(|b| *b == b'\n').all(is_trailer));
    for task in tasks {
        let line = format!("Longhaul-Task: {}", task.replace(['\n', '\r'], " "));
        if text.split(|b| *b == b'\n').any(|l| l == line.as_bytes()) {
            continue;
        }
        text.extend_from_slice(if in_trailers { b"\n" } else { b"\n\n" });
        text.extend_from_slice(line.as_bytes());
        in_trailers = true;
    }
    text.push(b'\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l15_authorship_is_carried_as_bytes() {
        let object = b"tree t\nparent p\nauthor J\xf6rg <j@x> 1700000000 +0100\n\
            committer c <c> 1 +0000\nencoding ISO-8859-1\ngpgsig -----\n more\n\nSubject\n\nBody \xf6\n";
        let words = Words::parse(object).unwrap();
        assert_eq!(words.author().name, b"J\xf6rg");
        assert_eq!(words.author().date, b"@1700000000 +0100");
        assert_eq!(words.encoding.as_deref(), Some(&b"ISO-8859-1"[..]));
        assert_eq!(words.message, b"Subject\n\nBody \xf6\n");
    }

    #[test]
    fn l15_trailers_are_added_once_and_in_one_block() {
        let add = |message: &str| {
            String::from_utf8(with_trailers(message.as_bytes(), ["a", "b"])).unwrap()
        };
        let plain = add("Subject: with a colon\n");
        assert_eq!(
            plain,
            "Subject: with a colon\n\nLonghaul-Task: a\nLonghaul-Task: b\n"
        );
        assert_eq!(add(&plain), plain);
        assert_eq!(
            add("S\n\nFixes: #1\n"),
            "S\n\nFixes: #1\nLonghaul-Task: a\nLonghaul-Task: b\n"
        );
        assert!(add("S\n\nSome words\n").contains("words\n\nLonghaul-Task: a\n"));
    }
}
