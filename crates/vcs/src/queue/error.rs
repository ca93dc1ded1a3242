//! Why a step of the queue could not be done at all. What becomes of single entries is no error.

use longhaul_core::queue::ConflictReport;

use crate::git::{ErrorClass, GitError};
use crate::oid::Oid;

/// A step of the queue that could not be done.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// A plain folder has no branches.
    #[error("a folder without a repository has no merge queue")]
    Plain,
    /// There is no such branch, or it has no commit.
    #[error("there is no branch `{base}`")]
    NoBase {
        /// Its name.
        base: String,
    },
    /// The user committed on base beside what has landed, or others pushed to it, and the two conflict.
    #[error(
        "what was {} `{base}` conflicts with what has landed: {}",
        if *pushed { "pushed to" } else { "committed on" },
        paths(report)
    )]
    BaseConflicts {
        /// The base branch.
        base: String,
        /// Others pushed it.
        pushed: bool,
        /// Where.
        report: Box<ConflictReport>,
    },
    /// A commit is not what the caller believes it to be. Nothing was moved.
    #[error("commit {} is not the candidate that was checked: {what}", commit.short())]
    NotTheCandidate {
        /// The commit.
        commit: Oid,
        /// What differs.
        what: &'static str,
    },
    /// A run of git failed.
    #[error(transparent)]
    Git(#[from] GitError),
}

/// The first paths of a conflict.
fn paths(report: &ConflictReport) -> String {
    let shown = report.paths.iter().take(3).map(|p| p.path.as_str());
    let mut text = shown.collect::<Vec<_>>().join(", ");
    if report.paths.len() > 3 {
        text.push_str(", …");
    }
    text
}

impl QueueError {
    /// What a person can do, where only a person can help.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Plain | Self::NotTheCandidate { .. } => None,
            Self::NoBase { base } => Some(format!("make a branch `{base}` with a commit on it")),
            Self::BaseConflicts {
                base, pushed: true, ..
            } => Some(format!(
                "merge {UPSTREAM}{base} and {INTEGRATION}{base} into `{base}` by hand and commit",
                UPSTREAM = super::UPSTREAM,
                INTEGRATION = super::INTEGRATION
            )),
            Self::BaseConflicts { base, .. } => Some(format!(
                "merge {INTEGRATION}{base} into `{base}` by hand and commit",
                INTEGRATION = super::INTEGRATION
            )),
            Self::Git(error) => {
                (error.class() == ErrorClass::Permanent).then(|| error.remedy().to_owned())
            }
        }
    }

    /// Whether a repetition can help.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Git(error) => error.class(),
            Self::Plain
            | Self::NoBase { .. }
            | Self::BaseConflicts { .. }
            | Self::NotTheCandidate { .. } => ErrorClass::Permanent,
        }
    }
}
