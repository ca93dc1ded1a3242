//! Which repositories the user trusts, each pinned to the content they saw (L20). Text and hashes
//! only: reading the files and keeping the list is the caller's.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use camino::{Utf8Path, Utf8PathBuf};
use sha2::{Digest as _, Sha256};
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, value};

use crate::diag::{Diagnostics, Finding, Sink, Source};
use crate::read::{Entry, decode, entries, tree};

/// Largest list in bytes.
const MAX_BYTES: usize = 4 << 20;
/// The version of the list's format.
const VERSION: i64 = 1;

/// The hash of everything in a repository that trust is about, as `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ContentHash(String);

impl ContentHash {
    /// The hash of these files: path inside the repository, and content. Their order does not
    /// matter; a file added, removed, renamed or changed by a byte gives another hash.
    #[must_use]
    pub fn of<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let sorted: BTreeMap<&str, &[u8]> = files.into_iter().collect();
        let mut hasher = Sha256::new();
        hasher.update(b"longhaul trust 1\n");
        for (path, bytes) in sorted {
            // Lengths first: no two lists of files can give the same bytes.
            hasher.update((path.len() as u64).to_be_bytes());
            hasher.update(path.as_bytes());
            hasher.update((bytes.len() as u64).to_be_bytes());
            hasher.update(bytes);
        }
        let mut text = String::from("sha256:");
        for byte in hasher.finalize() {
            write!(text, "{byte:02x}").expect("writing to a String cannot fail");
        }
        Self(text)
    }

    /// A hash as it was written; `None` if it is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("sha256:")?;
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (digits.len() == 64 && digits.bytes().all(hex)).then(|| Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What the list says of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Trusted as it is now.
    Trusted,
    /// Trusted once, with other content: not trusted now.
    Changed {
        /// The content that was trusted.
        pinned: ContentHash,
    },
    /// Never trusted.
    Unknown,
}

/// The list of trusted repositories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustStore {
    repos: BTreeMap<Utf8PathBuf, ContentHash>,
}

impl TrustStore {
    /// Reads the list.
    ///
    /// # Errors
    /// Every problem of the text; a list that cannot be read whole trusts nothing.
    pub fn parse(shown_as: &str, bytes: &[u8]) -> Result<Self, Diagnostics> {
        let text = decode(shown_as, bytes, MAX_BYTES)?;
        let source = Source::new(shown_as, text);
        let mut sink = Sink::default();
        let table = tree(&source, &mut sink);
        let mut store = Self::default();
        if !sink.has_errors() {
            store.read(&entries(&table), &mut sink);
        }
        if sink.has_errors() {
            return Err(sink.finish(Some(&source)));
        }
        Ok(store)
    }

    fn read(&mut self, top: &[Entry<'_>], sink: &mut Sink) {
        for entry in top {
            match entry.key {
                "version" => {
                    if let Some(version) = entry.integer(sink)
                        && version.value != VERSION
                    {
                        let message = format!(
                            "this list has version {}; only {VERSION} is known",
                            version.value
                        );
                        let help = "a newer Longhaul wrote it; use that one";
                        sink.push(
                            Finding::error(&version.site, message)
                                .key("version")
                                .help(help),
                        );
                    }
                }
                "repo" => {
                    for (site, keys) in entry.tables("repo", sink) {
                        let (mut path, mut hash) = (None, None);
                        for key in &keys {
                            match key.key {
                                "path" => path = key.string("a string", sink).map(|t| t.value),
                                "hash" => {
                                    hash = key
                                        .string("a string", sink)
                                        .and_then(|t| ContentHash::parse(&t.value))
                                }
                                _ => {
                                    let _meant =
                                        key.unknown("a trusted repository", ["path", "hash"], sink);
                                }
                            }
                        }
                        let path = path.map(Utf8PathBuf::from).filter(|p| p.is_absolute());
                        match path.zip(hash) {
                            Some((path, hash)) => {
                                self.repos.insert(path, hash);
                            }
                            None => {
                                let message = "needs `path`, absolute, and `hash`, as `sha256:` and 64 digits";
                                sink.push(Finding::error(&site, message).key("repo"));
                            }
                        }
                    }
                }
                _ => {
                    let what = "the list of trusted repositories";
                    let _meant = entry.unknown(what, ["version", "repo"], sink);
                }
            }
        }
    }

    /// The list as text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let repos: ArrayOfTables = self
            .repos
            .iter()
            .map(|(path, hash)| {
                let mut table = Table::new();
                table.insert("path", value(path.as_str()));
                table.insert("hash", value(hash.as_str()));
                table
            })
            .collect();
        let mut document = DocumentMut::new();
        document.insert("version", value(VERSION));
        if !repos.is_empty() {
            document.insert("repo", Item::ArrayOfTables(repos));
        }
        document.to_string()
    }

    /// What the list says of the repository at this absolute path, whose content has this hash now.
    #[must_use]
    pub fn lookup(&self, repo: &Utf8Path, now: &ContentHash) -> Trust {
        match self.repos.get(repo) {
            None => Trust::Unknown,
            Some(pinned) if pinned == now => Trust::Trusted,
            Some(pinned) => Trust::Changed {
                pinned: pinned.clone(),
            },
        }
    }

    /// Trusts a repository with this content.
    pub fn trust(&mut self, repo: Utf8PathBuf, content: ContentHash) {
        self.repos.insert(repo, content);
    }

    /// Trusts a repository no more; whether it was on the list.
    pub fn revoke(&mut self, repo: &Utf8Path) -> bool {
        self.repos.remove(repo).is_some()
    }

    /// The repositories on the list with the content that is trusted.
    pub fn iter(&self) -> impl Iterator<Item = (&Utf8Path, &ContentHash)> {
        self.repos.iter().map(|(path, hash)| (path.as_path(), hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l20_any_change_of_the_files_is_another_hash() {
        let one = ContentHash::of([("a", &b"1"[..]), ("b", b"2")]);
        assert_eq!(one, ContentHash::of([("b", &b"2"[..]), ("a", b"1")]));
        for other in [
            ContentHash::of([("a", &b"1"[..])]),
            ContentHash::of([("a", &b"1"[..]), ("b", b"3")]),
            ContentHash::of([("a", &b"1"[..]), ("c", b"2")]),
            ContentHash::of([("a", &b"1b2"[..])]),
            ContentHash::of([]),
        ] {
            assert_ne!(one, other);
        }
        assert_eq!(ContentHash::parse(one.as_str()), Some(one));
        assert_eq!(ContentHash::parse("sha256:xyz"), None);
    }

    #[test]
    fn l20_trust_is_pinned_to_the_content() {
        let repo = Utf8Path::new("/src/a \"b\"");
        let (old, new) = (ContentHash::of([("a", &b"1"[..])]), ContentHash::of([]));
        let mut store = TrustStore::default();
        assert_eq!(store.lookup(repo, &old), Trust::Unknown);
        store.trust(repo.to_owned(), old.clone());
        let mut store = TrustStore::parse("trust.toml", store.to_text().as_bytes()).unwrap();
        assert_eq!(store.lookup(repo, &old), Trust::Trusted);
        assert_eq!(store.lookup(repo, &new), Trust::Changed { pinned: old });
        assert_eq!(store.iter().count(), 1);
        assert!(store.revoke(repo) && !store.revoke(repo));
        let text = store.to_text();
        assert_eq!(TrustStore::parse("t", text.as_bytes()), Ok(store));
    }

    #[test]
    fn a_list_that_is_not_whole_trusts_nothing() {
        for text in [
            "version = 2\n",
            "[[repo]]\npath = \"/a\"\n",
            "[[repo]]\npath = \"a\"\nhash = \"sha256:00\"\n",
            "[[repo]\n",
            "extra = 1\n",
        ] {
            assert!(TrustStore::parse("t", text.as_bytes()).is_err(), "{text}");
        }
        assert!(TrustStore::parse("t", b"").unwrap().iter().next().is_none());
    }
}
