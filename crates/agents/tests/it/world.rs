//! A recorded run: which harness, what it printed, how it ended.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use longhaul_agents::{
    AgentEvent, ExitStatusInfo, ParserContext, Registry, StreamParser, TurnEnd, TurnOutcome,
};
use longhaul_core::time::UnixMs;
use longhaul_core::usage::Usage;

/// 2026-11-21T00:20:00Z: within the hour in which the samples were taken.
pub(crate) const NOW: UnixMs = UnixMs(1_795_220_400_000);

pub(crate) struct Recorded {
    pub(crate) name: String,
    pub(crate) harness: &'static str,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) exit: ExitStatusInfo,
}

pub(crate) struct Read {
    pub(crate) events: Vec<AgentEvent>,
    pub(crate) end: TurnEnd,
    pub(crate) usage: Usage,
    pub(crate) conversation_usage: Option<Usage>,
}

impl Recorded {
    pub(crate) fn load(file: &str) -> Self {
        let path = root().join(file);
        let read = |path: &Path| std::fs::read(path).unwrap_or_default();
        Self {
            name: file.to_owned(),
            harness: harness(file),
            stdout: std::fs::read(&path).unwrap_or_else(|e| panic!("{file}: {e}")),
            stderr: read(&stderr_of(&path)),
            exit: exit(file),
        }
    }

    /// Every recorded stream.
    pub(crate) fn all() -> Vec<Self> {
        let mut files = Vec::new();
        for folder in [
            "claude", "codex", "gemini", "opencode", "limits", "hooks", "mcp",
        ] {
            for entry in std::fs::read_dir(root().join(folder)).expect("the samples are there") {
                let name = entry.expect("readable").file_name();
                let name = name.to_string_lossy();
                let transcript = name.starts_with("transcript.")
                    || name.starts_with("rollout.")
                    || name.starts_with("chat.");
                if name.ends_with(".jsonl") && !transcript {
                    files.push(format!("{folder}/{name}"));
                }
            }
        }
        files.sort();
        assert!(files.len() > 80, "only {} samples", files.len());
        files.iter().map(|file| Self::load(file)).collect()
    }

    pub(crate) fn parser(&self, context: &ParserContext) -> Box<dyn StreamParser> {
        Registry::builtin()
            .resolve(self.harness)
            .expect("built in")
            .parser(context)
    }

    pub(crate) fn read(&self) -> Read {
        self.read_in_pieces(&ParserContext::default(), usize::MAX)
    }

    pub(crate) fn read_in_pieces(&self, context: &ParserContext, size: usize) -> Read {
        let mut parser = self.parser(context);
        let mut events = Vec::new();
        for piece in self.stderr.chunks(size) {
            parser.push_stderr(piece, &mut events);
        }
        for piece in self.stdout.chunks(size) {
            parser.push(piece, &mut events);
        }
        let end = parser.finish(self.exit, NOW, &mut events);
        Read {
            events,
            end,
            usage: parser.usage(),
            conversation_usage: parser.conversation_usage(),
        }
    }
}

impl Read {
    /// The outcome in one line.
    pub(crate) fn outcome(&self) -> String {
        match &self.end.outcome {
            TurnOutcome::Completed { summary } => format!("completed: {summary}"),
            TurnOutcome::Failed { kind, message } => {
                let first = message.lines().next().unwrap_or_default();
                format!("failed {kind:?}: {first}")
            }
            TurnOutcome::Limited(notice) => {
                let mut text = format!("limited {}", notice.class.as_str());
                if let Some(window) = &notice.window {
                    write!(text, " {window}").expect("a string");
                }
                if let Some(at) = notice.reset_at {
                    write!(text, " until {}", at.0 / 1000).expect("a string");
                }
                text
            }
            TurnOutcome::Interrupted => "interrupted".to_owned(),
            TurnOutcome::NoTerminalEvent { exit, .. } => format!("no terminal event: {exit}"),
            TurnOutcome::NotResumable { .. } => "not resumable".to_owned(),
        }
    }

    /// Everything, a line per event.
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        for event in &self.events {
            let json = serde_json::to_string(event).expect("serialises");
            writeln!(text, "{json}").expect("a string");
        }
        let end = serde_json::to_string(&self.end).expect("serialises");
        write!(text, "end {end}\nusage {:?}\n", self.usage).expect("a string");
        if let Some(usage) = self.conversation_usage {
            writeln!(text, "conversation {usage:?}").expect("a string");
        }
        text
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples")
}

fn stderr_of(path: &Path) -> PathBuf {
    let name = path.to_string_lossy();
    let stem = name.trim_end_matches(".jsonl").trim_end_matches(".stream");
    PathBuf::from(format!("{stem}.stderr"))
}

fn harness(file: &str) -> &'static str {
    let name = file.rsplit('/').next().unwrap_or(file);
    match file.split('/').next() {
        Some("claude" | "hooks") => "claude",
        Some("codex") => "codex",
        Some("gemini") => "gemini",
        Some("opencode") => "opencode",
        _ if name.starts_with("codex") => "codex",
        _ if name.starts_with("gemini") => "gemini",
        _ => "claude",
    }
}

/// How the recorded process ended (facts/agents.md §3, §5). Gemini's tries that were cut off by hand
/// count as ended by SIGTERM.
fn exit(file: &str) -> ExitStatusInfo {
    let code = match file {
        f if f.contains("sigKILL") => return ExitStatusInfo::signalled(9),
        "gemini/err-429.jsonl"
        | "gemini/err-500.jsonl"
        | "limits/gemini-g429.jsonl"
        | "limits/gemini-g503.jsonl" => return ExitStatusInfo::signalled(15),
        "gemini/err-400.jsonl" => 144,
        "gemini/err-401.jsonl" => 145,
        "gemini/err-429full.jsonl" | "gemini/err-429quota.jsonl" | "limits/gemini-gday.jsonl" => {
            173
        }
        "gemini/resume-unknown.stream.jsonl" => 42,
        "gemini/no-auth.stream.jsonl" => 41,
        "gemini/untrusted.stream.jsonl" => 55,
        "claude/logged-out.stream.jsonl"
        | "claude/bad-key.stream.jsonl"
        | "claude/no-credit.stream.jsonl"
        | "codex/no-key.jsonl" => 1,
        "claude/err-429once.stream.jsonl" | "claude/err-cut.stream.jsonl" => 0,
        "codex/err-429ra.jsonl"
        | "codex/err-cut.jsonl"
        | "codex/err-failed.jsonl"
        | "codex/err-headers.jsonl"
        | "limits/codex-oaiok.jsonl"
        | "opencode/err-429ra.jsonl" => 0,
        "claude/sigINT-modelwait.stream.jsonl"
        | "claude/sigTERM.stream.jsonl"
        | "claude/sigHUP.stream.jsonl" => 0,
        f if f.contains("sigTERM") => 143,
        f if f.contains("sigINT") || f.contains("/err-") || f.contains("/max-") => 1,
        f if f.contains("unknown") || f.contains("in-use") || f.contains("root-bypass") => 1,
        f if f.contains("codex-oai") => 1,
        _ => 0,
    };
    ExitStatusInfo::exited(code)
}
