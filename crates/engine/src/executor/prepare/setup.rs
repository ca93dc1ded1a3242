//! `setup`: run once for a workspace, as a job of its own.

use longhaul_acts::files;
use longhaul_core::fact::WorkspaceFault;
use longhaul_core::ids::{SpawnKey, TaskId};
use longhaul_core::spec::TaskSpec;
use longhaul_core::task::WorkspaceRef;

use super::super::job::{self, JobEnd};
use super::super::shell::{last_lines, log_tail, outcome_words, shell_job};
use super::super::{Desk, env};
use super::fault::Fault;
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
    let done = desk.dirs.task(d.effect.task).join(SETUP_DONE);
    if done.exists() {
        return Ok(());
    }
    let environment = env::of_job(desk, d.effect.task, spec, workspace)
        .map_err(|m| Fault::new(WorkspaceFault::Permanent, m.detail(), m.remedy()))?;
    let key = SpawnKey::setup(d.effect.task, d.effect.fence);
    let job = shell_job(desk, spec, &key, command, workspace, environment)
        .map_err(|e| Fault::io("cannot make the set-up's folder", &e))?;
    let remedy = "mend `setup` or what it needs, then `longhaul retry`";
    match job::run(
        desk,
        &job,
        std::time::Duration::from_secs(SETUP_TIMEOUT_SECS),
    ) {
        JobEnd::Exited(record) if record.is_zero() => {
            let made = done.parent().map_or(Ok(()), |folder| {
                files::create_dir_all("engine.setup.folder", folder)
            });
            made.and_then(|()| files::write("engine.setup.done", &done, b""))
                .map_err(|e| Fault::io("cannot note the set-up", &e))
        }
        JobEnd::Exited(record) if record.stop_requested => {
            Err(Fault::new(WorkspaceFault::Stopped, "stopped", ""))
        }
        JobEnd::Exited(record) => {
            let how = outcome_words(&record.outcome);
            let tail = log_tail(desk, &key, 2048);
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

/// The next attempt in this workspace runs `setup` again.
pub(in crate::executor) fn forget_setup(desk: &Desk, task: TaskId) -> std::io::Result<()> {
    let done = desk.dirs.task(task).join(SETUP_DONE);
    match files::remove_file("engine.setup.forget", done) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
