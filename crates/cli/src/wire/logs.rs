//! Sessions' logs, read from their bundles.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_api::LogStream;
use longhaul_core::ids::{Fence, SpawnKey, TaskId};
use longhaul_hosts::{JobLog, LogRead, Stream};
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
        let stream = match stream {
            LogStream::Out => Stream::Out,
            LogStream::Err => Stream::Err,
        };
        let bundle = self.jobs.join(SpawnKey::session(task, fence).as_str());
        JobLog::new(bundle.as_std_path(), stream)
    }
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
