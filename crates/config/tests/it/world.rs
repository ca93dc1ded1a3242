//! What the tests know: harnesses, profiles, prompt files in memory.

use std::collections::BTreeMap;

use camino::Utf8Path;
use longhaul_config::diag::Diagnostics;
use longhaul_config::files::ReadError;
use longhaul_config::settings::Profile;
use longhaul_config::taskfile::{
    HarnessList, ParsedTaskFile, PromptFiles, TaskContext, TaskDefaults, TaskFileInput, parse,
};
use longhaul_core::spec::Permission;
use longhaul_core::usage::MicroUsd;

/// Prompt files in memory.
#[derive(Default)]
pub(crate) struct Memory(pub(crate) BTreeMap<String, Vec<u8>>);

impl PromptFiles for Memory {
    fn read(&self, path: &Utf8Path) -> Result<Vec<u8>, ReadError> {
        self.0.get(path.as_str()).cloned().ok_or(ReadError::Missing)
    }
}

/// Everything a context borrows.
pub(crate) struct World {
    pub(crate) harnesses: HarnessList,
    pub(crate) profiles: BTreeMap<String, Profile>,
    pub(crate) judges: Vec<String>,
    pub(crate) files: Memory,
    pub(crate) defaults: TaskDefaults,
    pub(crate) trusted: bool,
    pub(crate) stored: Option<Vec<&'static str>>,
}

impl Default for World {
    fn default() -> Self {
        let files = [
            ("/repo/prompts/ok.md", b"From a file.\n".to_vec()),
            ("/repo/prompts/latin1.md", b"caf\xe9".to_vec()),
            ("/repo/prompts/empty.md", b" \n".to_vec()),
            ("/repo/prompts/big.md", vec![b'x'; (8 << 20) + 1]),
            ("/repo/prompts/mib.md", vec![b'x'; 1 << 20]),
        ];
        Self {
            harnesses: HarnessList::default()
                .with("claude", &["claude-code"], true)
                .with("codex", &[], true)
                .with("gemini", &["gemini-cli"], false)
                .with("opencode", &[], true)
                .with("script", &[], true)
                .with("aider", &[], false),
            profiles: [
                ("careful".to_owned(), Profile::default()),
                (
                    "cheap".to_owned(),
                    Profile {
                        model: Some("small".to_owned()),
                        agent: Some("claude-code".to_owned()),
                        permission_mode: Some(Permission::Plan),
                        max_budget_usd: Some(MicroUsd(500_000)),
                        token_budget: Some(9_000),
                        ..Profile::default()
                    },
                ),
                (
                    "odd".to_owned(),
                    Profile {
                        agent: Some("cluade".to_owned()),
                        max_budget_usd: Some(MicroUsd(1)),
                        ..Profile::default()
                    },
                ),
            ]
            .into(),
            judges: vec!["local".into()],
            files: Memory(files.map(|(k, v)| (k.to_owned(), v)).into()),
            defaults: TaskDefaults::default(),
            trusted: true,
            stored: Some(vec!["old-task"]),
        }
    }
}

impl World {
    /// Runs `f` with the context of this world.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&TaskContext<'_>) -> T) -> T {
        let stored = |name: &str| self.stored.iter().flatten().any(|s| *s == name);
        f(&TaskContext {
            harnesses: &self.harnesses,
            profiles: Some(&self.profiles),
            judges: Some(&self.judges),
            stored: if self.stored.is_some() {
                Some(&stored)
            } else {
                None
            },
            prompt_files: &self.files,
            defaults: &self.defaults,
            trusted: self.trusted,
            land: false,
        })
    }

    /// Parses `/repo/tasks.toml`.
    pub(crate) fn parse(&self, bytes: &[u8]) -> Result<ParsedTaskFile, Diagnostics> {
        let input = TaskFileInput {
            bytes,
            path: Utf8Path::new("/repo/tasks.toml"),
            shown_as: "tasks.toml",
        };
        self.with(|context| parse(input, context))
    }
}
