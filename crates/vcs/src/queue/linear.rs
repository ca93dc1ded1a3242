//! Entries that do not land as a merge of their own commits: squashed into one commit, or made anew on
//! the tip. The style decides over the history only; the tree is the merged one (L15).

use longhaul_core::queue::MergeStyle;

use crate::git::GitError;
use crate::merge::{Sides, merge};
use crate::oid::Oid;
use crate::site::{NewCommit, Site};

use super::author::{Words, with_trailers};
use super::integration::Position;
use super::trial::{CandidateCommit, Maker, TrialEntry};

/// A longer branch lands as one commit.
const REPLAYED_MAX: usize = 500;

impl Maker<'_> {
    /// The candidate of an entry that is squashed or rebased, and whose merged tree is known.
    pub(super) fn linear(
        &self,
        onto: &Position,
        at: usize,
        tree: Oid,
    ) -> Result<CandidateCommit, GitError> {
        let entry = &self.request.entries[at];
        let replayed = match entry.style {
            MergeStyle::Rebase => self.replay(onto, entry)?,
            MergeStyle::Merge | MergeStyle::Squash => None,
        };
        let commit = match replayed {
            Some((last, count)) if last.tree == tree && count == 1 => last.commit,
            // Of several, only the last one's tree is checked: the others stay beside the first-parent
            // line of base.
            Some((last, _)) if last.tree == tree => {
                self.candidate(&tree, &[&onto.commit, &last.commit], &[at])?
            }
            Some(_) | None => self.squash(onto, at, &tree)?,
        };
        let entries = vec![at];
        let at = Position { commit, tree };
        Ok(CandidateCommit { at, entries })
    }

    /// One commit by who wrote the entry's last.
    fn squash(&self, onto: &Position, at: usize, tree: &Oid) -> Result<Oid, GitError> {
        let words = Words::of(self.site, &self.request.entries[at].commit)?;
        self.site.commit_tree(&NewCommit {
            message: &self.message(&[at]),
            author: Some(words.author()),
            ..self.plain(tree, &[&onto.commit])
        })
    }

    /// The entry's commits made anew on the tip, and how many they are. `None` if that cannot be done:
    /// there is a merge among them, or one does not apply by itself.
    fn replay(
        &self,
        onto: &Position,
        entry: &TrialEntry,
    ) -> Result<Option<(Position, usize)>, GitError> {
        let Some(range) = plain_range(self.site, &onto.commit, &entry.commit)? else {
            return Ok(None);
        };
        let mut last = onto.clone();
        let mut count = 0;
        for (commit, parent) in range {
            let sides = Sides {
                base: Some(&parent),
                ours: &last.commit,
                theirs: &commit,
            };
            let merged = merge(self.site, sides)?;
            if !merged.clean {
                return Ok(None);
            }
            // What is on the tip already is left out.
            if merged.tree == last.tree {
                continue;
            }
            let words = Words::of(self.site, &commit)?;
            let made = self.site.commit_tree(&NewCommit {
                message: &with_trailers(&words.message, entry.task.as_deref()),
                author: Some(words.author()),
                encoding: words.encoding.as_deref(),
                ..self.plain(&merged.tree, &[&last.commit])
            })?;
            last = Position {
                commit: made,
                tree: merged.tree,
            };
            count += 1;
        }
        Ok((count > 0).then_some((last, count)))
    }
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
