//! Config homes of agents as accounts (A18): how a session is given one, and what must not stand beside it. The
//! tokens in a home are its agent's alone: nothing here reads one.

use longhaul_core::account::Provider;

use crate::harness::Builtin;

/// How an agent is given its config home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountHome {
    /// The variable that names the home.
    pub variable: &'static str,
    /// Variables that its own tool takes before the login in the home: whoever sets one for a task means it, and a
    /// session of a home gets none of them from the daemon (facts/limits.md §2).
    pub before: &'static [&'static str],
    /// The program's arguments that log a person in, in that home.
    pub login: &'static str,
    /// Whose keys its sessions would use without a home.
    pub provider: Provider,
}

pub(crate) const fn account_home(agent: Builtin) -> Option<AccountHome> {
    match agent {
        Builtin::Claude => Some(AccountHome {
            variable: "CLAUDE_CONFIG_DIR",
            before: &[
                "ANTHROPIC_API_KEY",
                "ANTHROPIC_AUTH_TOKEN",
                "CLAUDE_CODE_OAUTH_TOKEN",
                "CLAUDE_CODE_USE_BEDROCK",
                "CLAUDE_CODE_USE_FOUNDRY",
                "CLAUDE_CODE_USE_VERTEX",
            ],
            login: "claude /login",
            provider: Provider::Anthropic,
        }),
        Builtin::Codex => Some(AccountHome {
            variable: "CODEX_HOME",
            before: &["CODEX_API_KEY", "OPENAI_API_KEY"],
            login: "codex login",
            provider: Provider::Openai,
        }),
        Builtin::Gemini | Builtin::Opencode | Builtin::Script => None,
    }
}

impl AccountHome {
    /// The variables by which a task brings its own login.
    pub fn own_ways(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.variable).chain(self.before.iter().copied())
    }
}
