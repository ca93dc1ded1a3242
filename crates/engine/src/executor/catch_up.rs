//! A person's order to bring one task's workspace up to what has landed (L21), carried out in the CLI's own
//! process under the workspace's lock.

use std::fs;

use camino::Utf8PathBuf;
use longhaul_core::ids::TaskId;
use longhaul_core::task::{State, Task};
use longhaul_vcs::{CatchUp, CatchUpStyle, CaughtUp, Oid, Repo};

use super::Desk;
use super::files::write_whole;
use super::prepare;
use super::removal::{Found, Keeper, RemovalError, hold};

/// What a workspace was brought up to, and how that went.
#[derive(Clone, Debug)]
pub struct BroughtUp {
    /// The commit.
    pub to: Oid,
    /// What it is called: a branch, or the revision that the person named.
    pub name: String,
    /// How it went.
    pub end: CaughtUp,
}

impl Keeper<'_> {
    /// Brings a task's workspace up to `to`, or to what has landed on its base branch.
    ///
    /// # Errors
    /// The task is at work or in the merge queue, or its workspace cannot be read; nothing was touched then.
    pub fn catch_up(
        &self,
        task: TaskId,
        style: CatchUpStyle,
        to: Option<&str>,
    ) -> Result<BroughtUp, RemovalError> {
        let held =
            hold(self.desk, task).map_err(|source| self.io(task, "workspace.lock", source))?;
        let _held = held.ok_or(RemovalError::Busy)?;
        let found = self.find(task)?;
        if !found.worktree.path.is_dir() {
            return Err(RemovalError::None);
        }
        if let Some(because) = at_work(&found.stored.task) {
            return Err(RemovalError::Kept {
                because: because.to_owned(),
                force_helps: false,
            });
        }
        let (to, name) = target(&found, to)?;
        let before = self.snapshot(&found, &format!("before {name} was brought in"))?;
        let message = format!(
            "Merge {name} into {}\n\nLonghaul-Task: {}\n",
            found.worktree.branch, found.stored.task.id
        );
        let order = CatchUp {
            to: &to,
            style,
            before: &before,
            message: &message,
            sign: self.desk.practice_or_own(&found.spec.repo).sign,
        };
        let end = found.repo.catch_up(&found.worktree, &order)?;
        if matches!(end, CaughtUp::Done { .. } | CaughtUp::Begun(_)) {
            self.note_tree(&found)?;
        }
        Ok(BroughtUp { to, name, end })
    }

    /// Notes which tree the next attempt finds: what the person brought in is no drift.
    fn note_tree(&self, found: &Found) -> Result<(), RemovalError> {
        let task = &found.stored.task;
        let Some(end) = known_end(self.desk, task) else {
            return Ok(());
        };
        let files = prepare::rules(self.desk, &found.spec, task.id);
        let now = found.repo.tree_of(&found.worktree, &files)?;
        let text = format!("{} {now}", end.origin);
        write_whole(&note(self.desk, task.id), text.as_bytes())
            .map_err(|source| self.io(task.id, NOTE, source))
    }
}

/// The tree that a task's next attempt should find in its workspace.
pub(super) struct KnownEnd {
    /// As the last attempt left it.
    origin: String,
    /// The same, with what a person brought in since.
    pub(super) tree: String,
}

/// The tree that the last attempt left, or what a person's order made of it.
pub(super) fn known_end(desk: &Desk, task: &Task) -> Option<KnownEnd> {
    let origin = task.carry.end_tree.clone()?;
    let noted = fs::read_to_string(note(desk, task.id)).unwrap_or_default();
    let tree = match noted.split_once(' ') {
        Some((of, tree)) if of == origin => tree.to_owned(),
        _ => origin.clone(),
    };
    Some(KnownEnd { origin, tree })
}

const NOTE: &str = "brought-up";

fn note(desk: &Desk, task: TaskId) -> Utf8PathBuf {
    desk.dirs.task(task).join(NOTE)
}

fn at_work(task: &Task) -> Option<&'static str> {
    match task.state {
        State::Assigned { .. } | State::Running { .. } | State::Verifying { .. } => {
            Some("its task is at work in it")
        }
        State::Landing { .. } => Some("its work is in the merge queue"),
        State::Pending
        | State::Ready { .. }
        | State::Parked { .. }
        | State::NeedsHuman { .. }
        | State::Done { .. }
        | State::Cancelled => None,
    }
}

/// The commit to bring in: what the person named, or what new work would start from.
fn target(found: &Found, to: Option<&str>) -> Result<(Oid, String), RemovalError> {
    let repo: &Repo = &found.repo;
    if let Some(name) = to {
        return Ok((
            repo.resolve(name).map_err(RemovalError::Target)?,
            name.to_owned(),
        ));
    }
    let branch = match &found.spec.base {
        Some(branch) => branch.clone(),
        None => repo.current_branch().map_err(RemovalError::Target)?,
    };
    let base = repo.resolve(&branch).map_err(RemovalError::Target)?;
    let tip = repo.queue(&branch).tip().map_err(RemovalError::Queue)?;
    Ok(match tip {
        Some(tip) if repo.is_ancestor(&base, &tip.commit)? => (tip.commit, branch),
        _ => (base, branch),
    })
}
