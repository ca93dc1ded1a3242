//! The limits that a process inherits from whoever started it, made harmless: too few open files for a
//! daemon with many sessions, and a signal in place of an error where a file may grow no further.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Most files that the soft limit is raised to; more would only make tables larger.
const ENOUGH_OPEN_FILES: u64 = 65_536;

/// How many files this process may have open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFiles {
    /// The soft limit as it was inherited; `None` is no limit. Jobs get it back
    /// ([`crate::JobSpec::open_files`]): some programs break with a large one.
    pub inherited: Option<u64>,
    /// The soft limit now.
    pub now: Option<u64>,
}

/// Raises the soft limit of open files as far as the hard one allows, at most to 65,536.
///
/// # Errors
/// The system refuses.
pub fn raise_open_files() -> io::Result<OpenFiles> {
    let found = getrlimit(Resource::Nofile);
    let wanted = found.maximum.unwrap_or(u64::MAX).min(ENOUGH_OPEN_FILES);
    let Some(soft) = found.current.filter(|soft| *soft < wanted) else {
        return Ok(OpenFiles {
            inherited: found.current,
            now: found.current,
        });
    };
    set_open_files(wanted)?;
    Ok(OpenFiles {
        inherited: Some(soft),
        now: Some(wanted),
    })
}

/// Sets the soft limit of open files, below the hard one.
pub(crate) fn set_open_files(soft: u64) -> io::Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = Some(maximum.map_or(soft, |hard| soft.min(hard)));
    setrlimit(Resource::Nofile, Rlimit { current, maximum })?;
    Ok(())
}

/// From here on a write beyond the file size limit (`ulimit -f`) fails like one on a full disk, where
/// the signal that comes with it would end this process. Programs that it starts are as before.
#[expect(unsafe_code, reason = "only libc can set a handler")]
pub fn outlive_file_size_limit() {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: the handler does nothing, so it may run at any point; a handler, unlike an ignored
    // signal, is not inherited across exec.
    unsafe {
        libc::signal(libc::SIGXFSZ, nothing as *const () as libc::sighandler_t);
    }
}
