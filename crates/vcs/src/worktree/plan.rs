//! What a worktree shall be, what was made of it, and why it could not be made. Values only.

use std::path::PathBuf;

use crate::git::{ErrorClass, GitError};
use crate::oid::Oid;

/// A worktree that shall exist.
#[derive(Clone, Debug)]
pub struct WorkspacePlan {
    /// Where; absolute. The parent folders are made.
    pub path: PathBuf,
    /// Its branch, without `refs/heads/`.
    pub branch: String,
    /// The pinned commit to start from.
    pub base: Oid,
    /// Why it is locked against `git worktree prune` and `remove`.
    pub lock_reason: String,
    /// If the folder is gone: the snapshot whose files are to be put back. Without one the branch's
    /// tip is checked out.
    pub restore: Option<Oid>,
}

/// How a worktree came to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// New, or an unfinished making was finished.
    New,
    /// It was there, registered with git or not; its files were not touched.
    Existing,
    /// Its folder was gone and was made again at the same path (T30).
    Recreated,
}

/// A worktree of ours that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worktree {
    /// Its top folder, as planned.
    pub path: PathBuf,
    /// git's admin folder for it.
    pub git_dir: PathBuf,
    /// The task's branch, without `refs/heads/`. The session may stand elsewhere.
    pub branch: String,
}

/// The answer of [`crate::Repo::ensure_worktree`].
#[derive(Clone, Debug)]
pub struct Ensured {
    /// The worktree.
    pub worktree: Worktree,
    /// How it came to be.
    pub made: Made,
    /// Oddities that do not stop the work but belong in `show`.
    pub notes: Vec<Note>,
}

/// An oddity of a worktree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// Files that are LFS pointers because no LFS program of the user's own is there to fetch them.
    LfsPointers {
        /// How many.
        files: usize,
    },
    /// Submodules are not filled by git; `setup` can run `git submodule update --init`.
    Submodules {
        /// How many.
        count: usize,
    },
    /// History is cut: merges with far bases may fail.
    Shallow,
    /// The `.git` file was missing or wrong, and was written again.
    LinkRepaired,
    /// `.git` is a folder or link now: a session made a repository of the worktree. Left alone.
    LinkReplaced,
    /// git's admin folder was changed in a way that git does not do.
    AdminTampered {
        /// What was seen.
        what: &'static str,
    },
}

/// Why a worktree cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum EnsureError {
    /// Not a name that git allows for a branch.
    #[error("`{branch}` is not a valid branch name")]
    BadBranchName {
        /// The name.
        branch: String,
    },
    /// A branch has the name of a folder of the wanted branch, so git cannot keep both (T30).
    #[error("the branch `{existing}` stands in the way of `{wanted}`")]
    BranchBlocksPrefix {
        /// The branch in the way, for example `longhaul`.
        existing: String,
        /// The wanted branch.
        wanted: String,
    },
    /// The branch exists and is not ours.
    #[error("the branch `{branch}` exists at {at} and was not made by Longhaul for this workspace")]
    ForeignBranch {
        /// The branch.
        branch: String,
        /// Its tip.
        at: Oid,
    },
    /// Something is at the path that Longhaul did not put there.
    #[error("`{path}` exists and is not a workspace of Longhaul")]
    ForeignFolder {
        /// The path.
        path: String,
    },
    /// The path holds a workspace for another branch.
    #[error("`{path}` is the workspace of the branch `{branch}`")]
    OtherBranch {
        /// The path.
        path: String,
        /// Its branch.
        branch: String,
    },
    /// The commit to start from is not in the repository.
    #[error("the base commit {base} does not exist")]
    NoBase {
        /// The commit.
        base: Oid,
    },
    /// The files could not be written; the worktree stays registered and the next try goes on.
    #[error("cannot check the files out")]
    Checkout {
        /// Why.
        #[source]
        source: GitError,
    },
    /// A plain folder has no worktrees.
    #[error("a folder without a repository has no worktrees")]
    Plain,
    /// A run of git failed.
    #[error(transparent)]
    Git(#[from] GitError),
}

impl EnsureError {
    /// Whether a repetition can help.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Git(error) | Self::Checkout { source: error } => error.class(),
            Self::BadBranchName { .. }
            | Self::BranchBlocksPrefix { .. }
            | Self::ForeignBranch { .. }
            | Self::ForeignFolder { .. }
            | Self::OtherBranch { .. }
            | Self::NoBase { .. }
            | Self::Plain => ErrorClass::Permanent,
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::BadBranchName { .. } => "choose another branch prefix in the config".into(),
            Self::BranchBlocksPrefix { existing, .. } => format!(
                "rename it (git branch -m {existing} {existing}-old) or set another branch prefix"
            ),
            Self::ForeignBranch { branch, .. } => {
                format!("rename or delete it: git branch -m {branch} NEW-NAME")
            }
            Self::ForeignFolder { path } | Self::OtherBranch { path, .. } => {
                format!("move `{path}` away")
            }
            Self::NoBase { .. } => "fetch it, or name another base".into(),
            Self::Checkout { source } if source.lacks_room() => source.remedy().into(),
            Self::Checkout { .. } => {
                "see what git said; disk space and LFS are usual causes".into()
            }
            Self::Plain => "use workspace = \"in-place\"".into(),
            Self::Git(error) => error.remedy().into(),
        }
    }
}
