//! A log that is read as it grows.

use longhaul_hosts::{JobLog, LogRead};

/// How far a log was read.
pub(super) struct Tail {
    pub(super) log: JobLog,
    pub(super) at: u64,
}

impl Tail {
    /// Reads on; `None` when there is nothing more now.
    pub(super) fn next(&mut self, chunk: &mut [u8]) -> Option<usize> {
        loop {
            match self.log.read_at(self.at, chunk) {
                Ok(LogRead::Bytes(0) | LogRead::End) => return None,
                Ok(LogRead::Bytes(n)) => {
                    self.at += n as u64;
                    return Some(n);
                }
                Ok(LogRead::Cut { next }) => self.at = next,
                Err(error) => {
                    tracing::warn!(%error, "a session's log cannot be read");
                    return None;
                }
            }
        }
    }
}
