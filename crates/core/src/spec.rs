//! What a user asked for: a task as submitted, validated, with every default filled in.
//! Not what became of it; that is the task's state.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use crate::ids::TaskId;
use crate::queue::MergeStyle;
use crate::time::SpanMs;
use crate::usage::MicroUsd;

/// A task as submitted (tasks.md "Task file"). Immutable once stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// Unique in its file: letters, digits, `.`, `-`, `_`.
    pub name: String,
    /// What is wanted, whole (a `prompt_file` is read at submit).
    pub prompt: String,
    /// The repository's work tree (or plain folder for `in-place`), absolute.
    pub repo: Utf8PathBuf,
    /// Folder inside the repository where agent and checks run; relative, no `..`.
    pub dir: Option<Utf8PathBuf>,
    /// Where the work happens.
    pub workspace: WorkspaceKind,
    /// Base branch; `None` = the branch checked out at submit, filled in by the submitter.
    pub base: Option<String>,
    /// Harness name: `claude`, `codex`, `gemini`, `opencode`, `script` or one from the config.
    pub harness: String,
    /// Named profile (S12), if any.
    pub profile: Option<String>,
    /// Model, in the harness's own spelling.
    pub model: Option<String>,
    /// Role the task is routed to, kept for the mailbox.
    pub role: Option<String>,
    /// Tasks that must be done first, resolved to ids at submit.
    pub depends_on: Vec<TaskId>,
    /// Base priority.
    pub priority: Priority,
    /// Money for the task over all attempts.
    pub budget: Option<MicroUsd>,
    /// Tokens for the task over all attempts.
    pub budget_tokens: Option<u64>,
    /// Per attempt.
    pub timeout: SpanMs,
    /// Without any sign of life.
    pub idle_timeout: SpanMs,
    /// How long a prompt nobody can answer may stand (T15).
    pub answer_timeout: SpanMs,
    /// Further attempts after a FAIL verdict, an agent error or a timeout.
    pub max_retries: u32,
    /// Bound on attempts that ended by crashes, lost hosts and the like.
    pub max_restarts: u32,
    /// What to do when other hands changed the workspace between attempts.
    pub on_drift: OnDrift,
    /// Landing after the checks.
    pub land: Land,
    /// What must pass on the merged tree; empty = the task's own `run` checks (L9).
    #[serde(default)]
    pub land_checks: Vec<CheckSpec>,
    /// It may land although nothing verifies it (T27).
    #[serde(default)]
    pub land_unverified: bool,
    /// How it lands, from the settings at submit (L15); none = what the daemon's own settings say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge_style: Option<MergeStyle>,
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
    /// Write confinement (T25).
    pub sandbox: Sandbox,
    /// Globs the agent may not change.
    pub protect: Vec<String>,
    /// Whether no change at all is a FAIL.
    pub expect: Expect,
    /// Permission mode (T23).
    pub permission: Permission,
    /// Who commits what the agent left uncommitted.
    pub commit: CommitMode,
    /// Environment of the session, the setup and the checks.
    pub env: BTreeMap<String, EnvValue>,
    /// Names of variables passed on from the submitter.
    pub env_pass: Vec<String>,
    /// Shell command that prepares a new workspace.
    pub setup: Option<String>,
    /// Shell command run before a workspace is removed.
    pub teardown: Option<String>,
    /// Checks in order.
    pub checks: Vec<CheckSpec>,
    /// The task file, if it came from one; always protected (L20).
    pub task_file: Option<Utf8PathBuf>,
    /// PATH, HOME, locale and time zone of whoever submitted (T26).
    pub caller_env: BTreeMap<String, String>,
}

/// Where a task's work happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkspaceKind {
    /// A git worktree and branch of its own.
    #[default]
    Worktree,
    /// The folder itself; tasks of one folder never run at the same time, nothing is committed.
    InPlace,
}

/// Priority; age raises it (starvation-free).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// When nothing else waits.
    Low,
    /// The usual.
    #[default]
    Normal,
    /// Before the usual.
    High,
    /// Before all others.
    Critical,
}

/// What to do when the workspace changed by other hands since the last attempt ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDrift {
    /// Ask a person.
    #[default]
    Ask,
    /// Tell the agent in its prompt and go on.
    Warn,
}

/// Landing after the checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Land {
    /// The verified branch stays where it is.
    #[default]
    No,
    /// The merge queue puts it on the base branch's integration ref (L8).
    Yes,
    /// The branch is pushed and a draft pull request opened; people merge it (L16).
    Pr,
}

/// Write confinement of a session (T25).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sandbox {
    /// Writes are confined where the kernel can (Landlock).
    #[default]
    Write,
    /// No confinement: the user's word.
    Off,
}

/// Whether a task without any change passed or failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expect {
    /// No change at all is a FAIL.
    #[default]
    Change,
    /// Anything goes.
    Any,
}

/// Permission mode of the agent (T23, facts/agents.md §1).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    /// May edit files and run what edits and `allow` permit.
    #[default]
    Edits,
    /// May only read and plan.
    Plan,
    /// The agent's own permission checks are off: the user's own word.
    Bypass,
}

impl Permission {
    /// The word used in files and on screens.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Edits => "edits",
            Self::Plan => "plan",
            Self::Bypass => "bypass",
        }
    }
}

/// Who commits what the agent left uncommitted at the end of a turn (T8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CommitMode {
    /// Longhaul commits leftovers on the branch.
    #[default]
    Auto,
    /// Only the agent commits; leftovers are a FAIL.
    Agent,
}

/// A value of an environment variable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EnvValue {
    /// As written.
    Literal(String),
    /// The value of another variable, read when the session is spawned (T26).
    From {
        /// The variable's name.
        from: String,
    },
}

/// One verifier of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckSpec {
    /// Its name; `check-N` where none was given.
    pub name: String,
    /// What it does.
    pub kind: CheckKind,
    /// After which it is a FAIL.
    pub timeout: SpanMs,
    /// How many times a FAIL is run again; a later PASS is recorded as flaky.
    pub retry_flaky: u8,
}

/// What a check does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckKind {
    /// A shell command; exit 0 is PASS.
    Run {
        /// The command, for `/bin/sh -c`.
        command: String,
    },
    /// A model judges the diff by this criterion (T10).
    Model {
        /// The criterion.
        criterion: String,
        /// Name of a `[judge.NAME]` of the config; `None` = the default one.
        model: Option<String>,
        /// Money for this check.
        budget: Option<MicroUsd>,
    },
    /// Another session reviews in a disposable checkout (T11).
    Agent {
        /// What to review for.
        instructions: String,
        /// Harness of the reviewer; `None` = the task's.
        harness: Option<String>,
        /// Its model.
        model: Option<String>,
        /// Its money.
        budget: Option<MicroUsd>,
    },
}

impl CheckKind {
    /// `run`, `model` or `agent`.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Run { .. } => "run",
            Self::Model { .. } => "model",
            Self::Agent { .. } => "agent",
        }
    }
}
