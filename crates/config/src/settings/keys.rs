//! Every key of the configuration: its type, its default, who may set it, what it does. The one
//! table that reading, `config list` and docs/configuration.md are made from.

/// The type of a key's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number between two others.
    Count {
        /// The least.
        least: u32,
        /// The most.
        most: u32,
    },
    /// A text that is not empty.
    Text,
    /// A word that becomes an argument of a program.
    Argument,
    /// A flag of a program: one word that starts with `-`.
    Flag,
    /// The first part of a branch's name.
    Branch,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A duration.
    Duration,
    /// A duration that may be zero.
    DurationOrZero,
    /// A size in bytes.
    Size,
    /// Dollars.
    Money,
    /// Whole tokens.
    Tokens,
    /// A list of texts.
    List,
    /// An absolute URL, `https` or `http`, without a user or a password in it.
    Url,
    /// A variable's value: a text, or `{ from = "NAME" }`.
    Variable,
}

impl Kind {
    /// The type in words, for docs and messages.
    #[must_use]
    pub fn words(self) -> String {
        match self {
            Self::Bool => "true or false".to_owned(),
            Self::Count { least, most } => format!("whole number, {least} to {most}"),
            Self::Text | Self::Argument | Self::Flag | Self::Branch => "string".to_owned(),
            Self::Word(words) => {
                let quoted: Vec<String> = words.iter().map(|w| format!("`\"{w}\"`")).collect();
                quoted.join(", ")
            }
            Self::Duration | Self::DurationOrZero => "duration".to_owned(),
            Self::Size => "size, such as `\"2GiB\"`".to_owned(),
            Self::Money => "dollars".to_owned(),
            Self::Tokens => "whole number of tokens".to_owned(),
            Self::List => "list of strings".to_owned(),
            Self::Url => "URL".to_owned(),
            Self::Variable => "string or `{ from = \"NAME\" }`".to_owned(),
        }
    }
}

/// Who may set a key: whether a file of a repository may, and on what condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Any file.
    Anyone,
    /// A repository's file only once the repository is trusted: the key makes something run.
    Runs,
    /// A repository's file only once the repository is trusted: the key makes something be sent.
    Sends,
    /// A repository's file only once the repository is trusted: the key takes a protection away.
    Weakens,
    /// Never a repository's file: the key is about the machine and all its repositories.
    Machine,
}

impl Guard {
    /// Whether `longhaul trust` opens the key to a repository's file.
    #[must_use]
    pub const fn needs_trust(self) -> bool {
        matches!(self, Self::Runs | Self::Sends | Self::Weakens)
    }

    /// In words, for docs and messages.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Anyone => "yes",
            Self::Runs => "once trusted (it runs something)",
            Self::Sends => "once trusted (it sends something)",
            Self::Weakens => "once trusted (it takes a protection away)",
            Self::Machine => "no (it is about the whole machine)",
        }
    }
}

/// One key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SettingKey {
    /// The dotted key; a part `NAME` stands for any name.
    pub pattern: &'static str,
    /// The type.
    pub kind: Kind,
    /// The default as it would be written in the file, if there is one.
    pub default: Option<&'static str>,
    /// Who may set it.
    pub guard: Guard,
    /// What it does.
    pub about: &'static str,
}

const fn key(
    pattern: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    guard: Guard,
    about: &'static str,
) -> SettingKey {
    SettingKey {
        pattern,
        kind,
        default,
        guard,
        about,
    }
}

const ONE_UP: Kind = Kind::Count {
    least: 1,
    most: 10_000,
};

/// Every key of the configuration.
pub const SETTING_KEYS: [SettingKey; 68] = [
    key(
        "concurrency",
        ONE_UP,
        Some("4"),
        Guard::Machine,
        "sessions at once on this machine",
    ),
    key(
        "concurrency_per_repo",
        ONE_UP,
        None,
        Guard::Machine,
        "sessions at once in one repository; without it only `concurrency` counts",
    ),
    key(
        "concurrency_per_harness.NAME",
        ONE_UP,
        None,
        Guard::Machine,
        "sessions at once of one harness",
    ),
    key(
        "max_workspaces",
        ONE_UP,
        Some("32"),
        Guard::Machine,
        "live or unlanded worktrees; a task waits without one",
    ),
    key(
        "min_free",
        Kind::Size,
        Some("\"2GiB\""),
        Guard::Machine,
        "free disk space below which nothing new starts",
    ),
    key(
        "min_free_memory",
        Kind::Size,
        Some("\"1GiB\""),
        Guard::Machine,
        "free memory below which nothing new starts",
    ),
    key(
        "max_log",
        Kind::Size,
        Some("\"1GiB\""),
        Guard::Machine,
        "output kept of one session; beyond it the middle is cut",
    ),
    key(
        "snapshot_retention",
        Kind::DurationOrZero,
        Some("\"14d\""),
        Guard::Machine,
        "how long snapshots are kept after their task ended",
    ),
    key(
        "snapshot_max",
        Kind::Size,
        Some("\"1GiB\""),
        Guard::Machine,
        "the largest snapshot taken without asking",
    ),
    key(
        "branch_prefix",
        Kind::Branch,
        Some("\"longhaul\""),
        Guard::Anyone,
        "what the branches of tasks start with, before a `/`",
    ),
    key(
        "commit",
        Kind::Word(&["auto", "agent"]),
        Some("\"auto\""),
        Guard::Anyone,
        "who commits what is left at the end of a turn; with `agent` leftovers are a FAIL",
    ),
    key(
        "sign",
        Kind::Bool,
        Some("false"),
        Guard::Runs,
        "sign the commits that Longhaul makes with git's configured key",
    ),
    key(
        "setup",
        Kind::Text,
        None,
        Guard::Runs,
        "the command that prepares a new workspace, for tasks that name none",
    ),
    key(
        "teardown",
        Kind::Text,
        None,
        Guard::Runs,
        "the command run before a workspace is removed, for tasks that name none",
    ),
    key(
        "default_harness",
        Kind::Argument,
        Some("\"auto\""),
        Guard::Anyone,
        "the harness of tasks that name none; `auto` picks by what the repository holds",
    ),
    key(
        "default_permission",
        Kind::Word(&["edits", "plan", "bypass"]),
        Some("\"edits\""),
        Guard::Weakens,
        "the permission of tasks that name none",
    ),
    key(
        "default_judge",
        Kind::Argument,
        None,
        Guard::Sends,
        "the `[judge.NAME]` of `model` checks that name none",
    ),
    key(
        "sandboxed",
        Kind::Bool,
        Some("false"),
        Guard::Weakens,
        "the user's word that this whole machine is a sandbox, so that `bypass` may run as root",
    ),
    key(
        "sandbox.caches",
        Kind::List,
        Some("[]"),
        Guard::Weakens,
        "cache folders that sessions may write to",
    ),
    key(
        "sandbox.writable",
        Kind::List,
        Some("[]"),
        Guard::Weakens,
        "further paths that sessions may write to",
    ),
    key(
        "on_needs_human",
        Kind::Text,
        None,
        Guard::Runs,
        "a command run when a task needs a person",
    ),
    key(
        "retry.backoff_min",
        Kind::DurationOrZero,
        Some("\"5s\""),
        Guard::Machine,
        "the wait before a first restart",
    ),
    key(
        "retry.backoff_max",
        Kind::Duration,
        Some("\"10m\""),
        Guard::Machine,
        "the longest wait before a restart; waits double in between",
    ),
    key(
        "limits.poll",
        Kind::Duration,
        Some("\"30s\""),
        Guard::Machine,
        "how often a waiting limit is looked at",
    ),
    key(
        "limits.unknown_reset",
        Kind::Duration,
        Some("\"15m\""),
        Guard::Machine,
        "the wait at a limit that does not say when it resets",
    ),
    key(
        "limits.wake_jitter",
        Kind::DurationOrZero,
        Some("\"60s\""),
        Guard::Machine,
        "the most that is added to a reset, so that not everything wakes at once",
    ),
    key(
        "limits.throttle_pause",
        Kind::Duration,
        Some("\"30s\""),
        Guard::Machine,
        "the pause after a throttle (a bare 429)",
    ),
    key(
        "limits.overload_min",
        Kind::Duration,
        Some("\"30s\""),
        Guard::Machine,
        "the first wait when the service is overloaded",
    ),
    key(
        "limits.overload_max",
        Kind::Duration,
        Some("\"10m\""),
        Guard::Machine,
        "the longest wait between two tries at an overloaded service",
    ),
    key(
        "limits.overload_give_up",
        Kind::Duration,
        Some("\"6h\""),
        Guard::Machine,
        "after this long an overloaded service needs a person",
    ),
    key(
        "harness.NAME.program",
        Kind::Text,
        None,
        Guard::Runs,
        "the program; required for a harness that is not built in",
    ),
    key(
        "harness.NAME.args",
        Kind::List,
        None,
        Guard::Runs,
        "arguments added to every start",
    ),
    key(
        "harness.NAME.base_args",
        Kind::List,
        None,
        Guard::Runs,
        "a custom harness: its first arguments",
    ),
    key(
        "harness.NAME.aliases",
        Kind::List,
        None,
        Guard::Runs,
        "other names of the same harness",
    ),
    key(
        "harness.NAME.cwd_flag",
        Kind::Flag,
        None,
        Guard::Runs,
        "the flag for the working folder",
    ),
    key(
        "harness.NAME.session_name_flag",
        Kind::Flag,
        None,
        Guard::Runs,
        "the flag for the session's name",
    ),
    key(
        "harness.NAME.task_flag",
        Kind::Flag,
        None,
        Guard::Runs,
        "the flag for the prompt; without it the prompt is the last argument or standard input",
    ),
    key(
        "harness.NAME.model_flag",
        Kind::Flag,
        None,
        Guard::Runs,
        "the flag for the model",
    ),
    key(
        "harness.NAME.add_dir_flag",
        Kind::Flag,
        None,
        Guard::Runs,
        "the flag for a further folder",
    ),
    key(
        "harness.NAME.include_directories_flag",
        Kind::Flag,
        None,
        Guard::Runs,
        "the flag for all further folders, joined by commas",
    ),
    key(
        "harness.NAME.allowed_tools_flag",
        Kind::Flag,
        None,
        Guard::Runs,
        "the flag for allowed tools",
    ),
    key(
        "harness.NAME.disallowed_tools_flag",
        Kind::Flag,
        None,
        Guard::Runs,
        "the flag for disallowed tools",
    ),
    key(
        "harness.NAME.permission_mode_flag",
        Kind::Flag,
        None,
        Guard::Runs,
        "the flag for the permission mode",
    ),
    key(
        "harness.NAME.max_budget_usd_flag",
        Kind::Flag,
        None,
        Guard::Runs,
        "the flag for a budget in dollars",
    ),
    key(
        "harness.NAME.append_system_prompt_flag",
        Kind::Flag,
        None,
        Guard::Runs,
        "the flag for system instructions",
    ),
    key(
        "harness.NAME.inline_system_prompt_for_task",
        Kind::Bool,
        None,
        Guard::Runs,
        "whether system instructions without a flag are put into the prompt (default true)",
    ),
    key(
        "harness.NAME.project_markers",
        Kind::List,
        None,
        Guard::Runs,
        "files or folders by which `auto` recognises a repository for this harness",
    ),
    key(
        "harness.NAME.resume_flag",
        Kind::Flag,
        None,
        Guard::Runs,
        "the flag that continues a conversation by its id",
    ),
    key(
        "harness.NAME.output_format",
        Kind::Word(&["text", "claude", "codex", "gemini", "opencode"]),
        None,
        Guard::Runs,
        "whose event stream its output is read as",
    ),
    key(
        "harness.NAME.cost_known",
        Kind::Bool,
        None,
        Guard::Runs,
        "whether its output tells what it costs, so that `budget_usd` can be kept",
    ),
    key(
        "harness.NAME.env.NAME",
        Kind::Variable,
        None,
        Guard::Runs,
        "a variable of its sessions",
    ),
    key(
        "profile.NAME.inherits",
        Kind::Argument,
        None,
        Guard::Weakens,
        "the profile this one starts from",
    ),
    key(
        "profile.NAME.model",
        Kind::Argument,
        None,
        Guard::Weakens,
        "the model",
    ),
    key(
        "profile.NAME.agent",
        Kind::Argument,
        None,
        Guard::Weakens,
        "the harness",
    ),
    key(
        "profile.NAME.allowed_tools",
        Kind::List,
        None,
        Guard::Weakens,
        "tools the agent may use without asking",
    ),
    key(
        "profile.NAME.disallowed_tools",
        Kind::List,
        None,
        Guard::Weakens,
        "tools the agent may not use",
    ),
    key(
        "profile.NAME.permission_mode",
        Kind::Word(&["edits", "plan", "bypass"]),
        None,
        Guard::Weakens,
        "the permission",
    ),
    key(
        "profile.NAME.add_dirs",
        Kind::List,
        None,
        Guard::Weakens,
        "further folders",
    ),
    key(
        "profile.NAME.max_budget_usd",
        Kind::Money,
        None,
        Guard::Weakens,
        "money for one session",
    ),
    key(
        "profile.NAME.token_budget",
        Kind::Tokens,
        None,
        Guard::Weakens,
        "tokens for one session",
    ),
    key(
        "profile.NAME.append_system_prompt",
        Kind::Text,
        None,
        Guard::Weakens,
        "system instructions",
    ),
    key(
        "judge.NAME.kind",
        Kind::Word(&["anthropic", "openai"]),
        None,
        Guard::Sends,
        "the style of the endpoint",
    ),
    key(
        "judge.NAME.url",
        Kind::Url,
        None,
        Guard::Sends,
        "its address; the vendor's own without it",
    ),
    key(
        "judge.NAME.model",
        Kind::Argument,
        None,
        Guard::Sends,
        "the model",
    ),
    key(
        "judge.NAME.timeout",
        Kind::Duration,
        None,
        Guard::Sends,
        "how long one answer may take (default 2m)",
    ),
    key(
        "judge.NAME.key.env",
        Kind::Argument,
        None,
        Guard::Sends,
        "the variable that holds its key",
    ),
    key(
        "judge.NAME.key.file",
        Kind::Text,
        None,
        Guard::Sends,
        "the file that holds its key",
    ),
    key(
        "judge.NAME.key.command",
        Kind::Text,
        None,
        Guard::Sends,
        "the command that prints its key",
    ),
];

/// What stands at a path of the configuration.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found {
    Key(&'static SettingKey),
    Table,
    Nothing,
}

/// What stands at `path`.
pub(super) fn find(path: &[&str]) -> Found {
    let mut table = false;
    for key in &SETTING_KEYS {
        let mut parts = key.pattern.split('.');
        let fits = path
            .iter()
            .all(|part| parts.next().is_some_and(|p| fits(p, part)));
        if fits && parts.next().is_none() {
            return Found::Key(key);
        }
        table |= fits;
    }
    if table { Found::Table } else { Found::Nothing }
}

/// The parts that may stand below `path`, `NAME` left out.
pub(super) fn below(path: &[&str]) -> Vec<&'static str> {
    let mut all = Vec::new();
    for key in &SETTING_KEYS {
        let mut parts = key.pattern.split('.');
        if path
            .iter()
            .all(|part| parts.next().is_some_and(|p| fits(p, part)))
            && let Some(next) = parts.next()
            && next != "NAME"
            && !all.contains(&next)
        {
            all.push(next);
        }
    }
    all
}

/// Whether the part at the end of `path` is a name of the user's choice.
pub(super) fn is_named(path: &[&str]) -> bool {
    let Some((last, before)) = path.split_last() else {
        return false;
    };
    !below(before).contains(last)
}

fn fits(pattern: &str, part: &str) -> bool {
    pattern == "NAME" || pattern == part
}
