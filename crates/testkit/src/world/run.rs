//! Commands of a world: started with their output in files, waited for with a limit.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use super::wait_until;

/// A command that was started.
#[must_use = "a command that nobody waits for proves nothing"]
#[derive(Debug)]
pub struct Running {
    child: Child,
    shown: String,
    out: PathBuf,
    err: PathBuf,
}

/// A command that ended.
#[derive(Debug)]
pub struct Ran {
    /// How.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// The command line, for messages.
    pub shown: String,
}

impl Running {
    /// Starts it; `base` names the two files.
    #[track_caller]
    pub(super) fn start(mut command: Command, base: &Path) -> Self {
        let (out, err) = (base.with_extension("out"), base.with_extension("err"));
        let shown = format!("{command:?}");
        let started = (|| {
            command
                .stdout(File::create(&out)?)
                .stderr(File::create(&err)?)
                .spawn()
        })();
        match started {
            Ok(child) => Self {
                child,
                shown,
                out,
                err,
            },
            Err(error) => panic!("could not start {shown}: {error}"),
        }
    }

    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it printed so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        lossy(&self.out)
    }

    /// What it complained of so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        lossy(&self.err)
    }

    /// Kills it at once (the child only) and waits for it.
    ///
    /// # Panics
    /// The system refuses.
    #[track_caller]
    pub fn kill(mut self) -> Ran {
        if let Err(error) = self.child.kill() {
            panic!("could not kill {}: {error}", self.shown);
        }
        self.finish(Duration::from_secs(10))
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// It does not end in time, and is killed; the message holds what it printed.
    #[track_caller]
    pub fn finish(mut self, limit: Duration) -> Ran {
        let mut status = None;
        wait_until(limit, || {
            status = self.child.try_wait().ok().flatten();
            status.is_some()
        });
        let (stdout, stderr) = (lossy(&self.out), lossy(&self.err));
        let Some(status) = status else {
            drop(self.child.kill());
            drop(self.child.wait());
            panic!(
                "{} did not end within {limit:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}",
                self.shown
            );
        };
        Ran {
            status,
            stdout,
            stderr,
            shown: self.shown,
        }
    }
}

impl Ran {
    /// The exit code; -1 if a signal ended it.
    #[must_use]
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }

    /// The same, if the code is the wanted one.
    ///
    /// # Panics
    /// It is another; the message holds what was printed.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(
            self.code(),
            code,
            "{}\n--- stdout\n{}\n--- stderr\n{}",
            self.shown,
            self.stdout,
            self.stderr
        );
        self
    }

    /// The standard output as JSON.
    ///
    /// # Panics
    /// It is none.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        match serde_json::from_str(&self.stdout) {
            Ok(value) => value,
            Err(error) => panic!("{} printed no JSON ({error}):\n{}", self.shown, self.stdout),
        }
    }
}

fn lossy(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}
