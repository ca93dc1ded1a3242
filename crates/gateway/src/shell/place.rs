//! The gateway's folder: one gateway at a time, its port and state over restarts. `<state>/gateway/`, 0700; files
//! 0600.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use longhaul_acts::files;
use serde::{Deserialize, Serialize};

use crate::routing::Saved;

const VERSION: u32 = 1;
const STATE: &str = "state.json";
/// How long the port of before is waited for.
const PORT_TIME: Duration = Duration::from_secs(3);
/// Where a new one is looked for, and how often before the system is asked.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
const TRIES: usize = 64;

/// Why the gateway cannot run here.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// Another one does.
    #[error("another gateway runs in {}", folder.display())]
    Taken {
        /// The folder.
        folder: PathBuf,
    },
    /// Its state is of a newer version, or damaged.
    #[error("the gateway's state {} cannot be read; move it away to begin anew: sessions then need new tokens", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The system refused.
    #[error("the gateway cannot use {}", path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What is in the state file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    version: u32,
    port: u16,
    #[serde(default)]
    state: Saved,
}

/// The folder, held by this process until it ends.
#[derive(Debug)]
#[must_use = "another gateway may take the place when this is dropped"]
pub struct Place {
    folder: PathBuf,
    _lock: File,
}

impl Place {
    /// Makes the folder and takes it.
    ///
    /// # Errors
    /// See [`PlaceError`].
    pub fn take(folder: &Path) -> Result<Self, PlaceError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| PlaceError::Io { path, source }
        };
        for folder in [folder, &folder.join("spool")] {
            let mut builder = DirBuilder::new();
            builder.recursive(true).mode(0o700);
            files::build_dir("gateway.folder", &builder, folder).map_err(at(folder))?;
        }
        let path = folder.join("gateway.lock");
        let mut options = OpenOptions::new();
        options.create(true).write(true).truncate(false).mode(0o600);
        let lock = files::open("gateway.lock", &options, &path).map_err(at(&path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                folder: folder.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(PlaceError::Taken {
                folder: folder.to_owned(),
            }),
            Err(TryLockError::Error(source)) => Err(at(&path)(source)),
        }
    }

    /// Where reports wait.
    pub(super) fn spool(&self) -> PathBuf {
        self.folder.join("spool")
    }

    /// The port's listener and the state as it was left. The port is the one before, if nobody has taken it.
    pub(super) fn open(&self) -> Result<(TcpListener, Saved), PlaceError> {
        let path = self.folder.join(STATE);
        let kept = read(&path).map_err(|source| PlaceError::State {
            path: path.clone(),
            source,
        })?;
        let listener = listen(kept.port).map_err(|source| PlaceError::Io { path, source })?;
        Ok((listener, kept.state))
    }

    /// Keeps the state, durably. Blocks.
    pub(super) fn keep(&self, port: u16, state: Saved) -> io::Result<()> {
        let kept = Kept {
            version: VERSION,
            port,
            state,
        };
        let text = serde_json::to_vec(&kept)?;
        let aside = self.folder.join("state.json.tmp");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = files::open("gateway.state.create", &options, &aside)?;
        files::write_all("gateway.state.write", &mut file, &text)?;
        files::rename("gateway.state.rename", &aside, self.folder.join(STATE))?;
        files::sync_all("gateway.state.flush", &file)?;
        files::sync_dir("gateway.state.folder", &self.folder)
    }
}

fn read(path: &Path) -> io::Result<Kept> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Kept::default()),
        Err(error) => return Err(error),
    };
    let kept: Kept = serde_json::from_slice(&text)?;
    if kept.version > VERSION {
        return Err(io::Error::other(format!(
            "it is of version {}, and this program knows {VERSION}",
            kept.version
        )));
    }
    Ok(kept)
}

/// The port of before, waited for; without one, or if it stays taken, a new one.
fn listen(port: u16) -> io::Result<TcpListener> {
    let listener = match again(port) {
        Some(listener) => listener,
        None => {
            if port != 0 {
                tracing::error!(
                    port,
                    "the port of before is taken; sessions that use it are cut off"
                );
            }
            fresh()?
        }
    };
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn again(port: u16) -> Option<TcpListener> {
    let deadline = Instant::now() + PORT_TIME;
    while port != 0 && Instant::now() < deadline {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(listener) => return Some(listener),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
    None
}

/// A port below those that the system gives to outgoing connections: one of those could take it while the gateway is
/// started anew.
fn fresh() -> io::Result<TcpListener> {
    let mut bytes = [0; 2 * TRIES];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    for pair in bytes.chunks_exact(2) {
        let port = PORTS.start + u16::from_le_bytes([pair[0], pair[1]]) % (PORTS.end - PORTS.start);
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return Ok(listener);
        }
    }
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a8_one_at_a_time_and_the_port_stays() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("gateway");
        let place = Place::take(&folder).unwrap();
        assert!(matches!(
            Place::take(&folder),
            Err(PlaceError::Taken { .. })
        ));
        let (listener, _) = place.open().unwrap();
        let port = listener.local_addr().unwrap().port();
        place.keep(port, Saved::default()).unwrap();
        drop((listener, place));
        let place = Place::take(&folder).unwrap();
        assert_eq!(place.open().unwrap().0.local_addr().unwrap().port(), port);
        // A newer state is refused, not written over.
        std::fs::write(folder.join(STATE), r#"{"version":9,"port":1}"#).unwrap();
        assert!(matches!(place.open(), Err(PlaceError::State { .. })));
    }
}
