//! A trial: the integration ref is brought up to base, entries are merged onto it on objects, and what
//! merged becomes one candidate (L8, L11; decision 007). The same request gives the same commit, so a
//! repetition after a crash is harmless (I4).

use std::time::Duration;

use longhaul_core::queue::{ConflictPath, ConflictReport, MergeStyle};

use crate::git::GitError;
use crate::merge::{Merged, Sides, hunks, merge};
use crate::oid::Oid;
use crate::site::{NewCommit, Site};

use super::author::with_trailers;
use super::fold::Fold;
use super::integration::{BaseStand, Position};
use super::{Queue, QueueError, git_date, pin_ref, reproduce};

/// The most of a conflict's hunks that are given as text, in bytes.
const HUNKS_LIMIT: usize = 16 << 10;
/// The most paths of a conflict that are listed.
const PATHS_LISTED: usize = 200;

/// How often a trial is begun anew where git failed.
const TRIES: u32 = 4;
/// Wait before that.
const PAUSE: Duration = Duration::from_millis(100);

/// What is tried.
pub struct TrialRequest<'a> {
    /// Names the ref below `refs/longhaul/queue/` that keeps the candidate from git's collection.
    pub pin: String,
    /// In this order.
    pub entries: Vec<TrialEntry>,
    /// Date of what is made, in seconds since 1970; the same when the trial is repeated.
    pub date: u64,
    /// Sign what is made as the user's git config says.
    pub sign: bool,
    /// The message of a candidate that holds the entries at these positions, without trailers. Without
    /// entries: of a merge of what the user committed on base with what has landed.
    pub message: &'a dyn Fn(&[usize]) -> String,
}

/// One entry of a trial.
#[derive(Clone, Debug)]
pub struct TrialEntry {
    /// The commit to land.
    pub commit: Oid,
    /// How it lands. It decides over the history only: the tree is the merged one whatever the style.
    pub style: MergeStyle,
    /// Value of its `Longhaul-Task:` trailer.
    pub task: Option<String>,
    /// Commits of its dependencies that have not landed; it may not bring them along (L21).
    pub unlanded: Vec<Oid>,
}

/// What came of a trial.
#[derive(Clone, Debug)]
#[must_use = "it says what was made and what became of each entry"]
pub struct Trial {
    /// What the integration ref holds now; candidates are made onto it.
    pub tip: Position,
    /// What became of each entry, in the order of the request.
    pub ends: Vec<EntryEnd>,
    /// What was made of those that merged.
    pub candidate: Option<CandidateCommit>,
}

/// A commit that would land if its checks pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CandidateCommit {
    /// It and its tree.
    pub at: Position,
    /// Positions of the entries in it, in the order they were merged. None: it merges what the user
    /// committed on base with what has landed.
    pub entries: Vec<usize>,
}

/// What became of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryEnd {
    /// It is part of the candidate.
    Merged,
    /// Everything of it is on the tip already.
    Contained,
    /// It conflicts with what has landed.
    Conflict(Box<ConflictReport>),
    /// It conflicts with an entry before it.
    Overlaps {
        /// Position of that entry.
        with: usize,
        /// Where.
        report: Box<ConflictReport>,
    },
    /// It holds this commit of a dependency, which has not landed.
    Unlanded {
        /// Position among [`TrialEntry::unlanded`].
        dependency: usize,
    },
    /// It was not tried: a squashed or rebased entry lands alone, and what an entry before it holds
    /// already has to wait for that one.
    Left,
    /// Its commit does not exist any more.
    Gone,
    /// It can never be merged: another history, or objects are missing.
    Refused {
        /// Why.
        detail: String,
    },
}

impl Queue<'_> {
    /// Makes a candidate of the entries that merge, or of base if the user committed on it beside what
    /// has landed. Writes objects, the integration ref (to base's own commit only) and the pin.
    ///
    /// # Errors
    /// [`QueueError`]; what becomes of single entries is told in [`Trial::ends`].
    pub fn trial(&self, request: &TrialRequest<'_>) -> Result<Trial, QueueError> {
        let site = self.site()?;
        let mut again = 0..TRIES;
        loop {
            match self.try_once(&site, request) {
                // Perhaps a `git prune` of the user's took away what was just made and not pinned yet.
                Err(QueueError::Git(GitError::Failed { code: Some(_), .. }))
                    if again.next().is_some() =>
                {
                    std::thread::sleep(PAUSE);
                }
                done => return done,
            }
        }
    }

    fn try_once(&self, site: &Site<'_>, request: &TrialRequest<'_>) -> Result<Trial, QueueError> {
        let (tip, stand) = self.bring_up_in(site)?;
        let maker = Maker {
            site,
            request,
            date: git_date(request.date),
        };
        let (ends, candidate) = match stand {
            BaseStand::Diverged { base, pushed } => {
                let made = maker.merge_base((self.base, pushed), &tip, &base)?;
                (vec![EntryEnd::Left; request.entries.len()], Some(made))
            }
            BaseStand::Even | BaseStand::Behind { .. } => Fold::new(&maker, &tip).run()?,
        };
        if let Some(candidate) = &candidate {
            maker.pin(&candidate.at.commit)?;
            if !is_whole(site, &candidate.at.commit, &tip.commit)? {
                // A ref that misses objects stops every collection of the user's.
                self.unpin(&request.pin)?;
                return Err(missing().into());
            }
        }
        Ok(Trial {
            tip,
            ends,
            candidate,
        })
    }

    /// Lets go of a candidate: git may collect it unless it has landed. Repeating it is harmless.
    ///
    /// # Errors
    /// If git cannot be run.
    pub fn unpin(&self, pin: &str) -> Result<(), QueueError> {
        let site = self.site()?;
        let call = site.call().args(["update-ref", "--no-deref", "-d"]);
        call.arg(pin_ref(pin)).ok()?;
        Ok(())
    }
}

/// Whether every object that a commit has and another has not is there. A collection that began before
/// the commit was pinned may have taken some.
pub(super) fn is_whole(site: &Site<'_>, commit: &Oid, beside: &Oid) -> Result<bool, GitError> {
    let output = site
        .call()
        .args(["rev-list", "--quiet", "--objects", commit.as_str()])
        .arg(format!("^{beside}"))
        .output()?;
    match output.code {
        Some(0) => Ok(true),
        Some(_) => Ok(false),
        None => Err(output.failure()),
    }
}

fn missing() -> GitError {
    GitError::Failed {
        command: "rev-list".to_owned(),
        code: Some(128),
        stderr: "objects of the candidate were collected as it was made".to_owned(),
    }
}

/// Makes the commits of one trial.
pub(super) struct Maker<'a> {
    pub(super) site: &'a Site<'a>,
    pub(super) request: &'a TrialRequest<'a>,
    pub(super) date: String,
}

impl Maker<'_> {
    /// The commit of the caller's words for these entries.
    pub(super) fn candidate(
        &self,
        tree: &Oid,
        parents: &[&Oid],
        entries: &[usize],
    ) -> Result<Oid, GitError> {
        self.site.commit_tree(&NewCommit {
            message: &self.message(entries),
            ..self.plain(tree, parents)
        })
    }

    /// The caller's message for these entries, with trailers.
    pub(super) fn message(&self, entries: &[usize]) -> Vec<u8> {
        let message = (self.request.message)(entries);
        let task = |at: &usize| self.request.entries[*at].task.as_deref();
        with_trailers(message.as_bytes(), entries.iter().filter_map(task))
    }

    /// A commit of this trial's date.
    pub(super) fn plain<'c>(&'c self, tree: &'c Oid, parents: &'c [&'c Oid]) -> NewCommit<'c> {
        NewCommit {
            tree,
            parents,
            message: b"",
            date: Some(&self.date),
            sign: self.request.sign,
            longhaul_author: false,
            author: None,
            encoding: None,
        }
    }

    /// What the user committed on base, or others pushed to it, merged with what has landed.
    fn merge_base(
        &self,
        (name, pushed): (&str, bool),
        tip: &Position,
        base: &Position,
    ) -> Result<CandidateCommit, QueueError> {
        let sides = Sides {
            base: None,
            ours: &tip.commit,
            theirs: &base.commit,
        };
        let merged = merge(self.site, sides)?;
        if !merged.clean {
            let report = Box::new(report(self.site, &merged, sides)?);
            let base = name.to_owned();
            return Err(QueueError::BaseConflicts {
                base,
                pushed,
                report,
            });
        }
        let commit = self.candidate(&merged.tree, &[&tip.commit, &base.commit], &[])?;
        let at = Position {
            commit,
            tree: merged.tree,
        };
        let entries = Vec::new();
        Ok(CandidateCommit { at, entries })
    }

    fn pin(&self, commit: &Oid) -> Result<(), GitError> {
        self.site
            .call()
            .args(["update-ref", "--no-deref", "-m", "longhaul: candidate"])
            .args([&pin_ref(&self.request.pin), commit.as_str()])
            .ok()?;
        Ok(())
    }
}

/// A conflict in the words of the queue; `others` is the caller's to fill in.
pub(crate) fn report(
    site: &Site<'_>,
    merged: &Merged,
    sides: Sides<'_>,
) -> Result<ConflictReport, GitError> {
    let path = |c: &crate::merge::Conflict| ConflictPath {
        path: c.path.to_string(),
        kind: c.kind,
    };
    Ok(ConflictReport {
        paths: merged
            .conflicts
            .iter()
            .take(PATHS_LISTED)
            .map(path)
            .collect(),
        hunks: hunks(site, merged, HUNKS_LIMIT)?,
        others: Vec::new(),
        reproduce: reproduce(sides.ours, sides.theirs),
    })
}
