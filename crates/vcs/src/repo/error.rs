//! Why a folder is no usable repository, or has nothing to start from; each with its remedy (T30).

use crate::git::{ErrorClass, GitError};
use crate::oid::Oid;

/// Why a folder cannot be used as a repository. Each has a [`OpenError::remedy`].
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder does not exist or cannot be entered.
    #[error("cannot enter `{path}`")]
    NoFolder {
        /// The folder.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// No git repository here or above.
    #[error("`{path}` is not in a git repository")]
    NotARepository {
        /// The folder.
        path: String,
    },
    /// git refuses because the repository belongs to somebody else (`safe.directory`).
    #[error("git does not trust `{path}`: it belongs to another user")]
    OtherOwner {
        /// The folder that holds `.git`.
        path: String,
    },
    /// A repository without a work tree.
    #[error("`{path}` is a bare repository")]
    Bare {
        /// The repository.
        path: String,
    },
    /// `core.worktree` points away from the folder that was named.
    #[error("`{path}` has its files elsewhere: core.worktree points away")]
    Redirected {
        /// The folder that was named.
        path: String,
    },
    /// A run of git failed.
    #[error(transparent)]
    Git(#[from] GitError),
}

impl OpenError {
    /// What the user can do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::NoFolder { .. } => "check the path".into(),
            Self::NotARepository { .. } => {
                "run `git init` and make a first commit, or use workspace = \"in-place\"".into()
            }
            Self::OtherOwner { path } => {
                format!("if you trust it: git config --global --add safe.directory '{path}'")
            }
            Self::Bare { .. } => "name a clone that has a work tree".into(),
            Self::Redirected { .. } => {
                "name the folder that core.worktree points to, or unset it".into()
            }
            Self::Git(error) => error.remedy().into(),
        }
    }

    /// Whether a repetition can help.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Git(error) => error.class(),
            Self::NoFolder { .. }
            | Self::NotARepository { .. }
            | Self::OtherOwner { .. }
            | Self::Bare { .. }
            | Self::Redirected { .. } => ErrorClass::Permanent,
        }
    }
}

/// Why there is no commit to start from.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The repository has no commit yet.
    #[error("the branch `{branch}` has no commit yet")]
    Unborn {
        /// The branch that HEAD names.
        branch: String,
    },
    /// No branch is checked out, and no base was named.
    #[error("no branch is checked out (HEAD is detached at {at})")]
    Detached {
        /// Where HEAD stands.
        at: Oid,
    },
    /// HEAD is unreadable.
    #[error("HEAD of the repository cannot be read")]
    BrokenHead,
    /// The named base does not exist.
    #[error("there is no branch or commit `{revision}`")]
    NoSuchRevision {
        /// What was named.
        revision: String,
    },
    /// A run of git failed.
    #[error(transparent)]
    Git(#[from] GitError),
}

impl StartError {
    /// What the user can do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Unborn { .. } => "make a first commit: git commit --allow-empty -m 'Start'",
            Self::Detached { .. } => "check a branch out, or name one with base = \"BRANCH\"",
            Self::BrokenHead => "run `git fsck`, then `git switch` to a branch",
            Self::NoSuchRevision { .. } => "name an existing branch in base = \"BRANCH\"",
            Self::Git(error) => error.remedy(),
        }
    }
}
