//! One daemon per state folder (T19): a lock that the kernel releases, with the owner's pid to name.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;

use longhaul_acts::files;
use longhaul_api::ExitCode;

use crate::failure::{Failure, OnPath as _};
use crate::paths::Paths;

/// Holds the state folder for this process.
pub(super) struct Single {
    _lock: File,
}

/// Takes the state folder, or says who has it.
///
/// # Errors
/// [`ExitCode::Conflict`] naming the other daemon's pid. A lock of a dead process is no lock: the
/// kernel let it go, whatever pid the file still names.
pub(super) fn take(paths: &Paths) -> Result<Single, Failure> {
    let path = paths.state_dir.join("daemon.lock");
    let mut options = OpenOptions::new();
    options.create(true).read(true).write(true);
    options.truncate(false).mode(0o600);
    let mut file = files::open("daemon.lock", &options, &path).on("open", &path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            // Whatever cannot be read is only missing from the sentence.
            drop(file.read_to_string(&mut owner));
            let owner = owner.trim();
            let who = if owner.is_empty() {
                String::new()
            } else {
                format!(" (pid {owner})")
            };
            return Err(Failure::of(
                ExitCode::Conflict,
                format!("a daemon{who} already serves {}", paths.state_dir),
            )
            .help("`longhaul daemon status` asks it; `longhaul daemon stop` ends it"));
        }
        Err(TryLockError::Error(error)) => {
            return Err(Failure::new(format!("cannot lock {path}")).because(error));
        }
    }
    let write = |file: &mut File| {
        files::set_len("daemon.lock.empty", file, 0)?;
        file.seek(SeekFrom::Start(0))?;
        let pid = std::process::id().to_string();
        files::write_all("daemon.lock.note", file, pid.as_bytes())
    };
    write(&mut file).on("write", &path)?;
    Ok(Single { _lock: file })
}
