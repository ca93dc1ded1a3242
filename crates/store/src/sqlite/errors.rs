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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorClass;
    use rusqlite::ffi;

    fn failure(code: i32) -> Error {
        Error::SqliteFailure(ffi::Error::new(code), None)
    }

    #[test]
    fn t20_result_codes_have_a_class() {
        let class = |code| StoreError::from(failure(code)).class();
        assert_eq!(class(ffi::SQLITE_FULL), ErrorClass::Retryable);
        assert_eq!(class(ffi::SQLITE_BUSY), ErrorClass::Retryable);
        assert_eq!(class(ffi::SQLITE_IOERR_WRITE), ErrorClass::Retryable);
        assert_eq!(class(ffi::SQLITE_CORRUPT_VTAB), ErrorClass::Corrupt);
        assert_eq!(class(ffi::SQLITE_CONSTRAINT), ErrorClass::Bug);
        let read_only = while_opening("x".into())(failure(ffi::SQLITE_READONLY));
        assert_eq!(read_only.class(), ErrorClass::Config);
        let not_one = while_opening("x".into())(failure(ffi::SQLITE_NOTADB));
        assert!(matches!(not_one, StoreError::DamagedFile { .. }));
    }

    #[test]
    fn a_failed_flush_of_a_commit_is_of_unknown_outcome() {
        let unknown = of_commit(failure(ffi::SQLITE_IOERR_FSYNC));
        assert!(matches!(unknown, StoreError::CommitUnknown { .. }));
        assert!(matches!(
            of_commit(failure(ffi::SQLITE_FULL)),
            StoreError::Full { .. }
        ));
    }
}
