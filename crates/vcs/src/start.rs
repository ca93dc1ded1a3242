//! The commit that a dependent task starts from: its dependencies' branches merged on objects alone,
//! in nobody's checkout (T3). Not the merge queue.

use std::fmt::Write;

use crate::git::GitError;
use crate::merge::{Conflict, Merged, Sides, hunks, merge};
use crate::oid::Oid;
use crate::path::RepoPath;
use crate::repo::Repo;
use crate::site::{NewCommit, Site};

/// The most of a conflict that is given as text, in bytes.
const REPORT_LIMIT: usize = 16 << 10;

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

impl ConflictPath {
    fn of(conflict: &Conflict) -> Self {
        Self {
            path: conflict.place.clone(),
            kind: ConflictKind::of(conflict.stages),
        }
    }
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
    /// From the stages that a path has: bit 0 the base, bit 1 ours, bit 2 theirs.
    const fn of(stages: u8) -> Self {
        match stages {
            7 => Self::Content,
            6 => Self::AddAdd,
            3 => Self::DeletedByThem,
            5 => Self::DeletedByUs,
            _ => Self::Structure,
        }
    }

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
            let sides = Sides {
                base: None,
                ours: &merged,
                theirs: with,
            };
            let trial = merge(&site, sides)?;
            if !trial.clean {
                let paths: Vec<_> = trial.conflicts.iter().map(ConflictPath::of).collect();
                let report = report(&site, &trial, &paths)?;
                let with = with.clone();
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
                message: format!("Merge {} as a dependency\n", with.short()).as_bytes(),
                date: Some(&date),
                sign: false,
                longhaul_author: true,
                author: None,
                encoding: None,
            })?;
        }
        Ok(StartPoint::Commit(merged))
    }
}

fn report(site: &Site<'_>, trial: &Merged, paths: &[ConflictPath]) -> Result<String, GitError> {
    let mut text = String::new();
    for conflict in paths {
        if text.len() > REPORT_LIMIT / 2 {
            text.push_str("(more paths are not listed)\n");
            break;
        }
        writeln!(text, "{}: {}", conflict.path, conflict.kind.words())
            .expect("writing to a string cannot fail");
    }
    let hunks = hunks(site, trial, REPORT_LIMIT.saturating_sub(text.len()))?;
    Ok(text + &hunks)
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
        for (stages, kind) in [
            (7, ConflictKind::Content),
            (6, ConflictKind::AddAdd),
            (3, ConflictKind::DeletedByThem),
            (5, ConflictKind::DeletedByUs),
            (1, ConflictKind::Structure),
        ] {
            assert_eq!(ConflictKind::of(stages), kind);
        }
    }
}
