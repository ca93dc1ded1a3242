//! The command lines of the four agents, as far as Longhaul uses them.

use uuid::Uuid;

/// Which agent is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Agent {
    Claude,
    Codex,
    Gemini,
    OpenCode,
}

impl Agent {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name {
            "claude" => Some(Self::Claude),
            "codex" => Some(Self::Codex),
            "gemini" => Some(Self::Gemini),
            "opencode" => Some(Self::OpenCode),
            _ => None,
        }
    }

    pub(super) const fn version(self) -> &'static str {
        match self {
            Self::Claude => "2.1.197",
            Self::Codex => "0.169.0",
            Self::Gemini => "0.61.0",
            Self::OpenCode => "1.18.33",
        }
    }

    /// What `--version` prints.
    pub(super) fn version_line(self) -> String {
        match self {
            Self::Claude => format!("{} (Claude Code)", self.version()),
            Self::Codex => format!("codex-cli {}", self.version()),
            Self::Gemini | Self::OpenCode => self.version().to_owned(),
        }
    }

    /// The id of a conversation that was given none.
    pub(super) fn new_id(self) -> String {
        let id = fresh_uuid();
        match self {
            Self::OpenCode => format!("ses_{}", &id.simple().to_string()[..26]),
            Self::Claude | Self::Codex | Self::Gemini => id.hyphenated().to_string(),
        }
    }
}

/// A UUIDv7 of the time and the process.
pub(super) fn fresh_uuid() -> Uuid {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    let mut tail = [0; 10];
    tail[..4].copy_from_slice(&std::process::id().to_be_bytes());
    tail[4..8].copy_from_slice(&now.subsec_nanos().to_be_bytes());
    let ms = u64::try_from(now.as_millis()).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(ms, &tail).into_uuid()
}

/// What a command line asks for.
#[derive(Clone, Debug)]
pub(super) struct Launch {
    pub(super) agent: Agent,
    /// The prompt, if it is an argument; else standard input.
    pub(super) prompt: Option<String>,
    pub(super) resume: Option<String>,
    pub(super) session: Option<String>,
    pub(super) model: String,
    /// In the agent's own word.
    pub(super) mode: String,
    pub(super) version: String,
}

impl Launch {
    pub(super) fn parse(agent: Agent, words: &[String]) -> Self {
        let mut launch = Self {
            agent,
            prompt: None,
            resume: None,
            session: None,
            model: String::new(),
            mode: "default".to_owned(),
            version: agent.version().to_owned(),
        };
        let mut free = Vec::new();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let (flag, mut inline) = match word.split_once('=') {
                Some((flag, value)) if flag.starts_with("--") => (flag, Some(value.to_owned())),
                _ => (word.as_str(), None),
            };
            let mut value = || inline.take().or_else(|| words.next().cloned());
            match flag {
                "--resume" | "-r" => launch.resume = value(),
                "-s" | "--session" if agent == Agent::OpenCode => launch.resume = value(),
                "-s" | "--sandbox" if agent == Agent::Codex => {
                    launch.mode = value().unwrap_or_default();
                }
                "--session-id" => launch.session = value(),
                "--model" | "-m" => launch.model = value().unwrap_or_default(),
                "--permission-mode" | "--approval-mode" => {
                    launch.mode = value().unwrap_or_default();
                }
                "--dangerously-skip-permissions" => {
                    launch.mode = "bypassPermissions".to_owned();
                }
                "--dangerously-bypass-approvals-and-sandbox" => {
                    launch.mode = "danger-full-access".to_owned();
                }
                "-y" | "--yolo" => launch.mode = "yolo".to_owned(),
                "-p" | "--prompt" if agent == Agent::Gemini => launch.prompt = value(),
                "--output-format"
                | "--format"
                | "--settings"
                | "--append-system-prompt"
                | "--add-dir"
                | "--max-budget-usd"
                | "--max-turns"
                | "-c"
                | "--config"
                | "-C"
                | "--cd"
                | "--mcp-config"
                | "--name"
                | "-n"
                | "--input-format"
                | "--setting-sources"
                | "--agent" => drop(value()),
                "--allowedTools" | "--disallowedTools" | "--allowed-tools"
                | "--disallowed-tools" => {
                    // A list: up to the next flag, as the real parser takes it.
                    if inline.is_none() {
                        while words.clone().next().is_some_and(|w| !w.starts_with('-')) {
                            words.next();
                        }
                    }
                }
                _ if word.starts_with('-') && word != "-" => {}
                _ => free.push(word.clone()),
            }
        }
        launch.take_free(free);
        launch
    }

    /// Words that belong to no flag: sub-commands, Codex's thread id, the prompt.
    fn take_free(&mut self, free: Vec<String>) {
        let mut free = free.into_iter().peekable();
        match self.agent {
            Agent::Codex => {
                free.next_if(|word| word == "exec");
                if free.next_if(|word| word == "resume").is_some() {
                    self.resume = free.next();
                }
            }
            Agent::OpenCode => {
                free.next_if(|word| word == "run");
            }
            Agent::Claude | Agent::Gemini => {}
        }
        let rest: Vec<String> = free.filter(|word| word != "-").collect();
        if self.prompt.is_none() && !rest.is_empty() {
            self.prompt = Some(rest.join(" "));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(agent: Agent, line: &str) -> Launch {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        Launch::parse(agent, &words)
    }

    #[test]
    fn the_real_command_lines_are_understood() {
        let claude = parse(
            Agent::Claude,
            "-p --output-format stream-json --verbose --session-id S --permission-mode acceptEdits \
             --allowedTools Bash(make:*) Bash(ls) --model opus",
        );
        assert_eq!(
            (claude.session.as_deref(), claude.prompt),
            (Some("S"), None)
        );
        assert_eq!(
            (claude.mode.as_str(), claude.model.as_str()),
            ("acceptEdits", "opus")
        );
        let codex = parse(Agent::Codex, "exec resume --json -c a=b T-1 -");
        assert_eq!((codex.resume.as_deref(), codex.prompt), (Some("T-1"), None));
        let gemini = parse(Agent::Gemini, "-y --output-format stream-json -p hello");
        assert_eq!(
            (gemini.mode.as_str(), gemini.prompt.as_deref()),
            ("yolo", Some("hello"))
        );
        let opencode = parse(Agent::OpenCode, "run --format json --auto -s ses_1 do it");
        assert_eq!(opencode.resume.as_deref(), Some("ses_1"));
        assert_eq!(opencode.prompt.as_deref(), Some("do it"));
    }
}
