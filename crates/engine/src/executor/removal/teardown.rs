//! `teardown`: the task's own last command in a workspace, run as a job before it is removed, confined
//! and with the environment of `setup` (T26). Once for a workspace and fence: a note says how far it came.

use std::fs;
use std::io;
use std::time::Duration;

use camino::Utf8PathBuf;
use longhaul_core::ids::{Fence, SpawnKey, TaskId};
use longhaul_core::time::UnixMs;
use longhaul_vcs::FileRules;
use serde::{Deserialize, Serialize};

use super::super::files::write_whole;
use super::super::job::{self, JobEnd};
use super::super::shell::{REASON_BYTES, last_lines, log_tail, outcome_words, shell_job};
use super::super::{Desk, env, prepare, seal, tidy};
use super::{Found, Keeper, RemovalError, Word};

/// What is known of a workspace's `teardown`, beside the task.
pub(super) const NOTE: &str = "teardown.json";
/// It may take this long.
const TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// How often one removal runs it when its shim is killed meanwhile.
const LOST_MAX: u32 = 2;

/// How a `teardown` ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeardownRecord {
    /// It exited with 0.
    pub passed: bool,
    /// How it ended, in words that follow "`teardown`", with the end of its output.
    pub words: String,
    /// File with all of its output.
    pub log: Utf8PathBuf,
    /// When it ended.
    pub at: UnixMs,
}

/// The note. Written before the command starts, so that what it changes is never taken for work.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Note {
    /// The fence of the last attempt in the workspace; another one knows nothing of this note.
    fence: Fence,
    /// Number of the run, from 1.
    run: u32,
    /// How it ended; none while it runs.
    pub(super) record: Option<TeardownRecord>,
    /// The files it left, as a tree.
    left: Option<String>,
}

impl Note {
    pub(super) fn read(desk: &Desk, task: TaskId) -> Option<Self> {
        let bytes = fs::read(desk.dirs.task(task).join(NOTE)).ok()?;
        serde_json::from_slice(&bytes)
            .map_err(
                |error| tracing::warn!(%task, %error, "the note of its teardown is unreadable"),
            )
            .ok()
    }

    fn write(&self, desk: &Desk, task: TaskId) -> Result<(), RemovalError> {
        let path = desk.dirs.task(task).join(NOTE);
        serde_json::to_vec(self)
            .map_err(io::Error::from)
            .and_then(|bytes| write_whole(&path, &bytes))
            .map_err(|source| RemovalError::Io { path, source })
    }
}

impl Keeper<'_> {
    /// Whether the workspace is as a `teardown` of ours left it, or one was begun and not seen to end.
    pub(super) fn teardown_left_it(
        &self,
        found: &Found,
        files: &FileRules,
    ) -> Result<bool, RemovalError> {
        let task = &found.stored.task;
        let Some(note) = Note::read(self.desk, task.id).filter(|n| n.fence == task.fence) else {
            return Ok(false);
        };
        let Some(left) = note.left else {
            return Ok(note.record.is_none());
        };
        if !found.worktree.path.is_dir() {
            return Ok(false);
        }
        Ok(found.repo.tree_of(&found.worktree, files)?.as_str() == left)
    }

    /// Runs it, unless it has passed already.
    pub(super) fn tear_down(&self, found: &Found, word: Word) -> Result<(), RemovalError> {
        let (desk, task) = (self.desk, &found.stored.task);
        let Some(command) = &found.spec.teardown else {
            return Ok(());
        };
        let known = Note::read(desk, task.id).filter(|n| n.fence == task.fence);
        let mut run = match &known {
            Some(Note {
                record: Some(record),
                ..
            }) if record.passed || word == Word::Forced => return Ok(()),
            // A failed run is followed by another; one that was begun is found again by its key.
            Some(note) => note.run + u32::from(note.record.is_some()),
            None => 1,
        };
        // Whatever it undoes, the next attempt here sets up again.
        prepare::forget_setup_of(desk, task.id)
            .map_err(|source| self.io(task.id, "setup-done", source))?;
        let mut lost = 0;
        let record = loop {
            let note = Note {
                fence: task.fence,
                run,
                record: None,
                left: None,
            };
            note.write(desk, task.id)?;
            match self.one_run(found, command, run)? {
                Some(record) => break record,
                None if lost < LOST_MAX => lost += 1,
                None => break self.record(&key(found, run), false, "was interrupted".to_owned()),
            }
            run += 1;
        };
        let files = prepare::rules(desk, &found.spec, task.id);
        let left = found.repo.tree_of(&found.worktree, &files);
        let note = Note {
            fence: task.fence,
            run,
            record: Some(record.clone()),
            left: left.ok().map(|tree| tree.to_string()),
        };
        note.write(desk, task.id)?;
        if record.passed || word == Word::Forced {
            if !record.passed {
                tracing::warn!(task = %task.id, how = %record.words, "`teardown` failed; removed by force");
            }
            return Ok(());
        }
        Err(RemovalError::Teardown(Box::new(record)))
    }

    /// One run, or the one of this number that is under way; `None` if its shim was killed.
    fn one_run(
        &self,
        found: &Found,
        command: &str,
        run: u32,
    ) -> Result<Option<TeardownRecord>, RemovalError> {
        let (desk, task) = (self.desk, &found.stored.task);
        let key = key(found, run);
        let failed = |words| Ok(Some(self.record(&key, false, words)));
        let environment = match env::of_job(desk, task.id, &found.spec, &found.workspace) {
            Ok(environment) => environment,
            Err(missing) => return failed(format!("was not run: {}", missing.detail())),
        };
        let mut spec = found.spec.clone();
        // A branch may have lost the folder that its task worked in.
        spec.dir = spec
            .dir
            .filter(|dir| Utf8PathBuf::from(&found.workspace.path).join(dir).is_dir());
        let job = match shell_job(desk, &spec, &key, command, &found.workspace, environment) {
            Ok(job) => job,
            Err(error) => return failed(format!("was not run: {error}")),
        };
        let end = match job::run(desk, &job, TIMEOUT) {
            JobEnd::Unsettled(why) => return Err(RemovalError::Unsettled(why)),
            end => end,
        };
        seal::end_leftovers(desk, &key).map_err(RemovalError::Unsettled)?;
        tidy::forget_temp(desk, &key);
        let with_tail = |how: String| {
            let tail = last_lines(&log_tail(desk, &key, REASON_BYTES), 5);
            if tail.is_empty() {
                how
            } else {
                format!("{how}: {tail}")
            }
        };
        Ok(match end {
            JobEnd::Exited(record) if record.is_zero() => {
                Some(self.record(&key, true, "passed".to_owned()))
            }
            JobEnd::Exited(record) => {
                let how = format!("failed ({})", outcome_words(&record.outcome));
                Some(self.record(&key, false, with_tail(how)))
            }
            JobEnd::TimedOut(_) => {
                let how = format!("took longer than {} minutes", TIMEOUT.as_secs() / 60);
                Some(self.record(&key, false, with_tail(how)))
            }
            JobEnd::Impossible(why) => {
                Some(self.record(&key, false, format!("was not run: {why}")))
            }
            JobEnd::Lost | JobEnd::OtherBoot | JobEnd::Unsettled(_) => None,
        })
    }

    fn record(&self, key: &SpawnKey, passed: bool, words: String) -> TeardownRecord {
        TeardownRecord {
            passed,
            words,
            log: self.desk.dirs.jobs().join(key.as_str()).join("out.log"),
            at: self.desk.now(),
        }
    }
}

/// Whether a `teardown` in this workspace was begun and not seen to end.
pub(super) fn is_under_way(desk: &Desk, found: &Found) -> bool {
    let task = &found.stored.task;
    Note::read(desk, task.id).is_some_and(|n| n.fence == task.fence && n.record.is_none())
}

fn key(found: &Found, run: u32) -> SpawnKey {
    SpawnKey::teardown(found.stored.task.id, found.stored.task.fence, run)
}
