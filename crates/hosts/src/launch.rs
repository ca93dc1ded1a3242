//! Launching jobs, at most once per key, whoever dies in between (I4).
//!
//! [`Launcher::launch`] may be repeated for ever: a bundle that exists is adopted as it is, and only
//! one in which no program ran is started. Who dies where:
//!
//! | dies | left | the next launch |
//! |---|---|---|
//! | launcher before the folder | nothing | starts |
//! | launcher before or while giving the order | folder, no lock (the shim sees a torn order) | starts |
//! | launcher later | a shim at work | adopts |
//! | shim before the fork | folder, lock free | starts |
//! | shim after the fork | the child holds the lock until its exec; it gives up if it sees the shim gone, else identity on disk | reports [`crate::BundleState::Lost`] |
//! | shim after the tree's end | identity, no record | reports [`crate::BundleState::Lost`], child gone |
//! | the machine before the identity was flushed | no program ever ran | starts |
//! | the machine later | identity of another boot | reports [`crate::BundleState::OtherBoot`] |

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use longhaul_acts::{files, process};
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::bundle::{Bundle, BundleState, SHIM_ERR, SurveyError};
use crate::shim::{self, SHIM_VERB};
use crate::spec::{JobSpec, SpecError};

/// How long a shim may take to start its program on a machine that is swapping.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// How far apart a bundle is looked at while another launcher's shim starts.
const LOOK_PAUSE: Duration = Duration::from_millis(2);

/// Starts and adopts jobs below one folder, and waits for the shims it started.
#[derive(Debug)]
pub struct Launcher {
    exe: PathBuf,
    jobs_dir: PathBuf,
    shims: Mutex<Vec<Child>>,
    open_files: Option<u64>,
}

/// What a launch found or made.
#[must_use = "the state says whether the job runs"]
#[derive(Debug)]
pub struct Launched {
    /// Whether this call started the program; `false` if it had been started before.
    pub fresh: bool,
    /// The bundle's state: `Live`, or already `Exited`, `Lost`, `OtherBoot`.
    pub state: BundleState,
}

/// Why a job was not launched. No program ran, unless the class is
/// [`LaunchErrorClass::Unsettled`].
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The spec is refused.
    #[error("the job cannot be run as specified")]
    Spec(#[from] SpecError),
    /// The jobs folder or the bundle cannot be made.
    #[error("cannot make {path}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The shim's process cannot be started.
    #[error("cannot start {exe} as a shim")]
    Spawn {
        /// The executable.
        exe: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The shim gave up before it started the program.
    #[error("the shim of {key} gave up: {complaint}")]
    Shim {
        /// The job.
        key: String,
        /// What it said.
        complaint: String,
    },
    /// The bundle cannot be read.
    #[error("the bundle cannot be read")]
    Survey(#[from] SurveyError),
    /// The shim did not start the program in time; it may yet.
    #[error("the shim of {key} takes longer than {START_PATIENCE:?} to start")]
    Slow {
        /// The job.
        key: String,
    },
}

/// Whether launching again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaunchErrorClass {
    /// It will fail the same way.
    Permanent,
    /// It may succeed when the system is better (memory, disk space).
    Retry,
    /// Nobody knows yet whether the program runs: survey, then launch again.
    Unsettled,
}

impl LaunchError {
    /// Whether launching again can help.
    #[must_use]
    pub fn class(&self) -> LaunchErrorClass {
        match self {
            Self::Spec(_) => LaunchErrorClass::Permanent,
            Self::Folder { .. } | Self::Spawn { .. } | Self::Shim { .. } => LaunchErrorClass::Retry,
            Self::Survey(_) | Self::Slow { .. } => LaunchErrorClass::Unsettled,
        }
    }
}

impl Launcher {
    /// A launcher that starts `exe` (which must call [`crate::shim::main`] for [`SHIM_VERB`]) and
    /// keeps bundles below `jobs_dir`. Touches nothing yet.
    ///
    /// # Errors
    /// When `jobs_dir` is relative and the working folder cannot be told.
    pub fn new(exe: &Path, jobs_dir: &Path) -> io::Result<Self> {
        Ok(Self {
            exe: exe.to_owned(),
            jobs_dir: std::path::absolute(jobs_dir)?,
            shims: Mutex::new(Vec::new()),
            open_files: None,
        })
    }

    /// Gives every job this soft limit of open files, whatever the launcher's own is.
    #[must_use]
    pub const fn with_open_files(mut self, soft: Option<u64>) -> Self {
        self.open_files = soft;
        self
    }

    /// The bundle of this key.
    ///
    /// # Errors
    /// When the key would not be safe as a file name.
    pub fn bundle(&self, key: &str) -> Result<Bundle, SpecError> {
        Bundle::new(&self.jobs_dir, key)
    }

    /// Makes sure that the job was started: once, whatever happens and however often it is called.
    /// Returns when its program runs (or could not be run: see the exit record).
    ///
    /// # Errors
    /// See [`LaunchError`] and its class.
    pub fn launch(&self, spec: &JobSpec) -> Result<Launched, LaunchError> {
        spec.validate()?;
        self.reap();
        let bundle = self.bundle(&spec.key)?;
        make_jobs_folder(&self.jobs_dir)?;
        make_folder("launch.bundle", bundle.dir(), false)?;
        let deadline = Instant::now() + START_PATIENCE;
        loop {
            match bundle.survey()? {
                BundleState::Absent | BundleState::NotStarted => {
                    match self.start_shim(&bundle, spec, deadline)? {
                        ShimStart::Started => {
                            let state = bundle.survey()?;
                            return Ok(Launched { fresh: true, state });
                        }
                        // Somebody else was faster, or the program could not be run.
                        ShimStart::Ended(shim::DONE) => {
                            let state = bundle.survey()?;
                            return Ok(Launched { fresh: true, state });
                        }
                        ShimStart::Ended(shim::BUSY | shim::ALREADY_RAN) => {}
                        ShimStart::Ended(_) => {
                            // Dead before it started the program, unless the records say otherwise.
                            match bundle.survey()? {
                                BundleState::Absent
                                | BundleState::NotStarted
                                | BundleState::Starting => {
                                    return Err(LaunchError::Shim {
                                        key: spec.key.clone(),
                                        complaint: complaint_of(&bundle),
                                    });
                                }
                                state => return Ok(Launched { fresh: true, state }),
                            }
                        }
                    }
                }
                BundleState::Starting => {}
                state => {
                    return Ok(Launched {
                        fresh: false,
                        state,
                    });
                }
            }
            if Instant::now() >= deadline {
                return Err(LaunchError::Slow {
                    key: spec.key.clone(),
                });
            }
            std::thread::sleep(LOOK_PAUSE);
        }
    }

    /// Waits for those of our shims that have ended, so that no zombies stay. `launch` does it, too;
    /// call it now and then where nothing is launched for long. Never blocks.
    pub fn reap(&self) {
        let mut shims = self.shims.lock().unwrap_or_else(PoisonError::into_inner);
        // An error means that somebody else reaped it.
        shims.retain_mut(|shim| matches!(shim.try_wait(), Ok(None)));
    }

    fn start_shim(
        &self,
        bundle: &Bundle,
        spec: &JobSpec,
        deadline: Instant,
    ) -> Result<ShimStart, LaunchError> {
        let failed = |source| LaunchError::Spawn {
            exe: self.exe.clone(),
            source,
        };
        let spec = &JobSpec {
            open_files: spec.open_files.or(self.open_files),
            ..spec.clone()
        };
        let order = serde_json::to_vec(spec).map_err(|err| failed(err.into()))?;
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600);
        let complaints = files::open("launch.complaints", &options, bundle.file(SHIM_ERR))
            .map_err(|source| LaunchError::Folder {
                path: bundle.file(SHIM_ERR),
                source,
            })?;
        let mut command = Command::new(&self.exe);
        command
            // A readable name in process lists, whatever path the image was started by.
            .arg0("longhaul")
            .arg(SHIM_VERB)
            .arg(bundle.dir())
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(complaints);
        command.envs(longhaul_acts::crash_environment());
        let mut child = process::spawn("launch.spawn", &mut command).map_err(failed)?;
        // The bundle's own name; were it lost in a power cut, a job that ran would be taken for one that
        // did not. Flushed while the shim starts up: without its order nothing begins.
        if let Err(source) = files::sync_dir("launch.jobs.flush", &self.jobs_dir) {
            drop(child.stdin.take());
            let ended = child.wait();
            tracing::debug!(key = spec.key, ?ended, "a shim without an order");
            return Err(LaunchError::Folder {
                path: self.jobs_dir.clone(),
                source,
            });
        }
        if let Some(mut stdin) = child.stdin.take()
            && let Err(err) = files::write_all("launch.order", &mut stdin, &order)
            && err.kind() != io::ErrorKind::BrokenPipe
        {
            tracing::warn!(key = spec.key, %err, "order not given");
        }
        let started = match child.stdout.take() {
            Some(stdout) => read_started(&stdout, deadline),
            None => Answer::Closed,
        };
        match started {
            Answer::Started => {
                self.keep(child);
                Ok(ShimStart::Started)
            }
            Answer::Closed => {
                let status = child.wait().map_err(failed)?;
                let code = status.code().and_then(|code| u8::try_from(code).ok());
                Ok(ShimStart::Ended(code.unwrap_or(shim::FAILED)))
            }
            Answer::Late => {
                self.keep(child);
                Err(LaunchError::Slow {
                    key: spec.key.clone(),
                })
            }
        }
    }

    fn keep(&self, child: Child) {
        self.shims
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(child);
    }
}

/// What a shim that gave up said; it needs a file for that.
fn complaint_of(bundle: &Bundle) -> String {
    let said = bundle.shim_complaint();
    if said.trim().is_empty() {
        "it could not even say why, which on a full disk nobody can".to_owned()
    } else {
        said
    }
}

enum ShimStart {
    Started,
    Ended(u8),
}

enum Answer {
    Started,
    Closed,
    Late,
}

/// Waits for the shim's one byte, its end, or the deadline.
fn read_started(stdout: &std::process::ChildStdout, deadline: Instant) -> Answer {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        let mut fds = [PollFd::new(stdout, PollFlags::IN)];
        match rustix::event::poll(&mut fds, Some(&timeout)) {
            Ok(0) => return Answer::Late,
            Err(rustix::io::Errno::INTR) => continue,
            Ok(_) => {}
            Err(_) => return Answer::Closed,
        }
        let mut byte = [0];
        return match rustix::io::read(stdout, &mut byte) {
            Ok(1) if byte[0] == shim::STARTED => Answer::Started,
            Err(rustix::io::Errno::INTR) => continue,
            _ => Answer::Closed,
        };
    }
}

/// Makes the folder of all bundles. Each launch flushes the names in it and none above; were its own lost
/// in a power cut, a job that ran would be taken for one that did not, and run twice.
fn make_jobs_folder(path: &Path) -> Result<(), LaunchError> {
    if path.is_dir() {
        return Ok(());
    }
    make_folder("launch.jobs", path, true)?;
    let flush = |folder| files::sync_dir("launch.jobs.folder", folder);
    match path.parent().map(flush) {
        Some(Err(source)) => Err(LaunchError::Folder {
            path: path.to_owned(),
            source,
        }),
        Some(Ok(())) | None => Ok(()),
    }
}

/// Makes a folder that only the owner may enter; one that is there is fine.
fn make_folder(label: &str, path: &Path, parents: bool) -> Result<(), LaunchError> {
    let mut builder = DirBuilder::new();
    match files::build_dir(label, builder.mode(0o700).recursive(parents), path) {
        Err(source) if !(source.kind() == io::ErrorKind::AlreadyExists && path.is_dir()) => {
            Err(LaunchError::Folder {
                path: path.to_owned(),
                source,
            })
        }
        _ => Ok(()),
    }
}
