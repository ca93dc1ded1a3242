//! The shim: the small process beside each job that outlives the daemon (design: processes).
//!
//! One thread, one `poll` loop, no async runtime. It takes the bundle's lock, starts the job's main
//! process, keeps its output, answers a socket, ends the whole tree with it, and leaves an exit
//! record before it goes. It reads its order ([`JobSpec`]) from standard input until end of file,
//! and writes one byte to standard output once the program runs.
//!
//! Exit codes: see the constants. They are hints for the launcher; the bundle decides.

mod child;
mod clients;
mod feed;
mod fork;
mod run;
mod sink;

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use crate::bundle::{Bundle, EXIT, IDENTITY, LOCK};
use crate::identity::IdentityError;
use crate::spec::{JobSpec, SpecError};
use crate::{limits, lock};

/// The first argument with which the executable is started as a shim.
pub const SHIM_VERB: &str = "__shim";

/// The job ended and its exit record is on disk.
pub const DONE: u8 = 0;
/// Something failed; `shim.err` in the bundle says what.
pub const FAILED: u8 = 1;
/// Another shim holds the bundle.
pub const BUSY: u8 = 3;
/// The bundle's job was started before; it is never started twice.
pub const ALREADY_RAN: u8 = 4;

/// Written to standard output once the job's program runs.
pub(crate) const STARTED: u8 = b'S';

/// Longest order taken from standard input.
const MAX_SPEC_BYTES: u64 = 16 * 1024 * 1024;

/// Why a shim could not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShimError {
    #[error("{0} is not the absolute path of a bundle")]
    NotABundle(PathBuf),
    #[error("the order is not a job spec")]
    Spec(#[source] serde_json::Error),
    #[error("the order is refused")]
    Refused(#[from] SpecError),
    #[error("the order is for job {0}, not for this bundle")]
    WrongBundle(String),
    #[error("{what} failed")]
    System {
        what: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("cannot identify myself")]
    Identity(#[from] IdentityError),
}

/// Attaches what was being done to a system error.
pub(crate) fn doing(what: &'static str) -> impl FnOnce(io::Error) -> ShimError {
    move |source| ShimError::System { what, source }
}

/// Runs the calling process as the shim of this bundle until its job has ended; the process should
/// then exit with the code returned. Call it before any thread is started.
#[must_use]
pub fn main(bundle: &Path) -> u8 {
    limits::outlive_file_size_limit();
    match serve(bundle) {
        Ok(code) => code,
        Err(err) => {
            complain(&err);
            FAILED
        }
    }
}

/// Tells standard error (the bundle's `shim.err`); if even that fails there is nobody to tell.
fn complain(err: &dyn std::error::Error) {
    let mut text = err.to_string();
    let mut cause = err.source();
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    writeln!(io::stderr(), "{text}").ok();
}

fn serve(dir: &Path) -> Result<u8, ShimError> {
    let bundle = Bundle::at(dir).ok_or_else(|| ShimError::NotABundle(dir.to_owned()))?;
    let spec = read_spec(&bundle)?;
    let Some(lock) = lock::take(&bundle.file(LOCK)).map_err(doing("taking the lock"))? else {
        return Ok(BUSY);
    };
    for record in [IDENTITY, EXIT] {
        let there = fs::exists(bundle.file(record)).map_err(doing("looking for records"))?;
        if there {
            return Ok(ALREADY_RAN);
        }
    }
    detach()?;
    if let Some(soft) = spec.open_files {
        limits::set_open_files(soft).map_err(doing("setting the limit of open files"))?;
    }
    let job = run::Job::start(bundle, spec)?;
    run::to_the_end(job)?;
    drop(lock);
    Ok(DONE)
}

fn read_spec(bundle: &Bundle) -> Result<JobSpec, ShimError> {
    let mut bytes = Vec::new();
    io::stdin()
        .lock()
        .take(MAX_SPEC_BYTES)
        .read_to_end(&mut bytes)
        .map_err(doing("reading the order"))?;
    let spec: JobSpec = serde_json::from_slice(&bytes).map_err(ShimError::Spec)?;
    spec.validate()?;
    if spec.key != bundle.key() {
        return Err(ShimError::WrongBundle(spec.key));
    }
    Ok(spec)
}

/// Leaves the launcher's session, holds no folder, adopts orphans of the job.
fn detach() -> Result<(), ShimError> {
    // Refused only if we lead a session already, which is just as well.
    rustix::process::setsid().ok();
    rustix::process::chdir("/").map_err(|e| doing("leaving the folder")(e.into()))?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(|e| doing("becoming a subreaper")(e.into()))
}

/// Tells the launcher that the program runs, and lets go of its pipes.
fn report_started() -> Result<(), ShimError> {
    // The launcher may be dead; the job is not.
    let mut out = io::stdout();
    longhaul_acts::files::write_all("shim.started", &mut out, &[STARTED])
        .and_then(|()| out.flush())
        .ok();
    #[expect(clippy::disallowed_methods, reason = "/dev/null keeps nothing")]
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(|e| doing("opening /dev/null")(e.into()))?;
    rustix::stdio::dup2_stdin(&null)
        .and_then(|()| rustix::stdio::dup2_stdout(&null))
        .map_err(|e| doing("letting go of the launcher")(e.into()))
}
