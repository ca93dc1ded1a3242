//! Homes for the real agents: configuration that makes them run headless against a mock provider, and
//! the environment to start them with. Nothing of the caller's own environment but `PATH` is in it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

/// The key every agent is given: a fake one.
pub const FAKE_KEY: &str = "sk-ant-mock-000";

/// Paths of the real agents by name, as `scripts/agents/install` below `root` lists them; `None`, loudly, where they are
/// not installed.
///
/// # Panics
/// They are missing in CI, or cannot be listed.
#[expect(clippy::print_stderr, reason = "a skip is loud")]
#[must_use]
pub fn installed_agents(root: &Path) -> Option<BTreeMap<String, PathBuf>> {
    if !root.join("target/agents/.installed").exists() {
        assert!(
            std::env::var_os("CI").is_none(),
            "the real agents are missing: run scripts/agents/install first"
        );
        eprintln!("SKIPPED: the real agents are not installed; run scripts/agents/install");
        return None;
    }
    let listed = Command::new(root.join("scripts/agents/install"))
        .output()
        .expect("the script can be started");
    let told = String::from_utf8_lossy(&listed.stderr);
    assert!(listed.status.success(), "{told}");
    let listed = String::from_utf8_lossy(&listed.stdout);
    let paths = listed.lines().filter_map(|line| line.split_once('\t'));
    Some(
        paths
            .map(|(name, path)| (name.to_owned(), PathBuf::from(path)))
            .collect(),
    )
}

/// An agent's folder with its configuration, and its environment.
#[derive(Clone, Debug)]
pub struct AgentHome {
    /// `HOME` of the agent.
    pub home: PathBuf,
    /// Whole environment, but for `PATH`.
    pub env: BTreeMap<&'static str, OsString>,
}

impl AgentHome {
    /// Claude Code: `CLAUDE_CONFIG_DIR` below `dir`, base URL of the session (no `/v1`).
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn claude(dir: &Path, base_url: &str) -> io::Result<Self> {
        let config = dir.join("claude");
        let onboarded = json!({"hasCompletedOnboarding": true, "lastOnboardingVersion": "2.1.197",
            "theme": "dark", "customApiKeyResponses": {"approved": [FAKE_KEY], "rejected": []}});
        write(&config.join(".claude.json"), &onboarded.to_string())?;
        let mut home = Self::new(dir);
        home.set("CLAUDE_CONFIG_DIR", &config)
            .set("ANTHROPIC_BASE_URL", base_url)
            .set("ANTHROPIC_API_KEY", FAKE_KEY)
            .set("DISABLE_AUTOUPDATER", "1")
            .set("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1");
        Ok(home)
    }

    /// Codex: `CODEX_HOME` below `dir` with a provider at `base_url` + `/v1`.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn codex(dir: &Path, base_url: &str) -> io::Result<Self> {
        let config = dir.join("codex");
        let text = format!(
            "model = \"gpt-5.1-codex\"\nmodel_provider = \"mock\"\n\
             check_for_update_on_startup = false\n\n[model_providers.mock]\nname = \"mock\"\n\
             base_url = \"{base_url}/v1\"\nenv_key = \"MOCK_KEY\"\nwire_api = \"responses\"\n\n\
             [analytics]\nenabled = false\n"
        );
        write(&config.join("config.toml"), &text)?;
        let mut home = Self::new(dir);
        home.set("CODEX_HOME", &config).set("MOCK_KEY", FAKE_KEY);
        Ok(home)
    }

    /// Gemini CLI: `~/.gemini` below `dir`; one process, any folder trusted.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn gemini(dir: &Path, base_url: &str) -> io::Result<Self> {
        let settings = json!({"security": {"auth": {"selectedType": "gemini-api-key"}},
            "privacy": {"usageStatisticsEnabled": false}, "general": {"enableAutoUpdate": false},
            "telemetry": {"enabled": false}});
        write(&dir.join(".gemini/settings.json"), &settings.to_string())?;
        let mut home = Self::new(dir);
        home.set("GEMINI_API_KEY", FAKE_KEY)
            .set("GOOGLE_GEMINI_BASE_URL", base_url)
            .set("GEMINI_CLI_TRUST_WORKSPACE", "true")
            .set("GEMINI_CLI_NO_RELAUNCH", "true");
        Ok(home)
    }

    /// OpenCode: `opencode.json` in `dir` with a Chat Completions provider at `base_url` + `/v1`.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn opencode(dir: &Path, base_url: &str) -> io::Result<Self> {
        let config = dir.join("opencode.json");
        let model = json!({"name": "m1", "limit": {"context": 200_000, "output": 8000},
            "cost": {"input": 1, "output": 5, "cache_read": 0.1}});
        let text = json!({"model": "mock/m1", "small_model": "mock/m1", "autoupdate": false,
            "share": "disabled", "enabled_providers": ["mock"], "provider": {"mock": {
                "npm": "@ai-sdk/openai-compatible", "name": "Mock",
                "options": {"baseURL": format!("{base_url}/v1"), "apiKey": "{env:MOCK_KEY}"},
                "models": {"m1": model}}}});
        write(&config, &text.to_string())?;
        let mut home = Self::new(dir);
        home.set("OPENCODE_CONFIG", &config)
            .set("MOCK_KEY", FAKE_KEY)
            .set("OPENCODE_DISABLE_AUTOUPDATE", "1")
            .set("OPENCODE_DISABLE_MODELS_FETCH", "1")
            .set("OPENCODE_DISABLE_LSP_DOWNLOAD", "1")
            // Else it fetches its plugin package in the background.
            .set("npm_config_offline", "true");
        Ok(home)
    }

    fn new(dir: &Path) -> Self {
        let mut home = Self {
            home: dir.to_owned(),
            env: BTreeMap::new(),
        };
        home.set("HOME", dir);
        home
    }

    fn set(&mut self, name: &'static str, value: impl Into<OsString>) -> &mut Self {
        self.env.insert(name, value.into());
        self
    }

    /// A command with this environment and `PATH`, nothing else.
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(&self.env);
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, text)
}
