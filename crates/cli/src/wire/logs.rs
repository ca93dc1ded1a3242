//! The logs of attempts, read from their bundles: the session's, or where none was started because
//! `setup` failed, the set-up's.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_api::LogStream;
use longhaul_core::ids::{Fence, SpawnKey, TaskId};
use longhaul_hosts::{Bundle, BundleState, JobLog, LogRead, Stream};
use longhaul_server::{LogPiece, LogSource};

/// The bundles below a state folder.
pub(super) struct Bundles {
    jobs: Utf8PathBuf,
}

impl Bundles {
    pub(super) fn new(state: &Utf8Path) -> Self {
        Self {
            jobs: state.join("jobs"),
        }
    }

    fn log(&self, task: TaskId, fence: Fence, stream: LogStream) -> JobLog {
        of_attempt(&self.jobs, task, fence, stream)
    }
}

/// The log of an attempt. A set-up writes both streams into one.
pub(crate) fn of_attempt(jobs: &Utf8Path, task: TaskId, fence: Fence, stream: LogStream) -> JobLog {
    let (key, stream) = match stream {
        _ if is_of_setup(jobs, task, fence) => (SpawnKey::setup(task, fence), Stream::Out),
        LogStream::Out => (SpawnKey::session(task, fence), Stream::Out),
        LogStream::Err => (SpawnKey::session(task, fence), Stream::Err),
    };
    JobLog::new(jobs.join(key.as_str()).as_std_path(), stream)
}

/// Whether the attempt came no further than a `setup` that failed: no session follows that one.
pub(crate) fn is_of_setup(jobs: &Utf8Path, task: TaskId, fence: Fence) -> bool {
    if jobs.join(SpawnKey::session(task, fence).as_str()).exists() {
        return false;
    }
    let setup = Bundle::new(jobs.as_std_path(), SpawnKey::setup(task, fence).as_str());
    setup.is_ok_and(
        |bundle| matches!(bundle.survey(), Ok(BundleState::Exited(record)) if !record.is_zero()),
    )
}

impl LogSource for Bundles {
    fn read_at(
        &self,
        task: TaskId,
        fence: Fence,
        stream: LogStream,
        offset: u64,
        buffer: &mut [u8],
    ) -> io::Result<LogPiece> {
        match self.log(task, fence, stream).read_at(offset, buffer) {
            Ok(LogRead::Bytes(0) | LogRead::End) => Ok(LogPiece::End),
            Ok(LogRead::Bytes(n)) => Ok(LogPiece::Bytes(n)),
            Ok(LogRead::Cut { next }) => Ok(LogPiece::Cut { next }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(LogPiece::End),
            Err(error) => Err(error),
        }
    }

    fn end(&self, task: TaskId, fence: Fence, stream: LogStream) -> io::Result<u64> {
        match self.log(task, fence, stream).end() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            other => other,
        }
    }
}
