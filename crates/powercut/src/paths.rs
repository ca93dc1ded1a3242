//! What a stopped thread means: text in its memory, paths, open files.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use nix::libc;
use nix::unistd::Pid;

const PAGE: u64 = 4096;

/// The text at an address, without its final zero.
pub(crate) fn text(pid: Pid, at: u64) -> io::Result<Vec<u8>> {
    let memory = File::open(format!("/proc/{pid}/mem"))?;
    let mut bytes = Vec::new();
    let mut at = at;
    while bytes.len() < 8192 {
        // The next page may not be there.
        let mut chunk = vec![0; usize::try_from(PAGE - at % PAGE).unwrap_or(1)];
        memory.read_exact_at(&mut chunk, at)?;
        if let Some(end) = chunk.iter().position(|b| *b == 0) {
            bytes.extend(&chunk[..end]);
            return Ok(bytes);
        }
        at += chunk.len() as u64;
        bytes.extend(chunk);
    }
    Err(io::ErrorKind::InvalidData.into())
}

/// A 64-bit number at an address.
pub(crate) fn number(pid: Pid, at: u64) -> io::Result<u64> {
    let mut bytes = [0; 8];
    File::open(format!("/proc/{pid}/mem"))?.read_exact_at(&mut bytes, at)?;
    Ok(u64::from_ne_bytes(bytes))
}

/// Puts other bytes at an address.
pub(crate) fn replace(pid: Pid, at: u64, bytes: &[u8]) -> io::Result<()> {
    File::options()
        .write(true)
        .open(format!("/proc/{pid}/mem"))?
        .write_all_at(bytes, at)
}

/// The absolute path that a call means by a folder's descriptor and a text: its folder without links,
/// its last name as it is.
pub(crate) fn path(pid: Pid, folder: u64, text: &[u8]) -> io::Result<PathBuf> {
    let given = Path::new(OsStr::from_bytes(text));
    let base = if folder as i32 == libc::AT_FDCWD {
        fs::read_link(format!("/proc/{pid}/cwd"))?
    } else {
        fs::read_link(format!("/proc/{pid}/fd/{}", folder as i32))?
    };
    let path = match given.strip_prefix("/proc/self") {
        Ok(below) => Path::new(&format!("/proc/{pid}")).join(below),
        Err(_) => base.join(given),
    };
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return fs::canonicalize(path);
    };
    Ok(real(parent)?.join(name))
}

/// A folder without links. One that is not there yet may be when the call is made, by another thread: as
/// much of it as there is.
fn real(path: &Path) -> io::Result<PathBuf> {
    match (fs::canonicalize(path), path.parent(), path.file_name()) {
        (Err(error), Some(parent), Some(name)) if error.kind() == io::ErrorKind::NotFound => {
            Ok(real(parent)?.join(name))
        }
        (real, ..) => real,
    }
}

/// The path of an open file, and what it is.
pub(crate) fn open_file(pid: Pid, fd: u64) -> io::Result<(PathBuf, Metadata)> {
    let link = fd_link(pid, fd);
    Ok((fs::read_link(&link)?, fs::metadata(&link)?))
}

/// Where a thread's open file can be opened again.
pub(crate) fn fd_link(pid: Pid, fd: u64) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/fd/{}", fd as i32))
}

/// The position of an open file.
pub(crate) fn position(pid: Pid, fd: u64) -> io::Result<u64> {
    let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{}", fd as i32))?;
    info.lines()
        .find_map(|line| line.strip_prefix("pos:")?.trim().parse().ok())
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Texts that each end with a zero: `cmdline` or `environ`.
pub(crate) fn texts(pid: Pid, file: &str) -> Vec<OsString> {
    let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    bytes
        .split(|b| *b == 0)
        .filter(|text| !text.is_empty())
        .map(|text| OsString::from_vec(text.to_vec()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever makes a folder may find the one above it missing when we look, and there when the system
    /// does: another thread makes it meanwhile. Not understood, such a call would change things unseen.
    #[test]
    fn a_path_is_understood_before_its_folders_are_there() {
        let temp = tempfile::tempdir().unwrap();
        let top = temp.path().canonicalize().unwrap();
        std::os::unix::fs::symlink(&top, top.join("link")).unwrap();
        let here = i64::from(libc::AT_FDCWD).cast_unsigned();
        let given = top.join("link/not/yet/name");
        let meant = path(Pid::this(), here, given.as_os_str().as_bytes());
        assert_eq!(meant.unwrap(), top.join("not/yet/name"));
    }
}
