//! The lock that says "a shim runs here": the kernel frees it when the last holder is gone.
//!
//! An open-file-description lock, so that (unlike `flock`) it can be *asked about* without being
//! taken, and (unlike a POSIX lock) a forked child holds it until its `exec`. That closes the gap
//! between fork and the child's durable identity: lock free means that no child is on its way.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::{FcntlArg, fcntl};

/// A lock that is held until this value, and every forked copy of it, is dropped or exec'ed away.
#[derive(Debug)]
pub(crate) struct Held {
    _file: File,
}

/// Takes the lock, or returns `None` if somebody holds it.
pub(crate) fn take(path: &Path) -> io::Result<Option<Held>> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true);
    options.truncate(false).mode(0o600);
    let file = longhaul_acts::files::open("shim.lock", &options, path)?;
    match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file())) {
        Ok(_) => Ok(Some(Held { _file: file })),
        Err(nix::Error::EAGAIN | nix::Error::EACCES) => Ok(None),
        Err(err) => Err(err.into()),
    }
}

/// Whether somebody holds the lock; a missing file is free. Never takes it (I7).
pub(crate) fn is_held(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(err) => return Err(err),
    };
    let mut answer = whole_file();
    fcntl(&file, FcntlArg::F_OFD_GETLK(&mut answer))?;
    Ok(i32::from(answer.l_type) != libc::F_UNLCK)
}

fn whole_file() -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asking_does_not_take() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        assert!(!is_held(&path).unwrap());
        let held = take(&path).unwrap().unwrap();
        assert!(is_held(&path).unwrap());
        assert!(take(&path).unwrap().is_none());
        drop(held);
        assert!(!is_held(&path).unwrap());
        assert!(take(&path).unwrap().is_some());
    }
}
