//! A session in a terminal (A21): the job is a driver that types the prompt into a session of the pool. The driver is
//! Longhaul's own and not confined; the agent is, and carries the job's key like every process of it.

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_agents::LaunchPlan;
use longhaul_agents::screen::ScreenAgent;
use longhaul_core::spec::TaskSpec;
use longhaul_hosts::JobSpec;
use longhaul_pool::{DRIVE_VERB, Order, Place, Server, ready};

use super::super::Desk;
use super::super::desk::chain;
use super::super::files::write_for_now;
use super::launch::{NotLaunched, find_program};

/// Puts a driver in the agent's place, with its order in the bundle, and sees to it that there is a session to take. The
/// tmux server is started from here and not by the driver, whose processes are all ended with the job.
pub(super) fn drive(
    desk: &Desk,
    spec: &TaskSpec,
    job: &mut JobSpec,
    plan: &LaunchPlan,
    (agent, resumed): (ScreenAgent, bool),
    bundle: &Utf8Path,
) -> Result<(), NotLaunched> {
    let path = |name: &str| desk.environment.get(name).map(String::as_str);
    let practice = &desk.practice;
    let tmux = find_program(&practice.tmux, path("PATH"), path("HOME")).ok_or_else(|| {
        NotLaunched::for_good(
            format!(
                "`{}` is not installed, and the task's sessions live in it",
                practice.tmux
            ),
            "install tmux, or choose `host = \"headless\"`, then `longhaul retry`",
        )
    })?;
    let socket = desk.dirs.tmux_socket();
    let server = Server::new(Place {
        program: tmux.clone(),
        socket: socket.clone(),
    });
    let not_now = |error: &dyn std::error::Error| NotLaunched::for_now(chain(error));
    let folder = desk.dirs.pool();
    longhaul_acts::files::create_dir_all("engine.pool.folder", &folder).map_err(|e| not_now(&e))?;
    ready(&server, &practice.pool).map_err(|e| not_now(&e))?;
    let (Some(conversation), Some(records)) = (plan.conversation.clone(), plan.records.clone())
    else {
        return Err(NotLaunched::for_good(
            "its agent keeps no transcript that could be read",
            "choose `host = \"headless\"`, then `longhaul retry`",
        ));
    };
    let order = Order {
        key: job.key.clone(),
        task: spec.name.clone(),
        agent,
        argv: std::mem::take(&mut job.argv),
        cwd: job.cwd.clone(),
        confinement: job.sandbox.take(),
        prompt: String::from_utf8_lossy(&plan.stdin).into_owned(),
        conversation,
        resumed,
        states: records.parent().map(|home| home.join("sessions")),
        records,
        time_zone: spec.caller_env.get("TZ").cloned(),
        tmux,
        socket,
        folder,
        files: bundle.join("files"),
        pool: practice.pool.clone(),
    };
    let bytes = serde_json::to_vec(&order).map_err(|e| not_now(&e))?;
    write_for_now(&bundle.join("stdin"), &bytes).map_err(|e| not_now(&e))?;
    let exe = Utf8PathBuf::from_path_buf(desk.exe.clone()).unwrap_or_default();
    job.argv = vec![exe.to_string(), DRIVE_VERB.to_owned()];
    Ok(())
}
