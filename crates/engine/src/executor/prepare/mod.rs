//! The workspace of an attempt: made or found (`worktree`, `in_place`), files placed (`files`), ports
//! leased, `setup` run (`setup`), drift noticed.

mod fault;
mod files;
mod in_place;
mod rework;
mod setup;
mod worktree;

use std::collections::BTreeSet;

use camino::Utf8Path;
use longhaul_core::fact::{News, WorkspaceFault};
use longhaul_core::ids::TaskId;
use longhaul_core::spec::{TaskSpec, WorkspaceKind};
use longhaul_core::task::WorkspaceRef;
use longhaul_vcs::{ChangeKind, FileRules, Oid, Repo, RepoPath, Worktree};

use super::{Desk, again, ports, removal};
use crate::event::Event;
use crate::machine::Dispatch;

use fault::Fault;
pub(super) use files::rules;
pub use in_place::BEFORE_FIRST;
pub(super) use in_place::in_place_repo_of;
pub(super) use setup::forget_setup_of;

/// What the next step needs of a prepared workspace.
#[derive(Clone)]
struct Prepared {
    workspace: WorkspaceRef,
    drift: Option<String>,
    conflict: Option<String>,
    /// The tree after `setup`, if that ran for this attempt.
    tree: Option<String>,
}

pub(super) fn prepare(desk: &Desk, d: &Dispatch) -> Vec<Event> {
    let spec = match desk.spec(d.effect.task) {
        Ok(spec) => spec,
        Err(unread) if !unread.for_good => return vec![again(&d.effect, &unread.why)],
        Err(unread) => {
            let news = News::WorkspaceFailed {
                fault: WorkspaceFault::Permanent,
                detail: unread.why,
                remedy: "cancel the task and add it again".to_owned(),
                workspace: None,
                conflict: None,
                resumes: d.task.carry.resume_checks,
            };
            return vec![Event::news(d.effect.task, d.effect.fence, news)];
        }
    };
    let mut made = None;
    let news = match prepared(desk, d, &spec, &mut made) {
        Ok(p) => News::WorkspaceReady {
            workspace: p.workspace,
            drift: p.drift,
            conflict: p.conflict,
            tree: p.tree,
            resumes: d.task.carry.resume_checks,
        },
        Err(fault) if fault.unsettled => return vec![again(&d.effect, &fault.detail)],
        Err(Fault {
            fault,
            detail,
            remedy,
            ..
        }) => News::WorkspaceFailed {
            fault,
            detail,
            remedy,
            workspace: made.as_ref().map(|m| m.workspace.clone()),
            conflict: made.and_then(|m| m.conflict),
            resumes: d.task.carry.resume_checks,
        },
    };
    vec![Event::news(d.effect.task, d.effect.fence, news)]
}

/// `made` holds the workspace from when it is there, also if a later step fails.
fn prepared(
    desk: &Desk,
    d: &Dispatch,
    spec: &TaskSpec,
    made: &mut Option<Prepared>,
) -> Result<Prepared, Fault> {
    // A workspace that is being removed is made anew afterwards, never used meanwhile.
    let _held = removal::hold(desk, d.effect.task)
        .map_err(|error| Fault::io("cannot lock the workspace", &error))?
        .ok_or_else(|| Fault {
            unsettled: true,
            ..Fault::new(
                WorkspaceFault::Transient,
                "its workspace is being removed",
                "",
            )
        })?;
    let prepared = made.insert(match spec.workspace {
        WorkspaceKind::Worktree => worktree::worktree(desk, d, spec)?,
        WorkspaceKind::InPlace => in_place::in_place(desk, d, spec)?,
    });
    if prepared.workspace.port_base.is_none() {
        prepared.workspace.port_base = ports::lease(&desk.dirs.ports(), d.effect.task, |owner| {
            is_over(desk, owner)
        })
        .map_err(|error| Fault::io("cannot lease ports", &error))?;
    }
    if let Some(dir) = &spec.dir {
        let folder = Utf8Path::new(&prepared.workspace.path).join(dir);
        if !folder.is_dir() {
            return Err(Fault::new(
                WorkspaceFault::Permanent,
                format!("`dir` {dir} does not exist in the workspace"),
                "name a folder that exists on the base branch, and add the task again",
            ));
        }
    }
    setup::setup(desk, d, spec, &prepared.workspace)?;
    if let Some(tree) = setup::tree_after(desk, d) {
        prepared.tree = Some(tree);
    }
    Ok(prepared.clone())
}

fn drift(
    repo: &Repo,
    worktree: &Worktree,
    files: &FileRules,
    end: &str,
    gone: &BTreeSet<RepoPath>,
) -> Result<Option<String>, Fault> {
    let end = oid(end)?;
    let now = repo.tree_of(worktree, files).map_err(|e| Fault::git(&e))?;
    if now == end {
        return Ok(None);
    }
    let mut changes = repo.changes(&end, &now).map_err(|e| Fault::git(&e))?;
    changes
        .paths
        .retain(|c| c.kind != ChangeKind::Deleted || !gone.contains(&c.path));
    if changes.paths.is_empty() {
        return Ok(None);
    }
    Ok(Some(changes.summary(10)))
}

fn oid(text: &str) -> Result<Oid, Fault> {
    text.parse().map_err(|_| {
        let detail = format!("{text:?} is stored as an object id and is none");
        Fault::new(
            WorkspaceFault::Permanent,
            detail,
            "cancel the task and add it again",
        )
    })
}

/// True if a task needs no ports any more; what cannot be read is in use.
fn is_over(desk: &Desk, task: TaskId) -> bool {
    match desk.read(|r| r.task(task)) {
        Ok(Some(stored)) => stored.task.state.word().is_final(),
        Ok(None) => true,
        Err(_) => false,
    }
}
