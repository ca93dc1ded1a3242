//! Stopping what belongs to an attempt: its set-up, session or check, by whatever means it is reached.

use longhaul_core::fact::{News, WorkspaceFault};
use longhaul_core::ids::SpawnKey;
use longhaul_core::task::{AssignStep, RunStep, State};
use longhaul_hosts::{Bundle, BundleState};

use super::desk::chain;
use super::{Desk, JobKind, again, check, session};
use crate::event::Event;
use crate::machine::Dispatch;

pub(super) fn halt(desk: &Desk, d: &Dispatch, busy: &dyn Fn(JobKind) -> bool) -> Vec<Event> {
    let (task, fence) = (d.effect.task, d.effect.fence);
    let (key, worker) = match &d.task.state {
        State::Assigned {
            step: AssignStep::Workspace,
        } => (SpawnKey::setup(task, fence), JobKind::Prepare),
        State::Assigned {
            step: AssignStep::Launch,
        }
        | State::Running {
            step: RunStep::Live,
        } => (SpawnKey::session(task, fence), JobKind::Session),
        State::Verifying { check, run, .. } => (
            SpawnKey::check(task, fence, *check, *run),
            JobKind::Check {
                check: *check,
                run: *run,
            },
        ),
        _ => return vec![],
    };
    let bundle = match desk.launcher.bundle(key.as_str()) {
        Ok(bundle) => bundle,
        Err(error) => return vec![again(&d.effect, &chain(&error))],
    };
    match bundle.survey() {
        Ok(BundleState::Live(shim)) => {
            if let Err(error) = shim.stop(desk.practice.stop_grace) {
                return vec![again(&d.effect, &chain(&error))];
            }
        }
        Ok(BundleState::Starting) => return vec![again(&d.effect, "its shim is still starting")],
        Ok(_) => {}
        Err(error) => return vec![again(&d.effect, &chain(&error))],
    }
    if busy(worker) {
        // Whoever is at it sees the end and says so; ask once more in case it does not.
        return vec![again(&d.effect, "waiting for its end")];
    }
    // Nobody is at it (a new daemon): say what is true now.
    match &d.task.state {
        State::Assigned {
            step: AssignStep::Workspace,
        } => match withdraw(&bundle).and_then(|_| super::seal::end_leftovers(desk, &key)) {
            Ok(()) => vec![Event::news(
                task,
                fence,
                News::WorkspaceFailed {
                    fault: WorkspaceFault::Stopped,
                    detail: "stopped".to_owned(),
                    remedy: String::new(),
                    workspace: None,
                    conflict: None,
                    resumes: d.task.carry.resume_checks,
                },
            )],
            Err(why) => vec![again(&d.effect, &why)],
        },
        State::Assigned {
            step: AssignStep::Launch,
        } => match withdraw(&bundle) {
            Ok(true) => {
                let news = News::LaunchFailed {
                    detail: "stopped".to_owned(),
                    remedy: String::new(),
                    transient: true,
                };
                vec![Event::news(task, fence, news)]
            }
            Ok(false) => session::attend(desk, d),
            Err(why) => vec![again(&d.effect, &why)],
        },
        State::Running { .. } => session::attend(desk, d),
        State::Verifying { check, run, .. } => {
            let detail = "stopped".to_owned();
            match super::seal::end_leftovers(desk, &key) {
                // What the check left in the workspace is no drift.
                Ok(()) => vec![Event::news(
                    task,
                    fence,
                    News::CheckLost {
                        check: *check,
                        run: *run,
                        detail,
                        tree: tree_left(desk, d),
                    },
                )],
                Err(why) => vec![again(&d.effect, &why)],
            }
        }
        _ => vec![],
    }
}

/// Whether nothing ran under the key and nothing ever will. The next attempt has another fence: a shim
/// that got its order from a daemon that has died, and is slow, must not start this one beside it (I2).
fn withdraw(bundle: &Bundle) -> Result<bool, String> {
    Ok(match bundle.close().map_err(|e| chain(&e))? {
        BundleState::Absent => true,
        BundleState::Exited(record) => record.never_ran(),
        _ => false,
    })
}

/// The workspace's tree now, if it can be told.
fn tree_left(desk: &Desk, d: &Dispatch) -> Option<String> {
    let spec = desk.spec(d.effect.task).ok()?;
    check::tree_after(desk, d, &spec).ok().flatten()
}
