//! Reading a job's output back, while it grows or afterwards, by offset. Raw bytes, never changed.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Which of a job's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output, or the terminal.
    Out,
    /// Standard error.
    Err,
}

impl Stream {
    /// The file that holds the stream from its beginning.
    #[must_use]
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Out => "out.log",
            Self::Err => "err.log",
        }
    }
}

pub(crate) fn segment_name(stream: Stream, start: u64) -> String {
    format!("{}.{start}", stream.file_name())
}

/// What was found at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogRead {
    /// So many bytes were read from there.
    Bytes(usize),
    /// The middle was cut (S2): the next byte that exists is at this offset.
    Cut {
        /// Where to go on.
        next: u64,
    },
    /// Nothing there yet, or ever.
    End,
}

/// One stream of a bundle.
#[derive(Clone, Debug)]
pub struct JobLog {
    dir: PathBuf,
    stream: Stream,
}

impl JobLog {
    /// The stream of the bundle in this folder. Nothing is opened yet.
    #[must_use]
    pub fn new(bundle_dir: &Path, stream: Stream) -> Self {
        Self {
            dir: bundle_dir.to_owned(),
            stream,
        }
    }

    /// Reads from `offset` into `buffer`, at most to the end of one file. A log that does not exist
    /// yet is empty.
    ///
    /// # Errors
    /// When the folder or a file cannot be read.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<LogRead> {
        let parts = self.parts()?;
        let at = parts.partition_point(|(start, _)| *start <= offset);
        if let Some((start, path)) = at.checked_sub(1).and_then(|i| parts.get(i)) {
            match File::open(path) {
                Ok(file) => {
                    let read = file.read_at(buffer, offset - start)?;
                    if read > 0 || buffer.is_empty() {
                        return Ok(LogRead::Bytes(read));
                    }
                }
                // Cut away since we looked; what follows is found below or by the next call.
                Err(err) if err.kind() == io::ErrorKind::NotFound => {}
                Err(err) => return Err(err),
            }
        }
        Ok(match parts.get(at) {
            Some((next, _)) => LogRead::Cut { next: *next },
            None => LogRead::End,
        })
    }

    /// The offset behind the last byte there is.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn end(&self) -> io::Result<u64> {
        let parts = self.parts()?;
        let Some((start, path)) = parts.last() else {
            return Ok(0);
        };
        match fs::metadata(path) {
            Ok(meta) => Ok(start + meta.len()),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(*start),
            Err(err) => Err(err),
        }
    }

    /// Reads the last bytes, at most `limit` of them, not across a cut.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn tail(&self, limit: usize) -> io::Result<Vec<u8>> {
        let end = self.end()?;
        let mut offset = end.saturating_sub(limit as u64);
        let mut bytes = Vec::new();
        let mut chunk = vec![0; limit.min(64 * 1024)];
        while bytes.len() < limit {
            let room = chunk.len().min(limit - bytes.len());
            match self.read_at(offset, &mut chunk[..room])? {
                LogRead::Bytes(0) | LogRead::End => break,
                LogRead::Bytes(read) => {
                    bytes.extend_from_slice(&chunk[..read]);
                    offset += read as u64;
                }
                LogRead::Cut { next } => {
                    bytes.clear();
                    offset = next;
                }
            }
        }
        Ok(bytes)
    }

    /// The files of the stream with the offset of their first byte, in order.
    fn parts(&self) -> io::Result<Vec<(u64, PathBuf)>> {
        let head = self.stream.file_name();
        let mut parts = Vec::new();
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(parts),
            Err(err) => return Err(err),
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(head)) else {
                continue;
            };
            let start = match rest.strip_prefix('.') {
                None if rest.is_empty() => Some(0),
                None => None,
                Some(digits) => digits.parse().ok(),
            };
            if let Some(start) = start {
                parts.push((start, entry.path()));
            }
        }
        parts.sort();
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s2_a_cut_log_is_read_by_offset_and_says_where_it_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("out.log"), "0123").unwrap();
        fs::write(dir.path().join("out.log.10"), "abcd").unwrap();
        fs::write(dir.path().join("out.log.14"), "ef").unwrap();
        fs::write(dir.path().join("err.log"), "no").unwrap();
        let log = JobLog::new(dir.path(), Stream::Out);
        let mut buffer = [0; 16];
        assert_eq!(log.read_at(0, &mut buffer).unwrap(), LogRead::Bytes(4));
        assert_eq!(
            log.read_at(4, &mut buffer).unwrap(),
            LogRead::Cut { next: 10 }
        );
        assert_eq!(log.read_at(12, &mut buffer).unwrap(), LogRead::Bytes(2));
        assert_eq!(log.read_at(14, &mut buffer).unwrap(), LogRead::Bytes(2));
        assert_eq!(log.read_at(16, &mut buffer).unwrap(), LogRead::End);
        assert_eq!(log.end().unwrap(), 16);
        assert_eq!(log.tail(3).unwrap(), b"def");
        assert_eq!(log.tail(100).unwrap(), b"abcdef");
    }
}
