//! A hermetic world for tests of the real binary: a temporary folder with home, state, config and
//! runtime directories, git repositories, and an environment that holds nothing of the caller's but
//! `PATH`. Dropping it ends every process that belongs to it, and only those.

mod files;
mod process;
mod repo;
mod run;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

pub use files::{append, read, wait_until, write};
pub use process::{ProcessIdentity, pids_in_locks, processes_mentioning};
pub use repo::Repo;
pub use run::{Ran, Running};

/// How long a command may take unless a test says otherwise.
pub const COMMAND_LIMIT: Duration = Duration::from_secs(30);

/// How long the processes of a world may take to go once they are killed.
const END_LIMIT: Duration = Duration::from_secs(10);

/// Finds the daemons of a state folder. The world ends them first, so that nothing new is started while
/// the rest is ended. [`pids_in_locks`] unless a test knows better.
pub type DaemonFinder = fn(state: &Path) -> Vec<u32>;

/// A temporary world.
#[must_use = "the world and all its processes end when it is dropped"]
#[derive(Debug)]
pub struct World {
    id: String,
    root: Option<tempfile::TempDir>,
    binary: PathBuf,
    env: BTreeMap<OsString, OsString>,
    find_daemons: DaemonFinder,
    recorded: Mutex<Vec<ProcessIdentity>>,
    outputs: std::sync::atomic::AtomicU32,
}

impl World {
    /// A world around this `longhaul` binary: `env!("CARGO_BIN_EXE_longhaul")` in the binary's own
    /// tests, else a path of your own.
    ///
    /// # Errors
    /// The folders cannot be made.
    pub fn new(binary: impl Into<PathBuf>) -> io::Result<Self> {
        // Short, since a socket's path must stay below 108 bytes (T30).
        let root = tempfile::Builder::new().prefix("lhw").tempdir()?;
        let path = root.path().canonicalize()?;
        let id = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        for folder in [
            "home", "state", "config", "data", "cache", "run", "bin", "src", "tmp", "out",
        ] {
            std::fs::create_dir(path.join(folder))?;
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(path.join("run"), std::fs::Permissions::from_mode(0o700))?;
        }
        std::fs::write(
            path.join("gitconfig"),
            "[user]\n\tname = Test Person\n\temail = test@example.invalid\n\
             [init]\n\tdefaultBranch = main\n[core]\n\tfsync = none\n[gc]\n\tauto = 0\n",
        )?;
        let mut search = path.join("bin").into_os_string();
        search.push(":");
        search.push(std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()));
        let at = |name: &str| path.join(name).into_os_string();
        let env = [
            ("PATH", search),
            ("HOME", at("home")),
            ("XDG_STATE_HOME", at("state")),
            ("XDG_CONFIG_HOME", at("config")),
            ("XDG_DATA_HOME", at("data")),
            ("XDG_CACHE_HOME", at("cache")),
            ("XDG_RUNTIME_DIR", at("run")),
            ("TMPDIR", at("tmp")),
            ("GIT_CONFIG_GLOBAL", at("gitconfig")),
            ("GIT_CONFIG_NOSYSTEM", "1".into()),
            ("GIT_TERMINAL_PROMPT", "0".into()),
            ("LANG", "C.UTF-8".into()),
            ("TZ", "UTC".into()),
            ("NO_COLOR", "1".into()),
            ("TEST_WORLD", OsString::from(&id)),
        ];
        Ok(Self {
            id,
            root: Some(root),
            binary: binary.into(),
            env: env
                .into_iter()
                .map(|(name, value)| (name.into(), value))
                .collect(),
            find_daemons: pids_in_locks,
            recorded: Mutex::default(),
            outputs: std::sync::atomic::AtomicU32::new(0),
        })
    }

    /// Says how else daemons are found, for the end of the world.
    pub fn find_daemons_by(mut self, finder: DaemonFinder) -> Self {
        self.find_daemons = finder;
        self
    }

    /// Sets a variable for everything started from here on.
    pub fn set_env(&mut self, name: impl Into<OsString>, value: impl Into<OsString>) {
        self.env.insert(name.into(), value.into());
    }

    /// The value of `TEST_WORLD`, unique among live worlds.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The world's folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.root
            .as_ref()
            .map_or(Path::new("/nonexistent"), |root| root.path())
    }

    /// A path below the world's folder.
    #[must_use]
    pub fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        self.root().join(below)
    }

    /// Longhaul's state folder.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.path("state/longhaul")
    }

    /// Longhaul's user configuration file.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.path("config/longhaul/config.toml")
    }

    /// `HOME`.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.path("home")
    }

    /// A new repository below `src/` with one commit on `main`.
    ///
    /// # Errors
    /// git failed.
    pub fn repo(&self, name: &str) -> io::Result<Repo<'_>> {
        Repo::create(self, self.path("src").join(name))
    }

    /// Links the fake agent into the world's `bin/` as `name` (`claude`, `codex`…), so that it is found
    /// before any real one. `program` is the built `fake-agent`.
    ///
    /// # Errors
    /// The link exists or cannot be made.
    pub fn link_agent(&self, name: &str, program: &Path) -> io::Result<PathBuf> {
        let link = self.path("bin").join(name);
        std::os::unix::fs::symlink(program, &link)?;
        Ok(link)
    }

    /// Writes an executable shell script into the world's `bin/`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn program(&self, name: &str, body: &str) -> io::Result<PathBuf> {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.path("bin").join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{body}\n"))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        Ok(path)
    }

    /// A command with the world's environment and nothing else, in the world's home.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs(&self.env)
            .current_dir(self.home())
            .stdin(std::process::Stdio::null());
        command
    }

    /// The `longhaul` binary with these arguments, in `folder`.
    #[must_use]
    pub fn longhaul_in<S: AsRef<OsStr>>(
        &self,
        folder: &Path,
        args: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = self.command(&self.binary);
        command.current_dir(folder).args(args);
        command
    }

    /// Runs a command to its end within `limit`. Its output goes to files, so that a background child
    /// that keeps it open cannot hold the test up.
    ///
    /// # Panics
    /// It could not be started, or did not end in time (it is killed then); the message holds what it
    /// printed.
    #[track_caller]
    pub fn run_within(&self, limit: Duration, command: Command) -> Ran {
        self.spawn(command).finish(limit)
    }

    /// Runs `longhaul ARGS` in `folder` within [`COMMAND_LIMIT`].
    ///
    /// # Panics
    /// As [`World::run_within`].
    #[track_caller]
    pub fn longhaul<S: AsRef<OsStr>>(
        &self,
        folder: &Path,
        args: impl IntoIterator<Item = S>,
    ) -> Ran {
        self.run_within(COMMAND_LIMIT, self.longhaul_in(folder, args))
    }

    /// Starts a command and records its identity for the end of the world.
    ///
    /// # Panics
    /// It could not be started.
    #[track_caller]
    pub fn spawn(&self, command: Command) -> Running {
        let number = self
            .outputs
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let running = Running::start(command, &self.path("out").join(number.to_string()));
        if let Some(identity) = ProcessIdentity::of(running.pid()) {
            self.record(identity);
        }
        running
    }

    /// Records a process that a test started by other means.
    pub fn record(&self, identity: ProcessIdentity) {
        self.recorded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(identity);
    }

    /// Every live process that belongs to this world: whose environment or command line names it or a
    /// path in it, or whose working folder is in it. (Sessions do not inherit `TEST_WORLD`, but their
    /// `HOME` does; shims have the path of their bundle.)
    #[must_use]
    pub fn processes(&self) -> Vec<ProcessIdentity> {
        processes_mentioning(&self.id)
    }

    /// Waits until no process of this world is left; nothing is killed.
    ///
    /// # Panics
    /// Some are left after `limit`; the message lists them.
    #[track_caller]
    pub fn expect_quiet(&self, limit: Duration) {
        let quiet = wait_until(limit, || self.processes().is_empty());
        assert!(
            quiet,
            "processes left in {}: {:#?}",
            self.id,
            self.processes()
        );
    }

    /// Kills everything that belongs to this world, daemons first; gives what is left.
    fn end(&self) -> Vec<ProcessIdentity> {
        for identity in (self.find_daemons)(&self.state())
            .into_iter()
            .filter_map(ProcessIdentity::of)
        {
            // Only a process of this world: a stale lock file may name anybody.
            if identity.mentions(&self.id) {
                identity.kill();
            }
        }
        for identity in self
            .recorded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .drain(..)
        {
            identity.kill();
        }
        // Again and again: a process that is killed late may have started another.
        wait_until(END_LIMIT, || {
            let left = self.processes();
            for process in &left {
                process.kill();
            }
            left.is_empty()
        });
        self.processes()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let left = self.end();
        if std::env::var_os("LONGHAUL_KEEP_WORLDS").is_some()
            && let Some(root) = self.root.take()
        {
            // Kept on purpose, for whoever looks into a failed test.
            drop(root.keep());
        }
        assert!(
            left.is_empty() || std::thread::panicking(),
            "processes of {} could not be ended: {left:#?}",
            self.id
        );
    }
}
