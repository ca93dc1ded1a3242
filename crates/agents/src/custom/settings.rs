//! The `[harness.NAME]` table of the config.

use std::collections::BTreeMap;

use longhaul_core::spec::EnvValue;
use serde::{Deserialize, Serialize};

/// A harness of the config, or changes to a built-in one (then only `aliases`, `program`, `base_args`,
/// `env`, `credentials` and `cost_known` may be set).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CustomHarness {
    /// Its name, the table's key; lower case letters, digits, `-` and `_`.
    #[serde(skip_deserializing)]
    pub name: String,
    /// Other names for it.
    pub aliases: Vec<String>,
    /// The program: a path, or a name looked up on `PATH`.
    pub program: Option<String>,
    /// Arguments that come first. For a built-in harness: arguments that come after its own. The
    /// placeholder `{prompt_file}` becomes the path of a file with the prompt, which then goes nowhere
    /// else.
    pub base_args: Vec<String>,
    /// Flag for the folder to work in; without it the process just runs there.
    pub cwd_flag: Option<String>,
    /// Flag for a name of the session.
    pub session_name_flag: Option<String>,
    /// Flag for the prompt; without it the prompt goes by stdin.
    pub task_flag: Option<String>,
    /// Flag for the model.
    pub model_flag: Option<String>,
    /// Flag for one further folder, repeated.
    pub add_dir_flag: Option<String>,
    /// Flag for all further folders, joined by commas.
    pub include_directories_flag: Option<String>,
    /// Flag for allowed tools, joined by commas.
    pub allowed_tools_flag: Option<String>,
    /// Flag for refused tools, joined by commas.
    pub disallowed_tools_flag: Option<String>,
    /// Flag for the permission mode.
    pub permission_mode_flag: Option<String>,
    /// The program's words for `edits`, `plan` and `bypass`; ours where one is missing.
    pub permission_modes: BTreeMap<String, String>,
    /// Flag for the money the attempt may spend, in dollars.
    pub max_budget_usd_flag: Option<String>,
    /// Flag for more system prompt.
    pub append_system_prompt_flag: Option<String>,
    /// Whether system instructions that no flag can carry are written into the prompt; else they are
    /// dropped.
    pub inline_system_prompt_for_task: bool,
    /// Files or folders in a project that show it is used there (S9).
    pub project_markers: Vec<String>,
    /// Variables to set; one that is named is read when the session starts (T26).
    pub env: BTreeMap<String, EnvValue>,
    /// Arguments that resume a conversation, with the placeholder `{id}`; empty: it cannot.
    pub resume_args: Vec<String>,
    /// How its stdout is read.
    pub output: OutputFormat,
    /// Whether what it spends can be known (I10); as its output format has it where this is absent.
    pub cost_known: Option<bool>,
    /// Variables by which the user's login reaches it.
    pub credentials: Vec<String>,
    /// Paths that the program itself writes, beyond the workspace and temp; `~/` is the home.
    pub writable: Vec<String>,
}

impl Default for CustomHarness {
    fn default() -> Self {
        Self {
            name: String::new(),
            aliases: Vec::new(),
            program: None,
            base_args: Vec::new(),
            cwd_flag: None,
            session_name_flag: None,
            task_flag: None,
            model_flag: None,
            add_dir_flag: None,
            include_directories_flag: None,
            allowed_tools_flag: None,
            disallowed_tools_flag: None,
            permission_mode_flag: None,
            permission_modes: BTreeMap::new(),
            max_budget_usd_flag: None,
            append_system_prompt_flag: None,
            inline_system_prompt_for_task: true,
            project_markers: Vec::new(),
            env: BTreeMap::new(),
            resume_args: Vec::new(),
            output: OutputFormat::Text,
            cost_known: None,
            credentials: Vec::new(),
            writable: Vec::new(),
        }
    }
}

impl CustomHarness {
    /// Names of the fields that a change to a built-in harness may not set.
    pub(crate) fn beyond_override(&self) -> Vec<&'static str> {
        let plain = Self {
            name: self.name.clone(),
            aliases: self.aliases.clone(),
            program: self.program.clone(),
            base_args: self.base_args.clone(),
            env: self.env.clone(),
            cost_known: self.cost_known,
            credentials: self.credentials.clone(),
            ..Self::default()
        };
        let set = |differs: bool, name| differs.then_some(name);
        [
            set(self.cwd_flag != plain.cwd_flag, "cwd_flag"),
            set(
                self.session_name_flag != plain.session_name_flag,
                "session_name_flag",
            ),
            set(self.task_flag != plain.task_flag, "task_flag"),
            set(self.model_flag != plain.model_flag, "model_flag"),
            set(self.add_dir_flag != plain.add_dir_flag, "add_dir_flag"),
            set(
                self.include_directories_flag != plain.include_directories_flag,
                "include_directories_flag",
            ),
            set(
                self.allowed_tools_flag != plain.allowed_tools_flag,
                "allowed_tools_flag",
            ),
            set(
                self.disallowed_tools_flag != plain.disallowed_tools_flag,
                "disallowed_tools_flag",
            ),
            set(
                self.permission_mode_flag != plain.permission_mode_flag,
                "permission_mode_flag",
            ),
            set(
                self.permission_modes != plain.permission_modes,
                "permission_modes",
            ),
            set(
                self.max_budget_usd_flag != plain.max_budget_usd_flag,
                "max_budget_usd_flag",
            ),
            set(
                self.append_system_prompt_flag != plain.append_system_prompt_flag,
                "append_system_prompt_flag",
            ),
            set(
                self.inline_system_prompt_for_task != plain.inline_system_prompt_for_task,
                "inline_system_prompt_for_task",
            ),
            set(
                self.project_markers != plain.project_markers,
                "project_markers",
            ),
            set(self.resume_args != plain.resume_args, "resume_args"),
            set(self.output != plain.output, "output"),
            set(self.writable != plain.writable, "writable"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Every flag with its field's name.
    pub(crate) fn flags(&self) -> [(&'static str, Option<&str>); 11] {
        [
            ("cwd_flag", self.cwd_flag.as_deref()),
            ("session_name_flag", self.session_name_flag.as_deref()),
            ("task_flag", self.task_flag.as_deref()),
            ("model_flag", self.model_flag.as_deref()),
            ("add_dir_flag", self.add_dir_flag.as_deref()),
            (
                "include_directories_flag",
                self.include_directories_flag.as_deref(),
            ),
            ("allowed_tools_flag", self.allowed_tools_flag.as_deref()),
            (
                "disallowed_tools_flag",
                self.disallowed_tools_flag.as_deref(),
            ),
            ("permission_mode_flag", self.permission_mode_flag.as_deref()),
            ("max_budget_usd_flag", self.max_budget_usd_flag.as_deref()),
            (
                "append_system_prompt_flag",
                self.append_system_prompt_flag.as_deref(),
            ),
        ]
    }

    /// Whether a flag or placeholder takes the prompt out of stdin.
    pub(crate) fn uses_prompt_file(&self) -> bool {
        self.base_args
            .iter()
            .any(|arg| arg.contains("{prompt_file}"))
    }
}

/// How a harness's stdout is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutputFormat {
    /// Plain text. It has no terminal event: exit code 0 is the end of a turn.
    #[default]
    Text,
    /// Claude Code's `stream-json`.
    ClaudeStream,
    /// Codex's `exec --json`.
    CodexJson,
    /// Gemini CLI's `stream-json`.
    GeminiStream,
    /// OpenCode's `run --format json`.
    OpencodeJson,
    /// The lines of the built-in `script` harness.
    Script,
}
