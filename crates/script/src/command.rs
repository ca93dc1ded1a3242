//! A script as a value: sections of commands, and which sections a run takes. Not their text
//! (`parse`) and not their effects (`play`).

use std::time::Duration;

/// A parsed script.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Script {
    /// In the order of the file.
    pub sections: Vec<Section>,
}

/// Commands that run under one condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    /// The condition.
    pub when: When,
    /// What happens, in order.
    pub commands: Vec<Command>,
}

/// Condition of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Every run: what stands before the first header, or under `@all`.
    Always,
    /// Attempts `first` to `last`; no `last` = all later ones.
    Attempts {
        /// First attempt, from 1.
        first: u32,
        /// Last attempt, itself included.
        last: Option<u32>,
    },
    /// Runs that go on with a conversation.
    Resume,
}

/// Tokens and money that a `usage` command adds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tokens {
    /// Fresh input tokens.
    pub input: u64,
    /// Output tokens.
    pub output: u64,
    /// Input tokens read from a cache.
    pub cache_read: u64,
    /// Input tokens written to a cache.
    pub cache_write: u64,
    /// US dollars, if the script names any.
    pub cost_usd: Option<f64>,
}

/// The class of a played limit, in the words of `longhaul_core::limit::LimitClass` (A5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitKind {
    /// A used-up window, with a reset.
    Quota,
    /// A bare 429.
    Throttle,
    /// The service, not the account.
    Overload,
    /// Out of credit.
    Billing,
    /// Logged out.
    Auth,
}

impl LimitKind {
    /// The word in scripts and events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Quota => "quota",
            Self::Throttle => "throttle",
            Self::Overload => "overload",
            Self::Billing => "billing",
            Self::Auth => "auth",
        }
    }
}

/// One command.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Words of the agent.
    Say(String),
    /// Creates or replaces a file; missing folders are made.
    Write {
        /// Relative to the working folder, or absolute.
        path: String,
        /// The whole content.
        content: String,
    },
    /// Adds to the end of a file.
    Append {
        /// As in `Write`.
        path: String,
        /// What is added.
        content: String,
    },
    /// Removes a file; a missing one is a failed tool call.
    Delete {
        /// As in `Write`.
        path: String,
    },
    /// A shell command, waited for.
    Run(String),
    /// Waits.
    Sleep(Duration),
    /// Adds to the totals and reports them.
    Usage(Tokens),
    /// Reports a limit and ends the turn.
    Limit {
        /// Its class.
        kind: LimitKind,
        /// Time until the reset, if the provider said one.
        reset_in: Option<Duration>,
    },
    /// Fails the turn if the prompt lacks the text.
    ExpectPrompt(String),
    /// Asks a person, and waits for ever.
    Ask(String),
    /// Reports a tool call that the permission mode refused.
    Deny {
        /// The tool.
        tool: String,
        /// What it was to do.
        detail: String,
    },
    /// Ends the turn not ok.
    Fail(String),
    /// Exits at once without a terminal event.
    Exit(u8),
    /// Kills itself with SIGKILL.
    Crash,
    /// Silence for ever; any signal ends it.
    Hang,
    /// SIGTERM has no effect from here on.
    IgnoreTerm,
    /// A shell command in a session of its own, in the background, that outlives the run.
    Spawn(String),
    /// About this many bytes of output.
    Flood(u64),
    /// Half an event without a line end, then SIGKILL.
    DieMidline,
    /// Ends the turn ok.
    Done(String),
}

impl Script {
    /// The commands of a run. A resumed run takes the `@resume` sections in place of the `@attempt`
    /// ones, if the script has any.
    pub fn commands(&self, attempt: u32, resumed: bool) -> impl Iterator<Item = &Command> {
        let by_resume = resumed && self.sections.iter().any(|s| s.when == When::Resume);
        self.sections
            .iter()
            .filter(move |section| match section.when {
                When::Always => true,
                When::Resume => by_resume,
                When::Attempts { first, last } => {
                    !by_resume && attempt >= first && last.is_none_or(|last| attempt <= last)
                }
            })
            .flat_map(|section| &section.commands)
    }
}
