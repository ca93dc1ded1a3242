//! Housekeeping that needs nobody's word (L5, L6): temporary folders of ended jobs, and snapshots of
//! tasks that ended long ago. Workspaces are removed by `removal`; branches and evidence stay.

use std::collections::BTreeSet;
use std::io;

use camino::Utf8PathBuf;
use longhaul_core::ids::{SpawnKey, TaskId};
use longhaul_core::task::StateWord;
use longhaul_core::time::SpanMs;
use longhaul_store::TaskFilter;

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
