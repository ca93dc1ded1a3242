//! Entries that do not land as a merge of their own commits: squashed into one commit, or made anew on
//! the tip. The style decides over the history only; the tree is the merged one (L15).

use longhaul_core::queue::MergeStyle;

use crate::git::GitError;
use crate::oid::Oid;
use crate::replay::{Replay, replay};
use crate::site::NewCommit;

use super::author::{Words, with_trailers};
use super::integration::Position;
use super::trial::{CandidateCommit, Maker, TrialEntry};

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
        let make = |words: &Words, tree: &Oid, parent: &Oid| {
            self.site.commit_tree(&NewCommit {
                message: &with_trailers(&words.message, entry.task.as_deref()),
                author: Some(words.author()),
                encoding: words.encoding.as_deref(),
                ..self.plain(tree, &[parent])
            })
        };
        Ok(match replay(self.site, onto, &entry.commit, make)? {
            Replay::Done { at, count } => Some((at, count)),
            Replay::Contained | Replay::NotPlain | Replay::Conflict { .. } => None,
        })
    }
}
