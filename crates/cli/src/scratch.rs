//! A throw-away installation with its own state, config and daemon, for `demo` and `run --rehearse`:
//! made in a temporary folder, and ended with everything it started.

use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_hosts::{Liveness, ProcessIdentity, Signal, SignalOutcome};
use tempfile::TempDir;

use crate::client::{self, Client, Presence, Whole};
use crate::context::Context;
use crate::failure::{Failure, OnPath as _};
use crate::paths::Paths;

/// How long sessions may take to end.
const SESSIONS_TIME: Duration = Duration::from_secs(30);
/// How long the daemon's process may take to end after it let its socket go.
const PROCESS_TIME: Duration = Duration::from_secs(15);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The installation. [`Scratch::end`] takes everything down again.
#[must_use = "everything it started goes on until `end`"]
pub(crate) struct Scratch {
    folder: TempDir,
    root: Utf8PathBuf,
    context: Context,
}

impl Scratch {
    /// An empty one. `settings` are variables for its daemon, `without` those it does not get.
    ///
    /// # Errors
    /// The temporary folder cannot be made.
    pub(crate) fn new(
        context: &Context,
        kind: &str,
        settings: &[(&str, &str)],
        without: &[&str],
    ) -> Result<Self, Failure> {
        crate::follow::shield()?;
        let folder = tempfile::Builder::new()
            .prefix(&format!("longhaul-{kind}-"))
            .tempdir()
            .on("make a folder in", std::env::temp_dir().display())?;
        let root = Utf8Path::from_path(folder.path())
            .ok_or_else(|| Failure::usage("the folder for temporary files is not UTF-8"))?
            .canonicalize_utf8()
            .on("find", folder.path().display())?;
        let paths = Paths::below(&root, &context.paths().home, &context.env)?;
        let env = context.env.with(settings).without(without);
        // Sessions get a cache folder made where there is none; nothing of this one stays.
        let has_cache = env.lossy("XDG_CACHE_HOME").is_some() || paths.home.join(".cache").exists();
        let cache = root.join("cache");
        let env = if has_cache {
            env
        } else {
            env.with(&[("XDG_CACHE_HOME", cache.as_str())])
        };
        let context = context.elsewhere(paths, env, root.clone());
        Ok(Self {
            folder,
            root,
            context,
        })
    }

    /// The folder of all of it.
    pub(crate) fn root(&self) -> &Utf8Path {
        &self.root
    }

    /// The surroundings of verbs in it.
    pub(crate) const fn context(&self) -> &Context {
        &self.context
    }

    /// Stops every session, ends the daemon, removes the folder unless `keep`.
    ///
    /// # Errors
    /// Something did not end; then the folder stays and is named.
    pub(crate) fn end(self, keep: bool) -> Result<(), Failure> {
        let stopped = self.stop();
        let runtime = self.context.paths().runtime_dir.clone();
        if let Err(e) = stopped {
            let root = self.folder.keep();
            return Err(e.help(format!("its folder stays at {}", root.display())));
        }
        // Sockets of processes that are gone.
        if runtime.exists() {
            longhaul_acts::files::remove_dir_all("cli.scratch.remove", &runtime)
                .on("remove", &runtime)?;
        }
        if keep {
            let root = self.folder.keep();
            self.context
                .printer
                .say(&format!("everything is in {}", root.display()));
            return Ok(());
        }
        let root = self.root.clone();
        self.folder.close().on("remove", &root)
    }

    fn stop(&self) -> Result<(), Failure> {
        let Presence::There(client) = client::look(self.context.paths())? else {
            return Ok(());
        };
        client.whole(Whole::Estop)?;
        wait_for_sessions(&client)?;
        let process = ProcessIdentity::of(client.version().pid);
        client::stop(self.context.paths(), &client)?;
        if let Ok(process) = process {
            wait_for_process(&process)?;
        }
        Ok(())
    }
}

pub(crate) fn wait_for_sessions(client: &Client) -> Result<(), Failure> {
    let deadline = Instant::now() + SESSIONS_TIME;
    loop {
        let live = client::live_tasks(client)?;
        if live == 0 {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Failure::new(format!(
                "{live} sessions did not end within {} seconds",
                SESSIONS_TIME.as_secs()
            )));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// The daemon lets its socket go before it is gone; a folder is only removed under nobody.
fn wait_for_process(process: &ProcessIdentity) -> Result<(), Failure> {
    let deadline = Instant::now() + PROCESS_TIME;
    let mut killed = false;
    loop {
        reap(process);
        if process.liveness() != Liveness::Alive {
            break;
        }
        if Instant::now() > deadline {
            if killed {
                return Err(Failure::new(format!(
                    "the daemon (pid {}) does not end",
                    process.pid
                )));
            }
            // Sent or not, the next look tells.
            killed = process.signal(Signal::Kill) == SignalOutcome::Sent;
            if !killed && process.liveness() != Liveness::Gone {
                return Err(Failure::new(format!(
                    "the daemon (pid {}) cannot be ended",
                    process.pid
                )));
            }
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

/// The daemon is a child of ours, or of somebody who reaps it.
fn reap(process: &ProcessIdentity) {
    let pid = i32::try_from(process.pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid
        && let Err(error) =
            rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::NOHANG)
    {
        // Not ours: the look at its identity tells.
        tracing::trace!(%error, "somebody else reaps the daemon");
    }
}
