//! A task as it stands: its state, counters and what the next attempt inherits.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::attempt::{Attempt, AttemptEnd, Halt};
use crate::home;
use crate::ids::{Fence, TaskId};
use crate::limit::LimitClass;
use crate::overlap::Overlap;
use crate::queue::ConflictReport;
use crate::spec::{Expect, Land, OnDrift, Priority, TaskSpec, WorkspaceKind};
use crate::time::{SpanMs, UnixMs};
use crate::usage::{MicroUsd, Usage};

/// A stored task without its (immutable, possibly large) specification.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Identity.
    pub id: TaskId,
    /// Its name in its file.
    pub name: String,
    /// Grows by one with every ledger row (T1).
    pub version: u64,
    /// Fence of the current or last attempt.
    pub fence: Fence,
    /// Where it stands.
    pub state: State,
    /// The parts of its specification that decisions depend on.
    pub terms: Terms,
    /// Counters.
    pub tally: Tally,
    /// The current or last attempt.
    pub attempt: Option<Attempt>,
    /// What the next attempt inherits.
    pub carry: Carry,
    /// Paused by a person: nothing new starts.
    pub hold: bool,
    /// A stop that was decided and has not been seen to happen yet.
    pub halt: Option<Halt>,
    /// When it was accepted.
    pub created_at: UnixMs,
    /// When its last ledger row was written.
    pub changed_at: UnixMs,
}

/// What decisions need from the specification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Base priority.
    pub priority: Priority,
    /// Must be done first.
    pub depends_on: Vec<TaskId>,
    /// Repository, for slots.
    pub repo: String,
    /// Folder that no other task may use at the same time (`in-place`).
    pub exclusive_folder: Option<String>,
    /// Harness, for slots and limits.
    pub harness: String,
    /// Per attempt.
    pub timeout: SpanMs,
    /// Without a sign of life.
    pub idle_timeout: SpanMs,
    /// See tasks.md `max_retries`.
    pub max_retries: u32,
    /// See tasks.md `max_restarts`.
    pub max_restarts: u32,
    /// Money over all attempts.
    pub budget: Option<MicroUsd>,
    /// Tokens over all attempts.
    pub budget_tokens: Option<u64>,
    /// No change at all is a FAIL.
    pub expect_change: bool,
    /// What to do about drift.
    pub on_drift: OnDrift,
    /// For each check, how often a FAIL is run again.
    pub flaky_reruns: Vec<u8>,
    /// Landing after the checks.
    #[serde(default)]
    pub land: Land,
    /// Names of the variables that the task itself sets: it may bring its own login.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<String>,
}

impl Terms {
    /// The parts of a specification that decisions depend on.
    #[must_use]
    pub fn of(spec: &TaskSpec) -> Self {
        let exclusive_folder = match spec.workspace {
            WorkspaceKind::Worktree => None,
            WorkspaceKind::InPlace => Some(spec.repo.to_string()),
        };
        Self {
            priority: spec.priority,
            depends_on: spec.depends_on.clone(),
            repo: spec.repo.to_string(),
            exclusive_folder,
            harness: spec.harness.clone(),
            timeout: spec.timeout,
            idle_timeout: spec.idle_timeout,
            max_retries: spec.max_retries,
            max_restarts: spec.max_restarts,
            budget: spec.budget,
            budget_tokens: spec.budget_tokens,
            expect_change: spec.expect == Expect::Change,
            on_drift: spec.on_drift,
            flaky_reruns: spec.checks.iter().map(|c| c.retry_flaky).collect(),
            land: spec.land,
            variables: spec.env.keys().chain(&spec.env_pass).cloned().collect(),
        }
    }
}

/// Counters over the life of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Attempts made.
    pub attempts: u32,
    /// Attempts that counted against `max_retries`.
    pub retries: u32,
    /// Attempts and checks that were lost, against `max_restarts`.
    pub restarts: u32,
    /// Overloads and throttles in a row.
    pub refusals_in_row: u32,
    /// Questions that nobody answered.
    pub unanswered: u32,
    /// Failed set-ups in a row.
    pub setup_failures: u32,
    /// How often the merge queue sent it back (L12).
    #[serde(default)]
    pub returns: u32,
    /// What ended attempts and checks used.
    pub spent: Usage,
    /// The part of that whose cost is known: what budgets go by. The cost of `spent` is unknown for
    /// good after one attempt or judge that told none.
    #[serde(default)]
    pub known_cost: MicroUsd,
    /// The 80 % warning was given.
    pub budget_warned: bool,
}

impl Tally {
    /// Counts what an attempt or a check used.
    pub fn charge(&mut self, usage: Usage) {
        let cost = usage.cost.unwrap_or_default().0;
        self.known_cost = MicroUsd(self.least_cost().0.saturating_add(cost));
        self.spent += usage;
    }

    /// What was spent for certain.
    #[must_use]
    pub fn least_cost(&self) -> MicroUsd {
        self.known_cost.max(self.spent.cost.unwrap_or_default())
    }
}

/// What the next attempt inherits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carry {
    /// The workspace, once it was made.
    pub workspace: Option<WorkspaceRef>,
    /// Conversation that can be resumed.
    pub conversation: Option<String>,
    /// What that conversation used, for agents that count over the whole of it.
    pub conversation_usage: Option<Usage>,
    /// The account home that its sessions use; `None` = its agent's own login, or keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Tree of the workspace when the last attempt ended: a later difference is drift.
    pub end_tree: Option<String>,
    /// Why there is another attempt.
    pub reason: Option<RetryReason>,
    /// A person's note for the next attempt.
    pub note: Option<String>,
    /// What a person said since the last prompt was made; it becomes part of the next one's note.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<String>,
    /// A person accepted the drift of the workspace.
    pub drift_accepted: bool,
    /// What other hands changed before the current attempt, for its prompt.
    pub drift: Option<String>,
    /// Snapshot ref that holds the last secured state of the workspace.
    pub snapshot: Option<String>,
    /// Diffstat of the work so far, for prompts.
    pub diffstat: Option<String>,
    /// Checks of the last attempt that were cut short: they go on, under the same fence and on the same
    /// commit, instead of another attempt.
    #[serde(default)]
    pub resume_checks: Option<ResumeChecks>,
    /// A person accepted this tree, and what of it was left uncommitted is being committed (T8).
    #[serde(default)]
    pub approving: Option<String>,
    /// Where it landed.
    #[serde(default)]
    pub landed: Option<Landed>,
    /// Address of the pull request that holds the work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<String>,
    /// Files that other live sessions of the repository change too (L19).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overlaps: Vec<Overlap>,
    /// When it first came into the merge queue: its age there.
    #[serde(default)]
    pub queued: Option<UnixMs>,
}

/// Where a task's work landed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Landed {
    /// The commit of the integration ref that brought it.
    pub commit: String,
    /// That commit's tree: the one that was checked.
    pub tree: String,
}

/// Where checks that were cut short go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeChecks {
    /// Position of the check that runs next.
    pub check: u16,
    /// Its next run: no run number is ever used twice under a fence.
    pub run: u16,
    /// FAILs of it that were run again.
    pub flaky: u8,
    /// How often a slot was given for this: tells the news of one preparation from another's.
    pub round: u32,
}

/// A workspace that belongs to a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceRef {
    /// The folder, absolute.
    pub path: String,
    /// Its branch; `None` for in-place work.
    pub branch: Option<String>,
    /// Commit that `base` pointed to when the workspace was made; empty without git.
    pub base: String,
    /// Commit the work starts from: `base`, or a merge of the dependencies' results.
    pub start: String,
    /// `start`, or the tree of the folder when in-place work began.
    pub start_tree: String,
    /// First port of the leased range.
    pub port_base: Option<u16>,
}

/// Why there is another attempt (T7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum RetryReason {
    /// A check said FAIL; the verdict is in the store under this fence.
    CheckFailed {
        /// The failed attempt.
        fence: Fence,
        /// The check's name.
        check: String,
    },
    /// The attempt ended badly.
    Ended {
        /// How.
        end: AttemptEnd,
    },
    /// A person asked for it.
    Operator,
    /// A person said something while the agent worked.
    Said,
    /// The dependencies' results conflict; the first attempt has to resolve it.
    DependencyConflict {
        /// Paths and kinds.
        report: String,
    },
    /// It conflicts with what has landed meanwhile (L12).
    LandConflict {
        /// The commit to merge.
        tip: String,
        /// Where.
        report: ConflictReport,
        /// A session without the conversation resolves it, because its own did once before (L12).
        #[serde(default)]
        neutral: bool,
    },
    /// The tree merged with what has landed failed a check that passed without it.
    LandRed {
        /// The check's name.
        check: String,
        /// Its command.
        command: String,
        /// The merge commit that failed it.
        commit: String,
        /// In a sentence.
        verdict: String,
        /// The last part of its output.
        tail: String,
    },
}

/// Where a task stands. `Retrying` and `resuming` are causes of a move to `Ready`, not states.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Waits for dependencies.
    Pending,
    /// Could start when there is a slot.
    Ready {
        /// Not before this time (back-off).
        not_before: Option<UnixMs>,
        /// Waits in the queue since.
        since: UnixMs,
    },
    /// Has a slot; its session is being prepared.
    Assigned {
        /// The outstanding effect.
        step: AssignStep,
    },
    /// Has a live session, or one whose work is being secured.
    Running {
        /// The outstanding effect.
        step: RunStep,
    },
    /// Its checks run.
    Verifying {
        /// Position of the check that runs.
        check: u16,
        /// Number of this run of it within the attempt.
        run: u16,
        /// FAILs of this check that were run again.
        flaky: u8,
    },
    /// In the merge queue; whatever is outstanding is its line's.
    Landing {
        /// Since when.
        since: UnixMs,
    },
    /// Waits for a time or an event.
    Parked {
        /// What for.
        cause: ParkCause,
        /// Until when; `None` = until an event.
        until: Option<UnixMs>,
    },
    /// Waits for a person.
    NeedsHuman {
        /// What for.
        need: Need,
    },
    /// Finished.
    Done {
        /// On what grounds.
        basis: DoneBasis,
    },
    /// Given up by a person.
    Cancelled,
}

/// Outstanding effect of an assigned task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AssignStep {
    /// Make or find the workspace and run `setup`.
    Workspace,
    /// Start the session.
    Launch,
}

/// Outstanding effect of a running task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum RunStep {
    /// The session lives; watch it.
    Live,
    /// The session is over; stop what is left of its tree and secure its work.
    Sealing {
        /// How it ended.
        end: AttemptEnd,
    },
}

/// On what grounds a task is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DoneBasis {
    /// All checks passed.
    Verified,
    /// It has no checks (T27).
    Unverified,
    /// A person accepted it.
    Approved,
    /// It is on the integration ref, and the merged tree passed its checks.
    Landed,
    /// It is on the integration ref; nothing verified it.
    LandedUnverified,
    /// A pull request holds it, and all checks passed.
    Proposed,
    /// A pull request holds it; nothing verified it.
    ProposedUnverified,
}

impl DoneBasis {
    /// The stored and shown word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Unverified => "unverified",
            Self::Approved => "approved",
            Self::Landed => "landed",
            Self::LandedUnverified => "landed_unverified",
            Self::Proposed => "proposed",
            Self::ProposedUnverified => "proposed_unverified",
        }
    }

    /// Whether nothing verified it.
    #[must_use]
    pub const fn is_unverified(self) -> bool {
        matches!(
            self,
            Self::Unverified | Self::LandedUnverified | Self::ProposedUnverified
        )
    }
}

/// What a parked task waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum ParkCause {
    /// A provider's refusal to end.
    Limit {
        /// Class of the refusal.
        class: LimitClass,
        /// The harness or account that rests.
        scope: String,
        /// The provider's own name of the window.
        window: Option<String>,
    },
    /// `undrain`.
    Drained,
    /// `retry`, after `stop`.
    Stopped,
    /// `thaw`, after `estop`.
    Estopped,
}

/// Why a person is needed, and what that person can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// The class.
    pub kind: NeedKind,
    /// What happened, in a sentence.
    pub detail: String,
    /// What to do next.
    pub remedy: String,
}

/// Classes of [`Need`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NeedKind {
    /// `max_retries` are used up.
    RetriesExhausted,
    /// `max_restarts` are used up.
    RestartsExhausted,
    /// The task's budget is used up.
    Budget,
    /// The permission mode denied what the agent could not do without.
    PermissionDenied,
    /// A question that nobody answered, twice.
    Question,
    /// The harness is logged out or its key is refused.
    LoggedOut,
    /// Credit or billing.
    Billing,
    /// The harness cannot be started.
    CannotLaunch,
    /// `setup` failed.
    SetupFailed,
    /// The workspace or repository is in the way.
    Workspace,
    /// The session changed something outside its workspace.
    Escaped,
    /// Other hands changed the workspace.
    Drift,
    /// The agent ran in another permission mode.
    ModeMismatch,
    /// The branch was renamed, switched or rewritten.
    Branch,
    /// The judge or reviewer of a check cannot be asked.
    Judge,
    /// It could not land.
    Landing,
    /// Longhaul itself broke at it, again and again.
    Broken,
}

impl NeedKind {
    /// The stored and shown word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::RetriesExhausted => "retries_exhausted",
            Self::RestartsExhausted => "restarts_exhausted",
            Self::Budget => "budget",
            Self::PermissionDenied => "permission_denied",
            Self::Question => "question",
            Self::LoggedOut => "logged_out",
            Self::Billing => "billing",
            Self::CannotLaunch => "cannot_launch",
            Self::SetupFailed => "setup_failed",
            Self::Workspace => "workspace",
            Self::Escaped => "escaped",
            Self::Drift => "drift",
            Self::ModeMismatch => "mode_mismatch",
            Self::Branch => "branch",
            Self::Judge => "judge",
            Self::Landing => "landing",
            Self::Broken => "broken",
        }
    }
}

/// The bare state, as stored in a column and shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the states of tasks.md, documented at `State`")]
pub enum StateWord {
    Pending,
    Ready,
    Assigned,
    Running,
    Verifying,
    Landing,
    Parked,
    NeedsHuman,
    Done,
    Cancelled,
}

impl StateWord {
    /// All of them, in the order of a task's life.
    pub const ALL: [Self; 10] = [
        Self::Pending,
        Self::Ready,
        Self::Assigned,
        Self::Running,
        Self::Verifying,
        Self::Landing,
        Self::Parked,
        Self::NeedsHuman,
        Self::Done,
        Self::Cancelled,
    ];

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Ready => "ready",
            Self::Assigned => "assigned",
            Self::Running => "running",
            Self::Verifying => "verifying",
            Self::Landing => "landing",
            Self::Parked => "parked",
            Self::NeedsHuman => "needs_human",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads a word; `None` for any other text (I1: unknown stored text is an error).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|w| w.as_str() == text)
    }

    /// True for `done` and `cancelled`.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Cancelled)
    }

    /// True where a slot is held: assigned, running, verifying.
    #[must_use]
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Assigned | Self::Running | Self::Verifying)
    }
}

impl fmt::Display for StateWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl State {
    /// The bare state.
    #[must_use]
    pub const fn word(&self) -> StateWord {
        match self {
            Self::Pending => StateWord::Pending,
            Self::Ready { .. } => StateWord::Ready,
            Self::Assigned { .. } => StateWord::Assigned,
            Self::Running { .. } => StateWord::Running,
            Self::Verifying { .. } => StateWord::Verifying,
            Self::Landing { .. } => StateWord::Landing,
            Self::Parked { .. } => StateWord::Parked,
            Self::NeedsHuman { .. } => StateWord::NeedsHuman,
            Self::Done { .. } => StateWord::Done,
            Self::Cancelled => StateWord::Cancelled,
        }
    }
}

impl Task {
    /// What its sessions' limits rest: their account home, or the harness (A4).
    #[must_use]
    pub fn limit_scope(&self) -> String {
        let account = self.carry.account.as_deref();
        account.map_or_else(|| self.terms.harness.clone(), home::scope)
    }

    /// Whether a limit of this scope rests its sessions.
    #[must_use]
    pub fn rests_with(&self, scope: &str) -> bool {
        match &self.carry.account {
            Some(account) => home::of_scope(scope) == Some(account),
            None => self.terms.harness == scope,
        }
    }

    /// A task just accepted: pending if it has dependencies, ready otherwise. Version 1.
    #[must_use]
    pub fn accept(id: TaskId, name: String, terms: Terms, at: UnixMs) -> Self {
        let state = if terms.depends_on.is_empty() {
            State::Ready {
                not_before: None,
                since: at,
            }
        } else {
            State::Pending
        };
        Self {
            id,
            name,
            version: 1,
            fence: Fence::default(),
            state,
            terms,
            tally: Tally::default(),
            attempt: None,
            carry: Carry::default(),
            hold: false,
            halt: None,
            created_at: at,
            changed_at: at,
        }
    }

    /// What ended attempts, checks and the current attempt used together.
    #[must_use]
    pub fn spent_with(&self, current: Usage) -> Usage {
        self.tally.spent + current
    }

    /// The share of the tightest budget that is used, in percent, with what the current attempt used
    /// so far; `None` without a budget. Money goes by what is known to be spent (T13).
    #[must_use]
    pub fn budget_percent(&self, current: Usage) -> Option<u64> {
        let money = self.terms.budget.map(|b| {
            let cost = current.cost.unwrap_or_default().0;
            let used = self.tally.least_cost().0.saturating_add(cost);
            used.saturating_mul(100).checked_div(b.0).unwrap_or(100)
        });
        let tokens = self.terms.budget_tokens.map(|b| {
            self.spent_with(current)
                .tokens()
                .saturating_mul(100)
                .checked_div(b)
                .unwrap_or(100)
        });
        money.max(tokens)
    }
}
