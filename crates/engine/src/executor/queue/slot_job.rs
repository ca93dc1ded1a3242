//! The job of a check in a slot: the task's `setup` and the command, in the environment and under the
//! confinement that the task's own checks have.

use std::collections::BTreeMap;

use camino::Utf8Path;
use longhaul_acts::files;
use longhaul_core::ids::TaskId;
use longhaul_core::queue::Point;
use longhaul_core::task::WorkspaceRef;
use longhaul_hosts::{Confinement, JobSpec};

use super::super::{Desk, env, sandbox};
use super::Fault;
use super::check::Run;

/// Output kept of a check (T9).
const LOG_BYTES: u64 = 64 << 20;

pub(super) fn of(desk: &Desk, work: &Run<'_>, slot: &Utf8Path) -> Result<JobSpec, Fault> {
    let temp = desk.dirs.jobs().join(work.key.as_str()).join("tmp");
    files::create_dir_all("engine.queue.temp", &temp)
        .map_err(|e| Fault::unsettled(&format!("cannot make {temp}: {e}")))?;
    let owner = TaskId::from_uuid(work.check.of.0);
    let spec = desk
        .read(|r| r.spec(owner))
        .map_err(|e| Fault::unsettled(&format!("the specification cannot be read: {e}")))?;
    let mut writable = vec![slot.to_owned(), temp.clone()];
    let (mut environment, confinement, dir, setup) = match spec {
        Some(spec) => {
            let workspace = as_workspace(slot, work.point);
            let environment =
                env::of_job(desk, owner, &spec, &workspace).map_err(|missing| Fault {
                    remedy: Some(missing.remedy().to_owned()),
                    ..Fault::failed(missing.detail())
                })?;
            let confinement = sandbox::confinement(desk, &spec, writable, vec![]);
            (environment, confinement, spec.dir, spec.setup)
        }
        None => {
            writable.extend(desk.practice.caches.iter().cloned());
            writable.extend(desk.practice.writable.iter().cloned());
            let confinement = Confinement {
                writable,
                readable: vec![],
                closed: vec![desk.dirs.state.clone(), desk.dirs.config.clone()],
            };
            (by_hand(desk), Some(confinement), None, None)
        }
    };
    environment.insert("TMPDIR".to_owned(), temp.to_string());
    let setup = setup.map_or_else(String::new, |setup| format!("(\n{setup}\n) || exit\n"));
    let script = format!("exec 2>&1\n{setup}{}", work.check.command);
    let argv = vec!["/bin/sh".to_owned(), "-c".to_owned(), script];
    let workdir = dir.map_or_else(|| slot.to_owned(), |dir| slot.join(dir));
    let mut job = JobSpec::new(work.key.as_str(), argv, workdir);
    job.env = environment.into_iter().collect();
    job.sandbox = confinement;
    job.stop_grace_ms = u64::try_from(desk.practice.stop_grace.as_millis()).unwrap_or(u64::MAX);
    job.max_log_bytes = LOG_BYTES;
    Ok(job)
}

/// The slot in the words of a workspace.
fn as_workspace(slot: &Utf8Path, point: &Point) -> WorkspaceRef {
    WorkspaceRef {
        path: slot.to_string(),
        branch: None,
        base: point.commit.clone(),
        start: point.commit.clone(),
        start_tree: point.tree.clone(),
        port_base: None,
    }
}

/// The environment of a check that belongs to no task: the daemon's own few variables.
fn by_hand(desk: &Desk) -> BTreeMap<String, String> {
    let own = desk.environment.iter();
    let mut env: BTreeMap<String, String> = own
        .filter(|(name, _)| env::is_caller_variable(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    env.insert("GIT_TERMINAL_PROMPT".to_owned(), "0".to_owned());
    env
}
