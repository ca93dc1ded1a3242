//! Writing files of our own: whole or not at all, and for nobody else to read.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_acts::files;

/// Writes a file that is either whole or absent after a crash.
pub(super) fn write_whole(path: &Utf8Path, bytes: &[u8]) -> io::Result<()> {
    write_aside(path, bytes)?.publish()
}

/// A file that is on the disk under a name beside its own.
#[must_use = "it has not got its name yet"]
pub(super) struct Aside {
    temp: Utf8PathBuf,
    path: Utf8PathBuf,
}

/// The first half of [`write_whole`]: the one that waits for the disk.
pub(super) fn write_aside(path: &Utf8Path, bytes: &[u8]) -> io::Result<Aside> {
    let temp = Utf8PathBuf::from(format!("{path}.tmp"));
    write_private(&temp, bytes)?;
    Ok(Aside {
        temp,
        path: path.to_owned(),
    })
}

impl Aside {
    /// Gives the file its name, in place of whatever has it.
    pub(super) fn publish(self) -> io::Result<()> {
        files::rename("engine.file.rename", &self.temp, &self.path)
    }
}

/// Writes a file that only its owner can read.
pub(super) fn write_private(path: &Utf8Path, bytes: &[u8]) -> io::Result<()> {
    let file = write_for_now(path, bytes)?;
    files::sync_all("engine.file.flush", &file)
}

/// The same for what is of no use after a power cut: it need not survive one.
pub(super) fn write_for_now(path: &Utf8Path, bytes: &[u8]) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = files::open("engine.file.create", &options, path)?;
    files::write_all("engine.file.write", &mut file, bytes)?;
    Ok(file)
}
