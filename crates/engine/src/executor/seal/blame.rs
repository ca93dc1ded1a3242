//! Whose doing it is: what is found outside a workspace is told to the session that is shown to have
//! done it, by its own output, or that was the only one who could (L4). What is to be told is written
//! down before anything is put back, so that a crash in between tells it all the same.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_core::ids::{Fence, SpawnKey, TaskId};
use longhaul_core::task::StateWord;
use longhaul_store::TaskFilter;

use super::super::Desk;
use super::super::files::write_whole;
use super::super::trouble::Trouble;

/// The most of a session's output that is searched.
const OUTPUT_BYTES: u64 = 64 << 20;
/// The most live tasks that are looked at.
const LIVE: usize = 1_000;

/// A job that may have done it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Suspect {
    task: TaskId,
    key: String,
}

impl Suspect {
    pub(super) fn of(task: TaskId, key: &SpawnKey) -> Self {
        Self {
            task,
            key: key.to_string(),
        }
    }

    /// The job of a key, if its attempt is still at work: fence and state say so.
    pub(super) fn at_work(desk: &Desk, key: &str) -> Option<Self> {
        let task: TaskId = key.get(..32)?.parse().ok()?;
        let fence = key.get(33..)?.split('-').next()?.parse().ok()?;
        let stored = desk.read(|r| r.task(task));
        match stored {
            Ok(Some(s)) if s.task.fence != Fence(fence) || !s.task.state.word().is_active() => None,
            Ok(None) => None,
            // What cannot be read is at work (I6).
            Ok(Some(_)) | Err(_) => Some(Self {
                task,
                key: key.to_owned(),
            }),
        }
    }

    /// The file of what is to be told of this job.
    fn file(&self, desk: &Desk) -> Utf8PathBuf {
        desk.dirs
            .task(self.task)
            .join(format!("told-{}.json", self.key))
    }

    /// Writes down what is to be told of this job.
    pub(super) fn note(&self, desk: &Desk, words: &str) -> Result<(), Trouble> {
        let file = self.file(desk);
        let mut told: BTreeSet<String> = self.told(desk).into_iter().collect();
        if !told.insert(words.to_owned()) {
            return Ok(());
        }
        // Its folder is there since its mark was made.
        let write = || write_whole(&file, &serde_json::to_vec(&told)?);
        write().map_err(|error| Trouble {
            detail: format!("cannot write {file}: {error}"),
            transient: true,
        })
    }

    /// What is to be told of this job.
    pub(super) fn told(&self, desk: &Desk) -> Vec<String> {
        fs::read(self.file(desk))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    /// The beginning of its output as text.
    pub(super) fn output(&self, desk: &Desk) -> String {
        let log = desk.dirs.jobs().join(&self.key).join("out.log");
        let bytes = read_start(&log, OUTPUT_BYTES).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Those of the suspects that are shown to have done it: their output names the thing, or there is but
/// one who could. Empty if nothing is shown.
pub(super) fn shown(desk: &Desk, suspects: &[Suspect], thing: &str) -> Vec<Suspect> {
    let named = suspects.iter().filter(|s| s.output(desk).contains(thing));
    let named: Vec<Suspect> = named.cloned().collect();
    match (named.is_empty(), suspects) {
        (false, _) => named,
        (true, [only]) => vec![only.clone()],
        (true, _) => vec![],
    }
}

/// The other live sessions of a repository.
pub(super) fn others(desk: &Desk, repo: &Utf8Path, than: TaskId) -> Result<Vec<Suspect>, Trouble> {
    let filter = TaskFilter {
        states: vec![
            StateWord::Assigned,
            StateWord::Running,
            StateWord::Verifying,
        ],
        repo: Some(repo.to_string()),
        limit: LIVE,
        ..TaskFilter::default()
    };
    let live = desk.read(|r| r.list(&filter)).map_err(|error| Trouble {
        detail: format!("the live tasks cannot be read: {error}"),
        transient: true,
    })?;
    Ok(live
        .iter()
        .filter(|s| s.task.id != than)
        .map(|s| Suspect::of(s.task.id, &SpawnKey::session(s.task.id, s.task.fence)))
        .collect())
}

fn read_start(path: &Utf8Path, limit: u64) -> io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}
