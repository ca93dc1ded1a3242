//! The git side of a line of the merge queue (landing.md L8–L18, decision 007): candidates made on
//! objects, landed by compare-and-swap on a ref of the queue's own. What is tried, when and in which
//! order is `longhaul_core::queue`'s to say; the user's checkout is written only by `follow`.

mod advance;
mod author;
mod checkout;
mod error;
mod fold;
mod follow;
mod integration;
mod land;
mod linear;
mod predict;
mod push;
mod recover;
mod slot;
mod trial;
mod undo;

use crate::oid::Oid;
use crate::repo::Repo;

pub(crate) use author::Words;
pub use error::QueueError;
pub use follow::{AdvanceCheckout, FollowIntent, FollowPlan, FollowRecovery};
pub use integration::{BaseStand, Position};
pub use land::LandEnd;
pub use predict::{HeadVerdict, Matrix, PairConflict, Predictor, Work, WorkPlace};
pub use push::{PublishEnd, PushEnd};
pub use slot::{Slot, SlotError, SlotPlan};
pub(crate) use trial::report as conflict_report;
pub use trial::{CandidateCommit, EntryEnd, Trial, TrialEntry, TrialRequest};
pub use undo::{UndoEnd, UndoRequest};

/// Candidates are kept from git's collection under this.
const PINS: &str = "refs/longhaul/queue/";
/// What has landed, by base branch.
const INTEGRATION: &str = "refs/longhaul/integration/";

/// What the branches that base branches are pushed to were last seen to hold.
const UPSTREAM: &str = "refs/longhaul/upstream/";

/// What was found where a task's branch was to be pushed.
const FOUND: &str = "refs/longhaul/found/";

/// The queue of one base branch of a repository.
#[derive(Clone, Copy, Debug)]
pub struct Queue<'r> {
    repo: &'r Repo,
    base: &'r str,
}

impl Repo {
    /// The queue of a base branch, named without `refs/heads/`.
    #[must_use]
    pub const fn queue<'r>(&'r self, base: &'r str) -> Queue<'r> {
        Queue { repo: self, base }
    }
}

impl Queue<'_> {
    /// Full name of the ref that says what has landed.
    #[must_use]
    pub fn integration_ref(&self) -> String {
        format!("{INTEGRATION}{}", self.base)
    }

    /// Full name of the ref that says what the branch held, when it was last seen, that base is pushed
    /// to.
    #[must_use]
    pub fn upstream_ref(&self) -> String {
        format!("{UPSTREAM}{}", self.base)
    }

    /// Full name of the base branch.
    #[must_use]
    pub fn base_ref(&self) -> String {
        format!("refs/heads/{}", self.base)
    }
}

/// Full name of the ref that keeps a candidate.
fn pin_ref(pin: &str) -> String {
    format!("{PINS}{pin}")
}

/// A date as git takes it.
fn git_date(seconds: u64) -> String {
    format!("@{seconds} +0000")
}

/// The command with which a person sees a conflict again.
fn reproduce(ours: &Oid, theirs: &Oid) -> String {
    format!("git merge-tree --write-tree {ours} {theirs}")
}

/// What the queue reads of git's output, for the fuzz targets.
#[cfg(feature = "fuzzing")]
pub(crate) fn read_anything(data: &[u8]) {
    for record in follow::records(data) {
        assert!(record.iter().all(|field| !field.is_empty()));
    }
    if let Some(words) = author::Words::parse(data) {
        let author = words.author();
        assert!(!author.name.is_empty() && !author.email.is_empty());
    }
    let tasks = ["one", "two\nthree"];
    let once = author::with_trailers(data, tasks);
    assert_eq!(
        author::with_trailers(&once, tasks),
        once,
        "trailers are added once"
    );
    let mut fields = data.splitn(2, |b| *b == 0);
    if let (Some(record), Some(path)) = (fields.next(), fields.next())
        && let Some(change) = checkout::parse_change(record, crate::RepoPath::from_bytes(path))
    {
        assert_eq!(change.path.as_bytes(), path);
    }
}
