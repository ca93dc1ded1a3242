//! A world of its own for the real binary: folders, a repository, a daemon that is ended with it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;

use crate::{Fallible, Options, table};

/// Bounds every wait.
const PATIENCE: Duration = Duration::from_secs(300);

/// The world; everything in it ends and goes when it is dropped.
pub(crate) struct Scene {
    root: tempfile::TempDir,
    binary: PathBuf,
    /// A daemon was started.
    started: bool,
}

impl Scene {
    /// A new one: nothing runs yet.
    pub(crate) fn new(options: &Options) -> Fallible<Self> {
        let root = tempfile::tempdir_in(&options.folder)?;
        for name in ["home", "config", "state", "run", "repo"] {
            std::fs::create_dir(root.path().join(name))?;
        }
        let scene = Self {
            root,
            binary: options.binary.canonicalize()?,
            started: false,
        };
        for args in [
            &["init", "--quiet", "-b", "main"][..],
            &["config", "user.name", "Bench"],
            &["config", "user.email", "bench@localhost"],
            &["commit", "--quiet", "--allow-empty", "-m", "start"],
        ] {
            let done = scene
                .plain("git")
                .current_dir(scene.repo())
                .args(args)
                .status()?;
            if !done.success() {
                return Err("git failed".into());
            }
        }
        Ok(scene)
    }

    /// A setting for this world's daemon and commands.
    pub(crate) fn configure(&self, text: &str) -> Fallible<()> {
        Ok(std::fs::write(
            self.root.path().join("config/config.toml"),
            text,
        )?)
    }

    pub(crate) fn repo(&self) -> PathBuf {
        self.root.path().join("repo")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn state(&self) -> Fallible<Utf8PathBuf> {
        Ok(Utf8PathBuf::try_from(self.path("state"))?)
    }

    /// A program in this world's environment.
    pub(crate) fn plain(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path("home"))
            .env("LONGHAUL_STATE_DIR", self.path("state"))
            .env("LONGHAUL_CONFIG_DIR", self.path("config"))
            .env("LONGHAUL_RUNTIME_DIR", self.path("run"))
            .stdin(Stdio::null());
        command
    }

    /// `longhaul` in the repository.
    pub(crate) fn longhaul(&self, args: &[&str]) -> Command {
        let mut command = self.plain(&self.binary);
        command
            .args(args)
            .current_dir(self.repo())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// Runs `longhaul` and gives what it printed.
    pub(crate) fn said(&self, args: &[&str]) -> Fallible<String> {
        let mut command = self.longhaul(args);
        let Output {
            status,
            stdout,
            stderr,
        } = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .output()?;
        if !status.success() {
            let said = String::from_utf8_lossy(&stderr);
            return Err(format!("longhaul {}: {said}", args.join(" ")).into());
        }
        Ok(String::from_utf8_lossy(&stdout).into_owned())
    }

    /// Starts the daemon and gives its process id.
    pub(crate) fn daemon(&mut self) -> Fallible<u32> {
        self.started = true;
        self.said(&["daemon", "start"])?;
        self.daemon_pid()
    }

    /// The process id of the daemon that runs.
    pub(crate) fn daemon_pid(&self) -> Fallible<u32> {
        let text = self.said(&["daemon", "status", "--json"])?;
        let value: serde_json::Value = serde_json::from_str(&text)?;
        let pid = value
            .pointer("/data/version/pid")
            .or(value.pointer("/version/pid"));
        let pid = pid.and_then(serde_json::Value::as_u64);
        Ok(u32::try_from(
            pid.ok_or("the daemon does not say its pid")?,
        )?)
    }

    /// Starts it and waits for its end; the time from before to after.
    pub(crate) fn timed(&self, command: &mut Command) -> Fallible<Duration> {
        let start = Instant::now();
        let status = command.status()?;
        let took = start.elapsed();
        if !status.success() {
            return Err(format!("{command:?} failed").into());
        }
        Ok(took)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if !self.started {
            return;
        }
        let ended = || -> Fallible<()> {
            self.said(&["estop"])?;
            // Shims write to their folders until they go.
            let shims = shims(&self.path("state").join("jobs"));
            until("the end of the sessions", || {
                shims
                    .iter()
                    .all(|pid| !Path::new(&format!("/proc/{pid}")).exists())
            })?;
            self.said(&["daemon", "stop"])?;
            Ok(())
        };
        if let Err(error) = ended() {
            table::note(&format!("longhaul-bench: {error}"));
        }
    }
}

/// The bundles of a state folder.
pub(crate) fn folders(jobs: &Path) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(jobs)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path())
}

/// The shims that wrote them.
pub(crate) fn shims(jobs: &Path) -> Vec<u32> {
    folders(jobs)
        .filter_map(|f| std::fs::read_to_string(f.join("identity.json")).ok())
        .filter_map(|text| serde_json::from_str::<serde_json::Value>(&text).ok())
        .filter_map(|v| v.pointer("/shim/pid").and_then(serde_json::Value::as_u64))
        .filter_map(|pid| u32::try_from(pid).ok())
        .collect()
}

/// Looks again until it is so.
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) -> Fallible<Duration> {
    let start = Instant::now();
    while !so() {
        if start.elapsed() > PATIENCE {
            return Err(format!("{what}: not within {PATIENCE:?}").into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(start.elapsed())
}
