//! Starting a session: its plan, its environment, its folder, its confinement. Started once for a key,
//! whoever asks again.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_agents::{Harness, LaunchPlan, LaunchRefusal, LaunchRequest};
use longhaul_core::ids::{Fence, SpawnKey, TaskId};
use longhaul_core::prompt::{Material, compose};
use longhaul_core::spec::{Sandbox, TaskSpec};
use longhaul_core::task::{RetryReason, WorkspaceRef};
use longhaul_core::usage::MicroUsd;
use longhaul_hosts::{BundleState, ConfinementLevel, JobSpec, LaunchErrorClass, Stdin};
use uuid::Uuid;

use super::super::accounts::{Door, Guest, HomeFolder};
use super::super::bounds::Bounds;
use super::super::desk::chain;
use super::super::files::{write_for_now, write_private};
use super::super::shell::{workdir, workspace_paths};
use super::super::{Desk, env, record, sandbox, seal};
use crate::machine::Dispatch;

/// Why a session is not started.
pub(in crate::executor) struct NotLaunched {
    pub(in crate::executor) detail: String,
    pub(in crate::executor) remedy: String,
    pub(in crate::executor) transient: bool,
    /// Nobody knows whether it runs: ask again under the same fence, never start another (I2).
    pub(in crate::executor) unsettled: bool,
}

impl NotLaunched {
    pub(super) fn for_good(detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            detail: detail.into(),
            remedy: remedy.into(),
            transient: false,
            unsettled: false,
        }
    }

    pub(super) fn for_now(detail: impl Into<String>) -> Self {
        Self {
            detail: detail.into(),
            remedy: String::new(),
            transient: true,
            unsettled: false,
        }
    }

    fn unsettled(detail: impl Into<String>) -> Self {
        Self {
            unsettled: true,
            ..Self::for_now(detail)
        }
    }
}

/// Plans and starts the session (I4: its bundle is the durable mark of the start).
pub(super) fn launch(
    desk: &Desk,
    d: &Dispatch,
    spec: &TaskSpec,
    harness: &Harness,
    key: &SpawnKey,
) -> Result<BundleState, NotLaunched> {
    // The marks and the session's folder wait for the disk at the same time; both are there before
    // anything starts.
    let (marked, ready) = std::thread::scope(|scope| {
        let marking = scope.spawn(|| seal::mark(desk, d, spec));
        let ready = order(desk, d, spec, harness, key);
        let broke = |_| Err("marking broke".to_owned());
        (marking.join().unwrap_or_else(broke), ready)
    });
    marked.map_err(NotLaunched::for_now)?;
    ready?.begin(desk).map(|(state, _)| state)
}

/// What the task's session is to be told, and its folder with it.
fn order(
    desk: &Desk,
    d: &Dispatch,
    spec: &TaskSpec,
    harness: &Harness,
    key: &SpawnKey,
) -> Result<Ready, NotLaunched> {
    let task = &d.task;
    let Some(workspace) = &task.carry.workspace else {
        return Err(NotLaunched::for_now("it has no workspace"));
    };
    let verdict = match &task.carry.reason {
        Some(RetryReason::CheckFailed { fence, check }) => desk
            .read(|r| r.verdict(task.id, *fence, check))
            .map_err(|e| NotLaunched::for_now(e.to_string()))?,
        _ => None,
    };
    let material = Material {
        verdict: verdict.as_ref(),
        drift: task.carry.drift.as_deref(),
        inline_system: None,
    };
    let prompt = compose(task, spec, material);
    let resume = task
        .carry
        .conversation
        .clone()
        .filter(|_| harness.capabilities().resume);
    let order = Order {
        key,
        workspace,
        prompt,
        resume,
        attempt: task.attempt.as_ref().map_or(1, |a| a.number),
        model: spec.model.clone(),
        left: task
            .terms
            .budget
            .map(|b| MicroUsd(b.0.saturating_sub(task.tally.least_cost().0))),
        tokens_left: task
            .terms
            .budget_tokens
            .map(|b| b.saturating_sub(task.tally.spent.tokens())),
        fence: d.effect.fence,
        account: task.carry.account.clone(),
    };
    make_ready(desk, spec, harness, &order, task.id)
}

/// What is to be started.
pub(in crate::executor) struct Order<'a> {
    pub(in crate::executor) key: &'a SpawnKey,
    pub(in crate::executor) workspace: &'a WorkspaceRef,
    pub(in crate::executor) prompt: String,
    pub(in crate::executor) resume: Option<String>,
    pub(in crate::executor) attempt: u32,
    pub(in crate::executor) model: Option<String>,
    pub(in crate::executor) left: Option<MicroUsd>,
    pub(in crate::executor) tokens_left: Option<u64>,
    pub(in crate::executor) fence: Fence,
    /// The account home that it uses; `None` = its agent's own login, or keys.
    pub(in crate::executor) account: Option<String>,
}

/// Starts an agent in a workspace.
pub(in crate::executor) fn start(
    desk: &Desk,
    spec: &TaskSpec,
    harness: &Harness,
    order: &Order<'_>,
    task: TaskId,
) -> Result<(BundleState, LaunchPlan), NotLaunched> {
    make_ready(desk, spec, harness, order, task)?.begin(desk)
}

/// An agent that can be started: all that it is given lies in its folder.
struct Ready {
    job: JobSpec,
    plan: LaunchPlan,
}

impl Ready {
    fn begin(self, desk: &Desk) -> Result<(BundleState, LaunchPlan), NotLaunched> {
        match desk.launcher.launch(&self.job) {
            Ok(launched) => Ok((launched.state, self.plan)),
            Err(error) => {
                let detail = chain(&error);
                Err(match error.class() {
                    LaunchErrorClass::Permanent => {
                        NotLaunched::for_good(detail, "correct the task and add it again")
                    }
                    LaunchErrorClass::Retry => NotLaunched::for_now(detail),
                    LaunchErrorClass::Unsettled => NotLaunched::unsettled(detail),
                })
            }
        }
    }
}

/// Plans an agent's start and makes its folder.
fn make_ready(
    desk: &Desk,
    spec: &TaskSpec,
    harness: &Harness,
    order: &Order<'_>,
    task: TaskId,
) -> Result<Ready, NotLaunched> {
    let mut environment = env::of_task(desk, task, spec, order.workspace)
        .map_err(|m| NotLaunched::for_good(m.detail(), m.remedy()))?;
    let home = home(desk, harness, order, spec)?;
    let mut door = None;
    match &home {
        // The login in the home is all that it gets: nothing of the daemon's may come before it, and its tokens
        // never go through the gateway.
        Some((variable, folder)) => {
            environment.insert((*variable).to_owned(), folder.dir.to_string());
        }
        None => {
            door = self::door(desk, harness, order, &environment, task)?;
            // The agent's own credentials, for the session only (T26).
            for name in &harness.capabilities().credentials {
                if let Some(value) = desk.environment.get(name) {
                    environment
                        .entry(name.clone())
                        .or_insert_with(|| value.clone());
                }
            }
        }
    }
    let program = if harness.is_builtin_script() {
        Utf8PathBuf::from_path_buf(desk.exe.clone())
            .map_err(|_| NotLaunched::for_good("the path of longhaul is not UTF-8", "move it"))?
    } else {
        find_program(
            harness.program(),
            environment.get("PATH").map(String::as_str),
            environment.get("HOME").map(String::as_str),
        ).ok_or_else(
            || {
                NotLaunched::for_good(
                    format!("{} is not installed: there is no `{}` on PATH", harness.name(), harness.program()),
                    "install it, or name its path with `[harness.NAME] program` in the config, then `longhaul retry`",
                )
            },
        )?
    };
    let practice = desk.practice_of(&spec.repo).map_err(|why| {
        NotLaunched::for_good(
            why,
            "mend the repository's `.longhaul` files, then `longhaul retry`",
        )
    })?;
    let options = practice
        .options(spec, order.model.clone(), order.left)
        .map_err(|name| {
            NotLaunched::for_good(
                format!("there is no profile {name:?} in the config"),
                "add `[profile.NAME]`, run `longhaul daemon restart`, then `longhaul retry`",
            )
        })?;
    let bundle = desk.dirs.jobs().join(order.key.as_str());
    let files = bundle.join("files");
    let temp = bundle.join("tmp");
    let confined = spec.sandbox == Sandbox::Write
        && longhaul_hosts::confinement_support() != ConfinementLevel::None;
    environment.insert("TMPDIR".to_owned(), temp.to_string());
    let mut request = LaunchRequest {
        task: spec.name.clone(),
        options,
        prompt: order.prompt.clone(),
        original_prompt: spec.prompt.clone(),
        attempt: order.attempt,
        resume: order.resume.clone(),
        fresh_conversation: fresh_conversation(order.key).to_string(),
        workdir: workdir(spec, order.workspace),
        bundle_dir: files.clone(),
        program,
        longhaul: Utf8PathBuf::from_path_buf(desk.exe.clone()).unwrap_or_default(),
        is_root: desk.is_root,
        confined,
        sandboxed: practice.sandboxed,
        terminal: practice.in_terminal(spec, harness.name()),
        gateway: door.as_ref().map(|door| door.url.clone()),
        env: environment.clone(),
    };
    let plan = match harness.launch(&request) {
        Err(LaunchRefusal::ResumeUnsupported { .. } | LaunchRefusal::BadConversation { .. }) => {
            request.resume = None;
            harness.launch(&request)
        }
        other => other,
    }
    .map_err(|refusal| NotLaunched::for_good(refusal.to_string(), refusal.remedy()))?;
    let mut writable = workspace_paths(desk, spec, order.workspace);
    writable.push(temp.clone());
    writable.extend(request.options.add_dirs.iter().cloned());
    writable.extend(home.into_iter().flat_map(|(_, folder)| folder.shared));
    sandbox::make_folders(&plan.writable);
    writable.extend(plan.writable.iter().chain(&plan.writable_files).cloned());
    // A harness that brings a sandbox of its own, which cannot work inside ours, says so.
    let confinement = sandbox::confinement(desk, spec, writable, vec![files.clone()])
        .filter(|_| !plan.needs_unconfined);
    let bounds = || {
        let held = confinement.as_ref().filter(|_| confined)?;
        Some(Bounds::of(&request.workdir, held))
    };
    let kept = Kept {
        bundle: &bundle,
        files: &files,
        temp: &temp,
    };
    let placed = place(&kept, &plan, request.resume.as_deref(), &bounds);
    placed.map_err(|e| NotLaunched::for_now(format!("cannot write the session's folder: {e}")))?;
    env::add_plan(desk, &plan, &mut environment)
        .map_err(|m| NotLaunched::for_good(m.detail(), m.remedy()))?;
    if let (Some(door), Some(name)) = (door, &plan.token_in) {
        environment.insert(name.clone(), door.token);
        let past = longhaul_agents::past_proxy(|name| environment.get(name).cloned());
        environment.extend(
            past.into_iter()
                .map(|(name, value)| (name.to_owned(), value)),
        );
    }
    environment.insert("LONGHAUL_SESSION".to_owned(), order.key.to_string());
    // So that the agent's own `longhaul show` asks this daemon, whatever its other folders are (I17).
    environment.extend(desk.own_folders.clone());
    let mut job = JobSpec::new(
        order.key.as_str(),
        plan.argv.clone(),
        request.workdir.clone(),
    );
    job.sandbox = confinement;
    if let Some(agent) = plan.terminal {
        super::terminal::drive(
            desk,
            spec,
            &mut job,
            &plan,
            (agent, request.resume.is_some()),
            &bundle,
        )?;
    }
    job.env = environment.into_iter().collect();
    if plan.terminal.is_some() {
        // The driver is a process of ours: a test may kill it at its points.
        let armed = longhaul_acts::crash_environment().into_iter();
        job.env.extend(
            armed.filter_map(|(name, value)| Some((name.to_owned(), value.into_string().ok()?))),
        );
    }
    job.stdin = Stdin::File(bundle.join("stdin"));
    job.max_log_bytes = desk.practice.max_log_bytes;
    job.stop_grace_ms = u64::try_from(desk.practice.stop_grace.as_millis()).unwrap_or(u64::MAX);
    Ok(Ready { job, plan })
}

/// The account home that was chosen for the session, with the variable that names it. A task that brings a login of
/// its own is left to that, also where it was taken in before there were homes.
fn home(
    desk: &Desk,
    harness: &Harness,
    order: &Order<'_>,
    spec: &TaskSpec,
) -> Result<Option<(&'static str, HomeFolder)>, NotLaunched> {
    let (Some(account), Some(way)) = (&order.account, harness.account_home()) else {
        return Ok(None);
    };
    let sets = |name: &str| spec.env.contains_key(name) || spec.env_pass.iter().any(|n| n == name);
    if way.own_ways().any(sets) {
        return Ok(None);
    }
    let folder = desk.accounts.home(account).map_err(|why| {
        NotLaunched::for_good(
            why,
            "`longhaul account list` shows all accounts; put its home back or disable it, then `longhaul retry`",
        )
    })?;
    Ok(Some((way.variable, folder)))
}

/// The way through the gateway, if the session's provider has accounts there and nothing in the session's own
/// environment says otherwise.
fn door(
    desk: &Desk,
    harness: &Harness,
    order: &Order<'_>,
    environment: &BTreeMap<String, String>,
    task: TaskId,
) -> Result<Option<Door>, NotLaunched> {
    let Some(provider) = harness.provider() else {
        return Ok(None);
    };
    if harness.goes_its_own_way(environment, &desk.environment) || !desk.accounts.serve(provider) {
        return Ok(None);
    }
    let guest = Guest {
        task,
        fence: order.fence,
        provider,
        money: order.left,
        tokens: order.tokens_left,
    };
    let door = desk.accounts.admit(order.key, &guest);
    door.map(Some)
        .map_err(|why| NotLaunched::for_now(format!("the gateway does not let it in: {why}")))
}

/// A conversation id that the same attempt always gets.
fn fresh_conversation(key: &SpawnKey) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, key.as_str().as_bytes())
}

/// Where a session's files are kept.
struct Kept<'a> {
    bundle: &'a Utf8Path,
    files: &'a Utf8Path,
    temp: &'a Utf8Path,
}

fn place(
    kept: &Kept<'_>,
    plan: &LaunchPlan,
    resumed: Option<&str>,
    bounds: &dyn Fn() -> Option<Bounds>,
) -> std::io::Result<()> {
    let Kept {
        bundle,
        files,
        temp,
    } = *kept;
    longhaul_acts::files::create_dir_all("engine.session.files", files)?;
    longhaul_acts::files::create_dir_all("engine.session.temp", temp)?;
    // After a power cut these are of no use: either nothing was started, and they are written again, or
    // the session is gone.
    write_for_now(&bundle.join("stdin"), &plan.stdin)?;
    for file in &plan.files {
        let name = Path::new(&file.name)
            .file_name()
            .and_then(|n| n.to_str())
            .unwrap_or("file");
        write_for_now(&files.join(name), &file.bytes)?;
    }
    // Kept with the bundle, so that a later daemon knows what to expect of the stream (T23).
    // Where the record of a conversation that goes on ends now: what follows is this attempt's (T13).
    let from = match (&plan.records, resumed) {
        (Some(folder), Some(id)) => record::length(folder.as_std_path(), id),
        _ => 0,
    };
    let expected = serde_json::json!({ "mode": plan.expected_mode, "conversation": plan.conversation, "records": plan.records, "record_from": from, "confined": bounds() });
    write_private(
        &bundle.join("expected.json"),
        expected.to_string().as_bytes(),
    )
}

/// Looks a program up like a shell does: a path, one below the home (`~/`), or a name on `path`, of
/// which only absolute folders count.
#[must_use]
pub fn find_program(name: &str, path: Option<&str>, home: Option<&str>) -> Option<Utf8PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let executable = |p: &Utf8Path| {
        fs::metadata(p).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    if name.contains('/') {
        let path = match name.strip_prefix("~/") {
            Some(below) => Utf8Path::new(home?).join(below),
            None => Utf8PathBuf::from(name),
        };
        return (path.is_absolute() && executable(&path)).then_some(path);
    }
    path.unwrap_or("/usr/local/bin:/usr/bin:/bin")
        .split(':')
        .filter(|dir| dir.starts_with('/'))
        .map(|dir| Utf8Path::new(dir).join(name))
        .find(|p| executable(p))
}
