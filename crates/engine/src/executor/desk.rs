//! The tools that effects work with: folders, programs, settings, the way back to the dispatcher.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_agents::{LaunchOptions, Registry};
use longhaul_core::fact::News;
use longhaul_core::ids::TaskId;
use longhaul_core::spec::TaskSpec;
use longhaul_core::time::UnixMs;
use longhaul_core::usage::MicroUsd;
use longhaul_hosts::{BootId, Launcher};
use longhaul_pool::PoolSettings;
use longhaul_store::{ErrorClass as StoreErrorClass, Reader, StoreError};
use longhaul_vcs::{Git, OpenError, Repo};

use super::accounts::Accounts;
use crate::clock::{Clock, SystemClock};
use crate::event::Event;
use crate::machine::Dispatch;

/// The folders below the state folder that effects use.
#[derive(Clone, Debug)]
pub struct Dirs {
    /// The state folder itself: closed to sessions.
    pub state: Utf8PathBuf,
    /// The config folder: closed to sessions.
    pub config: Utf8PathBuf,
    /// Where sockets are.
    pub runtime: Utf8PathBuf,
}

impl Dirs {
    /// Bundles of jobs.
    #[must_use]
    pub fn jobs(&self) -> Utf8PathBuf {
        self.state.join("jobs")
    }

    /// Worktrees.
    #[must_use]
    pub fn workspaces(&self) -> Utf8PathBuf {
        self.state.join("workspaces")
    }

    /// What the vcs crate remembers of repositories.
    #[must_use]
    pub fn repos(&self) -> Utf8PathBuf {
        self.state.join("repos")
    }

    /// Notes about one task that only effects need.
    #[must_use]
    pub fn task(&self, id: TaskId) -> Utf8PathBuf {
        self.state.join("tasks").join(id.to_string())
    }

    /// Notes about the sessions of the pool.
    #[must_use]
    pub fn pool(&self) -> Utf8PathBuf {
        self.state.join("pool")
    }

    /// The socket of Longhaul's own tmux server.
    #[must_use]
    pub fn tmux_socket(&self) -> Utf8PathBuf {
        self.runtime.join("tmux.sock")
    }

    /// Leased port ranges.
    #[must_use]
    pub fn ports(&self) -> Utf8PathBuf {
        self.state.join("ports")
    }
}

/// Settings that effects follow: the machine's, or those that hold for the tasks of one repository.
#[derive(Clone, Debug)]
pub struct Practice {
    /// Harnesses.
    pub registry: Registry,
    /// First part of branch names.
    pub branch_prefix: String,
    /// Sign the commits of leftovers as the user's git config says.
    pub sign: bool,
    /// A clean checkout of the base branch may be advanced after a landing (L14).
    pub advance_checkout: bool,
    /// What has landed is pushed to the remote branch.
    pub push: bool,
    /// Most bytes kept of each stream of a session.
    pub max_log_bytes: u64,
    /// Most bytes of new content in one snapshot.
    pub snapshot_max_bytes: u64,
    /// Further caches of build tools that sessions may write; made where they are missing.
    pub caches: Vec<Utf8PathBuf>,
    /// Further paths that sessions may write.
    pub writable: Vec<Utf8PathBuf>,
    /// The user said that this machine is a sandbox of its own (T25).
    pub sandboxed: bool,
    /// Between TERM and KILL.
    pub stop_grace: Duration,
    /// Judges by name.
    pub judges: BTreeMap<String, Judge>,
    /// The judge of a `model` check that names none.
    pub default_judge: Option<String>,
    /// Profiles by name, resolved.
    pub profiles: BTreeMap<String, Profile>,
    /// Harnesses whose sessions live in terminals.
    pub in_terminals: BTreeSet<String>,
    /// The pool of terminals.
    pub pool: PoolSettings,
    /// tmux: a name, or a path.
    pub tmux: String,
}

/// What a profile adds to a launch (S12).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// Model.
    pub model: Option<String>,
    /// Tools that are allowed.
    pub allowed_tools: Vec<String>,
    /// Tools that are refused.
    pub disallowed_tools: Vec<String>,
    /// Further folders to work in, absolute; sessions may write there.
    pub add_dirs: Vec<Utf8PathBuf>,
    /// Money for one session, where the harness has a flag.
    pub max_budget: Option<MicroUsd>,
    /// Added to the system prompt.
    pub append_system_prompt: Option<String>,
    /// Whether its sessions live in terminals, whatever their harness says.
    pub in_terminal: Option<bool>,
}

impl Practice {
    /// Whether a task's sessions live in a terminal (A21).
    #[must_use]
    pub fn in_terminal(&self, spec: &TaskSpec, harness: &str) -> bool {
        let profile = spec.profile.as_ref().and_then(|p| self.profiles.get(p));
        let own = profile.and_then(|p| p.in_terminal);
        own.unwrap_or_else(|| self.in_terminals.contains(harness))
    }

    /// What a session of a task may do: its profile, overridden by the task (S12). `model` and `left`,
    /// the money that may still be spent, are this session's.
    ///
    /// # Errors
    /// The name of a profile that the settings do not have.
    pub fn options(
        &self,
        spec: &TaskSpec,
        model: Option<String>,
        left: Option<MicroUsd>,
    ) -> Result<LaunchOptions, String> {
        let profile = match &spec.profile {
            None => Profile::default(),
            Some(name) => self.profiles.get(name).ok_or(name)?.clone(),
        };
        let max_budget = match (left, profile.max_budget) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Ok(LaunchOptions {
            model: model.or(profile.model),
            allowed_tools: profile.allowed_tools,
            disallowed_tools: profile.disallowed_tools,
            permission: spec.permission,
            allow: spec.allow.clone(),
            add_dirs: profile.add_dirs,
            max_budget,
            append_system_prompt: profile.append_system_prompt,
        })
    }
}

/// The settings for a repository's tasks where its own files say anything, `None` where they do not.
pub type PracticeOf = Box<dyn Fn(&Utf8Path) -> Result<Option<Practice>, String> + Send + Sync>;

/// An endpoint that judges `model` checks (T10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judge {
    /// Its dialect.
    pub kind: JudgeKind,
    /// Base URL, for example `https://api.anthropic.com`.
    pub url: String,
    /// Model.
    pub model: String,
    /// Where its key comes from.
    pub key: Option<JudgeKey>,
    /// For one request.
    pub timeout: Duration,
}

/// Dialect of a judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JudgeKind {
    /// Messages.
    Anthropic,
    /// Chat completions.
    Openai,
}

/// Where a judge's key comes from; the key itself is never stored (I12).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JudgeKey {
    /// An environment variable of the daemon.
    Env(String),
    /// A file that only its owner can read.
    File(Utf8PathBuf),
    /// A command's output.
    Command(String),
}

/// The tools that effects work with.
pub struct Desk {
    /// Folders.
    pub dirs: Dirs,
    /// This executable, for shims and built-in jobs.
    pub exe: PathBuf,
    /// Starts and adopts jobs.
    pub launcher: Launcher,
    /// Git.
    pub git: Git,
    /// The machine's settings. What a repository may set is asked by [`Desk::practice_of`].
    pub practice: Arc<Practice>,
    /// The daemon's environment, for what tasks name.
    pub environment: BTreeMap<String, String>,
    /// Accounts behind the gateway.
    pub accounts: Arc<dyn Accounts>,
    /// Variables that name the daemon's own folders: what lets a session's `longhaul` find it.
    pub own_folders: BTreeMap<String, String>,
    /// This boot.
    pub boot: BootId,
    /// True if we run as root.
    pub is_root: bool,
    practice_of: PracticeOf,
    /// Held while a record of git's settings is read and written.
    pub(crate) settings: Mutex<()>,
    reader: Mutex<Box<dyn Reader>>,
    events: Sender<Event>,
}

/// The parts of a [`Desk`].
pub struct DeskParts {
    /// See [`Desk::dirs`].
    pub dirs: Dirs,
    /// See [`Desk::exe`].
    pub exe: PathBuf,
    /// See [`Desk::git`].
    pub git: Git,
    /// See [`Desk::practice`].
    pub practice: Practice,
    /// Reads the settings for a repository's tasks.
    pub practice_of: PracticeOf,
    /// See [`Desk::environment`].
    pub environment: BTreeMap<String, String>,
    /// See [`Desk::accounts`].
    pub accounts: Arc<dyn Accounts>,
    /// See [`Desk::own_folders`].
    pub own_folders: BTreeMap<String, String>,
    /// The soft limit of open files that jobs get; `None` is the daemon's own.
    pub open_files: Option<u64>,
    /// Reads the store.
    pub reader: Box<dyn Reader>,
    /// The way back to the dispatcher.
    pub events: Sender<Event>,
}

impl Desk {
    /// Puts the tools together.
    ///
    /// # Errors
    /// If the folders or the boot id cannot be read.
    pub fn new(parts: DeskParts) -> std::io::Result<Self> {
        let jobs = parts.dirs.jobs();
        Ok(Self {
            launcher: Launcher::new(&parts.exe, jobs.as_std_path())?
                .with_open_files(parts.open_files),
            boot: BootId::current()?,
            is_root: rustix::process::geteuid().is_root(),
            settings: Mutex::new(()),
            reader: Mutex::new(parts.reader),
            events: parts.events,
            dirs: parts.dirs,
            exe: parts.exe,
            git: parts.git,
            practice: Arc::new(parts.practice),
            practice_of: parts.practice_of,
            environment: parts.environment,
            accounts: parts.accounts,
            own_folders: parts.own_folders,
        })
    }

    /// The settings for the tasks of a repository: the machine's, and what the repository's own files
    /// may add to them once they are trusted. Read anew each time, since trust is in what the files say
    /// now.
    ///
    /// # Errors
    /// The files cannot be read or have mistakes; in words.
    pub(crate) fn practice_of(&self, repo: &Utf8Path) -> Result<Arc<Practice>, String> {
        (self.practice_of)(repo).map(|own| own.map_or_else(|| Arc::clone(&self.practice), Arc::new))
    }

    /// The same, and the machine's alone where the repository's cannot be had: for what has to go on.
    pub(crate) fn practice_or_own(&self, repo: &Utf8Path) -> Arc<Practice> {
        self.practice_of(repo).unwrap_or_else(|why| {
            tracing::warn!(%repo, %why, "only the machine's own settings are followed");
            Arc::clone(&self.practice)
        })
    }

    /// Sends an event; the dispatcher being gone means that the daemon ends.
    pub(crate) fn tell(&self, event: Event) {
        if self.events.send(event).is_err() {
            tracing::debug!("an event came after the dispatcher had ended");
        }
    }

    /// Sends news of a dispatch's attempt.
    pub(crate) fn news(&self, d: &Dispatch, news: News) {
        self.tell(Event::news(d.effect.task, d.effect.fence, news));
    }

    pub(crate) fn now(&self) -> UnixMs {
        SystemClock.now().wall
    }

    pub(crate) fn mono_ms(&self) -> u64 {
        SystemClock.now().mono_ms
    }

    pub(crate) fn read<T>(
        &self,
        what: impl FnOnce(&dyn Reader) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        what(super::lock(&self.reader).as_ref())
    }

    /// The task's specification.
    pub(crate) fn spec(&self, id: TaskId) -> Result<TaskSpec, Unread> {
        match self.read(|r| r.spec(id)) {
            Ok(Some(spec)) => Ok(spec),
            Ok(None) => Err(Unread {
                why: "its specification is not in the database".to_owned(),
                for_good: true,
            }),
            Err(error) => Err(Unread {
                for_good: error.class() != StoreErrorClass::Retryable,
                why: format!("its specification cannot be read: {}", chain(&error)),
            }),
        }
    }

    /// The task's repository.
    pub(crate) fn repo(&self, path: &Utf8Path) -> Result<Repo, OpenError> {
        Repo::open(
            &self.git,
            path.as_std_path(),
            self.dirs.repos().as_std_path(),
        )
    }
}

/// Why a specification could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unread {
    /// What happened.
    pub(crate) why: String,
    /// Reading again gives the same: a person has to look.
    pub(crate) for_good: bool,
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = cause.source();
    }
    text
}
