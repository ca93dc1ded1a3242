//! Ledger rows: every state has a cause (I1, T1).

use serde::{Deserialize, Serialize};

use crate::ids::{Fence, TaskId};
use crate::task::StateWord;
use crate::time::UnixMs;

/// Who caused a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// A person, through the CLI, the API or a page.
    Operator,
    /// The daemon: schedules, timers, recovery.
    Daemon,
    /// A session or its agent.
    Session,
    /// A check.
    Check,
}

impl Actor {
    /// The stored and shown word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Daemon => "daemon",
            Self::Session => "session",
            Self::Check => "check",
        }
    }
}

macro_rules! causes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Why a ledger row was written. The texts are stored for ever: add, never rename.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Cause {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }
        impl Cause {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
            /// The stored text.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
            /// Reads a stored text; `None` for any other.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|c| c.as_str() == text)
            }
        }
    };
}

causes! {
    /// The task was accepted.
    Submitted = "submitted",
    /// All dependencies are done.
    DependenciesMet = "dependencies_met",
    /// Its sessions use another account home from here on (A23).
    AccountChosen = "account_chosen",
    /// A slot was given.
    Assigned = "assigned",
    /// A slot was given for checks that were cut short: no new attempt.
    ChecksResumed = "checks_resumed",
    /// The workspace stands and `setup` passed.
    WorkspaceReady = "workspace_ready",
    /// The workspace could not be made.
    WorkspaceFailed = "workspace_failed",
    /// The session lives.
    SessionStarted = "session_started",
    /// The session could not be started.
    LaunchFailed = "launch_failed",
    /// The agent named its conversation.
    ConversationKnown = "conversation_known",
    /// 80 % of the budget is used.
    BudgetWarning = "budget_warning",
    /// The budget is used up.
    BudgetReached = "budget_reached",
    /// The attempt's time is over.
    TimeoutReached = "timeout_reached",
    /// No sign of life for too long.
    IdleReached = "idle_reached",
    /// A question stood unanswered.
    QuestionUnanswered = "question_unanswered",
    /// The agent runs in the wrong permission mode.
    ModeMismatch = "mode_mismatch",
    /// The session is over.
    SessionEnded = "session_ended",
    /// The work is secured and goes to the checks.
    TurnSealed = "turn_sealed",
    /// The work could not be secured.
    SealFailed = "seal_failed",
    /// A check passed.
    CheckPassed = "check_passed",
    /// A check failed and is run again.
    CheckRerun = "check_rerun",
    /// A check's process was lost and is run again.
    CheckLost = "check_lost",
    /// An effect broke in Longhaul's own code, again and again.
    EffectBroke = "effect_broke",
    /// All checks passed, or there are none.
    Finished = "finished",
    /// It goes to the merge queue.
    Landing = "landing",
    /// Another live session changes the same files (L19).
    OverlapOpened = "overlap_opened",
    /// It no longer does.
    OverlapClosed = "overlap_closed",
    /// A pull request is to be opened for it.
    Proposing = "proposing",
    /// It is on the integration ref.
    Landed = "landed",
    /// A pull request holds it.
    Proposed = "proposed",
    /// It conflicts with what has landed: another attempt.
    LandConflict = "land_conflict",
    /// The merged tree is red: another attempt.
    LandRed = "land_red",
    /// It cannot land.
    LandRefused = "land_refused",
    /// Another attempt, counted against `max_retries`.
    Retry = "retry",
    /// Another attempt, counted against `max_restarts`.
    Restart = "restart",
    /// A provider's limit.
    Limit = "limit",
    /// A parked task's time or event came.
    Woke = "woke",
    /// Only a person can help.
    NeedsPerson = "needs_person",
    /// `stop`.
    OperatorStop = "operator_stop",
    /// `cancel`.
    OperatorCancel = "operator_cancel",
    /// `retry`.
    OperatorRetry = "operator_retry",
    /// `approve`.
    OperatorApprove = "operator_approve",
    /// `queue add`.
    OperatorLand = "operator_land",
    /// `pause`.
    OperatorPause = "operator_pause",
    /// A person said something to its agent.
    OperatorSend = "operator_send",
    /// Another turn, for what a person said during the last one.
    NextTurn = "next_turn",
    /// `resume`.
    OperatorResume = "operator_resume",
    /// `drain --stop`.
    Drained = "drained",
    /// `estop`.
    Estopped = "estopped",
    /// A report of an attempt that is no longer the current one (I2): kept, not obeyed.
    LateReport = "late_report",
}

/// A ledger row as decided; the store adds its sequence number and the hash chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// The task.
    pub task: TaskId,
    /// The task's version after this row.
    pub version: u64,
    /// The task's fence after this row.
    pub fence: Fence,
    /// State before; equal to `to` where only a fact was recorded.
    pub from: StateWord,
    /// State after.
    pub to: StateWord,
    /// Why.
    pub cause: Cause,
    /// Who.
    pub actor: Actor,
    /// When, wall clock.
    pub at: UnixMs,
    /// What else was known.
    pub data: serde_json::Value,
}
