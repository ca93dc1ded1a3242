//! What was seen or said: the only thing that changes a task.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::attempt::{AttemptEnd, BootMs, RefusedWrite, Sealed};
use crate::home::MoveReason;
use crate::ids::{Fence, TaskId};
use crate::limit::LimitNotice;
use crate::overlap::OverlapStrategy;
use crate::queue::LandNews;
use crate::task::{ResumeChecks, WorkspaceRef};
use crate::usage::{MicroUsd, Usage};
use crate::verdict::Verdict;
use crate::window::Window;

/// An observation about one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum Fact {
    /// A person's word.
    Operator {
        /// Which.
        order: Order,
    },
    /// All dependencies are done.
    DependenciesMet,
    /// The account home that its sessions use from here on; `None` = its agent's own login, or keys (A3, A23).
    Account {
        /// Its name.
        account: Option<String>,
        /// Why it is another one.
        why: MoveReason,
    },
    /// The scheduler gives it a slot.
    SlotGranted,
    /// The time it waits for has come.
    Due,
    /// Its session was about to start, but a limit became known meanwhile (I15).
    ScopeRests {
        /// The limit.
        window: Window,
    },
    /// The event it waits for has come (`undrain`, `thaw`).
    Released {
        /// Which.
        by: Release,
    },
    /// News of an attempt.
    Attempt {
        /// Whose.
        fence: Fence,
        /// What.
        news: News,
    },
    /// What it shares with another session has changed (L19).
    Overlap {
        /// The other task.
        with: TaskId,
        /// What people call it.
        name: String,
        /// What both have changed now.
        now: BTreeSet<String>,
        /// The strategy.
        strategy: OverlapStrategy,
        /// This is the one that the strategy has pause.
        pause: bool,
    },
    /// The merge queue's word on the work of an attempt.
    Landing {
        /// Whose.
        fence: Fence,
        /// What.
        news: Box<LandNews>,
    },
}

/// A person's word about one task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub enum Order {
    /// Give it up.
    Cancel,
    /// Stop it and keep its work; it is parked until `retry`.
    Stop,
    /// Try (again) now.
    Retry {
        /// For the next attempt's prompt.
        note: Option<String>,
        /// Added to `budget_usd`, where there is one.
        add_budget: Option<MicroUsd>,
        /// Added to `budget_tokens`, where there is one.
        add_tokens: Option<u64>,
    },
    /// Accept what is there.
    Approve,
    /// Something for its agent: read at the end of the turn, or in the next prompt.
    Send {
        /// What.
        text: String,
    },
    /// `queue add`: into the merge queue (again).
    Land,
    /// Hold it at the end of its turn.
    Pause,
    /// Let it go on.
    Resume,
    /// `drain --stop`: stop it and keep its work; it is parked until `undrain`.
    Drain,
    /// `estop`: stop it at once; it is parked until `thaw`.
    Estop,
}

/// The event a parked task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Release {
    /// `undrain`.
    Undrain,
    /// `thaw`.
    Thaw,
    /// A person says that the limit it waits for is over.
    Limit,
    /// An account home can serve it (A3).
    Account,
}

/// News of an attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "news", rename_all = "snake_case")]
pub enum News {
    /// The workspace stands and `setup` passed.
    WorkspaceReady {
        /// It.
        workspace: WorkspaceRef,
        /// What other hands changed in it since the last attempt ended.
        drift: Option<String>,
        /// A conflict between the dependencies' results that the agent has to resolve.
        conflict: Option<String>,
        /// The tree after `setup`, where that ran: what it made is no drift.
        tree: Option<String>,
        /// The checks that it was prepared for, as the task said then.
        resumes: Option<ResumeChecks>,
    },
    /// The workspace could not be made, or `setup` failed.
    WorkspaceFailed {
        /// Which of the two.
        fault: WorkspaceFault,
        /// What happened.
        detail: String,
        /// What a person can do.
        remedy: String,
        /// The workspace, if it was made before that: it is there, and the task's.
        workspace: Option<WorkspaceRef>,
        /// As for [`News::WorkspaceReady`].
        conflict: Option<String>,
        /// As for [`News::WorkspaceReady`].
        resumes: Option<ResumeChecks>,
    },
    /// The session lives.
    SessionStarted {
        /// Its process.
        pid: u32,
        /// When, on the monotonic clock.
        mono: BootMs,
        /// True if it continues an earlier conversation.
        resumed: bool,
        /// Conversation id, where it is known in advance.
        conversation: Option<String>,
    },
    /// The session could not be started.
    LaunchFailed {
        /// Why.
        detail: String,
        /// What a person can do.
        remedy: String,
        /// Whether trying again can help.
        transient: bool,
    },
    /// The agent named its conversation.
    Conversation {
        /// The id.
        id: String,
    },
    /// What the attempt has used so far.
    Spent {
        /// In all.
        usage: Usage,
    },
    /// The attempt's time is over.
    TimeoutReached,
    /// No sign of life for `idle_timeout`.
    IdleReached,
    /// A question stood for `answer_timeout`.
    Unanswered {
        /// The question.
        question: String,
    },
    /// The agent reports another permission mode than it was given.
    ModeMismatch {
        /// What was asked for.
        wanted: String,
        /// What it reports.
        got: String,
    },
    /// The session is over.
    SessionEnded {
        /// How.
        end: AttemptEnd,
        /// What it used.
        usage: Usage,
        /// What its conversation used over all attempts, for agents that count so.
        conversation_usage: Option<Usage>,
        /// Writes outside its sandbox that were refused, as its tools told the agent (T25).
        refused_writes: Vec<RefusedWrite>,
    },
    /// The tree is stopped and the work secured.
    Sealed {
        /// What there is.
        sealed: Sealed,
    },
    /// The work could not be secured.
    SealFailed {
        /// Why.
        detail: String,
        /// Whether trying again can help.
        transient: bool,
    },
    /// A check gave its verdict.
    Judged {
        /// It.
        verdict: Box<Verdict>,
        /// The workspace's tree after the check, if it is another than before: no drift.
        tree: Option<String>,
    },
    /// A check's process was lost or stopped without a verdict.
    CheckLost {
        /// Position of the check.
        check: u16,
        /// Which run.
        run: u16,
        /// What is known.
        detail: String,
        /// As for [`News::Judged`].
        tree: Option<String>,
    },
    /// Whoever was to judge could not be asked. That is never a PASS (I13), and nothing that the agent
    /// could mend.
    CheckUnanswered {
        /// The FAIL with what was seen.
        verdict: Box<Verdict>,
        /// Why nobody judged.
        refusal: Refusal,
        /// As for [`News::Judged`].
        tree: Option<String>,
    },
    /// The attempt's outstanding effect broke in Longhaul's own code, again and again; nothing of the
    /// attempt lives any more.
    Broke {
        /// The panic's message.
        detail: String,
    },
}

/// Why a judge or reviewer gave no verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "refusal", rename_all = "snake_case")]
pub enum Refusal {
    /// It was refused or not reached; asking again later can help.
    Limited {
        /// The harness, or `judge NAME`.
        scope: String,
        /// What was said.
        notice: LimitNotice,
    },
    /// Only a person can help: a wrong key, address or model.
    Wrong {
        /// What that person can do.
        remedy: String,
    },
}

/// What went wrong with a workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkspaceFault {
    /// `setup` failed: not the agent's fault.
    Setup,
    /// The effect was stopped on request.
    Stopped,
    /// Something that may pass (a lock, a full disk).
    Transient,
    /// Something that only a person can mend.
    Permanent,
}
