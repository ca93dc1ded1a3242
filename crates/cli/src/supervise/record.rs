//! What outlives a supervisor (A17): which account its pool had come to, and, while it runs, what it started.

use std::io;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_acts::files;
use longhaul_hosts::{Liveness, ProcessIdentity, foreground};
use serde::{Deserialize, Serialize};

use super::MARK;
use crate::output::Printer;
use crate::paths::Paths;
use crate::wire::visitor;

/// The version of both files; newer ones are left alone.
const VERSION: u32 = 1;
/// Largest of them that is read.
const FILE_MAX: u64 = 64 << 10;
/// How long what a dead supervisor left may take to end.
const GRACE: Duration = Duration::from_secs(10);

/// A supervisor that runs, or died.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Running {
    version: u32,
    /// It.
    supervisor: ProcessIdentity,
    /// The first process of its command; `None` before it started one.
    pub(super) command: Option<ProcessIdentity>,
    /// Its sessions at the gateway.
    sessions: Vec<String>,
}

/// The accounts that pools had come to, by provider.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Rotation {
    version: u32,
    current: std::collections::BTreeMap<String, String>,
}

/// Where they lie.
#[derive(Clone, Debug)]
pub(super) struct Records {
    folder: Utf8PathBuf,
}

/// The name of a supervisor, for its file, its sessions and its command's environment.
pub(super) fn name_of(supervisor: &ProcessIdentity) -> String {
    format!("supervise-{}-{}", supervisor.pid, supervisor.start_ticks)
}

impl Records {
    pub(super) fn new(paths: &Paths) -> io::Result<Self> {
        let folder = paths.state_dir.join("supervise");
        files::create_dir_all("cli.supervise.folder", &folder)?;
        Ok(Self { folder })
    }

    fn of(&self, supervisor: &ProcessIdentity) -> Utf8PathBuf {
        self.folder.join(format!("{}.json", name_of(supervisor)))
    }

    /// Writes down what a supervisor has started. Before and after it starts its command.
    pub(super) fn keep(
        &self,
        supervisor: &ProcessIdentity,
        command: Option<ProcessIdentity>,
        sessions: &[String],
    ) -> io::Result<()> {
        let running = Running {
            version: VERSION,
            supervisor: supervisor.clone(),
            command,
            sessions: sessions.to_vec(),
        };
        put(&self.of(supervisor), &serde_json::to_vec(&running)?)
    }

    /// It ended in good order.
    pub(super) fn forget(&self, supervisor: &ProcessIdentity) {
        let path = self.of(supervisor);
        if let Err(error) = files::remove_file("cli.supervise.forget", &path) {
            tracing::debug!(%error, "its record stays until the next start");
        }
    }

    /// The account that a provider's pool had come to.
    pub(super) fn current(&self, provider: &str) -> Option<String> {
        self.rotation().current.remove(provider)
    }

    /// The pool has come to this account.
    pub(super) fn came_to(&self, provider: &str, account: &str) -> io::Result<()> {
        let mut rotation = self.rotation();
        if rotation.version > VERSION {
            return Ok(());
        }
        rotation.version = VERSION;
        let before = rotation
            .current
            .insert(provider.to_owned(), account.to_owned());
        if before.as_deref() == Some(account) {
            return Ok(());
        }
        put(
            &self.folder.join("rotation.json"),
            &serde_json::to_vec(&rotation)?,
        )
    }

    fn rotation(&self) -> Rotation {
        read(&self.folder.join("rotation.json")).unwrap_or_default()
    }

    /// Ends what supervisors left that died, and takes their sessions from the gateway (R20).
    pub(super) fn sweep(&self, paths: &Paths, printer: &Printer) {
        let entries = self.folder.read_dir_utf8().into_iter().flatten().flatten();
        for entry in entries {
            if !entry.file_name().starts_with("supervise-") {
                continue;
            }
            let Some(left) = read::<Running>(entry.path()).filter(|r| r.version <= VERSION) else {
                continue;
            };
            // I6: only of one that is surely gone.
            if left.supervisor.liveness() != Liveness::Gone {
                continue;
            }
            let name = name_of(&left.supervisor);
            let command = left
                .command
                .or_else(|| foreground::started_with(MARK, &name));
            let ended = command.map_or(Some(0), |c| foreground::end_left_over(&c, GRACE));
            match ended {
                None => continue,
                Some(0) => {}
                Some(_) => printer.say(&format!(
                    "longhaul: an earlier supervise (pid {}) died; what it left was ended",
                    left.supervisor.pid
                )),
            }
            visitor::forget(paths, &name, &left.sessions);
            if let Err(error) = files::remove_file("cli.supervise.sweep", entry.path()) {
                tracing::debug!(%error, "looked at again at the next start");
            }
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(path: &Utf8Path) -> Option<T> {
    let bytes = longhaul_config::files::read_bounded(path, FILE_MAX).ok()?;
    match serde_json::from_slice(&bytes) {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::warn!(%path, %error, "is not readable, and is left as it is");
            None
        }
    }
}

/// In one step, so that a death in between leaves the one before.
fn put(path: &Utf8Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    files::write("cli.supervise.write", &fresh, bytes)?;
    files::rename("cli.supervise.rename", &fresh, path)
}
