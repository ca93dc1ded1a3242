//! The folder of one job, and what can be told from it by looking only (I7).
//!
//! | on disk | meaning |
//! |---|---|
//! | no folder | [`BundleState::Absent`]: launch |
//! | exit record | [`BundleState::Exited`], whoever runs |
//! | lock held, no identity | [`BundleState::Starting`] |
//! | lock held, identity | [`BundleState::Live`]: adopt |
//! | lock free, no identity | [`BundleState::NotStarted`]: no program ran; launch again with the same key |
//! | lock free, identity of another boot | [`BundleState::OtherBoot`]: all gone |
//! | lock free, identity | [`BundleState::Lost`]: sweep, then it is gone |
//!
//! "No program ran" holds because the child itself writes the identity before its `exec` and holds
//! its copy of the lock until then.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::durable;
use crate::identity::{BootId, Liveness};
use crate::lock;
use crate::record::{ExitRecord, JobIdentity};
use crate::spec::{SpecError, check_key};
use crate::tree::Tree;
use crate::watch::ShimHandle;

pub(crate) const LOCK: &str = "lock";
pub(crate) const IDENTITY: &str = "identity.json";
pub(crate) const EXIT: &str = "exit.json";
pub(crate) const SOCKET: &str = "sock";
pub(crate) const SHIM_ERR: &str = "shim.err";

/// The folder of one job: `<jobs>/<key>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    dir: PathBuf,
    key: String,
}

/// What a bundle says. See the table of this module.
#[derive(Clone, Debug)]
pub enum BundleState {
    /// Never launched.
    Absent,
    /// Launched in vain: no program ran and none will.
    NotStarted,
    /// A shim is at work, the program not yet started.
    Starting,
    /// It runs under its shim.
    Live(ShimHandle),
    /// It ended.
    Exited(Box<ExitRecord>),
    /// The shim died without an exit record. What is left of the tree must be swept.
    Lost(Lost),
    /// It ran in an earlier boot: nothing of it is left.
    OtherBoot(Box<JobIdentity>),
}

/// A job whose shim died.
#[derive(Clone, Debug)]
pub struct Lost {
    /// Who ran; `None` if the record is unreadable.
    pub identity: Option<Box<JobIdentity>>,
    /// Whether the main process still runs.
    pub child: Liveness,
    /// Whether there is an exit record that cannot be read.
    pub torn_record: bool,
    key: String,
}

impl Lost {
    /// What is left of the job, for a sweep.
    #[must_use]
    pub fn tree(&self) -> Tree {
        match &self.identity {
            Some(identity) => identity.tree(),
            None => Tree::of_key(&self.key),
        }
    }
}

impl JobIdentity {
    /// All that belongs to the job, its shim included.
    #[must_use]
    pub fn tree(&self) -> Tree {
        Tree::new(
            &self.key,
            vec![self.child.clone(), self.shim.clone()],
            self.cgroup.as_deref(),
        )
    }
}

/// Why a bundle could not be read. Trying again may help.
#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
    /// A file of the bundle cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file of the bundle cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The boot id cannot be read.
    #[error("the boot id cannot be read")]
    Boot(#[source] io::Error),
}

impl Bundle {
    /// The bundle of `key` below the jobs folder. Nothing is touched.
    ///
    /// # Errors
    /// When the key would not be safe as a file name.
    pub fn new(jobs_dir: &Path, key: &str) -> Result<Self, SpecError> {
        check_key(key)?;
        Ok(Self {
            dir: jobs_dir.join(key),
            key: key.to_owned(),
        })
    }

    /// The bundle in this folder, for the shim.
    pub(crate) fn at(dir: &Path) -> Option<Self> {
        let key = dir.file_name()?.to_str()?;
        check_key(key).ok()?;
        dir.is_absolute().then(|| Self {
            dir: dir.to_owned(),
            key: key.to_owned(),
        })
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The job's key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Tells the job's state by looking only.
    ///
    /// # Errors
    /// When the bundle cannot be read; then nothing is known of the job.
    pub fn survey(&self) -> Result<BundleState, SurveyError> {
        let mut torn_record = match self.exit_record()? {
            Some(Ok(record)) => return Ok(BundleState::Exited(Box::new(record))),
            Some(Err(())) => true,
            None if !self.exists()? => return Ok(BundleState::Absent),
            None => false,
        };
        let path = self.file(LOCK);
        let held = lock::is_held(&path).map_err(|source| SurveyError::Read { path, source })?;
        if !held {
            // It may have ended between the two looks.
            match self.exit_record()? {
                Some(Ok(record)) => return Ok(BundleState::Exited(Box::new(record))),
                Some(Err(())) => torn_record = true,
                None => {}
            }
        }
        let identity = self.identity()?;
        Ok(match (held, identity) {
            (true, None) => BundleState::Starting,
            (true, Some(identity)) => {
                BundleState::Live(ShimHandle::new(self.clone(), identity.ok().map(Box::new)))
            }
            (false, None) => BundleState::NotStarted,
            (false, Some(Err(()))) => BundleState::Lost(Lost {
                identity: None,
                child: Liveness::Unknown,
                torn_record,
                key: self.key.clone(),
            }),
            (false, Some(Ok(identity))) => {
                let boot = BootId::current().map_err(SurveyError::Boot)?;
                if identity.child.boot_id == boot {
                    BundleState::Lost(Lost {
                        child: identity.child.liveness(),
                        identity: Some(Box::new(identity)),
                        torn_record,
                        key: self.key.clone(),
                    })
                } else {
                    BundleState::OtherBoot(Box::new(identity))
                }
            }
        })
    }

    /// Makes sure that no program is ever started under this key, unless one was: then, or if a shim is at
    /// work, nothing is done and the state says so.
    ///
    /// Looking alone does not tell: the shim of a daemon that has died may have its order and not yet the
    /// lock. It finds the record that this leaves, and gives up.
    ///
    /// # Errors
    /// When the bundle cannot be read or written; then a program may still start.
    pub fn close(&self) -> Result<BundleState, SurveyError> {
        let state = self.survey()?;
        // The folder comes before any shim, and its maker is gone or is us.
        if !matches!(state, BundleState::NotStarted) {
            return Ok(state);
        }
        let failed = |name: &str| {
            let path = self.file(name);
            move |source| SurveyError::Write { path, source }
        };
        let Some(lock) = lock::take(&self.file(LOCK)).map_err(failed(LOCK))? else {
            return self.survey();
        };
        if self.identity()?.is_none() && self.exit_record()?.is_none() {
            let record = ExitRecord::withdrawn(&self.key);
            let bytes = serde_json::to_vec(&record).map_err(io::Error::other);
            let written = bytes.and_then(|bytes| durable::write(&self.dir, EXIT, &bytes, "close"));
            written.map_err(failed(EXIT))?;
        }
        drop(lock);
        self.survey()
    }

    fn exists(&self) -> Result<bool, SurveyError> {
        self.dir.try_exists().map_err(|source| SurveyError::Read {
            path: self.dir.clone(),
            source,
        })
    }

    /// The exit record; `Err(())` inside if it cannot be understood.
    fn exit_record(&self) -> Result<Option<Result<ExitRecord, ()>>, SurveyError> {
        self.record(EXIT, |record: &ExitRecord| &record.key)
    }

    /// The identity; `Err(())` inside if it cannot be understood.
    pub(crate) fn identity(&self) -> Result<Option<Result<JobIdentity, ()>>, SurveyError> {
        self.record(IDENTITY, |identity: &JobIdentity| &identity.key)
    }

    /// A record that names another job counts as unreadable: what it says would end that job's processes.
    fn record<T: serde::de::DeserializeOwned>(
        &self,
        name: &str,
        key: impl Fn(&T) -> &String,
    ) -> Result<Option<Result<T, ()>>, SurveyError> {
        let path = self.file(name);
        match durable::read_bounded(&path) {
            Ok(None) => Ok(None),
            Ok(Some(bytes)) => {
                let read = serde_json::from_slice(&bytes).ok();
                Ok(Some(read.filter(|r| *key(r) == self.key).ok_or(())))
            }
            // The folder's own name is a file, say.
            Err(source) => Err(SurveyError::Read { path, source }),
        }
    }

    /// What the shim itself had to say when it failed; for an error's text.
    pub(crate) fn shim_complaint(&self) -> String {
        let bytes = fs::read(self.file(SHIM_ERR)).unwrap_or_default();
        let text = OsString::from_vec(bytes)
            .to_string_lossy()
            .trim()
            .to_owned();
        text.chars().take(500).collect()
    }
}
