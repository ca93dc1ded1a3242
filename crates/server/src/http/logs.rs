//! Where the bytes of sessions' logs come from.

use std::io;

use longhaul_api::LogStream;
use longhaul_core::ids::{Fence, TaskId};

/// Reads logs by attempt. Made by the composition root. May block.
pub trait LogSource: Send + Sync {
    /// Reads from an offset into the buffer. A log that does not exist yet is empty.
    ///
    /// # Errors
    /// If it exists and cannot be read.
    fn read_at(
        &self,
        task: TaskId,
        fence: Fence,
        stream: LogStream,
        offset: u64,
        buffer: &mut [u8],
    ) -> io::Result<LogPiece>;

    /// The offset behind its last byte; 0 for one that does not exist.
    ///
    /// # Errors
    /// If it exists and cannot be read.
    fn end(&self, task: TaskId, fence: Fence, stream: LogStream) -> io::Result<u64>;
}

/// What was found at an offset of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogPiece {
    /// So many bytes, at least one.
    Bytes(usize),
    /// The middle was cut (S2); it goes on at this offset, which is greater.
    Cut {
        /// Where.
        next: u64,
    },
    /// Nothing there, yet or ever.
    End,
}
