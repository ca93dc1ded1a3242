//! The capability table: what each harness can, and how late it tells (S10, T23, I10).

use longhaul_core::spec::Permission;
use serde::Serialize;

/// What a harness can do. One row of the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// It can go on with an earlier conversation.
    pub resume: bool,
    /// We choose the conversation's id; else the agent's first event tells it.
    pub chooses_conversation_id: bool,
    /// It tells what it does while it does it.
    pub stream: bool,
    /// It can call hooks.
    pub hooks: bool,
    /// It stops itself at a sum of money.
    pub budget_flag: bool,
    /// It says what it costs; without that `budget_usd` is refused (I10).
    pub cost_known: bool,
    /// When spending becomes visible, in its stream or in its own record of the conversation, which is
    /// how late a budget can stop it (codex notes a call when its tools have ended). Money is seen at the turn's end only, but for `opencode`.
    pub spending_seen: SpendingSeen,
    /// What its usage numbers count.
    pub usage_counts: UsageCounts,
    /// Flags for allowed and disallowed tools.
    pub tool_flags: bool,
    /// A flag for further folders.
    pub add_dir_flag: bool,
    /// A flag for more system prompt; else it is written into the prompt.
    pub system_prompt_flag: bool,
    /// It is silent while it waits to ask its provider again: silence is not death (O1).
    pub silent_retries: bool,
    /// Whether its first event reports the permission mode (T23).
    pub mode_reported: bool,
    /// What `edits`, `plan` and `bypass` mean for it.
    pub permissions: Vec<PermissionMeaning>,
    /// Variables by which the user's login reaches the agent: keys, tokens, base addresses, and where
    /// its home is. Everything else needs `env_pass` (T26).
    pub credentials: Vec<String>,
    /// Files or folders in a project that show it is used there (S9).
    pub project_markers: Vec<String>,
}

/// What a permission mode means for a harness.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PermissionMeaning {
    /// Our mode.
    pub permission: Permission,
    /// The agent's own word for it.
    pub agent_mode: &'static str,
    /// What it permits, for people.
    pub meaning: &'static str,
}

/// When spending becomes visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SpendingSeen {
    /// After each model call.
    EachCall,
    /// Tokens sent after each model call; output tokens and cost at the turn's end.
    InputEachCall,
    /// At the end of the turn only.
    TurnEnd,
    /// Never.
    Never,
}

/// What an agent's usage numbers count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageCounts {
    /// This process only, resumed or not.
    Process,
    /// The whole conversation: an attempt's share is the difference to its baseline.
    Conversation,
}

impl Capabilities {
    /// What a permission mode means, if the harness knows it.
    #[must_use]
    pub fn permission(&self, permission: Permission) -> Option<&PermissionMeaning> {
        self.permissions.iter().find(|p| p.permission == permission)
    }

    /// A harness of which nothing is known but that it runs.
    pub(crate) fn least() -> Self {
        Self {
            resume: false,
            chooses_conversation_id: false,
            stream: false,
            hooks: false,
            budget_flag: false,
            cost_known: false,
            spending_seen: SpendingSeen::Never,
            usage_counts: UsageCounts::Process,
            tool_flags: false,
            add_dir_flag: false,
            system_prompt_flag: false,
            silent_retries: true,
            mode_reported: false,
            permissions: Vec::new(),
            credentials: Vec::new(),
            project_markers: Vec::new(),
        }
    }
}

/// Owned names, for [`Capabilities::credentials`] and markers.
pub(crate) fn names<const N: usize>(names: [&str; N]) -> Vec<String> {
    names.map(str::to_owned).to_vec()
}

/// The three modes with an agent's words and meanings, in the order edits, plan, bypass.
pub(crate) fn permissions(table: [(&'static str, &'static str); 3]) -> Vec<PermissionMeaning> {
    [Permission::Edits, Permission::Plan, Permission::Bypass]
        .into_iter()
        .zip(table)
        .map(|(permission, (agent_mode, meaning))| PermissionMeaning {
            permission,
            agent_mode,
            meaning,
        })
        .collect()
}
