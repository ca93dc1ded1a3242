//! Small file helpers: durable whole-file writes and bounded reads. Knows nothing about git.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;

use crate::git::GitError;

/// Replaces a file by new content so that a crash leaves the old or the new one, never a mixture.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), GitError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let write = || -> std::io::Result<()> {
        let mut temporary = tempfile::Builder::new()
            .prefix(".longhaul-")
            .tempfile_in(folder)?;
        temporary.write_all(bytes)?;
        temporary.as_file().sync_all()?;
        temporary.persist(path).map_err(|e| e.error)?;
        File::open(folder)?.sync_all()
    };
    crate::crash::point("vcs.file.before");
    write().map_err(GitError::file("write", path))?;
    crate::crash::point("vcs.file.after");
    Ok(())
}

/// Makes a folder and its parents, readable by the owner only where it is new.
pub(crate) fn make_private_folder(path: &Path) -> Result<(), GitError> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(GitError::file("create the folder", path))
}

/// Reads a file up to a limit; `None` if it does not exist, is not a regular file, or is longer.
pub(crate) fn read_small(path: &Path, limit: u64) -> std::io::Result<Option<Vec<u8>>> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_file() && meta.len() <= limit => {}
        Ok(_) => return Ok(None),
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Copies an index of git's with its time: git takes a file that is as new as the index for possibly
/// changed, and a newer copy would lose that.
pub(crate) fn copy_index(from: &Path, to: &Path) -> std::io::Result<()> {
    let time = fs::metadata(from)?.modified()?;
    fs::copy(from, to)?;
    File::options().write(true).open(to)?.set_modified(time)
}

/// True if the error says that there is nothing at that path.
pub(crate) fn is_absent(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
    )
}

/// Removes a file if it is there.
pub(crate) fn remove_file_if_there(path: &Path) -> Result<(), GitError> {
    match fs::remove_file(path) {
        Err(error) if !is_absent(&error) => Err(GitError::file("remove", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The lower-case hexadecimal SHA-256 of some bytes.
pub(crate) fn digest(bytes: &[u8]) -> String {
    use sha2::Digest;
    use std::fmt::Write as _;
    let mut text = String::with_capacity(64);
    for byte in sha2::Sha256::digest(bytes) {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
    }
    text
}
