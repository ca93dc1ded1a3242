//! Which process is meant: pid, start time and boot, never a bare pid (I8). Not about trees.

use std::fs;
use std::io;
use std::sync::OnceLock;

use rustix::process::{Pid, PidfdFlags};
use serde::{Deserialize, Serialize};

use crate::procfs::{self, Lookup};

/// One boot of one machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootId(String);

impl BootId {
    /// The boot this process runs in; asked once, since no process sees two.
    ///
    /// # Errors
    /// When `/proc/sys/kernel/random/boot_id` cannot be read.
    pub fn current() -> io::Result<Self> {
        static KNOWN: OnceLock<BootId> = OnceLock::new();
        if let Some(known) = KNOWN.get() {
            return Ok(known.clone());
        }
        let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        Ok(KNOWN.get_or_init(|| Self(text.trim().to_owned())).clone())
    }

    /// The kernel's text: a UUID.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a process runs. `Unknown` never kills, never retries, never spends (I6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Liveness {
    /// It runs (perhaps stopped or asleep).
    Alive,
    /// It ended, is a zombie, or belonged to another boot.
    Gone,
    /// The system would not say.
    Unknown,
}

/// The signals this crate sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Please end.
    Term,
    /// End now.
    Kill,
    /// As from Ctrl-C.
    Interrupt,
    /// Go on, if stopped: a stopped process cannot act on TERM.
    Continue,
}

impl Signal {
    fn native(self) -> rustix::process::Signal {
        match self {
            Self::Term => rustix::process::Signal::TERM,
            Self::Kill => rustix::process::Signal::KILL,
            Self::Interrupt => rustix::process::Signal::INT,
            Self::Continue => rustix::process::Signal::CONT,
        }
    }
}

/// What became of a signal.
#[must_use = "a signal that was not sent stopped nothing"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalOutcome {
    /// Delivered to exactly that process.
    Sent,
    /// There was nobody left to signal.
    Gone,
    /// It could not be told whether the process is the one meant, or the kernel refused; nothing
    /// was signalled.
    Unknown,
}

/// Why a process could not be identified.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// There is no such process (any more). Asking again cannot help.
    #[error("no process {pid}")]
    NoProcess {
        /// The pid asked for.
        pid: u32,
    },
    /// `/proc` would not say. Asking again may help.
    #[error("process {pid} cannot be read from /proc")]
    Unreadable {
        /// The pid asked for.
        pid: u32,
    },
    /// The boot id could not be read.
    #[error("the boot id cannot be read")]
    Boot(#[source] io::Error),
}

/// One process, named so that a later process with the same pid is not mistaken for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// Process id.
    pub pid: u32,
    /// Start time in clock ticks after boot (`/proc/PID/stat`, field 22).
    pub start_ticks: u64,
    /// The boot it belongs to.
    pub boot_id: BootId,
}

impl ProcessIdentity {
    /// Identifies a process that runs now.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub fn of(pid: u32) -> Result<Self, IdentityError> {
        let boot_id = BootId::current().map_err(IdentityError::Boot)?;
        match procfs::lookup(pid) {
            Lookup::Present(stat) => Ok(Self {
                pid,
                start_ticks: stat.start_ticks,
                boot_id,
            }),
            Lookup::Absent => Err(IdentityError::NoProcess { pid }),
            Lookup::Unreadable => Err(IdentityError::Unreadable { pid }),
        }
    }

    /// Identifies the calling process.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub fn current() -> Result<Self, IdentityError> {
        Self::of(std::process::id())
    }

    /// Whether this very process runs. A zombie is gone; so is everything of another boot.
    #[must_use]
    pub fn liveness(&self) -> Liveness {
        match BootId::current() {
            Ok(boot) if boot != self.boot_id => Liveness::Gone,
            Ok(_) => self.judge(procfs::lookup(self.pid)),
            Err(_) => Liveness::Unknown,
        }
    }

    /// What the kernel said of the pid, for this process.
    fn judge(&self, found: Lookup) -> Liveness {
        match found {
            Lookup::Present(stat) if stat.is_dead() || stat.start_ticks != self.start_ticks => {
                Liveness::Gone
            }
            Lookup::Present(_) => Liveness::Alive,
            Lookup::Absent => Liveness::Gone,
            Lookup::Unreadable => Liveness::Unknown,
        }
    }

    /// Signals this very process and no other: through a pidfd taken first and checked afterwards.
    ///
    /// Where the kernel has no pidfd (before 5.3) the check comes right before the signal.
    pub fn signal(&self, signal: Signal) -> SignalOutcome {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else {
            return SignalOutcome::Unknown;
        };
        let pidfd = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(fd) => Some(fd),
            Err(rustix::io::Errno::SRCH) => return SignalOutcome::Gone,
            Err(rustix::io::Errno::NOSYS) => None,
            Err(_) => return SignalOutcome::Unknown,
        };
        match self.liveness() {
            Liveness::Alive => {}
            Liveness::Gone => return SignalOutcome::Gone,
            Liveness::Unknown => return SignalOutcome::Unknown,
        }
        let sent = match &pidfd {
            Some(fd) => longhaul_acts::process::signal_handle("signal", fd, signal.native()),
            None => longhaul_acts::process::signal("signal", pid, signal.native()),
        };
        match sent {
            Ok(()) => SignalOutcome::Sent,
            Err(rustix::io::Errno::SRCH) => SignalOutcome::Gone,
            Err(_) => SignalOutcome::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i8_a_reused_pid_is_gone_and_never_signalled() {
        let me = ProcessIdentity::current().unwrap();
        assert_eq!(me.liveness(), Liveness::Alive);
        let earlier = ProcessIdentity {
            start_ticks: me.start_ticks - 1,
            ..me.clone()
        };
        assert_eq!(earlier.liveness(), Liveness::Gone);
        // Would end this test process if the start time were not compared.
        assert_eq!(earlier.signal(Signal::Kill), SignalOutcome::Gone);
        let other_boot = ProcessIdentity {
            boot_id: BootId("other".to_owned()),
            ..me
        };
        assert_eq!(other_boot.liveness(), Liveness::Gone);
        assert_eq!(other_boot.signal(Signal::Kill), SignalOutcome::Gone);
    }

    #[test]
    fn i6_what_cannot_be_read_is_neither_alive_nor_gone() {
        let me = ProcessIdentity::current().unwrap();
        assert_eq!(me.judge(Lookup::Unreadable), Liveness::Unknown);
        assert_eq!(me.judge(Lookup::Absent), Liveness::Gone);
        assert_eq!(me.judge(procfs::lookup(me.pid)), Liveness::Alive);
    }

    #[test]
    fn i8_a_zombie_is_gone() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let id = ProcessIdentity::of(child.id()).unwrap();
        assert_eq!(id.liveness(), Liveness::Alive);
        assert_eq!(id.signal(Signal::Kill), SignalOutcome::Sent);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while id.liveness() != Liveness::Gone {
            assert!(std::time::Instant::now() < deadline, "still alive");
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert_eq!(id.liveness(), Liveness::Gone);
    }
}
