//! Becoming a member of a job that was not started by its shim: a program that somebody else's process (a terminal
//! multiplexer) starts on the job's behalf. It carries the job's key, sits in the job's cgroup where there is one, and is
//! confined like the rest: so a sweep finds it (I8) and it may do no more (I17, T25).

use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use camino::Utf8Path;

use crate::cgroup::{self, Cgroup};
use crate::confine::Ready;
use crate::procfs;
use crate::spec::{Confinement, SPAWN_KEY_ENV};

/// Turns the calling process into `argv` as a member of the job `key`, of which `member` is a live process. The caller
/// must have no other threads.
///
/// # Errors
/// The confinement, the folder or the program; the process goes on then, confined or not.
pub fn become_member(
    member: u32,
    key: &str,
    argv: &[String],
    env: Vec<(OsString, OsString)>,
    cwd: &Utf8Path,
    confinement: Option<&Confinement>,
) -> io::Result<Infallible> {
    let (program, arguments) = argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    enter_cgroup(member, key);
    let ready = confinement
        .map(Ready::new)
        .transpose()
        .map_err(io::Error::other)?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(env)
        .env(SPAWN_KEY_ENV, key)
        .current_dir(cwd);
    if let Some(ready) = ready {
        ready.apply()?;
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "the last that this process does; its start was the act"
    )]
    let error = command.exec();
    Err(error)
}

/// Joins the member's cgroup if it is the job's own. Where that fails the key alone has to do.
fn enter_cgroup(member: u32, key: &str) {
    let folder = || {
        let mounts = procfs::read_small("/proc/self/mountinfo").ok()?;
        let group = procfs::read_small(&format!("/proc/{member}/cgroup")).ok()?;
        cgroup::locate(
            std::str::from_utf8(&mounts).ok()?,
            std::str::from_utf8(&group).ok()?,
        )
    };
    let group = folder().and_then(|path| Cgroup::recorded(&path, key));
    if let Some(Err(error)) = group.map(|g| {
        longhaul_acts::files::write_fd("pool.pane.cgroup", g.door()?, b"0").map_err(io::Error::from)
    }) {
        tracing::debug!(%error, "cannot join the job's cgroup");
    }
}
