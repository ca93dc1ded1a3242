//! A hermetic place for the real binary: its own home, state, config and runtime folders, a fixed
//! environment. Whatever daemon was started in it is ended before it goes.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The place.
pub(crate) struct World {
    root: tempfile::TempDir,
}

/// What a run gave.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl World {
    pub(crate) fn new() -> Self {
        let root = tempfile::Builder::new().prefix("lh").tempdir().unwrap();
        for name in ["home", "run", "repo", "bin"] {
            std::fs::create_dir(root.path().join(name)).unwrap();
        }
        Self { root }
    }

    /// With a git repository in `repo` that has one commit on `main`.
    pub(crate) fn with_repo() -> Self {
        let world = Self::new();
        world.git(&["init", "--quiet", "--initial-branch=main"]);
        world.git(&["commit", "--quiet", "--allow-empty", "-m", "Start"]);
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn repo(&self) -> PathBuf {
        self.path("repo")
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub(crate) fn command(&self, program: impl AsRef<OsStr>, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(folder)
            .env_clear()
            .env(
                "PATH",
                format!(
                    "{}:/usr/local/bin:/usr/bin:/bin",
                    self.path("bin").display()
                ),
            )
            .env("HOME", self.path("home"))
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .env("LANG", "C.UTF-8")
            .env("TZ", "UTC")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn git(&self, args: &[&str]) -> String {
        let output = self
            .command("git", &self.repo())
            .args(["-c", "user.name=T", "-c", "user.email=t@t"])
            .args(args)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "git {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn longhaul(&self) -> Command {
        self.command(env!("CARGO_BIN_EXE_longhaul"), &self.repo())
    }

    /// Runs it in the repository.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        ran(self.longhaul().args(args))
    }

    /// Text with what differs from run to run replaced.
    pub(crate) fn redact(&self, text: &str) -> String {
        let root = self.root.path().canonicalize().unwrap();
        text.replace(root.to_str().unwrap(), "[ROOT]")
            .replace(self.root.path().to_str().unwrap(), "[ROOT]")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // No daemon is the usual case; then this says so and changes nothing.
        let ended = self.longhaul().args(["daemon", "stop"]).output();
        if !std::thread::panicking() {
            assert!(
                ended.unwrap().status.success(),
                "the daemon of a test was not ended"
            );
        }
    }
}

/// Runs a command to its end.
pub(crate) fn ran(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}
