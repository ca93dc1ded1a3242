//! `setup`: run once for a workspace, as a job of its own.

use std::fs;

use camino::Utf8PathBuf;
use longhaul_acts::files;
use longhaul_core::fact::WorkspaceFault;
use longhaul_core::ids::{SpawnKey, TaskId};
use longhaul_core::spec::{TaskSpec, WorkspaceKind};
use longhaul_core::task::WorkspaceRef;
use longhaul_hosts::BundleState;

use super::super::catch_up::known_end;
use super::super::files::write_whole;
use super::super::job::{self, JobEnd};
use super::super::shell::{REASON_BYTES, last_lines, log_tail, outcome_words, shell_job};
use super::super::trouble::Trouble;
use super::super::{Desk, env, seal};
use super::fault::Fault;
use super::files::rules;
use super::in_place::in_place_repo_of;
use crate::machine::Dispatch;

/// `setup` may take this long.
const SETUP_TIMEOUT_SECS: u64 = 30 * 60;
/// Marks a workspace whose `setup` has passed.
const SETUP_DONE: &str = "setup-done";

pub(super) fn setup(
    desk: &Desk,
    d: &Dispatch,
    spec: &TaskSpec,
    workspace: &WorkspaceRef,
) -> Result<(), Fault> {
    let Some(command) = &spec.setup else {
        return Ok(());
    };
    let done = mark(desk, d.effect.task);
    if done.exists() {
        return Ok(());
    }
    let environment = env::of_job(desk, d.effect.task, spec, workspace)
        .map_err(|m| Fault::new(WorkspaceFault::Permanent, m.detail(), m.remedy()))?;
    let key = SpawnKey::setup(d.effect.task, d.effect.fence);
    let job = shell_job(desk, spec, &key, command, workspace, environment)
        .map_err(|e| Fault::io("cannot make the set-up's folder", &e))?;
    let log = desk.dirs.jobs().join(key.as_str()).join("out.log");
    let remedy = format!(
        "mend `setup` or what it needs, then `longhaul retry {0}`; all of its output: `longhaul logs {0}`, {log}",
        spec.name
    );
    match job::run(
        desk,
        &job,
        std::time::Duration::from_secs(SETUP_TIMEOUT_SECS),
    ) {
        JobEnd::Exited(record) if record.is_zero() => {
            let tree = tree_now(desk, d, spec, workspace).map_err(|trouble| {
                let detail = format!("the workspace cannot be read: {}", trouble.detail);
                Fault::new(WorkspaceFault::Transient, detail, remedy)
            })?;
            let note = format!("{} {tree}", round(d));
            let made = done.parent().map_or(Ok(()), |folder| {
                files::create_dir_all("engine.setup.folder", folder)
            });
            made.and_then(|()| write_whole(&done, note.as_bytes()))
                .map_err(|e| Fault::io("cannot note the set-up", &e))
        }
        JobEnd::Exited(record) if record.stop_requested => {
            Err(Fault::new(WorkspaceFault::Stopped, "stopped", ""))
        }
        JobEnd::Exited(record) => {
            let how = outcome_words(&record.outcome);
            let tail = log_tail(desk, &key, REASON_BYTES);
            let detail = format!("`setup` failed ({how}): {}", last_lines(&tail, 5));
            Err(Fault::new(WorkspaceFault::Setup, detail, remedy))
        }
        JobEnd::TimedOut(_) => Err(Fault::new(
            WorkspaceFault::Setup,
            "`setup` took longer than 30 minutes",
            remedy,
        )),
        JobEnd::Lost | JobEnd::OtherBoot => Err(Fault::new(
            WorkspaceFault::Transient,
            "`setup` was interrupted",
            remedy,
        )),
        JobEnd::Impossible(why) => Err(Fault::new(WorkspaceFault::Setup, why, remedy)),
        JobEnd::Unsettled(why) => Err(Fault {
            unsettled: true,
            ..Fault::new(WorkspaceFault::Transient, why, remedy)
        }),
    }
}

/// Whether `setup` was begun by this very preparation.
pub(super) fn setup_began(desk: &Desk, d: &Dispatch) -> bool {
    let key = SpawnKey::setup(d.effect.task, d.effect.fence);
    desk.dirs.jobs().join(key.as_str()).exists()
}

/// The next attempt in this workspace runs `setup` again.
pub(in crate::executor) fn forget_setup_of(desk: &Desk, task: TaskId) -> std::io::Result<()> {
    match files::remove_file("engine.setup.forget", mark(desk, task)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The tree that the workspace was last known to have: as `setup` left it, where that ran for this very
/// attempt, else as the last attempt did. None while `setup` has not passed in it: what changed since
/// the last attempt is then the set-up's own.
pub(super) fn known_tree(desk: &Desk, d: &Dispatch, spec: &TaskSpec) -> Option<String> {
    if spec.setup.is_some() && !mark(desk, d.effect.task).exists() {
        return None;
    }
    tree_after(desk, d).or_else(|| Some(known_end(desk, &d.task)?.tree))
}

/// The tree after `setup`, if that ran for this preparation.
pub(super) fn tree_after(desk: &Desk, d: &Dispatch) -> Option<String> {
    let noted = fs::read_to_string(mark(desk, d.effect.task)).ok()?;
    let (of, tree) = noted.split_once(' ')?;
    (of == round(d)).then(|| tree.to_owned())
}

/// Names a preparation: an attempt's, or one for checks that go on.
fn round(d: &Dispatch) -> String {
    let round = d.task.carry.resume_checks.map_or(0, |r| r.round);
    format!("{}.{round}", d.effect.fence)
}

/// Where it is noted that `setup` has passed, in which preparation, and what the tree was then.
fn mark(desk: &Desk, task: TaskId) -> Utf8PathBuf {
    desk.dirs.task(task).join(SETUP_DONE)
}

fn tree_now(
    desk: &Desk,
    d: &Dispatch,
    spec: &TaskSpec,
    workspace: &WorkspaceRef,
) -> Result<String, Trouble> {
    let (repo, worktree) = match spec.workspace {
        WorkspaceKind::InPlace => in_place_repo_of(desk, &spec.repo)?,
        WorkspaceKind::Worktree => {
            let repo = desk.repo(&spec.repo)?;
            let found = seal::find_worktree(&repo, workspace)?;
            let found = found.ok_or_else(|| Trouble::for_good("the workspace is gone"))?;
            (repo, found)
        }
    };
    let tree = repo.tree_of(&worktree, &rules(desk, spec, d.effect.task))?;
    Ok(tree.to_string())
}

/// The workspace has to be set up again.
pub(super) fn forget_setup(desk: &Desk, d: &Dispatch) -> std::io::Result<()> {
    forget_setup_of(desk, d.effect.task)?;
    if d.task.carry.resume_checks.is_none() {
        return Ok(());
    }
    // Checks that go on have the fence of the attempt whose set-up ran in the workspace that is gone:
    // its record would be taken for the next one's.
    let key = SpawnKey::setup(d.effect.task, d.effect.fence);
    let ended = desk.launcher.bundle(key.as_str()).is_ok_and(|bundle| {
        matches!(
            bundle.survey(),
            Ok(BundleState::Exited(_) | BundleState::OtherBoot(_))
        )
    });
    if ended {
        let folder = desk.dirs.jobs().join(key.as_str());
        files::remove_dir_all("engine.setup.clear", folder)?;
    }
    Ok(())
}
