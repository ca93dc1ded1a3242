//! What can go wrong when git itself is run. Not what a wrong repository means: see `repo`.

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

    /// Whether a repetition can help.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::TimedOut { .. } | Self::Locked { .. } | Self::Pipe { .. } | Self::File { .. } => {
                ErrorClass::Transient
            }
            Self::Failed { code, .. } if code.is_none() => ErrorClass::Transient,
            Self::Spawn { .. }
            | Self::Failed { .. }
            | Self::TooMuch { .. }
            | Self::Malformed { .. }
            | Self::TooOld { .. } => ErrorClass::Permanent,
        }
    }
}
