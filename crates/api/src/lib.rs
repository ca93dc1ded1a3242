//! What Longhaul says to the outside: wire types of `/v1`, the `--json` envelope, exit codes and
//! their JSON Schemas. Only data; no rule, no wording, no transport.
//!
//! Compatibility (T29): within one [`API_VERSION`] fields and words are only added. Readers ignore
//! fields they do not know; words that may grow have an `unknown` member that takes any other text.
//! Requests refuse unknown fields, so that an older daemon never half-follows a newer client.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod detail;
mod envelope;
mod error;
mod event;
mod exit;
mod order;
mod queue;
mod report;
pub mod schema;
mod status;
mod submit;
mod task;
mod usage;

pub use detail::{
    AttemptView, BudgetView, CheckView, DenialView, EnvView, LiveView, RefusedWriteView,
    SealedView, SpecView, TaskDetail, VerdictView, WorkspaceView,
};
pub use envelope::{Envelope, ErrorEnvelope, Payload, ReadError};
pub use error::{ErrorBody, ErrorClass, PROBLEM_JSON, Problem};
pub use event::{EventView, LogChunk, LogStream};
pub use exit::ExitCode;
pub use order::{
    Acknowledged, ClearLimitRequest, DrainRequest, OrderOutcome, OrderRequest, OrderResponse,
    OrderVerb, OrderWord, SendRequest,
};
pub use queue::{
    ConflictView, ForecastView, HeadView, LandedView, LineView, MeetingView, QueueBranch,
    QueueEntryView, QueueEventView, QueueExplanation, QueueRequest, QueueVerb, QueueView,
};
pub use report::{CheckLine, ReportItem, ReportTotals, ReportView};
pub use status::{ApiRange, BucketCounts, DaemonView, RestingView, StatusView, VersionView};
pub use submit::{SubmissionView, SubmitRequest, SubmitResponse, SubmitTask};
pub use task::{Bucket, NeedView, TaskLink, TaskList, TaskQuery, TaskState, TaskSummary};
pub use usage::UsageView;

/// Version of the wire types and of the `--json` envelope. Grows only when a reader of the older
/// one would misread something.
pub const API_VERSION: u32 = 1;

/// Oldest version that this code still reads and serves.
pub const API_VERSION_MIN: u32 = 1;
