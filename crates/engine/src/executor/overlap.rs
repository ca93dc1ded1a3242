//! Looks into the workspaces of live sessions for files that more than one of them changes (L19).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use camino::Utf8Path;
use longhaul_core::overlap::{Touched, is_live};
use longhaul_core::task::{StateWord, Task};
use longhaul_store::TaskFilter;
use longhaul_vcs::{GitError, Slot};

use super::{Desk, lock};
use crate::event::Event;

/// Most sessions that are looked at.
const MOST: usize = 1_000;

/// Remembers what was told last.
#[derive(Debug, Default)]
pub struct OverlapWatch {
    told: Mutex<Vec<Touched>>,
}

impl OverlapWatch {
    /// Tells the dispatcher what live sessions of the same repository have changed. Costs a few runs of git for
    /// each of them where there are two or more; for a thread of its own.
    pub fn look(&self, desk: &Desk) {
        let filter = TaskFilter {
            states: vec![StateWord::Running],
            limit: MOST,
            ..TaskFilter::default()
        };
        let tasks = match desk.read(|r| r.list(&filter)) {
            Ok(tasks) => tasks.into_iter().map(|t| t.task),
            Err(error) => {
                tracing::debug!(%error, "the workspaces of live sessions are not looked at");
                return;
            }
        };
        let mut by_repo: BTreeMap<String, Vec<Task>> = BTreeMap::new();
        for task in tasks.filter(has_work_of_its_own) {
            by_repo
                .entry(task.terms.repo.clone())
                .or_default()
                .push(task);
        }
        let open = by_repo
            .values()
            .flatten()
            .any(|t| !t.carry.overlaps.is_empty());
        let mut seen: Vec<Touched> = Vec::new();
        for (repo, tasks) in by_repo.iter().filter(|(_, tasks)| tasks.len() > 1) {
            for task in tasks {
                match touched(desk, repo, task) {
                    Ok(Some(paths)) => seen.push(Touched {
                        task: task.id,
                        paths,
                    }),
                    Ok(None) => {}
                    // A session that removes a file while it is read: the next look sees it.
                    Err(error) => {
                        tracing::debug!(task = %task.id, %error, "a workspace is not looked at")
                    }
                }
            }
        }
        let mut told = lock(&self.told);
        if open || *told != seen {
            told.clone_from(&seen);
            desk.tell(Event::Touched(seen));
        }
    }
}

/// Whether what differs in its workspace is its own. One that merges what has landed holds others' work, too, and
/// the merge queue sees to it.
fn has_work_of_its_own(task: &Task) -> bool {
    is_live(task)
        && task.tally.returns == 0
        && task
            .carry
            .workspace
            .as_ref()
            .is_some_and(|w| w.branch.is_some())
}

fn touched(desk: &Desk, repo: &str, task: &Task) -> Result<Option<BTreeSet<String>>, GitError> {
    let (Some(workspace), Ok(repo)) = (&task.carry.workspace, desk.repo(Utf8Path::new(repo)))
    else {
        return Ok(None);
    };
    let (Some(worktree), Ok(tree)) = (
        repo.worktree_at(Utf8Path::new(&workspace.path).as_std_path())?,
        workspace.start_tree.parse(),
    ) else {
        return Ok(None);
    };
    let changes = repo.slot_changes(&Slot { worktree, tree })?;
    Ok(Some(
        changes.paths.iter().map(|c| c.path.to_string()).collect(),
    ))
}
