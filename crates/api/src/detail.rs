//! Everything about one task: what `show` prints.

use std::collections::BTreeMap;

use longhaul_core::verdict::Grade;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{EventView, TaskLink, TaskSummary, UsageView};

/// A task with all that is stored about it, free of control characters (T31) and of secrets (I12).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskDetail {
    /// How it stands.
    pub task: TaskSummary,
    /// The submission it came with.
    #[schemars(with = "Option<String>")]
    pub submission: Option<Uuid>,
    /// What was asked for.
    pub spec: SpecView,
    /// Where its work is, once that was made.
    pub workspace: Option<WorkspaceView>,
    /// How much of its budget is used.
    pub budget: Option<BudgetView>,
    /// Its live session; only while a daemon runs.
    pub live: Option<LiveView>,
    /// Its attempts, the first one first.
    pub attempts: Vec<AttemptView>,
    /// The verdicts on them, in order (T12).
    pub verdicts: Vec<VerdictView>,
    /// Tasks that wait for this one.
    pub dependents: Vec<TaskLink>,
    /// A person's note for the next attempt.
    pub note: Option<String>,
    /// Its ledger, the oldest row first.
    pub ledger: Vec<EventView>,
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SpecView {
    /// The prompt, whole.
    pub prompt: String,
    /// The repository or folder.
    pub repo: String,
    /// Folder inside it where agent and checks run.
    pub dir: Option<String>,
    /// `worktree` or `in-place`.
    pub workspace: String,
    /// Base branch.
    pub base: Option<String>,
    /// The harness.
    pub harness: String,
    /// Named profile.
    pub profile: Option<String>,
    /// Model, in the harness's own spelling.
    pub model: Option<String>,
    /// Role it is routed to.
    pub role: Option<String>,
    /// Tasks that must be done first.
    pub depends_on: Vec<TaskLink>,
    /// Money over all attempts, in US dollars.
    pub budget_usd: Option<f64>,
    /// Tokens over all attempts.
    pub budget_tokens: Option<u64>,
    /// Milliseconds per attempt.
    pub timeout_ms: u64,
    /// Milliseconds without a sign of life.
    pub idle_timeout_ms: u64,
    /// Milliseconds that a question may stand.
    pub answer_timeout_ms: u64,
    /// Further attempts after a FAIL verdict, an agent error or a timeout.
    pub max_retries: u32,
    /// Bound on attempts lost to crashes and the like.
    pub max_restarts: u32,
    /// `ask` or `warn`.
    pub on_drift: String,
    /// `no` or `yes`.
    pub land: String,
    /// Grouping.
    pub project: Option<String>,
    /// Grouping.
    pub group: Option<String>,
    /// Labels.
    pub labels: Vec<String>,
    /// Commands the agent may run beyond its permission mode.
    pub allow: Vec<String>,
    /// Globs of ignored files worth a snapshot.
    pub keep: Vec<String>,
    /// Globs the agent may not change.
    pub protect: Vec<String>,
    /// `write` or `off` (T25).
    pub sandbox: String,
    /// `change` or `any`.
    pub expect: String,
    /// `edits`, `plan` or `bypass` (T23).
    pub permission: String,
    /// `auto` or `agent` (T8).
    pub commit: String,
    /// Environment by name; values as written are never shown (I12).
    pub env: BTreeMap<String, EnvView>,
    /// Names of variables passed on from the submitter.
    pub env_pass: Vec<String>,
    /// Shell command that prepares a new workspace.
    pub setup: Option<String>,
    /// Shell command run before a workspace is removed.
    pub teardown: Option<String>,
    /// Checks in order.
    pub checks: Vec<CheckView>,
    /// The task file it came from.
    pub task_file: Option<String>,
}

/// Where the value of a variable comes from; never the value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EnvView {
    /// It is written in the task, and masked here.
    Literal,
    /// It is another variable's, read when the session starts (T26).
    From(String),
}

/// A check as asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CheckView {
    /// Its name.
    pub name: String,
    /// `run`, `model` or `agent`.
    pub kind: String,
    /// The command, criterion or instructions.
    pub text: String,
    /// Model or judge, where one is named.
    pub model: Option<String>,
    /// Money for it, in US dollars.
    pub budget_usd: Option<f64>,
    /// Milliseconds after which it is a FAIL.
    pub timeout_ms: u64,
    /// How many times a FAIL is run again.
    pub retry_flaky: u8,
}

/// The workspace of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkspaceView {
    /// The folder, absolute.
    pub path: String,
    /// Its branch; null for in-place work.
    pub branch: Option<String>,
    /// Commit that the base branch pointed to.
    pub base: String,
    /// Commit the work starts from.
    pub start: String,
    /// Where its branch stands now, if that is not the commit that was verified; empty if it is gone.
    /// Told by the command line, which looks at the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_to: Option<String>,
    /// First port of its range.
    pub port_base: Option<u16>,
}

/// How much of a budget is used (T13).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BudgetView {
    /// US dollars over all attempts.
    pub limit_usd: Option<f64>,
    /// Tokens over all attempts.
    pub limit_tokens: Option<u64>,
    /// Share of the tighter one that is used, in percent; more than 100 is possible.
    pub used_percent: u64,
}

/// What is known of a live session.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LiveView {
    /// What it does: the last tool, or its last words.
    pub activity: String,
    /// Its last sign of life: UTC milliseconds.
    pub last_sign_ms: Option<i64>,
    /// What the attempt used so far.
    pub usage: UsageView,
    /// A question that stands.
    pub question: Option<String>,
    /// The agent itself waits to try again, until this time: UTC milliseconds.
    pub retrying_until_ms: Option<i64>,
    /// Why a ready task does not start.
    pub hindrance: Option<String>,
    /// Folder with the session's log files.
    pub logs: Option<String>,
}

/// One attempt (T6).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AttemptView {
    /// 1 for the first.
    pub number: u32,
    /// Its fence.
    pub fence: u64,
    /// When it was assigned: UTC milliseconds.
    pub assigned_at_ms: i64,
    /// When its session started.
    pub started_at_ms: Option<i64>,
    /// When its session was seen to have ended.
    pub ended_at_ms: Option<i64>,
    /// How it ended, as a stable word: `completed`, `crashed`, `limited`, …; null while it lives.
    pub outcome: Option<String>,
    /// How it ended or stands, in a sentence.
    pub line: String,
    /// The agent's process.
    pub pid: Option<u32>,
    /// The agent's conversation id.
    pub conversation: Option<String>,
    /// True if it continued an earlier conversation.
    pub resumed: bool,
    /// What it used.
    pub usage: UsageView,
    /// The work it left.
    pub sealed: Option<SealedView>,
    /// Tools that its permission mode denied (T23).
    pub denials: Vec<DenialView>,
    /// Writes outside its sandbox that were refused, as its tools told the agent; at most 8 (T25).
    #[serde(default)]
    pub refused_writes: Vec<RefusedWriteView>,
}

/// A write that the system refused to a confined session's tool, as the tool told the agent (T25). Output
/// that only looks like such an error message is taken for one, and what a tool kept to itself is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RefusedWriteView {
    /// The tool.
    pub tool: String,
    /// The line of its output that says so.
    pub line: String,
    /// The path, where it is plainly named.
    pub path: Option<String>,
}

/// A tool that was denied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DenialView {
    /// The tool.
    pub tool: String,
    /// What it was asked to do.
    pub detail: String,
}

/// The work an attempt left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SealedView {
    /// The commit the checks ran on; empty without git.
    pub commit: String,
    /// The tree of all of the work: what `approve` accepts.
    #[serde(default)]
    pub tree: String,
    /// The tree holds files that the commit does not: they were left uncommitted, and `approve`
    /// commits them.
    #[serde(default)]
    pub uncommitted: bool,
    /// Snapshot ref that keeps the work.
    pub snapshot: Option<String>,
    /// Changed files since the task's start.
    pub changed_files: u32,
    /// A short diffstat.
    pub diffstat: String,
    /// Protected paths that were changed.
    pub protected: Vec<String>,
    /// What the session changed outside its workspace.
    pub escaped: Vec<String>,
    /// A problem with the branch that a person has to look at.
    pub branch_problem: Option<String>,
}

/// A verdict with its evidence (T12).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VerdictView {
    /// Number of the attempt it judges.
    pub attempt: u32,
    /// The check's name.
    pub name: String,
    /// `run`, `model`, `agent` or `built-in`.
    pub kind: String,
    /// 0 for the first run of this check in this attempt.
    pub run: u16,
    /// PASS or FAIL.
    #[schemars(with = "GradeWord")]
    pub grade: Grade,
    /// An earlier run on the same commit failed.
    pub flaky: bool,
    /// In a sentence.
    pub reason: String,
    /// The command or criterion.
    pub command: String,
    /// The commit.
    pub commit: String,
    /// Exit code of a `run` check.
    pub exit: Option<i32>,
    /// Milliseconds it took.
    pub took_ms: u64,
    /// When it ended: UTC milliseconds.
    pub at_ms: i64,
    /// The last part of its output.
    pub tail: String,
    /// Folder below the state folder that holds all of its output.
    pub evidence: Option<String>,
    /// What it cost.
    pub usage: UsageView,
}

/// PASS or FAIL (I13).
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase", rename = "Grade")]
#[expect(dead_code, reason = "stands for the core type in the schema")]
pub(crate) enum GradeWord {
    Pass,
    Fail,
}
