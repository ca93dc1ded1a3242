//! Entries merged one after the other onto the tip. The commits in between are only there for git to
//! find the merge bases by; what lands is one commit of the last tree (decision 007).

use longhaul_core::queue::MergeStyle;

use crate::git::GitError;
use crate::merge::{Merged, Sides, merge};
use crate::oid::Oid;
use crate::site::{NewCommit, Site};

use super::integration::Position;
use super::trial::{CandidateCommit, EntryEnd, Maker, TrialEntry, is_whole, report};

/// The tip with the first entries that merged.
struct Prefix {
    at: Position,
    /// The entry that was merged last; none for the tip itself.
    last: Option<usize>,
}

/// A trial under way.
pub(super) struct Fold<'a> {
    maker: &'a Maker<'a>,
    prefixes: Vec<Prefix>,
}

impl<'a> Fold<'a> {
    pub(super) fn new(maker: &'a Maker<'a>, tip: &Position) -> Self {
        let at = tip.clone();
        let prefixes = vec![Prefix { at, last: None }];
        Self { maker, prefixes }
    }

    pub(super) fn run(mut self) -> Result<(Vec<EntryEnd>, Option<CandidateCommit>), GitError> {
        let entries = &self.maker.request.entries;
        let mut ends = Vec::with_capacity(entries.len());
        let (mut alone, mut full) = (None, false);
        for (at, entry) in entries.iter().enumerate() {
            // Order is kept: nothing passes an entry that has to wait for its turn.
            full |= alone.is_some();
            full |= entry.style != MergeStyle::Merge && self.prefixes.len() > 1;
            let end = if full {
                EntryEnd::Left
            } else {
                match self.try_one(entry)? {
                    Err(end) => end,
                    Ok(tree) if entry.style == MergeStyle::Merge => {
                        self.add(at, entry, tree)?;
                        EntryEnd::Merged
                    }
                    Ok(tree) => {
                        alone = Some(self.maker.linear(&self.last().at, at, tree)?);
                        EntryEnd::Merged
                    }
                }
            };
            ends.push(end);
        }
        let candidate = match alone {
            Some(alone) => Some(alone),
            None => self.candidate()?,
        };
        Ok((ends, candidate))
    }

    fn last(&self) -> &Prefix {
        self.prefixes.last().expect("it starts with the tip")
    }

    /// The tree with this entry, or why there is none.
    fn try_one(&self, entry: &TrialEntry) -> Result<Result<Oid, EntryEnd>, GitError> {
        let site = self.maker.site;
        let tip = self.last().at.clone();
        let commit = &entry.commit;
        if site.resolve(commit.as_str(), "commit")?.is_none() {
            return Ok(Err(EntryEnd::Gone));
        }
        if site.is_ancestor(commit, &tip.commit)? {
            return self.contained(commit).map(Err);
        }
        for (dependency, theirs) in entry.unlanded.iter().enumerate() {
            let brings = site.resolve(theirs.as_str(), "commit")?.is_some()
                && site.is_ancestor(theirs, commit)?
                && !site.is_ancestor(theirs, &tip.commit)?;
            if brings {
                return Ok(Err(EntryEnd::Unlanded { dependency }));
            }
        }
        let merged = match merge(site, between(&tip.commit, commit)) {
            Ok(merged) => merged,
            Err(error) => {
                let landed = &self.prefixes[0].at.commit;
                return never(site, landed, commit, error).map(Err);
            }
        };
        if !merged.clean {
            return self.conflict(commit, merged).map(Err);
        }
        if merged.tree == tip.tree {
            return self.contained(commit).map(Err);
        }
        Ok(Ok(merged.tree))
    }

    /// Everything of it is in what it was merged onto. If that is what has landed, it has landed too. If it
    /// is an entry before it, nobody knows yet whether that one lands: it is looked at again then.
    fn contained(&self, commit: &Oid) -> Result<EntryEnd, GitError> {
        let landed = &self.prefixes[0].at;
        let site = self.maker.site;
        if self.prefixes.len() == 1 || site.is_ancestor(commit, &landed.commit)? {
            return Ok(EntryEnd::Contained);
        }
        let merged = merge(site, between(&landed.commit, commit))?;
        Ok(if merged.clean && merged.tree == landed.tree {
            EntryEnd::Contained
        } else {
            EntryEnd::Left
        })
    }

    /// Which of the earlier entries, if any, is the first that it conflicts with.
    fn conflict(&self, commit: &Oid, merged: Merged) -> Result<EntryEnd, GitError> {
        let site = self.maker.site;
        let (last, earlier) = self.prefixes.split_last().expect("it starts with the tip");
        let mut first = (last, merged);
        for prefix in earlier {
            let merged = merge(site, between(&prefix.at.commit, commit))?;
            if !merged.clean {
                first = (prefix, merged);
                break;
            }
        }
        let (prefix, merged) = first;
        let report = report(site, &merged, between(&prefix.at.commit, commit))?;
        let report = Box::new(report);
        Ok(match prefix.last {
            None => EntryEnd::Conflict(report),
            Some(with) => EntryEnd::Overlaps { with, report },
        })
    }

    /// One entry more. The commit is nothing but a place to merge the next one onto.
    fn add(&mut self, at: usize, entry: &TrialEntry, tree: Oid) -> Result<(), GitError> {
        let onto = self.last().at.commit.clone();
        let parents = [&onto, &entry.commit];
        let commit = self.maker.site.commit_tree(&NewCommit {
            message: b"longhaul: a part of a candidate\n",
            sign: false,
            longhaul_author: true,
            ..self.maker.plain(&tree, &parents)
        })?;
        self.prefixes.push(Prefix {
            at: Position { commit, tree },
            last: Some(at),
        });
        Ok(())
    }

    /// One commit of the last tree, with the tip and every entry as parents.
    fn candidate(&self) -> Result<Option<CandidateCommit>, GitError> {
        let entries: Vec<usize> = self.prefixes.iter().filter_map(|p| p.last).collect();
        if entries.is_empty() {
            return Ok(None);
        }
        let commits = &self.maker.request.entries;
        let mut parents = vec![&self.prefixes[0].at.commit];
        parents.extend(entries.iter().map(|at| &commits[*at].commit));
        let tree = self.last().at.tree.clone();
        let commit = self.maker.candidate(&tree, &parents, &entries)?;
        let at = Position { commit, tree };
        Ok(Some(CandidateCommit { at, entries }))
    }
}

/// A merge whose base git finds.
pub(super) const fn between<'s>(ours: &'s Oid, theirs: &'s Oid) -> Sides<'s> {
    Sides {
        base: None,
        ours,
        theirs,
    }
}

/// What a failed merge says about its entry, if the entry is what is wrong: the others go on.
/// Asked of what has landed, not of an entry before it: what was made of those is on no ref yet.
fn never(site: &Site<'_>, onto: &Oid, commit: &Oid, error: GitError) -> Result<EntryEnd, GitError> {
    if !matches!(error, GitError::Failed { code: Some(_), .. }) {
        return Err(error);
    }
    let base = site
        .call()
        .args(["merge-base", onto.as_str(), commit.as_str()])
        .output()?;
    let detail = if base.code == Some(1) {
        "it has no history in common with the base branch".to_owned()
    } else {
        if is_whole(site, commit, onto)? {
            return Err(error);
        }
        "objects of it are missing from the repository".to_owned()
    };
    Ok(EntryEnd::Refused { detail })
}
