//! What can go wrong with a store, and whether trying again can help.

use camino::Utf8PathBuf;

/// The error below, whatever engine it came from.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What a caller can do about a [`StoreError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// Nothing was changed (or see [`StoreError::CommitUnknown`]); the same call can succeed later.
    Retryable,
    /// What is stored cannot be trusted. Nothing was changed; a person has to restore a copy.
    Corrupt,
    /// A newer Longhaul wrote it.
    TooNew,
    /// The place or the machine is wrong; a person has to mend it.
    Config,
    /// Longhaul is wrong.
    Bug,
}

/// An operation on a store that did not work. A refused write is not one: see [`crate::Refusal`].
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process held the database for longer than the time a call waits.
    #[error("the database is busy")]
    Busy {
        /// What the engine said.
        source: Cause,
    },
    /// There is no room left (T20). The batch was rolled back.
    #[error("there is no room left for the database")]
    Full {
        /// What the engine said.
        source: Cause,
    },
    /// Reading or writing failed. The batch was rolled back.
    #[error("the database could not be read or written")]
    Io {
        /// What the engine or the system said.
        source: Cause,
    },
    /// The commit itself failed, so the batch may or may not be stored. Ask
    /// [`crate::Store::applied`] for each operation before repeating it.
    #[error("nobody can say whether the commit took place")]
    CommitUnknown {
        /// What the engine said.
        source: Cause,
    },
    /// The file is not a sound database. It was not touched.
    #[error("{path} is damaged")]
    DamagedFile {
        /// The file.
        path: Utf8PathBuf,
        /// What was wrong with it.
        source: Cause,
    },
    /// The engine met damaged data while it worked.
    #[error("the database is damaged")]
    Damaged {
        /// What the engine said.
        source: Cause,
    },
    /// A stored value that no version of Longhaul writes (I1).
    #[error("{table} row {row}: column {column} holds {found}")]
    BadRow {
        /// The table.
        table: &'static str,
        /// The row's key.
        row: String,
        /// The column.
        column: &'static str,
        /// What was found: a short word, or where a longer text stops making sense.
        found: String,
    },
    /// The database was written by a newer Longhaul. Nothing was touched.
    #[error("{path} has schema {found}, but this Longhaul knows schemas up to {known}")]
    TooNew {
        /// The file.
        path: Utf8PathBuf,
        /// Its schema.
        found: u32,
        /// The newest schema this build knows.
        known: u32,
    },
    /// A sound database of another program. It was not touched.
    #[error("{path} is not a Longhaul database")]
    NotOurs {
        /// The file.
        path: Utf8PathBuf,
    },
    /// Another process has this store open for writing (T19).
    #[error("{path} is in use by {}", match pid { Some(pid) => format!("process {pid}"), None => "another process".to_owned() })]
    InUse {
        /// The database.
        path: Utf8PathBuf,
        /// The process that holds it, if it could be read.
        pid: Option<u32>,
    },
    /// Another daemon has begun on this store since: its epoch is the current one (T19). The batch was
    /// rolled back, and no later one of this writer is taken.
    #[error("another daemon has taken over: epoch {found} began after epoch {own}")]
    Superseded {
        /// This writer's epoch.
        own: u64,
        /// The current one.
        found: u64,
    },
    /// The state folder lies on a network file system (T30), where locks and shared memory lie.
    #[error("{path} is on a network file system ({kind})")]
    NetworkFs {
        /// The folder.
        path: Utf8PathBuf,
        /// Which.
        kind: &'static str,
    },
    /// The folder or file may not be read or written.
    #[error("{path} cannot be opened for writing")]
    NoAccess {
        /// The folder or file.
        path: Utf8PathBuf,
        /// What the system said.
        source: Cause,
    },
    /// The engine's library has a defect that loses data.
    #[error("the database library is {found}, but {needed} or newer is needed")]
    LibraryTooOld {
        /// The version in this build.
        found: String,
        /// The oldest one without the defect.
        needed: &'static str,
    },
    /// A query or a value that should not be possible.
    #[error("the store asked its database for something impossible")]
    Bug {
        /// What the engine said.
        source: Cause,
    },
}

impl StoreError {
    /// Whether trying again can help.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Busy { .. }
            | Self::Full { .. }
            | Self::Io { .. }
            | Self::CommitUnknown { .. } => ErrorClass::Retryable,
            Self::DamagedFile { .. } | Self::Damaged { .. } | Self::BadRow { .. } => {
                ErrorClass::Corrupt
            }
            Self::TooNew { .. } => ErrorClass::TooNew,
            Self::NotOurs { .. }
            | Self::InUse { .. }
            | Self::Superseded { .. }
            | Self::NetworkFs { .. }
            | Self::NoAccess { .. }
            | Self::LibraryTooOld { .. } => ErrorClass::Config,
            Self::Bug { .. } => ErrorClass::Bug,
        }
    }

    /// What a person can do about it, in a sentence.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Busy { .. } => "end the program that holds the database, or wait for it",
            Self::Full { .. } => "make room on the disk; work goes on by itself when there is some",
            Self::Io { .. } => {
                "look at the disk and the system's log; the last change was not made"
            }
            Self::CommitUnknown { .. } => {
                "look at the disk and the system's log; Longhaul reads back what was stored"
            }
            Self::DamagedFile { .. } | Self::Damaged { .. } | Self::BadRow { .. } => {
                "keep the file, stop the daemon, and put back a copy: the newest `.bak` beside it or one of your own"
            }
            Self::TooNew { .. } => {
                "install that newer Longhaul again, or put back the `.bak` copy that it made beside the database"
            }
            Self::NotOurs { .. } => "move the file away, or name another state folder",
            Self::InUse { .. } => "stop that process first: `longhaul daemon stop`",
            Self::Superseded { .. } => "this daemon ends; the other one goes on with its work",
            Self::NetworkFs { .. } => {
                "set XDG_STATE_HOME to a folder on a local disk; several machines share a queue through a database server instead"
            }
            Self::NoAccess { .. } => {
                "make the folder writable for this user, or name another state folder"
            }
            Self::LibraryTooOld { .. } => "build Longhaul with its bundled database library",
            Self::Bug { .. } => "please report it, with the output of `longhaul doctor`",
        }
    }
}
