//! What a launch needs and what it gives: values only, nothing is started here.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_core::spec::{EnvValue, Permission};
use longhaul_core::usage::MicroUsd;
use thiserror::Error;

use crate::screen::ScreenAgent;
use crate::stream::sound_conversation;

/// More than this of one text never goes into a command line (T7).
pub const ARGV_TEXT_LIMIT: usize = 64 << 10;

/// Everything a harness needs to know to plan one attempt.
#[derive(Clone, Debug, Default)]
pub struct LaunchRequest {
    /// The task's name, for agents that name their sessions.
    pub task: String,
    /// What the agent is asked to be and allowed to do.
    pub options: LaunchOptions,
    /// The prompt of this attempt, composed (T7).
    pub prompt: String,
    /// The task's own prompt; the `script` harness reads its script from it.
    pub original_prompt: String,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// The conversation to resume.
    pub resume: Option<String>,
    /// A fresh UUID, used as the conversation's id by harnesses that let us choose it.
    pub fresh_conversation: String,
    /// Where the agent works, absolute.
    pub workdir: Utf8PathBuf,
    /// Where the plan's files will be placed, absolute.
    pub bundle_dir: Utf8PathBuf,
    /// The agent's program, resolved, absolute.
    pub program: Utf8PathBuf,
    /// Longhaul's own executable, absolute; plays scripts.
    pub longhaul: Utf8PathBuf,
    /// Whether the session runs as root.
    pub is_root: bool,
    /// Whether writes of the session are confined by the kernel (T25).
    pub confined: bool,
    /// Whether the user said `sandboxed = true`: this machine is itself a sandbox.
    pub sandboxed: bool,
    /// Whether it is to live in a terminal, where it is typed to, instead of running headless (A21).
    pub terminal: bool,
    /// Where the gateway is, if the session goes through it: a URL without a path (A8).
    pub gateway: Option<String>,
    /// The session's environment as it will be before the plan's changes (`HOME`, `CLAUDE_CONFIG_DIR`,
    /// `CODEX_HOME`, `XDG_*`…).
    pub env: BTreeMap<String, String>,
}

/// The profile of a session, resolved (S12).
#[derive(Clone, Debug, Default)]
pub struct LaunchOptions {
    /// Model in the agent's spelling.
    pub model: Option<String>,
    /// Tools that need no permission, in the agent's spelling.
    pub allowed_tools: Vec<String>,
    /// Tools that are refused, in the agent's spelling.
    pub disallowed_tools: Vec<String>,
    /// Permission mode.
    pub permission: Permission,
    /// Commands, by their beginning, that may run beyond the mode.
    pub allow: Vec<String>,
    /// Further folders to work in, absolute.
    pub add_dirs: Vec<Utf8PathBuf>,
    /// What the attempt may still spend.
    pub max_budget: Option<MicroUsd>,
    /// Text for the agent's system prompt.
    pub append_system_prompt: Option<String>,
}

/// How to start one attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaunchPlan {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Variables to set, last.
    pub env: BTreeMap<String, String>,
    /// Variables to set, last, to what the variable of this other name holds where the session is
    /// started: the value itself is never part of a plan (I12).
    pub env_from: BTreeMap<String, String>,
    /// The variable that is to hold the session's token for the gateway; the token is never part of a plan (I12).
    pub token_in: Option<String>,
    /// Variables to take out of the environment before.
    pub env_remove: Vec<String>,
    /// Bytes for stdin, which is closed after them; in a terminal they are the prompt, to be pasted.
    pub stdin: Vec<u8>,
    /// Whose screen it has, if it lives in a terminal (A21).
    pub terminal: Option<ScreenAgent>,
    /// Files to place in the bundle folder, 0600, before the start.
    pub files: Vec<PlacedFile>,
    /// The conversation's id, where it is known before the agent says it.
    pub conversation: Option<String>,
    /// Folders that the agent itself writes: its own home. Those that do not exist yet have to be made
    /// before a confined start, since the kernel's rules hold only for what is there.
    pub writable: Vec<Utf8PathBuf>,
    /// Files that the agent itself writes outside those folders; one that does not exist is not needed.
    pub writable_files: Vec<Utf8PathBuf>,
    /// Folder with the agent's own record of every conversation, `<conversation>.jsonl` or
    /// `…-<conversation>.jsonl` somewhere below it, where that tells more than the stream; for
    /// [`Harness::record_reader`](crate::Harness::record_reader) and
    /// [`Harness::refusal_of_record`](crate::Harness::refusal_of_record).
    pub records: Option<Utf8PathBuf>,
    /// The agent's own sandbox is what its permission mode means, and it cannot be set up inside ours:
    /// start the session without our confinement. If that is ignored the agent's commands fail; they
    /// are never less confined.
    pub needs_unconfined: bool,
    /// What [`AgentEvent::Started`](crate::AgentEvent::Started) must report as mode, for agents that
    /// report one; anything else stops the session before it spends (T23).
    pub expected_mode: Option<String>,
}

impl LaunchPlan {
    /// Sets variables as the configuration says; a later word for the same name holds.
    pub(crate) fn set(&mut self, variables: &BTreeMap<String, EnvValue>) {
        for (name, value) in variables {
            match value {
                EnvValue::Literal(text) => {
                    self.env_from.remove(name);
                    self.env.insert(name.clone(), text.clone());
                }
                EnvValue::From { from } => {
                    self.env.remove(name);
                    self.env_from.insert(name.clone(), from.clone());
                }
            }
        }
    }
}

/// A file of a launch plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedFile {
    /// Its name in the bundle folder, without separators.
    pub name: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// Why a session is not started. None of them passes by trying again.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LaunchRefusal {
    /// T25.
    #[error("permission `bypass` as root without a sandbox")]
    RootBypass,
    /// The agent itself refuses bypass as root, confined or not (facts/agents.md §1).
    #[error("{harness} refuses permission `bypass` as root")]
    AgentRefusesRootBypass {
        /// The harness.
        harness: String,
    },
    /// I10: no budget where the cost cannot be known.
    #[error("a budget in money, though {harness} does not report what it costs")]
    CostUnknown {
        /// The harness.
        harness: String,
    },
    /// A24: its screens are not known well enough.
    #[error("{harness} cannot be driven in a terminal")]
    NoTerminal {
        /// The harness.
        harness: String,
    },
    /// The harness has no way to resume.
    #[error("{harness} cannot resume a conversation")]
    ResumeUnsupported {
        /// The harness.
        harness: String,
    },
    /// A stored conversation id is corrupt (A23).
    #[error("`{id}` is no conversation id")]
    BadConversation {
        /// The id, cleaned.
        id: String,
    },
    /// A value would be read as a flag, or cannot stand in a command line.
    #[error("{what} `{value}` cannot stand in a command line")]
    BadArgument {
        /// Which option.
        what: &'static str,
        /// The value, cleaned.
        value: String,
    },
    /// T7.
    #[error("a prompt of {bytes} bytes, which {harness} takes in its command line only")]
    PromptTooLong {
        /// The harness.
        harness: String,
        /// Its length.
        bytes: usize,
    },
}

impl LaunchRefusal {
    /// What a person can do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::RootBypass | Self::AgentRefusesRootBypass { .. } => {
                "run as another user, choose permission `edits`, or say `sandboxed = true` if this machine is itself a sandbox"
            }
            Self::NoTerminal { .. } => {
                "use `host = \"headless\"`; only claude can be driven in a terminal"
            }
            Self::CostUnknown { .. } => "use `budget_tokens` instead of `budget_usd`",
            Self::ResumeUnsupported { .. } | Self::BadConversation { .. } => {
                "start a fresh conversation with notes"
            }
            Self::BadArgument { .. } => "correct the value in the task or its profile",
            Self::PromptTooLong { .. } => {
                "remove `task_flag` so that the prompt goes by stdin, or pass `{prompt_file}` in `base_args`"
            }
        }
    }
}

impl LaunchRequest {
    /// A variable of the session, if set and not empty.
    pub(crate) fn var(&self, name: &str) -> Option<&str> {
        self.env
            .get(name)
            .map(String::as_str)
            .filter(|v| !v.is_empty())
    }

    /// A path below `$HOME`; nothing without a home.
    pub(crate) fn home(&self, below: &str) -> Option<Utf8PathBuf> {
        self.var("HOME").map(|home| Utf8Path::new(home).join(below))
    }

    /// Whether bypass is asked of an agent that itself refuses it as root.
    pub(crate) fn refuse_root_bypass(&self) -> Result<(), LaunchRefusal> {
        if self.bypass_as_root() && !self.confined && !self.sandboxed {
            return Err(LaunchRefusal::RootBypass);
        }
        Ok(())
    }

    pub(crate) fn bypass_as_root(&self) -> bool {
        self.is_root && self.options.permission == Permission::Bypass
    }

    /// The conversation to resume, if it is sound.
    pub(crate) fn sound_resume(&self) -> Result<Option<&str>, LaunchRefusal> {
        match self.resume.as_deref() {
            None => Ok(None),
            Some(id) if sound_conversation(id).is_some() => Ok(Some(id)),
            Some(id) => Err(LaunchRefusal::BadConversation {
                id: crate::text::snippet(id, 80),
            }),
        }
    }
}

/// A value that is safe after a flag: not empty, no NUL, not a flag itself.
pub(crate) fn value<'v>(what: &'static str, value: &'v str) -> Result<&'v str, LaunchRefusal> {
    if value.is_empty()
        || value.starts_with('-')
        || value.contains('\0')
        || value.len() > ARGV_TEXT_LIMIT
    {
        return Err(LaunchRefusal::BadArgument {
            what,
            value: crate::text::snippet(value, 80),
        });
    }
    Ok(value)
}

/// A value of printable characters only.
pub(crate) fn printable(what: &'static str, value: &str) -> Result<(), LaunchRefusal> {
    if value.chars().any(char::is_control) {
        return Err(LaunchRefusal::BadArgument {
            what,
            value: crate::text::snippet(value, 80),
        });
    }
    Ok(())
}

/// Builds a command line; every value is checked.
pub(crate) struct Argv(Vec<String>);

impl Argv {
    pub(crate) fn new(program: &Utf8Path, fixed: &[&str]) -> Self {
        let mut argv = vec![program.to_string()];
        argv.extend(fixed.iter().map(|arg| (*arg).to_owned()));
        Self(argv)
    }

    pub(crate) fn fixed(&mut self, args: &[&str]) {
        self.0.extend(args.iter().map(|arg| (*arg).to_owned()));
    }

    pub(crate) fn extend(&mut self, args: impl IntoIterator<Item = String>) {
        self.0.extend(args);
    }

    /// `flag value`.
    pub(crate) fn pair(
        &mut self,
        flag: &str,
        what: &'static str,
        text: &str,
    ) -> Result<(), LaunchRefusal> {
        let text = value(what, text)?;
        self.0.extend([flag.to_owned(), text.to_owned()]);
        Ok(())
    }

    /// `flag=value`: the value may begin with anything.
    pub(crate) fn joined(
        &mut self,
        flag: &str,
        what: &'static str,
        text: &str,
    ) -> Result<(), LaunchRefusal> {
        if text.contains('\0') {
            return Err(LaunchRefusal::BadArgument {
                what,
                value: crate::text::snippet(text, 80),
            });
        }
        self.0.push(format!("{flag}={text}"));
        Ok(())
    }

    /// `flag text`, or `flag=text` for a long flag, so that a text that begins with `-` is none.
    pub(crate) fn joined_or_pair(
        &mut self,
        flag: &str,
        what: &'static str,
        text: &str,
    ) -> Result<(), LaunchRefusal> {
        if text.starts_with('-') && flag.starts_with("--") {
            return self.joined(flag, what, text);
        }
        self.pair(flag, what, text)
    }

    pub(crate) fn done(self) -> Vec<String> {
        self.0
    }
}

/// What a harness can say by flag; the rest is written into the prompt (S10).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ByFlag {
    pub(crate) system_prompt: bool,
    pub(crate) tools: bool,
    pub(crate) add_dirs: bool,
    pub(crate) allow: bool,
}

/// The prompt with what cannot be said by flag: system instructions, an execution profile, the task
/// (S10). Only the prompt where there is nothing to add.
pub(crate) fn inline_prompt(request: &LaunchRequest, by_flag: ByFlag) -> String {
    let options = &request.options;
    let mut parts = Vec::new();
    if let Some(system) = options.append_system_prompt.as_deref()
        && !by_flag.system_prompt
        && !system.is_empty()
    {
        parts.push(format!("System instructions:\n{system}"));
    }
    let mut profile = Vec::new();
    let mut list = |said: bool, title: &str, items: &[String]| {
        if !said && !items.is_empty() {
            profile.push(format!("- {title}: {}", items.join(", ")));
        }
    };
    list(by_flag.tools, "Allowed tools", &options.allowed_tools);
    list(by_flag.tools, "Tools not to use", &options.disallowed_tools);
    list(by_flag.allow, "Commands you may run", &options.allow);
    let dirs: Vec<String> = options.add_dirs.iter().map(ToString::to_string).collect();
    list(by_flag.add_dirs, "Further folders", &dirs);
    if !profile.is_empty() {
        parts.push(format!("Execution profile:\n{}", profile.join("\n")));
    }
    if parts.is_empty() {
        return request.prompt.clone();
    }
    parts.push(format!("Task:\n{}", request.prompt));
    parts.join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s10_what_no_flag_says_stands_in_the_prompt() {
        let mut request = LaunchRequest {
            prompt: "fix it".to_owned(),
            ..LaunchRequest::default()
        };
        assert_eq!(inline_prompt(&request, ByFlag::default()), "fix it");
        request.options.append_system_prompt = Some("be brief".to_owned());
        request.options.allowed_tools = vec!["Read".to_owned(), "Edit".to_owned()];
        request.options.allow = vec!["make".to_owned()];
        assert_eq!(
            inline_prompt(&request, ByFlag::default()),
            "System instructions:\nbe brief\n\nExecution profile:\n- Allowed tools: Read, Edit\n- Commands you may run: make\n\nTask:\nfix it"
        );
        let all = ByFlag {
            system_prompt: true,
            tools: true,
            add_dirs: true,
            allow: true,
        };
        assert_eq!(inline_prompt(&request, all), "fix it");
    }

    #[test]
    fn values_that_look_like_flags_are_refused() {
        for bad in ["", "-x", "--model", "a\0b"] {
            assert!(value("model", bad).is_err(), "{bad:?}");
        }
        assert_eq!(value("model", "opus[1m]"), Ok("opus[1m]"));
    }
}
