//! Small file helpers: durable whole-file writes and bounded reads. Knows nothing about git.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use longhaul_acts::files;

use crate::git::GitError;

/// Replaces a file by new content so that a crash leaves the old or the new one, never a mixture.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), GitError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    write_durably_by_way_of(folder, path, bytes)
}

/// The same with the unfinished file in another folder of the same file system: what a crash leaves in
/// a worktree would be taken for the agent's work.
pub(crate) fn write_durably_by_way_of(
    stage: &Path,
    path: &Path,
    bytes: &[u8],
) -> Result<(), GitError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let write = || -> std::io::Result<()> {
        let mut temporary = tempfile::Builder::new()
            .prefix(".longhaul-")
            .tempfile_in(stage)?;
        files::write_all("vcs.file.write", &mut temporary, bytes)?;
        files::sync_all("vcs.file.flush", temporary.as_file())?;
        persist("vcs.file.rename", temporary, path)?;
        files::sync_dir("vcs.file.folder", folder)
    };
    write().map_err(GitError::file("write", path))
}

/// Gives a temporary file its name, in place of whatever has it.
pub(crate) fn persist(
    label: &str,
    file: tempfile::NamedTempFile,
    path: &Path,
) -> std::io::Result<File> {
    #[expect(clippy::disallowed_methods, reason = "its points are right here")]
    let named = longhaul_acts::around(label, || file.persist(path));
    named.map_err(|e| e.error)
}

/// Makes all that was written to the file system of `path` durable, by whomever.
pub(crate) fn flush_disk_of(path: &Path) -> Result<(), GitError> {
    let flush = || -> std::io::Result<()> {
        let folder = File::open(path)?;
        longhaul_acts::around("vcs.disk.flush", || rustix::fs::syncfs(&folder))?;
        Ok(())
    };
    flush().map_err(GitError::file("flush", path))
}

/// Makes a folder and its parents, readable by the owner only where it is new.
pub(crate) fn make_private_folder(path: &Path) -> Result<(), GitError> {
    use std::os::unix::fs::DirBuilderExt;
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    files::build_dir("vcs.folder", &builder, path)
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

/// The end of a file, at most `limit` bytes of it.
pub(crate) fn read_tail(path: &Path, limit: u64) -> std::io::Result<Vec<u8>> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(limit)))?;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Copies an index of git's with its time: git takes a file that is as new as the index for possibly
/// changed, and a newer copy would lose that.
pub(crate) fn copy_index(from: &Path, to: &Path) -> std::io::Result<()> {
    let time = fs::metadata(from)?.modified()?;
    files::copy("vcs.index.copy", from, to)?;
    let copy = files::open("vcs.index.reopen", File::options().write(true), to)?;
    files::set_modified("vcs.index.time", &copy, time)
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
    match files::remove_file("vcs.file.remove", path) {
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
