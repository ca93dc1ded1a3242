//! Writing files of our own: whole or not at all, and for nobody else to read.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_acts::files;

/// Writes a file that is either whole or absent after a crash.
pub(super) fn write_whole(path: &Utf8Path, bytes: &[u8]) -> io::Result<()> {
    let temp = Utf8PathBuf::from(format!("{path}.tmp"));
    write_private(&temp, bytes)?;
    files::rename("engine.file.rename", &temp, path)
}

/// Writes a file that only its owner can read.
pub(super) fn write_private(path: &Utf8Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = files::open("engine.file.create", &options, path)?;
    files::write_all("engine.file.write", &mut file, bytes)?;
    files::sync_all("engine.file.flush", &file)
}
