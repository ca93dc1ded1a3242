//! A validated task that only lacks what its file cannot know: ids, the repository, the caller.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use longhaul_core::ids::TaskId;
use longhaul_core::queue::MergeStyle;
use longhaul_core::spec::{
    CheckKind, CheckSpec, CommitMode, EnvValue, Expect, Land, OnDrift, Permission, Priority,
    Sandbox, TaskSpec, WorkspaceKind,
};
use longhaul_core::time::SpanMs;
use longhaul_core::usage::MicroUsd;

use super::HarnessInfo;

/// A task that must be done first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DepRef {
    /// The task at this index of the same file.
    InFile(usize),
    /// An id, an id's prefix or a name, for the caller to find among the stored tasks.
    Stored(String),
}

/// A validated task, every default filled in. See [`TaskSpec`] for the fields.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    missing_docs,
    reason = "the fields are those of TaskSpec, documented there"
)]
pub struct TaskDraft {
    pub name: String,
    pub prompt: String,
    /// `None` = the repository that the task file (or the caller) is in; else resolved against the
    /// file's folder, not made canonical.
    pub repo: Option<Utf8PathBuf>,
    pub dir: Option<Utf8PathBuf>,
    pub workspace: WorkspaceKind,
    pub base: Option<String>,
    /// The one name of a known harness, or `auto`.
    pub harness: String,
    pub profile: Option<String>,
    pub model: Option<String>,
    pub role: Option<String>,
    pub depends_on: Vec<DepRef>,
    pub priority: Priority,
    pub budget: Option<MicroUsd>,
    pub budget_tokens: Option<u64>,
    pub timeout: SpanMs,
    pub idle_timeout: SpanMs,
    pub answer_timeout: SpanMs,
    pub max_retries: u32,
    pub max_restarts: u32,
    pub on_drift: OnDrift,
    pub land: Land,
    pub land_checks: Vec<CheckSpec>,
    pub land_unverified: bool,
    pub project: Option<String>,
    pub group: Option<String>,
    pub labels: Vec<String>,
    pub allow: Vec<String>,
    pub keep: Vec<String>,
    pub sandbox: Sandbox,
    pub protect: Vec<String>,
    pub expect: Expect,
    pub permission: Permission,
    pub env: BTreeMap<String, EnvValue>,
    pub env_pass: Vec<String>,
    pub setup: Option<String>,
    pub teardown: Option<String>,
    pub checks: Vec<CheckSpec>,
}

/// What turns a draft into a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolution {
    /// The repository's work tree, absolute.
    pub repo: Utf8PathBuf,
    /// The branch checked out at submit, for a draft without `base`.
    pub base: Option<String>,
    /// The harness that will do it; for `auto` the one that was picked.
    pub harness: HarnessInfo,
    /// The ids of the draft's `depends_on`, in its order.
    pub depends_on: Vec<TaskId>,
    /// Who commits leftovers; from the settings.
    pub commit: CommitMode,
    /// How its work lands; from the settings.
    pub merge_style: MergeStyle,
    /// The task file, if it came from one.
    pub task_file: Option<Utf8PathBuf>,
    /// PATH, HOME, locale and time zone of whoever submits (T26).
    pub caller_env: BTreeMap<String, String>,
}

/// Why a draft cannot become a task.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// A budget in money for a harness whose cost nobody can know (I10).
    #[error(
        "task `{task}`: a budget in dollars cannot be kept with harness `{harness}`, whose cost is not known; use `budget_tokens`"
    )]
    CostUnknown {
        /// The task.
        task: String,
        /// The harness.
        harness: String,
    },
    /// `auto` was not resolved to a harness.
    #[error("task `{task}`: harness `auto` was not resolved")]
    HarnessNotResolved {
        /// The task.
        task: String,
    },
    /// The resolution has another number of dependencies than the draft.
    #[error("task `{task}` has {wanted} dependencies but {given} ids were given")]
    DependencyCount {
        /// The task.
        task: String,
        /// How many the draft has.
        wanted: usize,
        /// How many were given.
        given: usize,
    },
}

impl SpecError {
    /// Whether trying again could help: never.
    #[must_use]
    pub const fn retry_can_help(&self) -> bool {
        false
    }
}

impl TaskDraft {
    /// The task, with what only the submitter knows filled in.
    ///
    /// # Errors
    /// [`SpecError`]: with harness `auto` this is where a budget meets the harness picked (I10).
    pub fn into_spec(self, resolution: Resolution) -> Result<TaskSpec, SpecError> {
        let Resolution {
            repo,
            base,
            harness,
            depends_on,
            commit,
            merge_style,
            task_file,
            caller_env,
        } = resolution;
        let task = || self.name.clone();
        if harness.name == "auto" {
            return Err(SpecError::HarnessNotResolved { task: task() });
        }
        let spends_money = self.budget.is_some() || self.checks.iter().any(reviewer_budget);
        if spends_money && !harness.cost_known {
            return Err(SpecError::CostUnknown {
                task: task(),
                harness: harness.name,
            });
        }
        if depends_on.len() != self.depends_on.len() {
            return Err(SpecError::DependencyCount {
                task: task(),
                wanted: self.depends_on.len(),
                given: depends_on.len(),
            });
        }
        Ok(TaskSpec {
            name: self.name,
            prompt: self.prompt,
            repo,
            dir: self.dir,
            workspace: self.workspace,
            base: self.base.or(base),
            harness: harness.name,
            profile: self.profile,
            model: self.model,
            role: self.role,
            depends_on,
            priority: self.priority,
            budget: self.budget,
            budget_tokens: self.budget_tokens,
            timeout: self.timeout,
            idle_timeout: self.idle_timeout,
            answer_timeout: self.answer_timeout,
            max_retries: self.max_retries,
            max_restarts: self.max_restarts,
            on_drift: self.on_drift,
            land: self.land,
            land_checks: self.land_checks,
            land_unverified: self.land_unverified,
            merge_style: Some(merge_style),
            project: self.project,
            group: self.group,
            labels: self.labels,
            allow: self.allow,
            keep: self.keep,
            sandbox: self.sandbox,
            protect: self.protect,
            expect: self.expect,
            permission: self.permission,
            commit,
            env: self.env,
            env_pass: self.env_pass,
            setup: self.setup,
            teardown: self.teardown,
            checks: self.checks,
            task_file,
            caller_env,
        })
    }
}

/// Whether a check has a budget that the task's own harness has to keep.
fn reviewer_budget(check: &CheckSpec) -> bool {
    match &check.kind {
        CheckKind::Agent {
            harness, budget, ..
        } => harness.is_none() && budget.is_some(),
        CheckKind::Run { .. } | CheckKind::Model { .. } => false,
    }
}
