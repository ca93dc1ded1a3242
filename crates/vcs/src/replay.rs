//! Commits made anew on another tip, on objects alone: what a rebase makes. Nothing is checked out.

use crate::git::GitError;
use crate::merge::{Merged, Sides, merge};
use crate::oid::Oid;
use crate::queue::{Position, Words};
use crate::site::Site;

/// Of a longer branch nothing is made anew.
const REPLAYED_MAX: usize = 500;

/// What came of it.
pub(crate) enum Replay {
    /// The last commit made, and how many there are.
    Done { at: Position, count: usize },
    /// The tip holds all of it already.
    Contained,
    /// There is a merge or a root among the commits, or there are too many.
    NotPlain,
    /// This commit does not apply by itself.
    Conflict { commit: Oid, merged: Merged },
}

/// Makes the commits that `commit` has and `onto` has not anew on `onto`, oldest first, each by `make` from
/// its words, its new tree and its new parent. One that `onto` holds by content is left out.
pub(crate) fn replay(
    site: &Site<'_>,
    onto: &Position,
    commit: &Oid,
    make: impl Fn(&Words, &Oid, &Oid) -> Result<Oid, GitError>,
) -> Result<Replay, GitError> {
    let Some(range) = plain_range(site, &onto.commit, commit)? else {
        return Ok(Replay::NotPlain);
    };
    let mut at = onto.clone();
    let mut count = 0;
    for (commit, parent) in range {
        let sides = Sides {
            base: Some(&parent),
            ours: &at.commit,
            theirs: &commit,
        };
        let merged = merge(site, sides)?;
        if !merged.clean {
            return Ok(Replay::Conflict { commit, merged });
        }
        if merged.tree == at.tree {
            continue;
        }
        at = Position {
            commit: make(&Words::of(site, &commit)?, &merged.tree, &at.commit)?,
            tree: merged.tree,
        };
        count += 1;
    }
    Ok(if count > 0 {
        Replay::Done { at, count }
    } else {
        Replay::Contained
    })
}

/// The commits that `commit` has and `onto` has not, oldest first, each with its parent; `None` if there
/// is a merge or a root among them, or too many.
fn plain_range(
    site: &Site<'_>,
    onto: &Oid,
    commit: &Oid,
) -> Result<Option<Vec<(Oid, Oid)>>, GitError> {
    let output = site
        .call()
        .args(["rev-list", "--reverse", "--topo-order", "--parents"])
        .arg(commit.as_str())
        .arg(format!("^{onto}"))
        .ok()?;
    let mut range = Vec::new();
    for line in output
        .stdout
        .split(|b| *b == b'\n')
        .filter(|l| !l.is_empty())
    {
        let mut ids = line.split(|b| *b == b' ').map(Oid::parse);
        match (ids.next(), ids.next(), ids.next()) {
            (Some(Ok(commit)), Some(Ok(parent)), None) => range.push((commit, parent)),
            (Some(Ok(_)), _, _) => return Ok(None),
            _ => return Err(output.malformed("commits with their parents")),
        }
    }
    Ok((range.len() <= REPLAYED_MAX).then_some(range))
}
