//! Letting workspaces go (L6, L21): the one place that removes them, whoever asks (`workspace remove`,
//! `gc`, `stop --cleanup`, `uninstall`, the daemon's own collection). Judged, snapshotted (I5), the task's
//! `teardown` run, then removed; what cannot be removed without loss stays, with the reason.

mod teardown;

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_acts::files;
use longhaul_core::ids::TaskId;
use longhaul_core::spec::{TaskSpec, WorkspaceKind};
use longhaul_core::task::{ParkCause, State, StateWord, Task, WorkspaceRef};
use longhaul_core::time::SpanMs;
use longhaul_store::{StoreError, StoredTask, TaskFilter};
use longhaul_vcs::{
    FileRules, GcCandidate, GitError, KeptBecause, OpenError, QueueError, RemoveError, Repo,
    SnapshotRef, SnapshotRequest, StartError, Verdict, Worktree, disk_usage,
};

use super::desk::{Desk, chain};
use super::prepare;
use super::tidy::SNAPSHOTS;

pub use teardown::TeardownRecord;

/// Marks a workspace that only a person's order for this very task removes.
const KEEP: &str = "keep";
/// Held while a workspace is made ready or removed.
const LOCK: &str = "workspace.lock";
/// How long after its task's end the daemon leaves even a landed workspace alone.
const QUIET: SpanMs = SpanMs::from_secs(24 * 3600);
/// Most tasks that the daemon's own collection looks at.
const LOOK_BACK: usize = 10_000;

/// On whose word a workspace goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Nobody's for this one: it goes if it has landed, or is past its retention time.
    Plan,
    /// A person named it: it goes if nothing is lost, landed or not. A stopped task's too.
    Named,
    /// A person takes all of Longhaul away: of every task that is not at work now.
    Purge,
    /// A person insists: also with uncommitted work (the snapshot holds it), and though its
    /// `teardown` fails.
    Forced,
}

/// Whether a workspace may go, and why.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its task.
    pub task: TaskId,
    /// Its folder.
    pub path: PathBuf,
    /// Its branch.
    pub branch: String,
    /// Its size on disk in bytes.
    pub disk_bytes: u64,
    /// Nothing is lost by removing it.
    pub safe: bool,
    /// Why, to follow `safe because` or `kept because`.
    pub because: String,
    /// [`Word::Forced`] would remove it: the snapshot holds what keeps it.
    pub force_helps: bool,
    /// The command that runs before it is removed.
    pub teardown: Option<String>,
}

/// Why a workspace was not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemovalError {
    /// There is no such task, or it never had a worktree of its own, or that is gone.
    #[error("it has no workspace of its own")]
    None,
    /// Something would be lost, or it is in use.
    #[error("it is kept: {because}")]
    Kept {
        /// Why.
        because: String,
        /// [`Word::Forced`] would remove it.
        force_helps: bool,
    },
    /// Its `teardown` failed; the workspace is as that left it.
    #[error("`teardown` {}", .0.words)]
    Teardown(Box<TeardownRecord>),
    /// Somebody else removes it or makes it ready right now.
    #[error("it is being made ready or removed right now")]
    Busy,
    /// It is not known whether the `teardown` still runs; asking again settles it.
    #[error("its `teardown` cannot be followed: {0}")]
    Unsettled(String),
    /// The store cannot be read.
    #[error("the task cannot be read")]
    Store(#[from] StoreError),
    /// Its specification cannot be read.
    #[error("{0}")]
    Spec(String),
    /// Its repository cannot be opened.
    #[error("its repository cannot be opened")]
    Open(#[from] OpenError),
    /// git failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// What the workspace is to be brought up to cannot be found.
    #[error(transparent)]
    Target(StartError),
    /// What has landed cannot be read.
    #[error(transparent)]
    Queue(QueueError),
    /// A note beside the task cannot be read or written.
    #[error("cannot write {path}")]
    Io {
        /// Where.
        path: Utf8PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Looks after workspaces on a person's order: judges and removes them, or brings one up to date.
#[derive(Clone, Copy)]
pub struct Keeper<'d> {
    pub(super) desk: &'d Desk,
    retention: Option<SpanMs>,
}

impl std::fmt::Debug for Keeper<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper")
            .field("retention", &self.retention)
            .finish_non_exhaustive()
    }
}

/// A task's workspace, opened.
pub(super) struct Found {
    pub(super) stored: StoredTask,
    pub(super) spec: TaskSpec,
    workspace: WorkspaceRef,
    pub(super) repo: Repo,
    pub(super) worktree: Worktree,
}

impl<'d> Keeper<'d> {
    /// `retention`: after a task's end its workspace is let go although it has not landed; `None` keeps
    /// it until it has, or somebody says so.
    #[must_use]
    pub const fn new(desk: &'d Desk, retention: Option<SpanMs>) -> Self {
        Self { desk, retention }
    }

    /// Whether the task's workspace may go; `None` if it has none of its own.
    ///
    /// # Errors
    /// The task or its repository cannot be read; that is never taken for safe.
    pub fn plan(&self, task: TaskId, word: Word) -> Result<Option<Plan>, RemovalError> {
        let found = match self.find(task) {
            Err(RemovalError::None) => return Ok(None),
            found => found?,
        };
        let plan = |disk_bytes, safe, because, force_helps| Plan {
            force_helps,
            task,
            path: found.worktree.path.clone(),
            branch: found.worktree.branch.clone(),
            disk_bytes,
            safe,
            because,
            teardown: found
                .spec
                .teardown
                .clone()
                .filter(|_| found.worktree.path.is_dir()),
        };
        if let Some(objection) = self.objection(&found, word) {
            return Ok(Some(plan(
                disk_usage(&found.worktree.path),
                false,
                objection,
                false,
            )));
        }
        if found.worktree.path.is_dir() && teardown::is_under_way(self.desk, &found) {
            let because = "its `teardown` was begun, and is gone on with".to_owned();
            return Ok(Some(plan(
                disk_usage(&found.worktree.path),
                true,
                because,
                false,
            )));
        }
        let candidate = self.candidate(&found, word)?;
        let verdicts = found.repo.gc_plan(std::slice::from_ref(&candidate));
        Ok(verdicts.into_iter().next().map(|v| match v.verdict {
            Verdict::Kept { because } => {
                let force_helps = force_helps(&because);
                plan(v.disk_bytes, false, because.to_string(), force_helps)
            }
            Verdict::Safe { because } => plan(v.disk_bytes, true, because.to_string(), false),
        }))
    }

    /// Removes the task's workspace: snapshot, `teardown`, folder, git's registration. Its branch stays.
    /// Repeating it after a crash at any moment goes on.
    ///
    /// # Errors
    /// It stays, and why.
    pub fn remove(&self, task: TaskId, word: Word) -> Result<(), RemovalError> {
        let _held = hold(self.desk, task)
            .map_err(|source| self.io(task, LOCK, source))?
            .ok_or(RemovalError::Busy)?;
        // Read under the lock: what it says of the task holds until the lock goes.
        let found = self.find(task)?;
        if let Some(objection) = self.objection(&found, word) {
            return Err(RemovalError::Kept {
                because: objection,
                force_helps: false,
            });
        }
        // One that was cut short by a crash: what it has running is ours, and secured before it began.
        if found.worktree.path.is_dir() && teardown::is_under_way(self.desk, &found) {
            self.tear_down(&found, word)?;
        }
        let candidate = self.candidate(&found, word)?;
        let kept = |error| match error {
            RemoveError::Kept { because } => RemovalError::Kept {
                force_helps: force_helps(&because),
                because: because.to_string(),
            },
            RemoveError::Git(error) => error.into(),
        };
        let first = self.snapshot(&found, "before removal")?;
        let secured = found
            .repo
            .secure_for_removal(&candidate, &first)
            .map_err(kept)?;
        if found.worktree.path.is_dir() {
            self.tear_down(&found, word)?;
        }
        let again = self.snapshot(&found, "after teardown")?;
        found
            .repo
            .remove_secured(&candidate, secured, &again, false)
            .map_err(kept)?;
        for note in [KEEP, teardown::NOTE] {
            match files::remove_file("engine.removal.forget", self.note(task, note)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(self.io(task, note, e));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Keeps the task's workspace from every plan, or no longer.
    ///
    /// # Errors
    /// It has none, or the note cannot be written.
    pub fn keep(&self, task: TaskId, yes: bool) -> Result<(), RemovalError> {
        self.find(task)?;
        let note = self.note(task, KEEP);
        let done = if yes {
            note.parent()
                .map_or(Ok(()), |f| {
                    files::create_dir_all("engine.removal.folder", f)
                })
                .and_then(|()| files::write("engine.removal.keep", &note, b""))
        } else {
            match files::remove_file("engine.removal.unkeep", &note) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
                removed => removed,
            }
        };
        done.map_err(|source| self.io(task, KEEP, source))
    }

    /// What became of the last `teardown` in the task's workspace, while that is there.
    #[must_use]
    pub fn torn_down(&self, task: TaskId) -> Option<TeardownRecord> {
        teardown::Note::read(self.desk, task)?.record
    }

    /// Removes what every plan allows of tasks that ended a day ago or longer, and returns whose. Costs a
    /// look at each workspace; for a thread of its own, once a day.
    pub fn collect(&self) -> Vec<TaskId> {
        let filter = TaskFilter {
            states: vec![StateWord::Done, StateWord::Cancelled],
            limit: LOOK_BACK,
            ..TaskFilter::default()
        };
        let ended = match self.desk.read(|r| r.list(&filter)) {
            Ok(ended) => ended,
            Err(error) => {
                tracing::warn!(%error, "workspaces are not collected");
                return Vec::new();
            }
        };
        let now = self.desk.now();
        let mut gone = Vec::new();
        for stored in ended {
            let id = stored.task.id;
            let quiet = stored.final_at.is_some_and(|at| now.since(at) > QUIET);
            let there = own(&stored.task).is_some_and(|w| Utf8Path::new(&w.path).exists());
            if !quiet || !there {
                continue;
            }
            match self.remove(id, Word::Plan) {
                Ok(()) => {
                    tracing::info!(task = %id, "its workspace was removed: nothing is lost");
                    gone.push(id);
                }
                Err(RemovalError::None | RemovalError::Kept { .. } | RemovalError::Busy) => {}
                Err(error) => {
                    tracing::warn!(task = %id, error = chain(&error), "its workspace stays");
                }
            }
        }
        gone
    }

    pub(super) fn find(&self, task: TaskId) -> Result<Found, RemovalError> {
        let stored = self
            .desk
            .read(|r| r.task(task))?
            .ok_or(RemovalError::None)?;
        let workspace = own(&stored.task).cloned().ok_or(RemovalError::None)?;
        let spec = self
            .desk
            .spec(task)
            .map_err(|unread| RemovalError::Spec(unread.why))?;
        if spec.workspace != WorkspaceKind::Worktree {
            return Err(RemovalError::None);
        }
        let repo = self.desk.repo(&spec.repo)?;
        let worktree = repo
            .worktree_at(Utf8Path::new(&workspace.path).as_std_path())?
            // Removed before: only our record of its branch is left.
            .filter(|w| w.path.symlink_metadata().is_ok() || w.git_dir.exists())
            .ok_or(RemovalError::None)?;
        Ok(Found {
            stored,
            spec,
            workspace,
            repo,
            worktree,
        })
    }

    fn candidate(&self, found: &Found, word: Word) -> Result<GcCandidate, RemovalError> {
        let task = &found.stored.task;
        let files = prepare::rules(self.desk, &found.spec, task.id);
        let past = self.retention.is_some_and(|span| {
            let at = found.stored.final_at;
            at.is_some_and(|at| self.desk.now().since(at) > span)
        });
        // What a `teardown` of ours left behind is nobody's work: it was clean before.
        let ours = self.teardown_left_it(found, &files)?;
        let base = found.spec.base.as_deref().unwrap_or_default();
        Ok(GcCandidate {
            worktree: found.worktree.clone(),
            // Looked at already, under the lock.
            open_attempt: false,
            released: past || word != Word::Plan,
            forced: word == Word::Forced || ours || self.secured(found, word, &files)?,
            landed_in: if base.is_empty() {
                Vec::new()
            } else {
                vec![format!("refs/heads/{base}")]
            },
            files,
        })
    }

    /// Whether a parked task's files are those of its last snapshot, from which a retry makes them anew:
    /// what an interrupted turn left is never committed (T8).
    fn secured(&self, found: &Found, word: Word, files: &FileRules) -> Result<bool, RemovalError> {
        let task = &found.stored.task;
        let (State::Parked { .. }, Word::Named, Some(end), Some(snapshot), true) = (
            &task.state,
            word,
            &task.carry.end_tree,
            &task.carry.snapshot,
            found.worktree.path.is_dir(),
        ) else {
            return Ok(false);
        };
        Ok(found.repo.ref_commit(snapshot)?.is_some()
            && found.repo.tree_of(&found.worktree, files)?.as_str() == end)
    }

    /// Why it stays, whatever is in it.
    fn objection(&self, found: &Found, word: Word) -> Option<String> {
        let task = &found.stored.task;
        if let Some(why) = unrest(task, word) {
            return Some(why.to_owned());
        }
        if word != Word::Plan {
            return None;
        }
        if self.note(task.id, KEEP).exists() {
            return Some("`longhaul workspace keep` said so".to_owned());
        }
        let note = teardown::Note::read(self.desk, task.id)?;
        let failed = note.record.filter(|record| !record.passed)?;
        Some(format!("its `teardown` {}", failed.words))
    }

    pub(super) fn snapshot(
        &self,
        found: &Found,
        reason: &str,
    ) -> Result<SnapshotRequest, RemovalError> {
        let task = found.stored.task.id;
        let prefix = format!("{SNAPSHOTS}/{task}");
        let known = found.repo.snapshots(&prefix)?;
        Ok(SnapshotRequest {
            reference: format!("{prefix}/{}", SnapshotRef::next_by_order(&known)),
            reason: reason.to_owned(),
            files: prepare::rules(self.desk, &found.spec, task),
        })
    }

    fn note(&self, task: TaskId, name: &str) -> Utf8PathBuf {
        self.desk.dirs.task(task).join(name)
    }

    pub(super) fn io(&self, task: TaskId, name: &str, source: io::Error) -> RemovalError {
        RemovalError::Io {
            path: self.note(task, name),
            source,
        }
    }
}

/// The task's worktree, if it has one of its own.
fn own(task: &Task) -> Option<&WorkspaceRef> {
    task.carry.workspace.as_ref().filter(|w| w.branch.is_some())
}

/// Whether a snapshot holds what keeps it.
const fn force_helps(because: &KeptBecause) -> bool {
    matches!(because, KeptBecause::Uncommitted | KeptBecause::OffBranch)
}

/// Why the task still needs its workspace, if it does.
fn unrest(task: &Task, word: Word) -> Option<&'static str> {
    match (&task.state, word) {
        (State::Done { .. } | State::Cancelled, _) => None,
        (State::Assigned { .. } | State::Running { .. } | State::Verifying { .. }, _) => {
            Some("its task is at work")
        }
        (State::Landing { .. }, Word::Plan | Word::Named | Word::Forced) => {
            Some("its work is in the merge queue")
        }
        (_, Word::Purge)
        | (State::Parked { .. }, Word::Forced)
        | (
            State::Parked {
                cause: ParkCause::Stopped,
                ..
            },
            Word::Named,
        ) => None,
        (
            State::Parked {
                cause: ParkCause::Stopped,
                ..
            },
            Word::Plan,
        ) => Some("its task was stopped, and `longhaul retry` goes on in it"),
        (State::Parked { .. }, _) => Some("its task is parked, and goes on in it later"),
        (State::NeedsHuman { .. }, _) => {
            Some("its task waits for you: retry, approve or cancel it first")
        }
        (State::Pending | State::Ready { .. }, _) => Some("its task goes on in it"),
    }
}

/// Takes the task's workspace for making it ready or removing it; `None` if somebody has it. Let go by
/// the kernel when its holder dies.
pub(super) fn hold(desk: &Desk, task: TaskId) -> io::Result<Option<File>> {
    let folder = desk.dirs.task(task);
    files::create_dir_all("engine.removal.lock-folder", &folder)?;
    let mut options = OpenOptions::new();
    options.create(true).read(true).write(true).mode(0o600);
    let file = files::open("engine.removal.lock", &options, folder.join(LOCK))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
