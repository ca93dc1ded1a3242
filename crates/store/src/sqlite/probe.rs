//! What a database file says of itself, read from its bytes: nothing is opened, locked or written.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;

use camino::Utf8Path;

use super::place::no_access;
use crate::error::StoreError;

/// Marks a database as Longhaul's (`LHdb`, in the header's application id).
pub(super) const APPLICATION_ID: u32 = 0x4C48_6462;

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing, or an empty file.
    Nothing,
    /// A database.
    Database {
        /// Its application id.
        application: u32,
        /// Its schema number.
        schema: u32,
        /// Whether it has a write-ahead log with something in it.
        has_log: bool,
    },
    /// A database whose making was cut short by a power cut: its rollback journal stands beside it, and
    /// only an ordinary open, which takes it back, sees a sound state. Ours have such a journal at no
    /// other time, so nothing was ever stored in it.
    Unmade,
    /// Something else.
    Garbage,
}

/// Reads the header of a database: the newest copy of it, which may still be in the log.
pub(super) fn probe(db: &Utf8Path) -> Result<Found, StoreError> {
    let Some(main) = open(db)? else {
        return Ok(Found::Nothing);
    };
    if let Some(journal) = open(Utf8Path::new(&format!("{db}-journal")))?
        && begins_like_a_journal(&journal)
    {
        return Ok(Found::Unmade);
    }
    let mut header = [0; 100];
    match main.read_exact_at(&mut header, 0) {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::UnexpectedEof => {
            let empty = main.metadata().map_err(|e| no_access(db, e))?.len() == 0;
            return Ok(if empty {
                Found::Nothing
            } else {
                Found::Garbage
            });
        }
        Err(e) => return Err(no_access(db, e)),
    }
    if !header.starts_with(b"SQLite format 3\0") {
        return Ok(Found::Garbage);
    }
    let log = open(Utf8Path::new(&format!("{db}-wal")))?;
    let has_log = match &log {
        Some(log) => log.metadata().map_err(|e| no_access(db, e))?.len() > 0,
        None => false,
    };
    if let Some(newer) = log.as_ref().and_then(newest_header) {
        header = newer;
    }
    Ok(Found::Database {
        application: number(&header, 68),
        schema: number(&header, 60),
        has_log,
    })
}

/// Whether SQLite would take it for a journal: the magic bytes of its header are written last.
fn begins_like_a_journal(journal: &File) -> bool {
    const MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
    let mut start = [0; 8];
    journal.read_exact_at(&mut start, 0).is_ok() && start == MAGIC
}

fn open(path: &Utf8Path) -> Result<Option<File>, StoreError> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(no_access(path, e)),
    }
}

/// The last copy of page 1 in a write-ahead log (file format: <https://www.sqlite.org/fileformat2.html#walformat>).
/// Frames are not verified: a log that a newer Longhaul was writing when it died is reason enough.
fn newest_header(log: &File) -> Option<[u8; 100]> {
    const FRAME_HEADER: u64 = 24;
    let mut start = [0; 32];
    log.read_exact_at(&mut start, 0).ok()?;
    if !matches!(number(&start, 0), 0x377F_0682 | 0x377F_0683) {
        return None;
    }
    let page = u64::from(number(&start, 8)).max(512);
    let salts = &start[16..24];
    let mut newest = None;
    let mut at = 32;
    loop {
        let mut frame = [0; FRAME_HEADER as usize];
        if log.read_exact_at(&mut frame, at).is_err() || &frame[8..16] != salts {
            return newest;
        }
        let mut copy = [0; 100];
        if number(&frame, 0) == 1 && log.read_exact_at(&mut copy, at + FRAME_HEADER).is_ok() {
            newest = Some(copy);
        }
        at += FRAME_HEADER + page;
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4]
        .iter()
        .fold(0, |n, b| (n << 8) | u32::from(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A power cut in the making: pages of the first transaction, and the journal that takes them back.
    #[test]
    fn i3_a_database_whose_making_was_cut_short_is_no_garbage() {
        let folder = tempfile::tempdir().unwrap();
        let db = Utf8Path::from_path(folder.path()).unwrap().join("db");
        std::fs::write(&db, [0; 4096]).unwrap();
        assert!(matches!(probe(&db).unwrap(), Found::Garbage));
        let journal = |bytes: &[u8]| std::fs::write(format!("{db}-journal"), bytes).unwrap();
        journal(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7 and so on");
        assert!(matches!(probe(&db).unwrap(), Found::Unmade));
        // Its first bytes are written last: until then the journal takes nothing back.
        journal(&[0; 512]);
        assert!(matches!(probe(&db).unwrap(), Found::Garbage));
    }
}
