//! One three-way merge on objects alone: nobody's index or work tree is touched. The result is read
//! from git's stages and typed records, never from its words (L10). Attributes (`merge=union`) come from
//! our side's commit, not from files that lie about; git 2.40 knows none then, and what they would have
//! merged conflicts.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use longhaul_core::queue::ConflictKind;

use crate::git::GitError;
use crate::git::run::Output;
use crate::oid::Oid;
use crate::path::RepoPath;
use crate::site::Site;

/// The most of one conflicted file's hunks that are given as text, in bytes.
const FILE_LIMIT: usize = 4 << 10;
/// The most of a conflicted file that is read to find its hunks, in bytes.
const READ_LIMIT: usize = 1 << 20;

/// What is merged: commits, or with a `base` also trees (git 2.45).
#[derive(Clone, Copy)]
pub(crate) struct Sides<'a> {
    /// The common ancestor; `None` lets git find it (several are merged first).
    pub(crate) base: Option<&'a Oid>,
    pub(crate) ours: &'a Oid,
    pub(crate) theirs: &'a Oid,
}

/// What a merge came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Merged {
    /// The merged tree; files with conflicts hold markers.
    pub(crate) tree: Oid,
    /// Where it does not merge, by path; empty if it does.
    pub(crate) conflicts: Vec<Conflict>,
    pub(crate) clean: bool,
}

/// One path that does not merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Conflict {
    /// The path as people know it.
    pub(crate) path: RepoPath,
    /// Where it stands in the merged tree: another one if a folder is in the way.
    pub(crate) place: RepoPath,
    pub(crate) kind: ConflictKind,
    /// Which stages git left: bit 0 the base, bit 1 ours, bit 2 theirs.
    pub(crate) stages: u8,
    /// `mode oid stage` of each, as an index takes them.
    pub(crate) entries: Vec<Vec<u8>>,
}

/// Merges two commits. A revision that cannot be resolved is an error, not a conflict.
pub(crate) fn merge(site: &Site<'_>, sides: Sides<'_>) -> Result<Merged, GitError> {
    let mut call = site
        .call()
        .env("GIT_ATTR_SOURCE", sides.ours.as_str())
        .args(["merge-tree", "--write-tree", "-z", "--messages"]);
    if let Some(base) = sides.base {
        call = call.arg(format!("--merge-base={base}"));
    }
    let output = call
        .args([sides.ours.as_str(), sides.theirs.as_str()])
        .output()?;
    let clean = match output.code {
        Some(0) => true,
        // git also ends with 1 if it cannot resolve a revision: only an oid in the output counts.
        Some(1) => false,
        _ => return Err(output.failure()),
    };
    let mut fields = Fields(&output.stdout);
    fields
        .merged(clean)
        .ok_or_else(|| unreadable(&output, clean))
}

fn unreadable(output: &Output, clean: bool) -> GitError {
    if clean || !output.stdout.is_empty() {
        output.malformed("a merged tree with typed records")
    } else {
        output.failure()
    }
}

/// NUL-terminated fields of `merge-tree -z`.
pub(crate) struct Fields<'o>(pub(crate) &'o [u8]);

impl<'o> Fields<'o> {
    pub(crate) fn next(&mut self) -> Option<&'o [u8]> {
        let end = self.0.iter().position(|b| *b == 0)?;
        let field = &self.0[..end];
        self.0 = &self.0[end + 1..];
        Some(field)
    }

    /// One result of `--stdin`: a clean one has no records, and each ends with an empty field.
    pub(crate) fn merged_in_batch(&mut self, clean: bool) -> Option<Merged> {
        if !clean {
            let merged = self.merged(false)?;
            return self.next().map(|_end| merged);
        }
        let tree = Oid::parse(self.next()?).ok()?;
        self.next().filter(|end| end.is_empty())?;
        Some(Merged {
            tree,
            clean,
            conflicts: Vec::new(),
        })
    }

    /// One result: the tree, the stages of conflicted paths, the typed records.
    pub(crate) fn merged(&mut self, clean: bool) -> Option<Merged> {
        let tree = Oid::parse(self.next()?).ok()?;
        let mut paths = BTreeMap::new();
        if !clean {
            while let Some(record) = self.next()?.split_first() {
                note_stage(&mut paths, *record.0, record.1)?;
            }
        } else if self.0.first() == Some(&0) {
            self.next()?;
        }
        while self.0.first().is_some_and(|b| *b != 0) {
            let count: usize = std::str::from_utf8(self.next()?).ok()?.parse().ok()?;
            let mut names = Vec::with_capacity(count.min(16));
            for _ in 0..count {
                names.push(RepoPath::from_bytes(self.next()?));
            }
            let kind = typed(self.next()?);
            self.next()?;
            if let Some(kind) = kind.filter(|_| !clean) {
                note_kind(&mut paths, &names, kind);
            }
        }
        let conflicts = paths.into_iter().map(|(place, seen)| seen.conflict(place));
        Some(Merged {
            tree,
            clean,
            conflicts: conflicts.collect(),
        })
    }
}

/// What git said of one path.
#[derive(Default)]
struct Seen {
    stages: u8,
    modes: [Option<Vec<u8>>; 3],
    ids: [Option<Vec<u8>>; 3],
    entries: Vec<Vec<u8>>,
    kind: Option<ConflictKind>,
    known_as: Option<RepoPath>,
}

impl Seen {
    fn conflict(self, place: RepoPath) -> Conflict {
        Conflict {
            kind: self.kind(),
            path: self.known_as.unwrap_or_else(|| place.clone()),
            place,
            stages: self.stages,
            entries: self.entries,
        }
    }

    fn kind(&self) -> ConflictKind {
        let submodule = |mode: &Option<Vec<u8>>| mode.as_deref() == Some(b"160000");
        let [_, ours, theirs] = &self.modes;
        match self.kind {
            // Both have the same content, so the modes are all that can differ.
            Some(ConflictKind::Content) | None
                if self.stages & 6 == 6 && self.ids[1] == self.ids[2] =>
            {
                ConflictKind::Mode
            }
            Some(ConflictKind::Content) | None if submodule(ours) || submodule(theirs) => {
                ConflictKind::Submodule
            }
            Some(kind) => kind,
            None if self.stages & 6 == 6 => ConflictKind::Content,
            None if self.stages & 1 == 1 && self.stages != 1 => ConflictKind::ModifyDelete,
            None => ConflictKind::Rename,
        }
    }
}

/// `mode oid stage TAB path`.
fn note_stage(paths: &mut BTreeMap<RepoPath, Seen>, first: u8, rest: &[u8]) -> Option<()> {
    let mut record = vec![first];
    record.extend_from_slice(rest);
    let tab = record.iter().position(|b| *b == b'\t')?;
    let mut words = record[..tab].split(|b| *b == b' ');
    let (mode, id, stage) = (words.next()?, words.next()?, words.next()?);
    let at = match stage {
        b"1" => 0,
        b"2" => 1,
        b"3" => 2,
        _ => return None,
    };
    let seen = paths
        .entry(RepoPath::from_bytes(&record[tab + 1..]))
        .or_default();
    seen.stages |= 1 << at;
    seen.modes[at] = Some(mode.to_vec());
    seen.ids[at] = Some(id.to_vec());
    seen.entries.push(record[..tab].to_vec());
    Some(())
}

/// A record's type, which git keeps stable; `None` for those that tell of no conflict.
fn typed(kind: &[u8]) -> Option<ConflictKind> {
    let inner = kind
        .strip_prefix(b"CONFLICT")
        .map(<[u8]>::trim_ascii_start)
        .and_then(|k| k.strip_prefix(b"("))?;
    Some(match inner.strip_suffix(b")").unwrap_or(inner) {
        b"contents" => ConflictKind::Content,
        b"binary" => ConflictKind::Binary,
        b"file/directory" => ConflictKind::DirectoryFile,
        b"distinct modes" => ConflictKind::Mode,
        b"modify/delete" => ConflictKind::ModifyDelete,
        other if other.starts_with(b"submodule") => ConflictKind::Submodule,
        // Renames of files and folders, in all their kinds; and what a later git may add.
        _ => ConflictKind::Rename,
    })
}

/// The most telling kind of a path stays: `contents` accompanies others.
fn note_kind(paths: &mut BTreeMap<RepoPath, Seen>, names: &[RepoPath], kind: ConflictKind) {
    let Some(first) = names.first() else {
        return;
    };
    let known = paths.contains_key(first);
    let folder = kind == ConflictKind::DirectoryFile;
    // A path without stages of its own is told of by those that have some, if any do.
    if !known && names.iter().any(|name| paths.contains_key(name)) && !folder {
        return;
    }
    let seen = paths.entry(first.clone()).or_default();
    if seen.kind.is_none_or(|k| k == ConflictKind::Content) {
        seen.kind = Some(kind);
    }
    if folder && let Some(name) = names.get(1) {
        seen.known_as = Some(name.clone());
    }
}

/// The conflicting hunks of a merge with markers, file by file, at most `limit` bytes.
pub(crate) fn hunks(site: &Site<'_>, merged: &Merged, limit: usize) -> Result<String, GitError> {
    use std::fmt::Write;
    let mut text = String::new();
    for conflict in &merged.conflicts {
        if text.len() >= limit {
            break;
        }
        if conflict.kind == ConflictKind::Submodule || conflict.stages & 6 != 6 {
            continue;
        }
        let mut object = format!("{}:", merged.tree).into_bytes();
        object.extend_from_slice(conflict.place.as_bytes());
        let blob = site
            .call()
            .args(["cat-file", "blob"])
            .arg(OsString::from_vec(object))
            .cut_at(READ_LIMIT)
            .output()?;
        if blob.stdout.contains(&0) {
            continue;
        }
        let hunk = conflicted_part(&String::from_utf8_lossy(&blob.stdout));
        if !hunk.is_empty() && text.len() + hunk.len() <= limit {
            write!(text, "\n{}:\n{hunk}", conflict.path).expect("writing to a string cannot fail");
        }
    }
    Ok(text)
}

/// The lines between conflict markers, at most [`FILE_LIMIT`] bytes of whole lines.
pub(crate) fn conflicted_part(content: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for line in content.split_inclusive('\n') {
        inside |= line.starts_with("<<<<<<< ");
        if inside {
            if out.len() + line.len() > FILE_LIMIT {
                out.push_str("[cut here: the conflict goes on]\n");
                break;
            }
            out.push_str(line);
        }
        inside &= !line.starts_with(">>>>>>> ");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(records: &[(u8, &str, &str)], messages: &[(&[&str], &str)]) -> Vec<u8> {
        let mut out = format!("{}\0", "d".repeat(40)).into_bytes();
        for (stage, mode, path) in records {
            let id = format!("{stage}").repeat(40);
            out.extend(format!("{mode} {id} {stage}\t{path}\0").bytes());
        }
        out.push(0);
        for (paths, kind) in messages {
            out.extend(format!("{}\0", paths.len()).bytes());
            for path in *paths {
                out.extend(format!("{path}\0").bytes());
            }
            out.extend(format!("{kind}\0in words in any language\n\0").bytes());
        }
        out
    }

    fn kinds(bytes: &[u8]) -> Vec<(String, ConflictKind)> {
        let merged = Fields(bytes).merged(false).unwrap();
        let named = |c: &Conflict| (c.path.to_string(), c.kind);
        merged.conflicts.iter().map(named).collect()
    }

    #[test]
    fn l10_kinds_come_from_stages_and_typed_records() {
        let f = "100644";
        let bytes = output(
            &[
                (1, f, "bin"),
                (2, f, "bin"),
                (3, f, "bin"),
                (2, f, "d~a"),
                (1, f, "gone in\nhere"),
                (3, f, "gone in\nhere"),
                (2, "160000", "module"),
                (3, "160000", "module"),
                (2, f, "text"),
                (3, f, "text"),
            ],
            &[
                (&["bin"], "CONFLICT (binary)"),
                (&["bin"], "CONFLICT (contents)"),
                (&["d~a", "d"], "CONFLICT (file/directory)"),
                (&["text"], "Auto-merging"),
            ],
        );
        let got = kinds(&bytes);
        let expected = [
            ("bin", ConflictKind::Binary),
            ("d", ConflictKind::DirectoryFile),
            ("gone in\\x0ahere", ConflictKind::ModifyDelete),
            ("module", ConflictKind::Submodule),
            ("text", ConflictKind::Content),
        ];
        assert_eq!(got, expected.map(|(p, k)| (p.to_owned(), k)));
    }

    #[test]
    fn torn_output_is_no_result() {
        let whole = output(
            &[(2, "100644", "a"), (3, "100644", "a")],
            &[(&["a"], "CONFLICT (contents)")],
        );
        assert_eq!(kinds(&whole).len(), 1);
        for cut in [0, 10, 41, 60, 100] {
            assert!(Fields(&whole[..cut]).merged(false).is_none(), "{cut}");
        }
        assert!(
            Fields(b"not something we can merge\0")
                .merged(false)
                .is_none()
        );
    }

    #[test]
    fn a_clean_result_has_no_conflicts() {
        let bytes = [b"d".repeat(40).as_slice(), b"\0"].concat();
        let merged = Fields(&bytes).merged(true).unwrap();
        assert!(merged.clean && merged.conflicts.is_empty());
    }
}
