//! The integration ref: what has landed. It is made at base, goes along with what the user commits on
//! base, and is otherwise moved only by landings (L8).

use crate::git::GitError;
use crate::oid::Oid;
use crate::site::Site;

use super::{Queue, QueueError};

/// A commit with its tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The commit.
    pub commit: Oid,
    /// Its tree.
    pub tree: Oid,
}

/// Where the base branch and what has landed stand to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BaseStand {
    /// Both hold the same commit.
    Even,
    /// Base has not followed yet.
    Behind {
        /// Base's commit.
        base: Oid,
    },
    /// The user committed on base beside what has landed, or others pushed to the branch that it is
    /// pushed to.
    Diverged {
        /// Base's commit, or theirs.
        base: Position,
        /// It is theirs.
        pushed: bool,
    },
}

/// The refs of a queue.
pub(super) struct Refs {
    pub(super) base: Option<Position>,
    pub(super) tip: Option<Position>,
    /// What the branch that base is pushed to was last seen to hold.
    pub(super) upstream: Option<Position>,
}

/// How taking over what others committed ended; with what has landed then.
enum TakeOver {
    Done(Position),
    Diverged(Position),
    /// The integration ref moved in between.
    Raced,
}

impl Queue<'_> {
    /// What has landed, if the queue was ever used.
    ///
    /// # Errors
    /// If git cannot be run.
    pub fn tip(&self) -> Result<Option<Position>, QueueError> {
        Ok(self.refs(&self.site()?)?.tip)
    }

    /// What a trial would be made on now, as far as reading tells: the integration ref, or base where
    /// that is ahead of it or nothing has landed yet.
    ///
    /// # Errors
    /// [`QueueError::NoBase`], or if git cannot be run.
    pub fn onto(&self) -> Result<Position, QueueError> {
        let site = self.site()?;
        let Refs { base, tip, .. } = self.refs(&site)?;
        let base = base.ok_or_else(|| QueueError::NoBase {
            base: self.base.to_owned(),
        })?;
        Ok(match tip {
            Some(tip) if site.is_ancestor(&tip.commit, &base.commit)? => base,
            Some(tip) => tip,
            None => base,
        })
    }

    /// Makes the integration ref if there is none, and lets it take over what the user committed on
    /// base if nothing else has landed since. Repeating it is harmless.
    ///
    /// # Errors
    /// [`QueueError::NoBase`], or if git cannot be run.
    pub fn bring_up(&self) -> Result<(Position, BaseStand), QueueError> {
        self.bring_up_in(&self.site()?)
    }

    pub(super) fn site(&self) -> Result<Site<'_>, QueueError> {
        if self.repo.is_plain() {
            return Err(QueueError::Plain);
        }
        Ok(self.repo.objects()?)
    }

    pub(super) fn bring_up_in(&self, site: &Site<'_>) -> Result<(Position, BaseStand), QueueError> {
        loop {
            let Refs {
                base,
                tip,
                upstream,
            } = self.refs(site)?;
            let base = base.ok_or_else(|| QueueError::NoBase {
                base: self.base.to_owned(),
            })?;
            let why = "longhaul: take over the base branch";
            let tip = match self.take_over(site, tip.as_ref(), &base, why)? {
                TakeOver::Done(tip) => tip,
                TakeOver::Raced => continue,
                TakeOver::Diverged(tip) => {
                    let pushed = false;
                    return Ok((tip, BaseStand::Diverged { base, pushed }));
                }
            };
            let why = "longhaul: take over what was pushed";
            let tip = match &upstream {
                None => tip,
                Some(theirs) => match self.take_over(site, Some(&tip), theirs, why)? {
                    TakeOver::Done(tip) => tip,
                    TakeOver::Raced => continue,
                    TakeOver::Diverged(tip) => {
                        let (base, pushed) = (theirs.clone(), true);
                        return Ok((tip, BaseStand::Diverged { base, pushed }));
                    }
                },
            };
            let stand = if tip.commit == base.commit {
                BaseStand::Even
            } else {
                BaseStand::Behind { base: base.commit }
            };
            return Ok((tip, stand));
        }
    }

    /// Moves the integration ref to what others committed, if nothing else has landed since.
    fn take_over(
        &self,
        site: &Site<'_>,
        tip: Option<&Position>,
        theirs: &Position,
        why: &str,
    ) -> Result<TakeOver, GitError> {
        if let Some(tip) = tip {
            if tip.commit == theirs.commit || site.is_ancestor(&theirs.commit, &tip.commit)? {
                return Ok(TakeOver::Done(tip.clone()));
            }
            if !site.is_ancestor(&tip.commit, &theirs.commit)? {
                return Ok(TakeOver::Diverged(tip.clone()));
            }
        }
        let from = tip.map(|tip| &tip.commit);
        Ok(
            if site.move_ref(&self.integration_ref(), &theirs.commit, from, why)? {
                TakeOver::Done(theirs.clone())
            } else {
                TakeOver::Raced
            },
        )
    }

    pub(super) fn refs(&self, site: &Site<'_>) -> Result<Refs, GitError> {
        let (base, tip) = (self.base_ref(), self.integration_ref());
        let upstream = self.upstream_ref();
        let listing = site
            .call()
            .args([
                "for-each-ref",
                "--format=%(refname)%00%(objectname)%00%(tree)",
                &base,
                &tip,
                &upstream,
            ])
            .ok()?;
        let mut refs = Refs {
            base: None,
            tip: None,
            upstream: None,
        };
        for line in listing.stdout.split(|b| *b == b'\n') {
            let mut fields = line.split(|b| *b == 0);
            let (Some(name), Some(commit), Some(tree)) =
                (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            let (Ok(commit), Ok(tree)) = (Oid::parse(commit), Oid::parse(tree)) else {
                continue;
            };
            let position = Some(Position { commit, tree });
            if name == base.as_bytes() {
                refs.base = position;
            } else if name == tip.as_bytes() {
                refs.tip = position;
            } else if name == upstream.as_bytes() {
                refs.upstream = position;
            }
        }
        Ok(refs)
    }
}
