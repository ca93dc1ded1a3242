//! The seal of an attempt: its tree ended, its work snapshotted and committed (`work`), its trespasses
//! found (`escape`): git's settings (`settings`), refs (`refs`), and whose doing it is (`blame`).

mod blame;
mod escape;
mod mention;
mod refs;
pub(super) mod settings;
mod work;

use longhaul_core::attempt::Sealed;
use longhaul_core::fact::News;
use longhaul_core::ids::SpawnKey;
use longhaul_core::spec::WorkspaceKind;
use longhaul_core::task::WorkspaceRef;
use longhaul_hosts::{BundleState, SweepOutcome};
use longhaul_vcs::{GitError, Repo, Worktree};

use camino::Utf8Path;

use super::desk::chain;
use super::trouble::Trouble;
use super::{Desk, again, tidy};
use crate::event::Event;
use crate::machine::Dispatch;

pub(super) use escape::mark;

pub(super) fn seal(desk: &Desk, d: &Dispatch) -> Vec<Event> {
    let (task, fence) = (d.effect.task, d.effect.fence);
    let spec = match desk.spec(task) {
        Ok(spec) => spec,
        Err(unread) if !unread.for_good => return vec![again(&d.effect, &unread.why)],
        Err(unread) => {
            if let Err(why) = end_leftovers(desk, &SpawnKey::session(task, fence)) {
                return vec![again(&d.effect, &why)];
            }
            let news = News::SealFailed {
                detail: unread.why,
                transient: false,
            };
            return vec![Event::news(task, fence, news)];
        }
    };
    if let Err(why) = end_leftovers(desk, &SpawnKey::session(task, fence)) {
        return vec![again(&d.effect, &why)];
    }
    tidy::forget_temp(desk, &SpawnKey::session(task, fence));
    let Some(workspace) = d.task.carry.workspace.clone() else {
        return vec![Event::news(
            task,
            fence,
            News::Sealed {
                sealed: Sealed::default(),
            },
        )];
    };
    let sealed = match spec.workspace {
        WorkspaceKind::Worktree => work::worktree(desk, d, &spec, &workspace),
        WorkspaceKind::InPlace => work::in_place(desk, d, &spec, &workspace),
    };
    match sealed {
        Ok(sealed) => vec![Event::news(task, fence, News::Sealed { sealed })],
        Err(Trouble {
            detail,
            transient: true,
        }) => vec![again(&d.effect, &detail)],
        Err(Trouble {
            detail,
            transient: false,
        }) => {
            vec![Event::news(
                task,
                fence,
                News::SealFailed {
                    detail,
                    transient: false,
                },
            )]
        }
    }
}

/// Sees to it that nothing of a job lives any more (I8), whatever became of its shim.
pub(super) fn end_leftovers(desk: &Desk, key: &SpawnKey) -> Result<(), String> {
    let bundle = desk.launcher.bundle(key.as_str()).map_err(|e| chain(&e))?;
    match bundle.survey().map_err(|e| chain(&e))? {
        BundleState::Exited(_)
        | BundleState::OtherBoot(_)
        | BundleState::Absent
        | BundleState::NotStarted => Ok(()),
        BundleState::Lost(lost) => match lost.tree().sweep(desk.practice.stop_grace).outcome {
            SweepOutcome::Clean => Ok(()),
            SweepOutcome::Survivors => Err("a process does not end even by SIGKILL".to_owned()),
            SweepOutcome::Unknown => {
                Err("nobody can tell what is left of the session's tree".to_owned())
            }
        },
        BundleState::Starting => Err("the session's shim is still starting".to_owned()),
        BundleState::Live(shim) => {
            shim.stop(desk.practice.stop_grace).map_err(|e| chain(&e))?;
            Err("the session is still ending".to_owned())
        }
    }
}

/// The worktree of a task, for checks.
pub(super) fn find_worktree(
    repo: &Repo,
    workspace: &WorkspaceRef,
) -> Result<Option<Worktree>, GitError> {
    repo.worktree_at(Utf8Path::new(&workspace.path).as_std_path())
}
