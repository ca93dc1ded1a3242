//! What SQLite's result codes mean to a caller.

use camino::Utf8Path;
use rusqlite::{Error, ErrorCode};

use crate::error::StoreError;

impl From<Error> for StoreError {
    fn from(e: Error) -> Self {
        let code = e.sqlite_error_code();
        let source = e.into();
        match code {
            Some(
                ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::FileLockingProtocolFailed,
            ) => Self::Busy { source },
            Some(ErrorCode::DiskFull) => Self::Full { source },
            Some(
                ErrorCode::SystemIoFailure
                | ErrorCode::OutOfMemory
                | ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
                | ErrorCode::PermissionDenied,
            ) => Self::Io { source },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged { source },
            _ => Self::Bug { source },
        }
    }
}

/// The same while a database is being opened, when the file itself is in question.
pub(super) fn while_opening(path: &Utf8Path) -> impl Fn(Error) -> StoreError {
    move |e| {
        let code = e.sqlite_error_code();
        let path = path.to_owned();
        match code {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::DamagedFile {
                path,
                source: e.into(),
            },
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                StoreError::NoAccess {
                    path,
                    source: e.into(),
                }
            }
            _ => e.into(),
        }
    }
}

/// The error of a failed COMMIT: a full disk and a busy database are seen before anything is durable;
/// of everything else nobody can say.
pub(super) fn of_commit(e: Error) -> StoreError {
    match StoreError::from(e) {
        StoreError::Io { source } => StoreError::CommitUnknown { source },
        other => other,
    }
}
