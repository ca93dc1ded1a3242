//! What can go wrong when git itself is run. Not what a wrong repository means: see `repo`.

use std::io::ErrorKind;
use std::time::Duration;

/// Tells a caller what repeating the same thing can bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// The same call may succeed later: a lock, a time limit, a full disk.
    Transient,
    /// The same call fails again until something is changed.
    Permanent,
}

/// A run of git that gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The program could not be started.
    #[error("cannot start `{program}`")]
    Spawn {
        /// The program as configured.
        program: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The pipes of the child broke.
    #[error("cannot talk to `git {command}`")]
    Pipe {
        /// The subcommand.
        command: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It ran out of time and was killed together with its process group.
    #[error("`git {command}` took longer than {limit:?} and was stopped")]
    TimedOut {
        /// The subcommand.
        command: String,
        /// The limit that was passed.
        limit: Duration,
    },
    /// It ended with a code that means failure for this call, or by a signal.
    #[error("`git {command}` failed ({}): {stderr}", code.map_or_else(|| "killed".to_owned(), |c| format!("exit {c}")))]
    Failed {
        /// The subcommand.
        command: String,
        /// Exit code; none if a signal ended it.
        code: Option<i32>,
        /// The tail of what it said, for people only; control characters removed.
        stderr: String,
    },
    /// It printed more than the call allows (I16).
    #[error("`git {command}` printed more than {limit} bytes")]
    TooMuch {
        /// The subcommand.
        command: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// Its output has not the promised form.
    #[error("`git {command}` printed something else than {expected}")]
    Malformed {
        /// The subcommand.
        command: String,
        /// What was expected.
        expected: &'static str,
    },
    /// The program is too old.
    #[error("git {found} is too old: Longhaul needs git 2.40 or newer")]
    TooOld {
        /// The version found.
        found: String,
    },
    /// A file of git's is locked by a live process, or by one that cannot be told dead.
    #[error("`{path}` is held by another git process")]
    Locked {
        /// The lock file.
        path: String,
    },
    /// A file of ours or git's could not be read or written.
    #[error("cannot {action} `{path}`")]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl GitError {
    pub(crate) fn file(
        action: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = crate::path::RepoPath::from(path).to_string();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }

    /// Whether it failed for want of disk space: blocks, inodes or the user's share of them.
    #[must_use]
    pub fn lacks_room(&self) -> bool {
        match self {
            Self::Spawn { source, .. } | Self::Pipe { source, .. } | Self::File { source, .. } => {
                matches!(
                    source.kind(),
                    ErrorKind::StorageFull | ErrorKind::QuotaExceeded
                )
            }
            // The one line of the system's own that git hands on; with LC_ALL=C it is this one.
            Self::Failed { stderr, .. } => stderr.contains("No space left on device"),
            Self::TimedOut { .. }
            | Self::TooMuch { .. }
            | Self::Malformed { .. }
            | Self::TooOld { .. }
            | Self::Locked { .. } => false,
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            _ if self.lacks_room() => "make room on that disk, then `longhaul retry`",
            Self::File { .. } => "see who owns that file and what its folder allows",
            Self::Locked { .. } => "end that git process, or remove the lock file if there is none",
            Self::TooOld { .. } => "install git 2.40 or newer",
            _ => "see what git said",
        }
    }

    /// Whether a repetition can help.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            _ if self.lacks_room() => ErrorClass::Transient,
            // What is gone does not come back by looking again.
            Self::File { source, .. } if source.kind() == ErrorKind::NotFound => {
                ErrorClass::Permanent
            }
            Self::TimedOut { .. } | Self::Locked { .. } | Self::Pipe { .. } | Self::File { .. } => {
                ErrorClass::Transient
            }
            Self::Failed { code, .. } if code.is_none() => ErrorClass::Transient,
            // No process, no descriptor, no memory now: not so for good.
            Self::Spawn { source, .. }
                if !matches!(
                    source.kind(),
                    ErrorKind::NotFound | ErrorKind::PermissionDenied
                ) =>
            {
                ErrorClass::Transient
            }
            Self::Spawn { .. }
            | Self::Failed { .. }
            | Self::TooMuch { .. }
            | Self::Malformed { .. }
            | Self::TooOld { .. } => ErrorClass::Permanent,
        }
    }
}
