//! The logs of the daemon and the gateway, which they write on standard error for as long as they run: cut at a size,
//! with what was before kept once (I16).

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;

use camino::Utf8Path;
use longhaul_acts::files;

/// How large a log may grow; twice that is kept in all.
const MAX: u64 = 8 << 20;

/// Cuts the log at `path` if this process writes it and it is too large. What is written in that very moment may be lost.
pub(super) fn cut(path: &Utf8Path) {
    if is_ours(path)
        && let Err(error) = cut_beyond(path, MAX)
    {
        tracing::warn!(%error, %path, "the log grows on");
    }
}

/// Whether standard error is that very file: in the foreground it is somebody's terminal.
fn is_ours(path: &Utf8Path) -> bool {
    let (Ok(own), Ok(file)) = (fs::metadata("/proc/self/fd/2"), fs::metadata(path)) else {
        return false;
    };
    own.is_file() && (own.dev(), own.ino()) == (file.dev(), file.ino())
}

/// Written by appending, so it goes on at its new end.
fn cut_beyond(path: &Utf8Path, most: u64) -> io::Result<()> {
    if fs::metadata(path)?.len() <= most {
        return Ok(());
    }
    files::copy("cli.log.keep", path, format!("{path}.1"))?;
    let mut options = fs::OpenOptions::new();
    options.write(true);
    let file = files::open("cli.log.open", &options, path)?;
    files::set_len("cli.log.cut", &file, 0)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn i16_a_log_is_cut_once_it_is_too_large_and_goes_on_at_its_new_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().join("daemon.log");
        let mut options = fs::OpenOptions::new();
        let mut log = options.create(true).append(true).open(&path).unwrap();
        log.write_all(b"0123456789").unwrap();
        cut_beyond(&path, 10).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"0123456789");
        log.write_all(b"x").unwrap();
        cut_beyond(&path, 10).unwrap();
        log.write_all(b"after").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"after");
        assert_eq!(fs::read(format!("{path}.1")).unwrap(), b"0123456789x");
        // Not the log of this process: left alone.
        assert!(!is_ours(&path));
    }
}
