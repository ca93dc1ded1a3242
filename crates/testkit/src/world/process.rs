//! Processes by identity: a pid alone is never trusted, since pids are used again (I8). Linux only;
//! elsewhere nothing is found and nothing is killed.

use std::path::{Path, PathBuf};

/// A process: its pid and when it started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessIdentity {
    /// Its pid.
    pub pid: u32,
    /// Clock ticks between boot and its start.
    pub started_ticks: u64,
    /// What runs, for messages.
    pub command: String,
}

impl ProcessIdentity {
    /// The live process with this pid; `None` if there is none or it is a zombie.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(folder(pid).join("stat")).ok()?;
        // The name may hold spaces and parentheses: fields are counted after the last one.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        if matches!(fields.next()?, "Z" | "X") {
            return None;
        }
        let started_ticks = fields.nth(18)?.parse().ok()?;
        let command = std::fs::read(folder(pid).join("cmdline")).unwrap_or_default();
        Some(Self {
            pid,
            started_ticks,
            command: String::from_utf8_lossy(&command).replace('\0', " "),
        })
    }

    /// True while this very process lives.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        Self::of(self.pid).is_some_and(|now| now.started_ticks == self.started_ticks)
    }

    /// True if its environment, working folder or command line holds this text. (A shim has neither of
    /// the first two, but the path of its bundle as an argument.)
    #[must_use]
    pub fn mentions(&self, text: &str) -> bool {
        let folder = folder(self.pid);
        let holds = |bytes: &[u8]| {
            bytes
                .windows(text.len().max(1))
                .any(|window| window == text.as_bytes())
        };
        std::fs::read(folder.join("environ")).is_ok_and(|env| holds(&env))
            || std::fs::read(folder.join("cmdline")).is_ok_and(|line| holds(&line))
            || std::fs::read_link(folder.join("cwd"))
                .is_ok_and(|cwd| holds(cwd.as_os_str().as_encoded_bytes()))
    }

    /// Kills this very process, if it still lives: the handle is taken first, then the identity is
    /// compared, so that no other process can be hit. True if the signal was sent: it may also have
    /// gone by itself.
    #[cfg(target_os = "linux")]
    pub fn kill(&self) -> bool {
        use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let Some(handle) = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else {
            return false;
        };
        self.is_alive() && pidfd_send_signal(handle, Signal::KILL).is_ok()
    }

    /// Nothing can be killed safely here.
    #[cfg(not(target_os = "linux"))]
    pub fn kill(&self) -> bool {
        false
    }
}

/// Every live process but this one that mentions the text in its environment or working folder.
#[must_use]
pub fn processes_mentioning(text: &str) -> Vec<ProcessIdentity> {
    let own = std::process::id();
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != own)
        .filter_map(ProcessIdentity::of)
        .filter(|identity| identity.mentions(text))
        .collect()
}

/// The pids noted in the lock files (`*.lock`) of a folder: whoever writes the store holds one (T19).
#[must_use]
pub fn pids_in_locks(folder: &Path) -> Vec<u32> {
    std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "lock"))
        .filter_map(|path| std::fs::read_to_string(path).ok()?.trim().parse().ok())
        .collect()
}

fn folder(pid: u32) -> PathBuf {
    PathBuf::from("/proc").join(pid.to_string())
}
