//! What changed between two trees, for verdicts, prompts and people. Pure reading of objects: no
//! external diff, no textconv, and paths as bytes.

use crate::git::GitError;
use crate::oid::Oid;
use crate::path::RepoPath;
use crate::repo::Repo;
use crate::site::Site;

/// How a path changed. A rename is a deletion and an addition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// New in the later tree.
    Added,
    /// Gone in the later tree.
    Deleted,
    /// Other content or mode.
    Modified,
    /// A file became a link or a submodule, or the other way.
    TypeChanged,
}

impl ChangeKind {
    /// One letter as git prints it.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::Added => 'A',
            Self::Deleted => 'D',
            Self::Modified => 'M',
            Self::TypeChanged => 'T',
        }
    }
}

/// One path that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedPath {
    /// The path.
    pub path: RepoPath,
    /// How.
    pub kind: ChangeKind,
    /// Lines added and removed; none for binary content.
    pub lines: Option<(u64, u64)>,
}

/// Everything that differs between two trees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Every path, in git's order.
    pub paths: Vec<ChangedPath>,
}

impl Changes {
    /// Lines added and removed altogether, binary files not counted.
    #[must_use]
    pub fn lines(&self) -> (u64, u64) {
        let counted = self.paths.iter().filter_map(|p| p.lines);
        counted.fold((0, 0), |(a, r): (u64, u64), (added, removed)| {
            (a.saturating_add(added), r.saturating_add(removed))
        })
    }

    /// A summary for a prompt or a page: a line for each of the first `limit` paths, then totals.
    #[must_use]
    pub fn summary(&self, limit: usize) -> String {
        use std::fmt::Write;
        let mut text = String::new();
        for change in self.paths.iter().take(limit) {
            let counts = change
                .lines
                .map_or_else(|| "binary".to_owned(), |(a, r)| format!("+{a} -{r}"));
            writeln!(text, "{} {} {counts}", change.kind.letter(), change.path)
                .expect("writing to a string cannot fail");
        }
        if self.paths.len() > limit {
            writeln!(text, "… and {} more", self.paths.len() - limit)
                .expect("writing to a string cannot fail");
        }
        let (added, removed) = self.lines();
        let files = self.paths.len();
        write!(
            text,
            "{files} files changed, {added} lines added, {removed} removed"
        )
        .expect("writing to a string cannot fail");
        text
    }
}

/// A diff that may have been cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiffText {
    /// The unified diff; bytes that are not UTF-8 are replaced.
    pub text: String,
    /// It goes on: more was left out at the end, and the text says so.
    pub cut: bool,
}

impl Repo {
    /// What differs between two commits or trees.
    ///
    /// # Errors
    /// If one is missing, or the listing passes 256 MiB.
    pub fn changes(&self, from: &Oid, to: &Oid) -> Result<Changes, GitError> {
        changes(&self.objects()?, from, to)
    }

    /// The unified diff between two commits or trees, at most `limit` bytes of it, cut at a
    /// character boundary and saying so (T7).
    ///
    /// # Errors
    /// If one of them is missing.
    pub fn diff_for_prompt(
        &self,
        from: &Oid,
        to: &Oid,
        limit: usize,
    ) -> Result<DiffText, GitError> {
        let site = self.objects()?;
        let output = site
            .call()
            .args([
                "diff-tree",
                "-p",
                "-r",
                "--no-ext-diff",
                "--no-textconv",
                "--no-color",
            ])
            .args(["--find-renames", "--no-commit-id", "--submodule=short"])
            .args([from.as_str(), to.as_str(), "--"])
            .cut_at(limit)
            .ok()?;
        Ok(bounded_text(&output.stdout, output.cut))
    }
}

pub(crate) fn bounded_text(bytes: &[u8], cut: bool) -> DiffText {
    let mut bytes = bytes;
    if cut && let Err(error) = std::str::from_utf8(bytes) {
        // Only a character that the cut itself tore is dropped.
        if error.error_len().is_none() {
            bytes = &bytes[..error.valid_up_to()];
        }
    }
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    if cut {
        text.push_str("\n[cut here: the diff goes on]\n");
    }
    DiffText { text, cut }
}

pub(crate) fn changes(site: &Site<'_>, from: &Oid, to: &Oid) -> Result<Changes, GitError> {
    let output = site
        .call()
        // It is about objects alone, and would fail beside an index that a power cut tore.
        .env("GIT_INDEX_FILE", site.common_dir.join("longhaul-no-index"))
        .args([
            "diff-tree",
            "-r",
            "-z",
            "--raw",
            "--numstat",
            "--no-renames",
        ])
        .args(["--no-ext-diff", "--no-textconv", "--no-commit-id"])
        .args([from.as_str(), to.as_str(), "--"])
        .ok()?;
    parse(&output.stdout).ok_or_else(|| output.malformed("raw and numstat records"))
}

pub(crate) fn parse(stdout: &[u8]) -> Option<Changes> {
    let mut paths: Vec<ChangedPath> = Vec::new();
    let mut fields = stdout.split(|b| *b == 0).peekable();
    while let Some(record) = fields.next_if(|f| f.starts_with(b":")) {
        let kind = match record.rsplit(|b| *b == b' ').next()?.first()? {
            b'A' => ChangeKind::Added,
            b'D' => ChangeKind::Deleted,
            b'T' => ChangeKind::TypeChanged,
            _ => ChangeKind::Modified,
        };
        let path = RepoPath::from_bytes(fields.next()?);
        paths.push(ChangedPath {
            path,
            kind,
            lines: None,
        });
    }
    let mut at = 0;
    for record in fields.filter(|f| !f.is_empty()) {
        let mut parts = record.splitn(3, |b| *b == b'\t');
        let (added, removed, path) = (parts.next()?, parts.next()?, parts.next()?);
        let number = |b: &[u8]| std::str::from_utf8(b).ok()?.parse::<u64>().ok();
        // Both lists are in the same order; a path without a count (a submodule) is passed over.
        while paths.get(at)?.path.as_bytes() != path {
            at += 1;
        }
        paths.get_mut(at)?.lines = number(added).zip(number(removed));
        at += 1;
    }
    Some(Changes { paths })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_any_name_are_read() {
        let z = "0".repeat(40);
        let raw = format!(
            ":000000 100644 {z} {z} A\0new\nline\0:100644 100644 {z} {z} M\0b\0:100644 000000 {z} {z} D\0:x\0"
        );
        let listing = [
            raw.as_bytes(),
            b"3\t0\tnew\nline\0-\t-\tb\0".as_slice(),
            b"0\t9\t:x\0",
        ]
        .concat();
        let changes = parse(&listing).unwrap();
        assert_eq!(changes.paths.len(), 3);
        assert_eq!(changes.paths[0].lines, Some((3, 0)));
        assert_eq!(changes.paths[1].lines, None);
        assert_eq!(changes.paths[2].kind, ChangeKind::Deleted);
        assert_eq!(changes.lines(), (3, 9));
        assert!(
            changes
                .summary(2)
                .contains("… and 1 more\n3 files changed, 3 lines")
        );
        assert_eq!(parse(b"").unwrap(), Changes::default());
    }

    #[test]
    fn t7_cuts_fall_between_characters() {
        let text = "+aé".as_bytes();
        let cut = bounded_text(&text[..3], true);
        assert_eq!(cut.text, "+a\n[cut here: the diff goes on]\n");
        assert_eq!(bounded_text(text, false).text, "+aé");
    }
}
