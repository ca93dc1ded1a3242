//! Files that must survive a crash or a power cut: written aside, renamed, then file and folder
//! flushed.
//!
//! Flushing after the rename, not before it, lets a journalling file system do all in one commit. A
//! process that dies never leaves half a record, because the rename comes after the last byte. A
//! power cut before the flush may leave a torn one, which readers take for "unknown": the writer had
//! not yet been told that it is there, so nothing was built on it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use longhaul_acts::{Label, files};

/// Longest record that [`read_bounded`] takes in; ours are below 8 KiB.
const MAX_RECORD_BYTES: u64 = 256 * 1024;

/// Writes `bytes` as `dir/name` so that after return they are there whatever happens, and before
/// that either the old content or nothing is.
pub(crate) fn write(dir: &Path, name: &str, bytes: &[u8], label: &str) -> io::Result<()> {
    let aside = dir.join(format!("{name}.tmp"));
    let mut file = private_file((label, "create"), &aside)?;
    files::write_all((label, "write"), &mut file, bytes)?;
    files::rename((label, "rename"), &aside, dir.join(name))?;
    files::sync_all((label, "flush"), &file)?;
    files::sync_dir((label, "folder"), dir)
}

/// Creates or empties a file that only the owner may read and write.
pub(crate) fn private_file<'a>(label: impl Into<Label<'a>>, path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    files::open(label, &options, path)
}

/// Reads a record; `None` if there is no such file. A file too long to be ours is cut, so that it
/// will not parse.
pub(crate) fn read_bounded(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(err) => return Err(err),
    };
    let mut bytes = Vec::new();
    file.take(MAX_RECORD_BYTES).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// A record whose space on the disk is taken beforehand, so that a full disk cannot lose it (S2).
#[derive(Debug)]
pub(crate) struct Reserved {
    file: File,
}

impl Reserved {
    const SPACE_BYTES: usize = 8192;

    /// Takes the space in `dir/name.tmp`.
    pub(crate) fn take(dir: &Path, name: &str, label: &str) -> io::Result<Self> {
        let mut file = private_file((label, "create"), &dir.join(format!("{name}.tmp")))?;
        // Real bytes and not fallocate: some file systems accept the call and reserve nothing.
        files::write_all((label, "reserve"), &mut file, &[b' '; Self::SPACE_BYTES])?;
        Ok(Self { file })
    }

    /// Writes the record over the reserved space and gives it its name, durably.
    ///
    /// The unused rest stays as trailing blanks: cutting the file could need a block.
    pub(crate) fn fill(&self, dir: &Path, name: &str, bytes: &[u8], label: &str) -> io::Result<()> {
        files::write_all_at((label, "write"), &self.file, bytes, 0)?;
        let aside = dir.join(format!("{name}.tmp"));
        match files::rename((label, "rename"), aside, dir.join(name)) {
            // A try before this one got as far as here and could not flush.
            Err(err) if err.kind() == io::ErrorKind::NotFound && dir.join(name).exists() => {}
            renamed => renamed?,
        }
        files::sync_all((label, "flush"), &self.file)?;
        files::sync_dir((label, "folder"), dir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_record_parses_with_its_trailing_blanks() {
        let dir = tempfile::tempdir().unwrap();
        let reserved = Reserved::take(dir.path(), "exit.json", "t").unwrap();
        reserved
            .fill(dir.path(), "exit.json", b"{\"a\":1}", "t")
            .unwrap();
        // Repeating it is harmless.
        reserved
            .fill(dir.path(), "exit.json", b"{\"a\":1}", "t")
            .unwrap();
        let bytes = read_bounded(&dir.path().join("exit.json"))
            .unwrap()
            .unwrap();
        let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(value["a"], 1);
        assert!(read_bounded(&dir.path().join("none")).unwrap().is_none());
    }
}
