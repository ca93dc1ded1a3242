//! One writer per database (T19): a lock that the kernel releases when its holder dies.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek};
use std::os::unix::fs::OpenOptionsExt;

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_acts::files;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::place::no_access;
use crate::error::StoreError;

/// Held as long as it lives. The file stays behind; what counts is the lock on it, so a file of a
/// process that died hinders nobody.
#[derive(Debug)]
pub(super) struct WriterLock {
    _file: File,
}

impl WriterLock {
    /// Takes the lock of a database, or says who holds it.
    pub(super) fn take(db: &Utf8Path) -> Result<Self, StoreError> {
        let path = Utf8PathBuf::from(format!("{db}.lock"));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true);
        options.truncate(false).mode(0o600);
        let mut file =
            files::open("store.lock", &options, &path).map_err(|e| no_access(&path, e))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(StoreError::InUse {
                    path: db.to_owned(),
                    pid: holder(&mut file),
                });
            }
            Err(e) => return Err(no_access(&path, e)),
        }
        let note = format!("{}\n", std::process::id());
        let noted = files::set_len("store.lock.empty", &file, 0)
            .and_then(|()| file.rewind())
            .and_then(|()| files::write_all("store.lock.note", &mut file, note.as_bytes()));
        noted.map_err(|e| no_access(&path, e))?;
        Ok(Self { _file: file })
    }
}

/// The pid that the holder noted, for people to read.
fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
