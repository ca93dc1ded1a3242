//! Writing files of our own: whole or not at all, and for nobody else to read.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;

use camino::{Utf8Path, Utf8PathBuf};

/// Writes a file that is either whole or absent after a crash.
pub(super) fn write_whole(path: &Utf8Path, bytes: &[u8]) -> io::Result<()> {
    let temp = Utf8PathBuf::from(format!("{path}.tmp"));
    write_private(&temp, bytes)?;
    fs::rename(&temp, path)
}

/// Writes a file that only its owner can read.
pub(super) fn write_private(path: &Utf8Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
