//! Starting processes and sending signals.

#![expect(
    clippy::disallowed_methods,
    reason = "the one place for the raw calls: each is between its two points here"
)]

use std::io;
use std::os::fd::AsFd;
use std::process::{Child, Command, ExitStatus, Output};

use rustix::process::{Pid, Signal};

use crate::point::{Label, around};

/// [`Command::spawn`].
///
/// # Errors
/// As the call.
#[inline(always)]
pub fn spawn<'a>(label: impl Into<Label<'a>>, command: &mut Command) -> io::Result<Child> {
    around(label, || command.spawn())
}

/// [`Command::output`].
///
/// # Errors
/// As the call.
#[inline(always)]
pub fn output<'a>(label: impl Into<Label<'a>>, command: &mut Command) -> io::Result<Output> {
    around(label, || command.output())
}

/// [`Command::status`].
///
/// # Errors
/// As the call.
#[inline(always)]
pub fn status<'a>(label: impl Into<Label<'a>>, command: &mut Command) -> io::Result<ExitStatus> {
    around(label, || command.status())
}

/// [`Child::kill`], for a child of our own that was not waited for.
///
/// # Errors
/// As the call.
#[inline(always)]
pub fn kill<'a>(label: impl Into<Label<'a>>, child: &mut Child) -> io::Result<()> {
    around(label, || child.kill())
}

/// A signal to a process of which the caller knows that it still is the one meant (I8).
///
/// # Errors
/// As kill(2).
#[inline(always)]
pub fn signal<'a>(label: impl Into<Label<'a>>, pid: Pid, signal: Signal) -> rustix::io::Result<()> {
    around(label, || rustix::process::kill_process(pid, signal))
}

/// A signal to the process behind a handle.
///
/// # Errors
/// As `pidfd_send_signal(2)`.
#[cfg(target_os = "linux")]
#[inline(always)]
pub fn signal_handle<'a>(
    label: impl Into<Label<'a>>,
    process: impl AsFd,
    signal: Signal,
) -> rustix::io::Result<()> {
    around(label, || {
        rustix::process::pidfd_send_signal(process, signal)
    })
}

/// A signal to a process group whose leader is a child of our own that was not waited for.
///
/// # Errors
/// As kill(2).
#[inline(always)]
pub fn signal_group<'a>(
    label: impl Into<Label<'a>>,
    leader: Pid,
    signal: Signal,
) -> rustix::io::Result<()> {
    around(label, || {
        rustix::process::kill_process_group(leader, signal)
    })
}
