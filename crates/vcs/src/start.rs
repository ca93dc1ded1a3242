//! The commit that a dependent task starts from: its dependencies' branches merged on objects alone,
//! in nobody's checkout (T3). Not the merge queue.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::git::GitError;
use crate::oid::Oid;
use crate::path::RepoPath;
use crate::repo::Repo;
use crate::site::{NewCommit, Site};

/// The most of a conflict that is given as text, in bytes.
const REPORT_LIMIT: usize = 16 << 10;
/// The most of one conflicted file in that text.
const FILE_LIMIT: usize = 4 << 10;
const FILES_SHOWN: usize = 8;

/// Where a task can start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartPoint {
    /// From this commit: it holds the base and every dependency.
    Commit(Oid),
    /// The dependencies conflict. The first attempt starts at `merged` and gets `report` in its
    /// prompt.
    Conflict {
        /// The base with all dependencies that merged before the conflict.
        merged: Oid,
        /// The dependency that does not merge.
        with: Oid,
        /// The paths in conflict, and how they conflict.
        paths: Vec<ConflictPath>,
        /// What conflicts, for a prompt: paths and the first conflicted hunks, bounded.
        report: String,
    },
}

/// One path that does not merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConflictPath {
    /// The path.
    pub path: RepoPath,
    /// The sides that have it, from git's stages.
    pub kind: ConflictKind,
}

/// How a path conflicts, read from the stages that git leaves (never from its words).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConflictKind {
    /// Both sides changed it.
    Content,
    /// Both sides added it.
    AddAdd,
    /// Our side changed what theirs deleted.
    DeletedByThem,
    /// Their side changed what ours deleted.
    DeletedByUs,
    /// A rename or a folder in the place of a file.
    Structure,
}

impl ConflictKind {
    /// A few words for people and prompts.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Content => "changed on both sides",
            Self::AddAdd => "added on both sides",
            Self::DeletedByThem => "changed here, deleted there",
            Self::DeletedByUs => "deleted here, changed there",
            Self::Structure => "renamed, or a folder in place of a file",
        }
    }
}

impl Repo {
    /// Merges dependencies into a base, on objects only. The same input gives the same commit, so a
    /// repetition is harmless (I4).
    ///
    /// # Errors
    /// If a commit is missing, or git fails (unrelated histories, a shallow repository without the
    /// common ancestor).
    pub fn merge_bases_for_start(
        &self,
        base: &Oid,
        dependencies: &[Oid],
    ) -> Result<StartPoint, GitError> {
        let site = self.objects()?;
        let mut merged = base.clone();
        for with in dependencies {
            if site.is_ancestor(with, &merged)? {
                continue;
            }
            if site.is_ancestor(&merged, with)? {
                merged = with.clone();
                continue;
            }
            let trial = merge(&site, &merged, with)?;
            if !trial.clean {
                let report = report(&site, &trial)?;
                let (with, paths) = (with.clone(), trial.paths);
                return Ok(StartPoint::Conflict {
                    merged,
                    with,
                    paths,
                    report,
                });
            }
            let date = later_date(&site, &merged, with)?;
            merged = site.commit_tree(&NewCommit {
                tree: &trial.tree,
                parents: &[&merged, with],
                message: &format!("Merge {} as a dependency\n", with.short()),
                date: Some(&date),
                sign: false,
                longhaul_author: true,
            })?;
        }
        Ok(StartPoint::Commit(merged))
    }
}

struct Trial {
    clean: bool,
    tree: Oid,
    paths: Vec<ConflictPath>,
}

fn merge(site: &Site<'_>, ours: &Oid, theirs: &Oid) -> Result<Trial, GitError> {
    let output = site
        .call()
        .args(["merge-tree", "--write-tree", "-z", "--no-messages"])
        .args([ours.as_str(), theirs.as_str()])
        .output()?;
    let mut fields = output.stdout.split(|b| *b == 0);
    // A revision that cannot be resolved also ends with 1: only an oid in the output counts.
    let tree = fields.next().and_then(|f| Oid::parse(f).ok());
    match (output.code, tree) {
        (Some(0), Some(tree)) => Ok(Trial {
            clean: true,
            tree,
            paths: Vec::new(),
        }),
        (Some(1), Some(tree)) => Ok(Trial {
            clean: false,
            tree,
            paths: conflicts(fields),
        }),
        (Some(0 | 1), None) => Err(output.malformed("the oid of a tree")),
        _ => Err(output.failure()),
    }
}

/// `mode oid stage TAB path` records, joined by path.
fn conflicts<'o>(records: impl Iterator<Item = &'o [u8]>) -> Vec<ConflictPath> {
    let mut stages: BTreeMap<RepoPath, u8> = BTreeMap::new();
    for record in records.take_while(|r| !r.is_empty()) {
        let Some(tab) = record.iter().position(|b| *b == b'\t') else {
            continue;
        };
        let stage = match record[..tab].last() {
            Some(b'1') => 1,
            Some(b'2') => 2,
            Some(b'3') => 4,
            _ => 0,
        };
        *stages
            .entry(RepoPath::from_bytes(&record[tab + 1..]))
            .or_default() |= stage;
    }
    let kind = |bits: u8| match bits {
        7 => ConflictKind::Content,
        6 => ConflictKind::AddAdd,
        3 => ConflictKind::DeletedByThem,
        5 => ConflictKind::DeletedByUs,
        _ => ConflictKind::Structure,
    };
    stages
        .into_iter()
        .map(|(path, bits)| ConflictPath {
            path,
            kind: kind(bits),
        })
        .collect()
}

fn report(site: &Site<'_>, trial: &Trial) -> Result<String, GitError> {
    let mut text = String::new();
    for conflict in &trial.paths {
        if text.len() > REPORT_LIMIT / 2 {
            text.push_str("(more paths are not listed)\n");
            break;
        }
        writeln!(text, "{}: {}", conflict.path, conflict.kind.words())
            .expect("writing to a string cannot fail");
    }
    for conflict in trial.paths.iter().take(FILES_SHOWN) {
        let mut object = format!("{}:", trial.tree).into_bytes();
        object.extend_from_slice(conflict.path.as_bytes());
        let object: std::ffi::OsString = std::os::unix::ffi::OsStringExt::from_vec(object);
        let blob = site
            .call()
            .args(["cat-file", "blob"])
            .arg(object)
            .cut_at(1 << 20)
            .output()?;
        let Ok(content) = std::str::from_utf8(&blob.stdout) else {
            continue;
        };
        let hunk = conflicted_part(content);
        if hunk.is_empty() || text.len() + hunk.len() > REPORT_LIMIT {
            continue;
        }
        write!(text, "\n{}:\n{hunk}", conflict.path).expect("writing to a string cannot fail");
    }
    Ok(text)
}

/// The lines between conflict markers, at most [`FILE_LIMIT`] bytes of whole lines.
fn conflicted_part(content: &str) -> String {
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

fn later_date(site: &Site<'_>, a: &Oid, b: &Oid) -> Result<String, GitError> {
    let output = site
        .call()
        .args([
            "show",
            "-s",
            "--no-show-signature",
            "--format=%ct",
            a.as_str(),
            b.as_str(),
        ])
        .ok()?;
    let seconds = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.parse::<u64>().ok())
        .max()
        .ok_or_else(|| output.malformed("commit times"))?;
    Ok(format!("@{seconds} +0000"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_come_from_stages() {
        let z = "a".repeat(40);
        let records: Vec<Vec<u8>> = [
            (1, "b"),
            (2, "b"),
            (3, "b"),
            (2, "n\n"),
            (3, "n\n"),
            (1, "d"),
            (3, "d"),
        ]
        .iter()
        .map(|(stage, path)| format!("100644 {z} {stage}\t{path}").into_bytes())
        .collect();
        let kinds: Vec<_> = conflicts(records.iter().map(Vec::as_slice))
            .into_iter()
            .map(|c| c.kind)
            .collect();
        assert_eq!(
            kinds,
            [
                ConflictKind::Content,
                ConflictKind::DeletedByUs,
                ConflictKind::AddAdd
            ]
        );
    }
}
