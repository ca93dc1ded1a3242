//! Taking a landing back: a commit on top of it that undoes one entry's own change, made on objects. It
//! goes through the queue as any other commit does (decision 007).

use longhaul_core::queue::ConflictReport;

use crate::git::GitError;
use crate::merge::{Sides, merge};
use crate::oid::Oid;
use crate::site::{NewCommit, Site};

use super::fold::between;
use super::trial::report;
use super::{Queue, QueueError, git_date};

/// What is to be taken back.
#[derive(Clone, Debug)]
pub struct UndoRequest {
    /// The commit that landed it.
    pub landed: Oid,
    /// The entry's commit as it was queued.
    pub commit: Oid,
    /// The whole message.
    pub message: String,
    /// Date in seconds since 1970; the same when it is repeated.
    pub date: u64,
    /// Sign it as the user's git config says.
    pub sign: bool,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UndoEnd {
    /// Queue this commit.
    Made(Oid),
    /// An entry of the same landing builds on it.
    Conflict(Box<ConflictReport>),
    /// What landed later builds on it.
    BuiltOn(Box<ConflictReport>),
}

impl Queue<'_> {
    /// Makes the commit that takes an entry of a landing back, on top of that landing, and sees whether
    /// what has landed until now merges with it; what lands after this meets it in the queue, like any
    /// other commit. The same request gives the same commit.
    ///
    /// # Errors
    /// [`QueueError::NotTheCandidate`] if `landed` has no parent, its parents do not merge, or it is not
    /// on the integration ref any more.
    pub fn undo(&self, request: &UndoRequest) -> Result<UndoEnd, QueueError> {
        let site = self.site()?;
        let landed = &request.landed;
        let wrong = |what| QueueError::NotTheCandidate {
            commit: landed.clone(),
            what,
        };
        let parents = parents(&site, landed)?;
        let (onto, entries) = parents
            .split_first()
            .ok_or_else(|| wrong("it has no parent"))?;
        let date = git_date(request.date);
        let tree = match entries.iter().position(|c| *c == request.commit) {
            Some(at) if entries.len() > 1 => {
                let (before, after) = around(&site, onto, &entries[..=at], &date)?
                    .ok_or_else(|| wrong("its parents do not merge"))?;
                let sides = Sides {
                    base: Some(&after),
                    ours: landed,
                    theirs: &before,
                };
                let merged = merge(&site, sides)?;
                if !merged.clean {
                    let report = report(&site, &merged, sides)?;
                    return Ok(UndoEnd::Conflict(Box::new(report)));
                }
                merged.tree
            }
            // It was the only entry: before it stood what it was made onto.
            Some(_) | None => site.tree_of(onto)?,
        };
        let commit = site.commit_tree(&NewCommit {
            tree: &tree,
            parents: &[landed],
            message: request.message.as_bytes(),
            date: Some(&date),
            sign: request.sign,
            longhaul_author: false,
            author: None,
            encoding: None,
        })?;
        let tip = self.refs(&site)?.tip;
        let tip = tip.ok_or_else(|| wrong("nothing is on the integration ref"))?;
        if !site.is_ancestor(landed, &tip.commit)? {
            return Err(wrong("it is not on the integration ref any more"));
        }
        let sides = between(&tip.commit, &commit);
        let merged = merge(&site, sides)?;
        Ok(if merged.clean {
            UndoEnd::Made(commit)
        } else {
            UndoEnd::BuiltOn(Box::new(report(&site, &merged, sides)?))
        })
    }
}

/// The fold of a landing right before and right after the last of these entries; `None` if they do not
/// merge, so that it was none of ours.
fn around(
    site: &Site<'_>,
    onto: &Oid,
    entries: &[Oid],
    date: &str,
) -> Result<Option<(Oid, Oid)>, GitError> {
    let mut before = onto.clone();
    let mut after = onto.clone();
    for entry in entries {
        before = after;
        let merged = merge(site, between(&before, entry))?;
        if !merged.clean {
            return Ok(None);
        }
        after = site.commit_tree(&NewCommit {
            tree: &merged.tree,
            parents: &[&before, entry],
            message: b"longhaul: a part of a candidate\n",
            date: Some(date),
            sign: false,
            longhaul_author: true,
            author: None,
            encoding: None,
        })?;
    }
    Ok(Some((before, after)))
}

fn parents(site: &Site<'_>, commit: &Oid) -> Result<Vec<Oid>, GitError> {
    let output = site
        .call()
        .args(["rev-list", "--no-walk", "--parents", commit.as_str()])
        .ok()?;
    let line = output.stdout.strip_suffix(b"\n").unwrap_or(&output.stdout);
    let ids = line.split(|b| *b == b' ').skip(1).map(Oid::parse);
    ids.collect::<Result<_, _>>()
        .map_err(|_| output.malformed("a commit with its parents"))
}
