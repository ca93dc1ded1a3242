//! A session from its launch to its end: started once, adopted after a restart, read as it goes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_agents::{
    AgentEvent, ExitStatusInfo, FailureKind, Harness, LaunchOptions, LaunchPlan, LaunchRefusal,
    LaunchRequest, ParserContext, StreamParser, TurnEnd, TurnOutcome,
};
use longhaul_core::attempt::{AttemptEnd, BootMs, Denial, Halt, LostWhy};
use longhaul_core::effect::Act;
use longhaul_core::fact::News;
use longhaul_core::ids::SpawnKey;
use longhaul_core::prompt::{Material, compose};
use longhaul_core::spec::{Sandbox, TaskSpec};
use longhaul_core::task::{RetryReason, WorkspaceRef};
use longhaul_core::time::UnixMs;
use longhaul_core::usage::{MicroUsd, Usage};
use longhaul_hosts::{
    BundleState, ConfinementLevel, ExitRecord, Frame, JobLog, JobSpec, JobWatch, LaunchErrorClass,
    LogRead, Outcome, ShimHandle, SpawnStep, Stdin, Stream, SweepOutcome,
};
use uuid::Uuid;

use super::desk::{Profile, chain};
use super::prepare::{workdir, workspace_paths};
use super::record::Record;
use super::vigil::{Late, Vigil};
use super::{Desk, again, env, sandbox, seal, sight};
use crate::event::Event;
use crate::handle::LiveSession;
use crate::machine::Dispatch;

/// How often a session is looked at beside its news.
const LOOK: Duration = Duration::from_millis(500);
/// Least time between two reports of the live picture, in milliseconds.
const REPORT_MS: u64 = 250;
/// How often the processor time of a silent session is read, in milliseconds.
const CPU_LOOK_MS: u64 = 5_000;

/// Most bytes of output that are read before the clocks are looked at.
const TAKE_BYTES: usize = 8 << 20;
/// A look without waiting.
const AT_ONCE: Duration = Duration::from_millis(1);
/// Most changes of its conversation that are believed of one session.
const CONVERSATIONS: u8 = 16;

/// Why a session is not started.
pub(super) struct NotLaunched {
    pub(super) detail: String,
    pub(super) remedy: String,
    pub(super) transient: bool,
    /// Nobody knows whether it runs: ask again under the same fence, never start another (I2).
    pub(super) unsettled: bool,
}

impl NotLaunched {
    fn for_good(detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            detail: detail.into(),
            remedy: remedy.into(),
            transient: false,
            unsettled: false,
        }
    }

    fn for_now(detail: impl Into<String>) -> Self {
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

pub(super) fn attend(desk: &Desk, d: &Dispatch) -> Vec<Event> {
    let key = SpawnKey::session(d.effect.task, d.effect.fence);
    let bundle = match desk.launcher.bundle(key.as_str()) {
        Ok(bundle) => bundle,
        Err(error) => return vec![again(&d.effect, &chain(&error))],
    };
    let mut state = match bundle.survey() {
        Ok(state) => state,
        Err(error) => return vec![again(&d.effect, &chain(&error))],
    };
    let spec = match desk.spec(d.effect.task) {
        Ok(spec) => spec,
        Err(unread) if !unread.for_good => return vec![again(&d.effect, &unread.why)],
        Err(unread) => {
            let remedy = "cancel the task and add it again";
            return unattendable(desk, d, &key, &state, unread.why, remedy);
        }
    };
    let harness = match desk.registry.resolve(&spec.harness) {
        Ok(harness) => harness,
        Err(error) => {
            let remedy = "add it to the config, then `longhaul retry`";
            return unattendable(desk, d, &key, &state, error.to_string(), remedy);
        }
    };
    if matches!(state, BundleState::Absent | BundleState::NotStarted) && d.effect.act == Act::Launch
    {
        state = match launch(desk, d, &spec, harness, &key) {
            Ok(state) => state,
            Err(not) if not.unsettled => return vec![again(&d.effect, &not.detail)],
            Err(NotLaunched {
                detail,
                remedy,
                transient,
                ..
            }) => {
                let news = News::LaunchFailed {
                    detail,
                    remedy,
                    transient,
                };
                return vec![Event::news(d.effect.task, d.effect.fence, news)];
            }
        };
    }
    let mut reading = Reading::new(desk, d, &spec, harness, &key);
    loop {
        match state {
            BundleState::Live(shim) => {
                reading.started(&shim);
                match reading.follow(&shim) {
                    Ok(next) => state = next,
                    Err(why) => return vec![again(&d.effect, &why)],
                }
            }
            BundleState::Starting => {
                return vec![again(&d.effect, "the session's shim is still starting")];
            }
            BundleState::Exited(record) => return reading.ended(&record),
            BundleState::Lost(lost) => {
                let report = lost.tree().sweep(desk.practice.stop_grace);
                if report.outcome == SweepOutcome::Unknown {
                    return vec![again(&d.effect, "nobody can tell what is left of its tree")];
                }
                return reading.lost(LostWhy::Shim);
            }
            BundleState::OtherBoot(_) => return reading.lost(LostWhy::Reboot),
            BundleState::Absent | BundleState::NotStarted => return reading.lost(LostWhy::Shim),
        }
    }
}

/// Nobody can read what the session says: the task's harness or specification is gone. Unread it would
/// run without timeout and budget, so what lives is stopped; its work is secured, and a person asked.
fn unattendable(
    desk: &Desk,
    d: &Dispatch,
    key: &SpawnKey,
    state: &BundleState,
    detail: String,
    remedy: &str,
) -> Vec<Event> {
    let none = matches!(state, BundleState::Absent | BundleState::NotStarted);
    let news = if none && d.effect.act == Act::Launch {
        News::LaunchFailed {
            detail,
            remedy: remedy.to_owned(),
            transient: false,
        }
    } else {
        if let Err(why) = seal::end_leftovers(desk, key) {
            return vec![again(&d.effect, &format!("{detail}; {why}"))];
        }
        News::SessionEnded {
            end: AttemptEnd::LaunchFailed {
                detail,
                permanent: true,
            },
            usage: Usage::default(),
            conversation_usage: None,
        }
    };
    vec![Event::news(d.effect.task, d.effect.fence, news)]
}

/// Plans and starts the session (I4: its bundle is the durable mark of the start).
fn launch(
    desk: &Desk,
    d: &Dispatch,
    spec: &TaskSpec,
    harness: &Harness,
    key: &SpawnKey,
) -> Result<BundleState, NotLaunched> {
    let task = &d.task;
    let Some(workspace) = &task.carry.workspace else {
        return Err(NotLaunched::for_now("it has no workspace"));
    };
    seal::mark(desk, d, spec).map_err(NotLaunched::for_now)?;
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
    };
    start(desk, spec, harness, &order, task.id).map(|(state, _)| state)
}

/// What is to be started.
pub(super) struct Order<'a> {
    pub(super) key: &'a SpawnKey,
    pub(super) workspace: &'a WorkspaceRef,
    pub(super) prompt: String,
    pub(super) resume: Option<String>,
    pub(super) attempt: u32,
    pub(super) model: Option<String>,
    pub(super) left: Option<MicroUsd>,
}

/// Starts an agent in a workspace.
pub(super) fn start(
    desk: &Desk,
    spec: &TaskSpec,
    harness: &Harness,
    order: &Order<'_>,
    task: longhaul_core::ids::TaskId,
) -> Result<(BundleState, LaunchPlan), NotLaunched> {
    let mut environment = env::of_task(desk, task, spec, order.workspace)
        .map_err(|m| NotLaunched::for_good(m.detail(), m.remedy()))?;
    // The agent's own credentials, for the session only (T26).
    for name in &harness.capabilities().credentials {
        if let Some(value) = desk.environment.get(name) {
            environment
                .entry(name.clone())
                .or_insert_with(|| value.clone());
        }
    }
    let program = if harness.is_builtin_script() {
        Utf8PathBuf::from_path_buf(desk.exe.clone())
            .map_err(|_| NotLaunched::for_good("the path of longhaul is not UTF-8", "move it"))?
    } else {
        find_program(harness.program(), environment.get("PATH").map(String::as_str)).ok_or_else(
            || {
                NotLaunched::for_good(
                    format!("{} is not installed: there is no `{}` on PATH", harness.name(), harness.program()),
                    "install it, or name its path with `[harness.NAME] program` in the config, then `longhaul retry`",
                )
            },
        )?
    };
    let bundle = desk.dirs.jobs().join(order.key.as_str());
    let files = bundle.join("files");
    let temp = bundle.join("tmp");
    let confined = spec.sandbox == Sandbox::Write
        && longhaul_hosts::confinement_support() != ConfinementLevel::None;
    environment.insert("TMPDIR".to_owned(), temp.to_string());
    let mut request = LaunchRequest {
        task: spec.name.clone(),
        options: options(desk, spec, order)?,
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
        sandboxed: desk.practice.sandboxed,
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
    let placed = place(&bundle, &files, &temp, &plan);
    placed.map_err(|e| NotLaunched::for_now(format!("cannot write the session's folder: {e}")))?;
    for name in &plan.env_remove {
        environment.remove(name);
    }
    environment.extend(plan.env.clone());
    environment.insert("LONGHAUL_SESSION".to_owned(), order.key.to_string());
    // So that the agent's own `longhaul show` asks this daemon, whatever its other folders are (I17).
    environment.extend(desk.own_folders.clone());
    let mut writable = workspace_paths(desk, spec, order.workspace);
    writable.push(temp);
    make_homes(&plan.writable);
    writable.extend(plan.writable.iter().chain(&plan.writable_files).cloned());
    let mut job = JobSpec::new(
        order.key.as_str(),
        plan.argv.clone(),
        request.workdir.clone(),
    );
    job.env = environment.into_iter().collect();
    job.stdin = Stdin::File(bundle.join("stdin"));
    // A harness that brings a sandbox of its own, which cannot work inside ours, says so.
    job.sandbox =
        sandbox::confinement(desk, spec, writable, vec![files]).filter(|_| !plan.needs_unconfined);
    job.max_log_bytes = desk.practice.max_log_bytes;
    job.stop_grace_ms = u64::try_from(desk.practice.stop_grace.as_millis()).unwrap_or(u64::MAX);
    match desk.launcher.launch(&job) {
        Ok(launched) => Ok((launched.state, plan)),
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

/// Makes the folders of an agent's home that are missing: the kernel's rules hold only for what is there.
fn make_homes(folders: &[Utf8PathBuf]) {
    use std::os::unix::fs::DirBuilderExt as _;
    for folder in folders {
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder);
        if let Err(error) = made {
            // The agent may do without it, or says so itself.
            tracing::warn!(%folder, %error, "cannot make a folder of the agent's own");
        }
    }
}

/// What the agent may do: the profile, overridden by the task (S12).
fn options(desk: &Desk, spec: &TaskSpec, order: &Order<'_>) -> Result<LaunchOptions, NotLaunched> {
    let profile = match &spec.profile {
        None => Profile::default(),
        Some(name) => desk.practice.profiles.get(name).cloned().ok_or_else(|| {
            NotLaunched::for_good(
                format!("there is no profile {name:?} in the config"),
                "add `[profile.NAME]`, run `longhaul daemon restart`, then `longhaul retry`",
            )
        })?,
    };
    let max_budget = match (order.left, profile.max_budget) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    Ok(LaunchOptions {
        model: order.model.clone().or(profile.model),
        allowed_tools: profile.allowed_tools,
        disallowed_tools: profile.disallowed_tools,
        permission: spec.permission,
        allow: spec.allow.clone(),
        add_dirs: profile
            .add_dirs
            .into_iter()
            .map(Utf8PathBuf::from)
            .collect(),
        max_budget,
        append_system_prompt: profile.append_system_prompt,
    })
}

/// A conversation id that the same attempt always gets.
fn fresh_conversation(key: &SpawnKey) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, key.as_str().as_bytes())
}

fn place(
    bundle: &Utf8Path,
    files: &Utf8Path,
    temp: &Utf8Path,
    plan: &LaunchPlan,
) -> std::io::Result<()> {
    fs::create_dir_all(files)?;
    fs::create_dir_all(temp)?;
    seal::write_private(&bundle.join("stdin"), &plan.stdin)?;
    for file in &plan.files {
        let name = Path::new(&file.name)
            .file_name()
            .and_then(|n| n.to_str())
            .unwrap_or("file");
        seal::write_private(&files.join(name), &file.bytes)?;
    }
    // Kept with the bundle, so that a later daemon knows what to expect of the stream (T23).
    let expected = serde_json::json!({ "mode": plan.expected_mode, "conversation": plan.conversation, "records": plan.records });
    seal::write_private(
        &bundle.join("expected.json"),
        expected.to_string().as_bytes(),
    )
}

/// Looks a program up like a shell does.
pub(super) fn find_program(name: &str, path: Option<&str>) -> Option<Utf8PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let executable = |p: &Utf8Path| {
        fs::metadata(p).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    if name.contains('/') {
        let path = Utf8PathBuf::from(name);
        return (path.is_absolute() && executable(&path)).then_some(path);
    }
    path.unwrap_or("/usr/local/bin:/usr/bin:/bin")
        .split(':')
        .filter(|dir| dir.starts_with('/'))
        .map(|dir| Utf8Path::new(dir).join(name))
        .find(|p| executable(p))
}

/// Reads one session's output as it comes and says what is to be said of it.
struct Reading<'a> {
    desk: &'a Desk,
    d: &'a Dispatch,
    spec: &'a TaskSpec,
    parser: Box<dyn StreamParser>,
    record: Record<'a>,
    out: Tail,
    err: Tail,
    live: LiveSession,
    told: LiveSession,
    told_at_ms: u64,
    expected_mode: Option<String>,
    open_tools: BTreeSet<String>,
    vigil: Vigil,
    cpu: Duration,
    cpu_at_ms: u64,
    started_told: bool,
    mode_told: bool,
    /// The conversation that the dispatcher knows, the one that the agent named last, and how often
    /// that changed: an agent cannot fill the ledger with it (I16).
    conversation_told: Option<String>,
    conversation: Option<String>,
    conversations: u8,
}

/// How far a log was read.
struct Tail {
    log: JobLog,
    at: u64,
}

impl<'a> Reading<'a> {
    fn new(
        desk: &'a Desk,
        d: &'a Dispatch,
        spec: &'a TaskSpec,
        harness: &'a Harness,
        key: &SpawnKey,
    ) -> Self {
        let dir = desk.dirs.jobs().join(key.as_str());
        let zone = spec.caller_env.get("TZ").cloned();
        let baseline = d
            .task
            .carry
            .conversation
            .as_ref()
            .and(d.task.carry.conversation_usage);
        let context = ParserContext {
            baseline: baseline.unwrap_or_default(),
            time_zone: zone,
        };
        let expected: serde_json::Value = fs::read(dir.join("expected.json"))
            .ok()
            .and_then(|b| serde_json::from_slice(&b).ok())
            .unwrap_or_default();
        let tail = |stream| Tail {
            log: JobLog::new(dir.as_std_path(), stream),
            at: 0,
        };
        let known = d.task.attempt.as_ref().and_then(|a| a.conversation.clone());
        let live = LiveSession {
            task: Some(d.effect.task),
            logs: Some(dir.to_string()),
            ..LiveSession::default()
        };
        Self {
            parser: harness.parser(&context),
            record: Record::new(harness, &expected, d.task.carry.conversation.as_deref()),
            out: tail(Stream::Out),
            err: tail(Stream::Err),
            told: LiveSession::default(),
            live,
            told_at_ms: 0,
            expected_mode: expected["mode"].as_str().map(str::to_owned),
            open_tools: BTreeSet::new(),
            vigil: Vigil::new(spec, desk.mono_ms()),
            cpu: Duration::ZERO,
            cpu_at_ms: 0,
            started_told: d.effect.act != Act::Launch,
            mode_told: false,
            conversation_told: known.clone(),
            conversation: known,
            conversations: 0,
            desk,
            d,
            spec,
        }
    }

    /// Says once that the session lives.
    fn started(&mut self, shim: &ShimHandle) {
        let begun = self.begun(shim);
        self.vigil.begin(begun);
        if std::mem::replace(&mut self.started_told, true) {
            return;
        }
        let carry = &self.d.task.carry;
        self.desk.news(
            self.d,
            News::SessionStarted {
                pid: shim.identity().map_or(0, |i| i.child.pid),
                mono: BootMs {
                    boot: self.desk.boot.as_str().to_owned(),
                    ms: begun,
                },
                resumed: carry.conversation.is_some(),
                conversation: carry.conversation.clone(),
            },
        );
    }

    /// When the session began, on the monotonic clock. A session of which only the wall clock's word is
    /// left (its start was never committed) is dated once, so that a later sleep is not counted (T21).
    fn begun(&self, shim: &ShimHandle) -> u64 {
        let stored = self.d.task.attempt.as_ref();
        let stored = stored.and_then(|a| a.started_mono.as_ref());
        if let Some(begun) = stored.filter(|b| b.boot == self.desk.boot.as_str()) {
            return begun.ms;
        }
        let ran = shim
            .identity()
            .and_then(|i| u64::try_from(self.desk.now().0 - i.started_ms).ok());
        self.desk.mono_ms().saturating_sub(ran.unwrap_or(0))
    }

    /// Follows the session until its shim is gone.
    fn follow(&mut self, shim: &ShimHandle) -> Result<BundleState, String> {
        let mut watch: JobWatch = shim.watch();
        let mut more = false;
        loop {
            match watch.next_frame(if more { AT_ONCE } else { LOOK }) {
                Ok(Frame::Grew { .. }) => more = self.take_in(),
                Ok(Frame::Quiet) if more => more = self.take_in(),
                Ok(Frame::Quiet) => {}
                Ok(Frame::Ended(state)) => return Ok(state),
                Err(error) => return Err(chain(&error)),
            }
            self.watch_clocks(shim);
            self.report(false);
        }
    }

    /// Reads what is new in both logs, as much as may be read in one go: the clocks go on for an agent
    /// that writes faster than it is read. True if there is more.
    fn take_in(&mut self) -> bool {
        let mut events = Vec::new();
        let mut chunk = vec![0; 64 * 1024];
        let mut left = TAKE_BYTES;
        while left > 0
            && let Some(n) = self.out.next(&mut chunk)
        {
            left = left.saturating_sub(n);
            self.parser.push(&chunk[..n], &mut events);
            self.vigil.sign(self.desk.mono_ms());
            for event in events.drain(..) {
                self.take(&event);
            }
        }
        while left > 0
            && let Some(n) = self.err.next(&mut chunk)
        {
            left = left.saturating_sub(n);
            self.parser.push_stderr(&chunk[..n], &mut events);
            self.vigil.sign(self.desk.mono_ms());
            for event in events.drain(..) {
                self.take(&event);
            }
        }
        if self.started_told {
            let named = self.conversation_news();
            named
                .into_iter()
                .for_each(|news| self.desk.news(self.d, news));
        }
        left == 0
    }

    /// The conversation that the agent named, if the dispatcher does not know it yet.
    fn conversation_news(&mut self) -> Option<News> {
        if self.conversation == self.conversation_told || self.conversations >= CONVERSATIONS {
            return None;
        }
        self.conversations += 1;
        self.conversation_told.clone_from(&self.conversation);
        self.conversation
            .clone()
            .map(|id| News::Conversation { id })
    }

    fn take(&mut self, event: &AgentEvent) {
        sight::see(&mut self.live, event, self.desk.now());
        self.vigil
            .question(self.live.question.is_some(), self.desk.mono_ms());
        match event {
            AgentEvent::Started {
                conversation, mode, ..
            } => {
                if let Some(id) = conversation {
                    self.record.of(id);
                    self.conversation.clone_from(conversation);
                }
                if let (Some(wanted), Some(got)) = (&self.expected_mode, mode)
                    && wanted != got
                    && !std::mem::replace(&mut self.mode_told, true)
                {
                    let news = News::ModeMismatch {
                        wanted: wanted.clone(),
                        got: got.clone(),
                    };
                    self.desk.news(self.d, news);
                }
            }
            AgentEvent::ToolStarted { id, .. } => {
                self.open_tools.insert(id.clone());
            }
            AgentEvent::ToolEnded { id, .. } => {
                self.open_tools.remove(id);
            }
            _ => {}
        }
    }

    /// Timeouts (T14, T15). Signs of life that are no output: a wait that the agent announced, an open
    /// tool call, processor time.
    fn watch_clocks(&mut self, shim: &ShimHandle) {
        let now = self.desk.mono_ms();
        let waits = self
            .live
            .retrying_until
            .is_some_and(|t| t > self.desk.now());
        if waits || !self.open_tools.is_empty() {
            self.vigil.sign(now);
        } else if now.saturating_sub(self.cpu_at_ms) >= CPU_LOOK_MS {
            self.cpu_at_ms = now;
            if let Some(used) = shim.identity().and_then(|i| i.tree().cpu_time().ok()) {
                // A sleeping agent still ticks a little; a busy one uses far more than 2 %.
                if used.saturating_sub(self.cpu) > Duration::from_millis(CPU_LOOK_MS / 50) {
                    self.vigil.sign(now);
                }
                self.cpu = used;
            }
        }
        let news = match self.vigil.look(now) {
            None => return,
            Some(Late::Timeout) => News::TimeoutReached,
            Some(Late::Idle) => News::IdleReached,
            Some(Late::Unanswered) => News::Unanswered {
                question: self.live.question.clone().unwrap_or_default(),
            },
        };
        self.desk.news(self.d, news);
    }

    fn report(&mut self, at_once: bool) {
        let now = self.desk.mono_ms();
        if self.live != self.told && (at_once || now.saturating_sub(self.told_at_ms) >= REPORT_MS) {
            self.told = self.live.clone();
            self.told_at_ms = now;
            self.desk.tell(Event::Live {
                task: self.d.effect.task,
                fence: self.d.effect.fence,
                live: Box::new(self.live.clone()),
            });
        }
    }

    fn ended(mut self, record: &ExitRecord) -> Vec<Event> {
        if let Outcome::SpawnFailed { step, message, .. } = &record.outcome {
            let end = AttemptEnd::LaunchFailed {
                detail: format!("the agent could not be run: {message}"),
                permanent: matches!(step, SpawnStep::Exec | SpawnStep::Cwd),
            };
            return self.say(end);
        }
        let exit = exit_of(&record.outcome);
        let turn = self.finish(exit, UnixMs(record.ended_ms));
        let end = end_of(turn);
        self.say(end)
    }

    fn lost(mut self, why: LostWhy) -> Vec<Event> {
        let now = self.desk.now();
        let turn = self.finish(ExitStatusInfo::default(), now);
        // A turn that was finished before its shim died is finished.
        let end = match end_of(turn) {
            AttemptEnd::Crashed { .. } | AttemptEnd::AgentError { .. } => AttemptEnd::Lost { why },
            end => end,
        };
        self.say(end)
    }

    fn finish(&mut self, exit: ExitStatusInfo, at: UnixMs) -> TurnEnd {
        while self.take_in() {}
        let mut events = Vec::new();
        let turn = self.parser.finish(exit, at, &mut events);
        for event in events {
            self.take(&event);
        }
        let zone = self.spec.caller_env.get("TZ").map(String::as_str);
        self.record.correct(turn, at, zone)
    }

    fn say(mut self, end: AttemptEnd) -> Vec<Event> {
        let usage = self.parser.usage();
        self.live.usage = usage;
        self.report(true);
        let news = News::SessionEnded {
            end,
            usage,
            conversation_usage: self.parser.conversation_usage(),
        };
        let event = |news| Event::news(self.d.effect.task, self.d.effect.fence, news);
        let mut last_words = vec![event(news)];
        // A session that was over before its start was known is named with its end.
        last_words.extend(self.conversation_news().map(event));
        last_words
    }
}

impl Tail {
    /// Reads on; `None` when there is nothing more now.
    fn next(&mut self, chunk: &mut [u8]) -> Option<usize> {
        loop {
            match self.log.read_at(self.at, chunk) {
                Ok(LogRead::Bytes(0) | LogRead::End) => return None,
                Ok(LogRead::Bytes(n)) => {
                    self.at += n as u64;
                    return Some(n);
                }
                Ok(LogRead::Cut { next }) => self.at = next,
                Err(error) => {
                    tracing::warn!(%error, "a session's log cannot be read");
                    return None;
                }
            }
        }
    }
}

/// An exit record's outcome in the parsers' words.
pub(super) fn exit_of(outcome: &Outcome) -> ExitStatusInfo {
    match outcome {
        Outcome::Exited { code } => ExitStatusInfo::exited(i32::from(*code)),
        Outcome::Signalled { signal, .. } => ExitStatusInfo::signalled(*signal),
        Outcome::SpawnFailed { .. } => ExitStatusInfo::default(),
    }
}

/// What the end of a turn means for the attempt.
pub(super) fn end_of(turn: TurnEnd) -> AttemptEnd {
    let denials: Vec<Denial> = turn
        .denials
        .into_iter()
        .map(|d| Denial {
            tool: d.tool,
            detail: d.detail,
        })
        .collect();
    match turn.outcome {
        TurnOutcome::Completed { summary } => AttemptEnd::Completed { summary, denials },
        TurnOutcome::Failed {
            kind: FailureKind::Budget,
            ..
        } => AttemptEnd::Halted { why: Halt::Budget },
        TurnOutcome::Failed {
            kind: FailureKind::Launch,
            message,
        } => AttemptEnd::LaunchFailed {
            detail: message,
            permanent: true,
        },
        TurnOutcome::Failed { kind, message } => {
            let what = match kind {
                FailureKind::MaxTurns => "reached its limit of turns: ",
                _ => "",
            };
            AttemptEnd::AgentError {
                message: format!("{what}{message}"),
            }
        }
        TurnOutcome::Limited(notice) => AttemptEnd::Limited { notice },
        TurnOutcome::Interrupted => AttemptEnd::Crashed {
            detail: "interrupted".to_owned(),
        },
        TurnOutcome::NoTerminalEvent { exit, stderr_tail } => {
            let words = stderr_tail.trim();
            let detail = if words.is_empty() {
                exit.to_string()
            } else {
                format!("{exit}: {words}")
            };
            AttemptEnd::Crashed { detail }
        }
        TurnOutcome::NotResumable { .. } => AttemptEnd::NotResumable,
    }
}
