//! What to run: the order a launcher gives to a shim. It says nothing of tasks.
//!
//! A spec travels through the shim's standard input and is never written to disk: its environment
//! may hold secrets (I12).

use std::time::Duration;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

/// Every process of a job is started with its key in this variable (I8).
pub const SPAWN_KEY_ENV: &str = "LONGHAUL_SPAWN_KEY";

/// Default of [`JobSpec::max_log_bytes`]: 1 GiB for each stream (S2).
pub const DEFAULT_MAX_LOG_BYTES: u64 = 1 << 30;

/// Longest key: it is a file name, part of a cgroup's name and of an environment entry.
const MAX_KEY_BYTES: usize = 128;

/// One job: a process tree that runs under one shim.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// Names the job for ever: ASCII letters, digits, `-`, `_`, `.`; at most 128 bytes.
    pub key: String,
    /// Program and arguments. A program without a slash is looked up in the job's own `PATH`.
    pub argv: Vec<String>,
    /// The whole environment; nothing is inherited. The shim adds [`SPAWN_KEY_ENV`].
    pub env: Vec<(String, String)>,
    /// Working folder, absolute.
    pub cwd: Utf8PathBuf,
    /// What the job reads.
    pub stdin: Stdin,
    /// What it writes to.
    pub stdio: Stdio,
    /// What it may write and read; `None` runs it unconfined.
    pub sandbox: Option<Confinement>,
    /// Most bytes kept of each of the two streams; beyond it the middle is cut. At least 64 KiB.
    pub max_log_bytes: u64,
    /// Milliseconds between TERM and KILL when the shim itself is asked to end by a signal.
    pub stop_grace_ms: u64,
    /// Whether to try for a cgroup of its own.
    pub cgroup: CgroupMode,
    /// The soft limit of open files for the job, where the launcher raised its own; `None` leaves what
    /// is inherited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u64>,
}

/// What a job reads from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stdin {
    /// `/dev/null` (with pipes), or just the terminal.
    None,
    /// The content of this file through a pipe, then end of file. (A pipe, so that a confined job
    /// can open `/dev/stdin` although the file lies in a folder that is closed to it.)
    File(Utf8PathBuf),
    /// A pipe that stays open for [`crate::ShimHandle::input`] until it is closed.
    Pipe,
}

/// What a job writes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stdio {
    /// Two pipes, kept apart as `out.log` and `err.log`.
    Pipes,
    /// A terminal of this size; everything lands in `out.log`.
    Pty {
        /// Height in characters.
        rows: u16,
        /// Width in characters.
        cols: u16,
    },
}

/// Whether a job gets a cgroup of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CgroupMode {
    /// Where the system lets us make one.
    Auto,
    /// Never.
    Off,
}

/// What a job may touch (T25). See [`crate::confine`] for what the lists mean together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// Files and folders, with all below, that may be read and changed. Missing ones are skipped.
    pub writable: Vec<Utf8PathBuf>,
    /// Holes in `closed` that may be read.
    pub readable: Vec<Utf8PathBuf>,
    /// Files and folders that may be neither read nor changed, but for holes named above.
    pub closed: Vec<Utf8PathBuf>,
}

/// Why a spec is refused. None of these can be helped by trying again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// The key is empty, too long, or holds other characters than it may.
    #[error("job key {0:?} is not 1 to 128 ASCII letters, digits, `-`, `_` or `.`")]
    Key(String),
    /// There is no program.
    #[error("no program to run")]
    NoProgram,
    /// The working folder is relative.
    #[error("working folder {0} is not absolute")]
    RelativeFolder(Utf8PathBuf),
    /// An argument holds a zero byte.
    #[error("argument {index} holds a zero byte")]
    ZeroByte {
        /// Which one; 0 is the program.
        index: usize,
    },
    /// An environment variable's name is empty or holds `=`, or it holds a zero byte.
    #[error("environment variable {0:?} cannot be set")]
    Variable(String),
}

impl JobSpec {
    /// A spec with pipes, nothing to read, no confinement and the defaults of the rest.
    #[must_use]
    pub fn new(key: &str, argv: Vec<String>, cwd: Utf8PathBuf) -> Self {
        Self {
            key: key.to_owned(),
            argv,
            env: Vec::new(),
            cwd,
            stdin: Stdin::None,
            stdio: Stdio::Pipes,
            sandbox: None,
            max_log_bytes: DEFAULT_MAX_LOG_BYTES,
            stop_grace_ms: 10_000,
            cgroup: CgroupMode::Auto,
            open_files: None,
        }
    }

    /// Checks everything that can be told without touching the system.
    ///
    /// # Errors
    /// The first fault found.
    pub fn validate(&self) -> Result<(), SpecError> {
        check_key(&self.key)?;
        if self.argv.first().is_none_or(String::is_empty) {
            return Err(SpecError::NoProgram);
        }
        if let Some(index) = self.argv.iter().position(|arg| arg.contains('\0')) {
            return Err(SpecError::ZeroByte { index });
        }
        if !self.cwd.is_absolute() {
            return Err(SpecError::RelativeFolder(self.cwd.clone()));
        }
        for (name, value) in &self.env {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                return Err(SpecError::Variable(name.clone()));
            }
        }
        Ok(())
    }

    pub(crate) fn stop_grace(&self) -> Duration {
        Duration::from_millis(self.stop_grace_ms)
    }
}

/// Checks that a key is safe as a file name.
pub(crate) fn check_key(key: &str) -> Result<(), SpecError> {
    let fine = !key.is_empty()
        && key.len() <= MAX_KEY_BYTES
        && !key.starts_with('.')
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if fine {
        Ok(())
    } else {
        Err(SpecError::Key(key.to_owned()))
    }
}

impl std::fmt::Debug for JobSpec {
    /// Names of the environment only: values may be secrets (I12).
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JobSpec")
            .field("key", &self.key)
            .field("argv", &self.argv)
            .field(
                "env",
                &self.env.iter().map(|(name, _)| name).collect::<Vec<_>>(),
            )
            .field("cwd", &self.cwd)
            .field("stdin", &self.stdin)
            .field("stdio", &self.stdio)
            .field("sandbox", &self.sandbox)
            .field("max_log_bytes", &self.max_log_bytes)
            .field("stop_grace_ms", &self.stop_grace_ms)
            .field("cgroup", &self.cgroup)
            .field("open_files", &self.open_files)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_keys_are_refused() {
        for key in ["", ".", "..", "a/b", "a b", "ä", "a\n", &"x".repeat(129)] {
            assert!(check_key(key).is_err(), "{key:?}");
        }
        assert!(check_key("0190-7-check1.2_b").is_ok());
    }

    #[test]
    fn i12_debug_shows_no_values() {
        let mut spec = JobSpec::new("k", vec!["x".to_owned()], "/".into());
        spec.env = vec![("TOKEN".to_owned(), "hunter2".to_owned())];
        let text = format!("{spec:?}");
        assert!(text.contains("TOKEN") && !text.contains("hunter2"));
    }
}
