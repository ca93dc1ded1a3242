//! Whether somebody has a file open for writing, as far as the kernel tells.

use std::fs::File;

/// Whether any process has this file, opened for reading, open for writing. `None` where the kernel does not tell:
/// a file of another user, a file system without leases, another system than Linux.
#[must_use]
pub fn has_writer(file: &File) -> Option<bool> {
    lease(file)
}

/// A lease for reading is refused while the file is open for writing anywhere. It is given back at once; whoever
/// opens the file in between waits that long.
#[cfg(target_os = "linux")]
fn lease(file: &File) -> Option<bool> {
    use std::os::fd::AsRawFd as _;
    /// Which signal tells of a lease that somebody waits for (`fcntl(2)`); the libc crate has no name for it.
    const F_SETSIG: libc::c_int = 10;
    let fd = file.as_raw_fd();
    // The default, SIGIO, ends a process that does not expect it; this one is ignored by default.
    #[expect(unsafe_code, reason = "no crate of ours offers leases; integers only")]
    let (quiet, taken) = unsafe {
        let quiet = libc::fcntl(fd, F_SETSIG, libc::SIGURG);
        let taken = (quiet == 0).then(|| libc::fcntl(fd, libc::F_SETLEASE, libc::F_RDLCK));
        (quiet, taken)
    };
    if quiet != 0 {
        return None;
    }
    match taken {
        Some(0) => {
            #[expect(unsafe_code, reason = "as above; closing the file would do it, too")]
            unsafe {
                libc::fcntl(fd, libc::F_SETLEASE, libc::F_UNLCK);
            }
            Some(false)
        }
        _ => (std::io::Error::last_os_error().raw_os_error() == Some(libc::EAGAIN)).then_some(true),
    }
}

#[cfg(not(target_os = "linux"))]
fn lease(_file: &File) -> Option<bool> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs::OpenOptions;

    use super::*;

    #[test]
    fn a20_an_open_writer_is_seen_until_it_closes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        std::fs::write(&path, "x").unwrap();
        let reader = File::open(&path).unwrap();
        let without = has_writer(&reader);
        let writer = OpenOptions::new().append(true).open(&path).unwrap();
        let with = has_writer(&reader);
        drop(writer);
        // Where there are leases at all, they tell all three.
        if without.is_some() {
            assert_eq!(
                (without, with, has_writer(&reader)),
                (Some(false), Some(true), Some(false))
            );
        } else {
            assert_ne!(with, Some(false));
        }
    }
}
