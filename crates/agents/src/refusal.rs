//! What an attempt remembers of a refusal until its end, and ends that have no terminal event.

use longhaul_core::limit::{LimitClass, LimitNotice};

use crate::event::{AgentEvent, FailureKind, TurnOutcome};
use crate::limits::{self, Client, Meaning, Reading, SNIPPET_CHARS};
use crate::stream::Ending;
use crate::text::{excerpt, snippet};

/// A failed turn before its end's time is known.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// A sentence that may hold a reset as text.
    Read(Reading),
    /// A refusal known from typed fields.
    Typed(LimitNotice),
    /// No limit.
    Other(FailureKind, String),
}

impl Failure {
    /// Words of a client: a known sentence, else the status, else a failure of this kind.
    pub(crate) fn of_words(
        client: Client,
        words: &str,
        status: Option<u64>,
        kind: FailureKind,
    ) -> Self {
        if let Some(reading) = limits::read(client, words)
            && matches!(reading.meaning, Meaning::Refused(_))
        {
            return Self::Read(reading);
        }
        match status.and_then(limits::read_status) {
            Some(class) => Self::typed(class, words),
            None if status.is_some_and(|s| (400..500).contains(&s)) => {
                Self::Other(FailureKind::Api, excerpt(words, 1024))
            }
            None => Self::Other(kind, excerpt(words, 1024)),
        }
    }

    pub(crate) fn typed(class: LimitClass, words: &str) -> Self {
        Self::Typed(LimitNotice {
            class,
            reset_at: None,
            window: None,
            snippet: snippet(words, SNIPPET_CHARS),
        })
    }

    /// The event of a refusal, at the moment it is seen.
    pub(crate) fn event(&self) -> Option<AgentEvent> {
        match self {
            Self::Read(reading) => reading.early_notice().map(AgentEvent::Limit),
            Self::Typed(notice) => Some(AgentEvent::Limit(notice.clone())),
            Self::Other(..) => None,
        }
    }

    pub(crate) fn outcome(&self, end: &Ending<'_>) -> TurnOutcome {
        match self {
            Self::Read(reading) => match reading.notice(end.now, end.zone) {
                Some(notice) => TurnOutcome::Limited(notice),
                None => end.no_terminal_event(),
            },
            Self::Typed(notice) => TurnOutcome::Limited(notice.clone()),
            Self::Other(kind, message) => TurnOutcome::Failed {
                kind: *kind,
                message: message.clone(),
            },
        }
    }
}

/// The end of a process that said no last word. `spoke` tells whether its stream had begun: an agent
/// that exits before that with a reason on stderr was not started right.
pub(crate) fn without_terminal_event(client: Client, end: &Ending<'_>, spoke: bool) -> TurnOutcome {
    let failed = end.exit.code.is_some_and(|code| (1..=127).contains(&code));
    if !failed || end.stderr.is_empty() {
        return end.no_terminal_event();
    }
    if let Some(reading) = limits::read(client, end.stderr)
        && matches!(
            reading.meaning,
            Meaning::Refused(LimitClass::Auth | LimitClass::Billing | LimitClass::Quota)
        )
        && let Some(notice) = reading.notice(end.now, end.zone)
    {
        return TurnOutcome::Limited(notice);
    }
    if spoke {
        return end.no_terminal_event();
    }
    let skip = end.stderr.chars().count().saturating_sub(1024);
    TurnOutcome::Failed {
        kind: FailureKind::Launch,
        message: end.stderr.chars().skip(skip).collect(),
    }
}

/// A retry's class from the words that a client gives for it; what no rule knows is the network.
pub(crate) fn retry_class(client: Client, words: &str) -> LimitClass {
    match limits::read(client, words).map(|r| r.meaning) {
        Some(Meaning::Refused(class)) => class,
        _ => LimitClass::Overload,
    }
}
