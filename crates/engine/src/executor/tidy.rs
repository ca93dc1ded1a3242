//! Housekeeping that needs nobody's word (L5, L6): temporary folders of ended jobs, and snapshots of
//! tasks that ended long ago. Workspaces are removed by `removal`; branches and evidence stay.

use std::collections::BTreeSet;
use std::io;

use camino::Utf8PathBuf;
use longhaul_core::ids::{SpawnKey, TaskId};
use longhaul_core::janitor::{Item, Limits, plan};
use longhaul_core::task::StateWord;
use longhaul_core::time::{SpanMs, UnixMs};
use longhaul_store::{StoreError, TaskFilter};

use super::desk::{Desk, chain};

/// Newest final tasks whose repositories are looked at.
const LOOK_BACK: usize = 10_000;
/// Where snapshots are kept.
pub(super) const SNAPSHOTS: &str = "refs/longhaul/snap";

/// Removes the temporary folder of a job that has ended. What cannot be removed (rights that the job
/// took away) is left to `workspace gc`.
pub(super) fn forget_temp(desk: &Desk, key: &SpawnKey) {
    let temp = desk.dirs.jobs().join(key.as_str()).join("tmp");
    match longhaul_acts::files::remove_dir_all("engine.temp.remove", &temp) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::debug!(%error, %temp, "a temporary folder stays");
        }
        _ => {}
    }
}

/// Waits for the shims of this daemon that have ended, so that none stays as a zombie until the next
/// launch. Never blocks; cheap, but not free: a look at each live shim.
pub fn reap_shims(desk: &Desk) {
    desk.launcher.reap();
}

/// Deletes snapshots of tasks that ended longer than `retention` ago, unless they hold commits that
/// nothing else holds (I5). Costs a listing per repository; for a thread of its own, once a day.
pub fn prune_snapshots(desk: &Desk, retention: SpanMs) {
    let filter = TaskFilter {
        states: vec![StateWord::Done, StateWord::Cancelled],
        limit: LOOK_BACK,
        ..TaskFilter::default()
    };
    let ended = match desk.read(|r| r.list(&filter)) {
        Ok(ended) => ended,
        Err(error) => {
            tracing::warn!(%error, "old snapshots are not looked for");
            return;
        }
    };
    let now = desk.now();
    let repos: BTreeSet<Utf8PathBuf> = ended
        .into_iter()
        .map(|t| Utf8PathBuf::from(t.task.terms.repo))
        .collect();
    for path in repos {
        // Gone or moved since: nothing to prune there.
        let Ok(repo) = desk.repo(&path) else { continue };
        let pruned = repo.prune_snapshots(SNAPSHOTS, |snapshot| {
            let task = snapshot
                .reference
                .rsplit('/')
                .nth(1)
                .and_then(|id| id.parse().ok());
            task.is_some_and(|id: TaskId| {
                matches!(
                    desk.read(|r| r.task(id)),
                    Ok(Some(t)) if t.final_at.is_some_and(|at| now.since(at) > retention)
                )
            })
        });
        match pruned {
            Ok(deleted) if deleted.is_empty() => {}
            Ok(deleted) => tracing::info!(%path, count = deleted.len(), "old snapshots deleted"),
            Err(error) => tracing::warn!(%path, error = chain(&error), "old snapshots stay"),
        }
    }
}

/// Output of jobs of a task that ended long ago.
#[derive(Clone, Debug)]
pub struct OldLogs {
    /// The task.
    pub task: TaskId,
    /// Its name.
    pub name: String,
    /// When it ended.
    pub ended_at: UnixMs,
    /// What the files take.
    pub bytes: u64,
    /// The files.
    pub files: Vec<Utf8PathBuf>,
}

/// Logs of tasks that ended longer than `retention` ago, the oldest first (A25). The records of their jobs stay, and
/// so does everything of a task that has not ended. Changes nothing.
///
/// # Errors
/// The store cannot be read.
pub fn old_logs(desk: &Desk, retention: SpanMs) -> Result<Vec<OldLogs>, StoreError> {
    let filter = TaskFilter {
        states: vec![StateWord::Done, StateWord::Cancelled],
        limit: LOOK_BACK,
        ..TaskFilter::default()
    };
    let now = desk.now();
    let mut items = Vec::new();
    for stored in desk.read(|r| r.list(&filter))? {
        let Some(ended_at) = stored.final_at.filter(|at| now.since(*at) > retention) else {
            continue;
        };
        let attempts = desk.read(|r| r.attempts(stored.task.id))?;
        let jobs = attempts
            .iter()
            .flat_map(|a| logs_of(desk, a.spawn_key.as_str()));
        let (files, sizes): (Vec<_>, Vec<u64>) = jobs.unzip();
        if !files.is_empty() {
            let what = OldLogs {
                task: stored.task.id,
                name: stored.task.name,
                ended_at,
                bytes: sizes.iter().sum(),
                files,
            };
            items.push(Item {
                bytes: what.bytes,
                since: ended_at,
                what,
            });
        }
    }
    let limits = Limits {
        age: retention,
        bytes: None,
    };
    let goes = plan(items, limits, now).into_iter();
    Ok(goes.map(|(item, _)| item.what).collect())
}

/// Removes them; one that is gone is fine.
///
/// # Errors
/// A file cannot be removed.
pub fn remove_logs(logs: &OldLogs) -> io::Result<()> {
    for file in &logs.files {
        match longhaul_acts::files::remove_file("engine.log.remove", file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// The logs of a session with their sizes: plain files in its own bundle, by the names that the shim gives them.
fn logs_of(desk: &Desk, key: &str) -> Vec<(Utf8PathBuf, u64)> {
    let Ok(entries) = desk.dirs.jobs().join(key).read_dir_utf8() else {
        return Vec::new();
    };
    let log = |entry: io::Result<camino::Utf8DirEntry>| {
        let entry = entry.ok()?;
        let name = entry.file_name();
        let is_log = ["out.log", "err.log"].iter().any(|log| {
            name.strip_prefix(log)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        });
        let meta = entry.path().symlink_metadata().ok()?;
        (is_log && meta.is_file()).then(|| (entry.into_path(), meta.len()))
    };
    entries.filter_map(log).collect()
}
