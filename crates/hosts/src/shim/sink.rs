//! One output stream on its way to disk: whole up to a limit, then without its middle (S2).
//!
//! The first half of the limit is `out.log`. What follows goes to segments named after the offset
//! of their first byte, `out.log.<offset>`, a quarter of the limit each, of which the last two are
//! kept. All files only grow, so a torn one is just shorter; [`crate::logs`] reads them back.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use longhaul_acts::files;

use crate::logs::{Stream, segment_name};
use crate::record::StreamStats;

/// Smallest limit that is honoured.
const MIN_LOG_BYTES: u64 = 64 * 1024;

/// Segments kept behind the head.
const SEGMENTS_KEPT: usize = 2;

/// The log of one stream.
#[derive(Debug)]
pub(super) struct Sink {
    dir: PathBuf,
    stream: Stream,
    file: File,
    /// Where the current file is full.
    file_end: u64,
    segment_bytes: u64,
    /// Offset and length of the segments there are, oldest first.
    segments: VecDeque<(u64, u64)>,
    stats: StreamStats,
}

impl Sink {
    /// Creates the log; one left by a launch in vain is emptied.
    pub(super) fn create(dir: &Path, stream: Stream, limit: u64) -> io::Result<Self> {
        let limit = limit.max(MIN_LOG_BYTES);
        Ok(Self {
            dir: dir.to_owned(),
            stream,
            file: create(&dir.join(stream.file_name()))?,
            file_end: limit / 2,
            segment_bytes: limit / 4,
            segments: VecDeque::new(),
            stats: StreamStats::default(),
        })
    }

    pub(super) fn stats(&self) -> StreamStats {
        self.stats
    }

    /// Keeps these bytes, or counts them as lost. Never fails: the job must not wait for the disk's
    /// owner to make room.
    pub(super) fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.stats.bytes == self.file_end && self.next_segment().is_err() {
                break;
            }
            let room = usize::try_from(self.file_end - self.stats.bytes).unwrap_or(usize::MAX);
            let part = &bytes[..bytes.len().min(room)];
            match files::write_some("shim.log.write", &mut self.file, part) {
                Ok(0) => break,
                Ok(written) => {
                    self.stats.bytes += written as u64;
                    bytes = &bytes[written..];
                }
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.stats.lost += bytes.len() as u64;
    }

    /// Makes what was kept durable, as far as the disk lets us: what the job said must not be less
    /// durable than the record that says that it ended.
    pub(super) fn sync(&self) -> io::Result<()> {
        if self.stats.bytes == 0 {
            return Ok(());
        }
        let head = self.dir.join(self.stream.file_name());
        let segments = self.segments.iter();
        let segments = segments.map(|(start, _)| self.dir.join(segment_name(self.stream, *start)));
        for path in std::iter::once(head).chain(segments) {
            files::sync_data("shim.log.flush", &File::open(path)?)?;
        }
        Ok(())
    }

    fn next_segment(&mut self) -> io::Result<()> {
        let start = self.stats.bytes;
        let file = create(&self.dir.join(segment_name(self.stream, start)))?;
        self.file = file;
        self.file_end = start + self.segment_bytes;
        self.segments.push_back((start, self.segment_bytes));
        while self.segments.len() > SEGMENTS_KEPT {
            let Some((oldest, bytes)) = self.segments.pop_front() else {
                break;
            };
            // One that cannot be removed stays, and is not cut.
            let oldest = self.dir.join(segment_name(self.stream, oldest));
            if files::remove_file("shim.log.cut", oldest).is_ok() {
                self.stats.cut += bytes;
            }
        }
        Ok(())
    }
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    files::open("shim.log.create", &options, path)
}
