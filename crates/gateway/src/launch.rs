//! Starting the gateway where it is not there, for the daemon and for verbs.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use longhaul_acts::{files, process};
use longhaul_core::account::WAY_OUT;

use crate::client::{Client, ClientError};

/// The hidden verb of the executable that becomes the gateway.
pub const VERB: &str = "__gateway";
/// How long a gateway may take to its first answer.
const START_TIME: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How long one that finds another at its place is believed.
const AGAIN: Duration = Duration::from_millis(300);

/// How to start a gateway.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Our own executable.
    pub program: PathBuf,
    /// Variables that name the folders of the installation; the only others are those of the way out.
    pub variables: Vec<(String, String)>,
    /// Its control socket.
    pub socket: PathBuf,
    /// Its log, 0600, appended to.
    pub log: PathBuf,
}

/// Why there is no gateway.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The process could not be started.
    #[error("the gateway could not be started")]
    Spawn(#[source] io::Error),
    /// It ended at once.
    #[error("the gateway ended at once ({status}); its log is {}", log.display())]
    Ended {
        /// How.
        status: std::process::ExitStatus,
        /// Where it said why.
        log: PathBuf,
    },
    /// It does not answer.
    #[error("the gateway does not answer; its log is {}", log.display())]
    Silent {
        /// Where it may have said why.
        log: PathBuf,
        /// The last look at it.
        #[source]
        source: ClientError,
    },
}

/// A client of the gateway, which is started if it is not there. Repeating it is harmless: a second gateway
/// finds the first one's lock and goes.
///
/// # Errors
/// See [`LaunchError`].
pub fn ensure(launch: &Launch) -> Result<Client, LaunchError> {
    let client = Client::new(&launch.socket);
    let mut last = match client.status() {
        Ok(_) => return Ok(client),
        Err(error) => error,
    };
    let mut child = start(launch).map_err(LaunchError::Spawn)?;
    let deadline = Instant::now() + START_TIME;
    let mut ended = None;
    let mut begun = Instant::now();
    while Instant::now() < deadline {
        match client.status() {
            Ok(_) => {
                wait_for(child);
                return Ok(client);
            }
            Err(error) => last = error,
        }
        if ended.is_none() {
            ended = child.try_wait().map_err(LaunchError::Spawn)?;
        }
        match ended {
            Some(status) if status.code() != Some(i32::from(ALREADY)) => {
                return Err(LaunchError::Ended {
                    status,
                    log: launch.log.clone(),
                });
            }
            // Another one has the lock. It comes up, and its socket is what we wait for; or it is about to end, and
            // then it is ours to come up.
            Some(_) if begun.elapsed() > AGAIN => {
                begun = Instant::now();
                child = start(launch).map_err(LaunchError::Spawn)?;
                ended = None;
            }
            _ => std::thread::sleep(LOOK_EVERY),
        }
    }
    Err(LaunchError::Silent {
        log: launch.log.clone(),
        source: last,
    })
}

/// The exit code of a gateway that finds another one at its place.
///
/// It is `conflict` of the one table of exit codes.
pub const ALREADY: u8 = 7;

/// Whoever starts a process waits for it, or it stays as a zombie when it ends.
fn wait_for(mut child: std::process::Child) {
    let name = "gateway-child".to_owned();
    let waiter = std::thread::Builder::new().name(name);
    if let Err(error) = waiter.spawn(move || drop(child.wait())) {
        tracing::warn!(%error, "nobody will wait for the gateway's process");
    }
}

fn start(launch: &Launch) -> io::Result<std::process::Child> {
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(0o600);
    let log = files::open("gateway.log", &options, &launch.log)?;
    let mut command = Command::new(&launch.program);
    command
        .arg(VERB)
        .env_clear()
        .envs(launch.variables.iter().map(|(n, v)| (n, v)))
        .envs(longhaul_acts::crash_environment())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    for name in WAY_OUT {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    process::spawn("gateway.spawn", &mut command)
}
