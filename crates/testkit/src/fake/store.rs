//! The conversations a fake agent remembers, in the folder where the real one keeps its own: so that
//! unknown ids, other homes and shared links behave alike.

use std::io;
use std::path::{Path, PathBuf};

use super::args::Agent;

/// The folder of one agent's conversations.
#[derive(Clone, Debug)]
pub(super) struct Store {
    agent: Agent,
    root: PathBuf,
}

impl Store {
    pub(super) fn new(agent: Agent) -> Self {
        let var = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let home = var("HOME").unwrap_or_else(|| PathBuf::from("/nonexistent"));
        let root = match agent {
            Agent::Claude => var("CLAUDE_CONFIG_DIR")
                .unwrap_or_else(|| home.join(".claude"))
                .join("projects"),
            Agent::Codex => var("CODEX_HOME")
                .unwrap_or_else(|| home.join(".codex"))
                .join("sessions"),
            Agent::Gemini => var("GEMINI_CLI_HOME").unwrap_or(home).join(".gemini/tmp"),
            Agent::OpenCode => var("XDG_DATA_HOME")
                .unwrap_or_else(|| home.join(".local/share"))
                .join("opencode/fake"),
        };
        Self { agent, root }
    }

    /// The folder itself.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The transcript of a conversation that starts in `folder`.
    fn path(&self, id: &str, folder: &Path) -> PathBuf {
        let slug: String = folder
            .to_string_lossy()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        match self.agent {
            Agent::Claude => self.root.join(slug).join(format!("{id}.jsonl")),
            Agent::Codex => self
                .root
                .join("2026/11/21")
                .join(format!("rollout-2026-11-21T00-00-00-{id}.jsonl")),
            Agent::Gemini => {
                let short = id.split('-').next().unwrap_or(id);
                self.root
                    .join(slug)
                    .join("chats")
                    .join(format!("session-2026-11-21T00-00-{short}.jsonl"))
            }
            Agent::OpenCode => self.root.join(format!("{id}.jsonl")),
        }
    }

    /// The transcript of a known conversation, wherever it started.
    fn find(&self, id: &str) -> Option<PathBuf> {
        let wanted = self.path(id, Path::new(""));
        let name = wanted.file_name()?;
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.file_name() == Some(name) {
                    return Some(path);
                }
            }
        }
        None
    }

    pub(super) fn knows(&self, id: &str) -> bool {
        self.find(id).is_some()
    }

    /// Adds a line to the conversation's transcript.
    pub(super) fn append(
        &self,
        id: &str,
        folder: &Path,
        line: &serde_json::Value,
    ) -> io::Result<()> {
        let path = self.find(id).unwrap_or_else(|| self.path(id, folder));
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)?;
        io::Write::write_all(&mut file, format!("{line}\n").as_bytes())
    }

    /// The last line of the transcript that has this field below `payload` or at the top.
    pub(super) fn last(&self, id: &str, pointer: &str) -> Option<serde_json::Value> {
        let text = std::fs::read_to_string(self.find(id)?).ok()?;
        text.lines()
            .rev()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .find_map(|line| line.pointer(pointer).cloned())
    }
}
