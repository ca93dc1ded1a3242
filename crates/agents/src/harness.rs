//! A harness: the adapter for one kind of agent.

use std::collections::BTreeMap;

use longhaul_core::account::Provider;
use longhaul_core::limit::LimitNotice;
use longhaul_core::spec::EnvValue;
use longhaul_core::time::UnixMs;

use crate::account_home::{AccountHome, account_home};
use crate::capabilities::Capabilities;
use crate::custom::{CustomHarness, OutputFormat, TextStream};
use crate::gateway::{Again, Passage, through};
use crate::launch::{LaunchPlan, LaunchRefusal, LaunchRequest};
use crate::limits::Zone;
use crate::record::RecordReader;
use crate::stream::{LineParser, ParserContext, StreamParser};
use crate::{claude, codex, custom, gemini, opencode, script};

/// The adapter for one kind of agent. Made by a [`Registry`](crate::Registry).
#[derive(Clone, Debug)]
pub struct Harness {
    name: String,
    aliases: Vec<String>,
    program: String,
    kind: Kind,
    capabilities: Capabilities,
    extra_args: Vec<String>,
    env: BTreeMap<String, EnvValue>,
}

#[derive(Clone, Debug)]
enum Kind {
    Builtin(Builtin),
    Custom(Box<CustomHarness>),
}

/// The harnesses that are built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Builtin {
    Claude,
    Codex,
    Gemini,
    Opencode,
    Script,
}

impl Builtin {
    /// All, in the order in which `auto` tries them.
    pub(crate) const ALL: [Self; 5] = [
        Self::Claude,
        Self::Codex,
        Self::Opencode,
        Self::Gemini,
        Self::Script,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::Codex => "codex",
            Self::Gemini => "gemini",
            Self::Opencode => "opencode",
            Self::Script => "script",
        }
    }

    /// Other spellings, lower case, with `-` for `_` and spaces.
    pub(crate) const fn aliases(self) -> &'static [&'static str] {
        match self {
            Self::Claude => &["claude-code", "claudecode", "anthropic-claude"],
            Self::Codex => &["codex-cli", "openai-codex"],
            Self::Gemini => &["gemini-cli", "google-gemini"],
            Self::Opencode => &["open-code", "opencode-ai"],
            Self::Script => &["scripted"],
        }
    }
}

impl Harness {
    pub(crate) fn builtin(kind: Builtin) -> Self {
        Self {
            name: kind.name().to_owned(),
            aliases: kind.aliases().iter().map(|a| (*a).to_owned()).collect(),
            program: match kind {
                // Played by our own executable; nothing to look up.
                Builtin::Script => "longhaul",
                _ => kind.name(),
            }
            .to_owned(),
            capabilities: match kind {
                Builtin::Claude => claude::capabilities(),
                Builtin::Codex => codex::capabilities(),
                Builtin::Gemini => gemini::capabilities(),
                Builtin::Opencode => opencode::capabilities(),
                Builtin::Script => script::capabilities(),
            },
            kind: Kind::Builtin(kind),
            extra_args: Vec::new(),
            env: BTreeMap::new(),
        }
    }

    pub(crate) fn custom(settings: CustomHarness, program: String) -> Self {
        Self {
            name: settings.name.clone(),
            aliases: settings.aliases.clone(),
            program,
            capabilities: custom::capabilities(&settings),
            kind: Kind::Custom(Box::new(settings)),
            extra_args: Vec::new(),
            env: BTreeMap::new(),
        }
    }

    /// Changes a built-in harness as the config says.
    pub(crate) fn change(&mut self, settings: CustomHarness) {
        if let Some(program) = settings.program {
            self.program = program;
        }
        if let Some(known) = settings.cost_known {
            self.capabilities.cost_known = known;
        }
        self.aliases.extend(settings.aliases);
        self.capabilities.credentials.extend(settings.credentials);
        self.extra_args = settings.base_args;
        self.env = settings.env;
    }

    /// Its name: `claude`, or the config's.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its other names.
    #[must_use]
    pub fn aliases(&self) -> Vec<&str> {
        self.aliases.iter().map(String::as_str).collect()
    }

    /// The program to look up on `PATH`, or a path.
    #[must_use]
    pub fn program(&self) -> &str {
        &self.program
    }

    /// Whether Longhaul's own executable is the agent: nothing has to be installed.
    #[must_use]
    pub fn is_builtin_script(&self) -> bool {
        matches!(self.kind, Kind::Builtin(Builtin::Script))
    }

    /// Its row of the capability table.
    #[must_use]
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// The provider whose accounts its sessions use, where they can go through the gateway (A8).
    #[must_use]
    pub fn provider(&self) -> Option<Provider> {
        match &self.kind {
            Kind::Builtin(agent) => through(*agent).map(|t| t.provider),
            Kind::Custom(_) => None,
        }
    }

    /// How it is sent through the gateway at `url` by whoever starts it; `None` where it cannot be.
    #[must_use]
    pub fn passage(&self, url: &str) -> Option<Passage> {
        match &self.kind {
            Kind::Builtin(agent) => through(*agent).map(|t| t.passage(*agent, url)),
            Kind::Custom(_) => None,
        }
    }

    /// How a command of a person's that begins this agent is begun again after it was ended in the middle (A15);
    /// `fresh` is a new UUID. `None`: as it was the first time.
    #[must_use]
    pub fn again(&self, args: &[String], fresh: &str) -> Option<Again> {
        match &self.kind {
            Kind::Builtin(Builtin::Claude) => claude::again(args, fresh),
            Kind::Builtin(_) | Kind::Custom(_) => None,
        }
    }

    /// How its sessions are given a config home as an account, where it keeps its login in one (A18) and the
    /// configuration gives it no login of its own.
    #[must_use]
    pub fn account_home(&self) -> Option<AccountHome> {
        let Kind::Builtin(agent) = &self.kind else {
            return None;
        };
        let home = account_home(*agent)?;
        let own = home.own_ways().any(|name| self.env.contains_key(name));
        (!own).then_some(home)
    }

    /// Whether the user's own variables, the task's or the configuration's, send its sessions somewhere or give
    /// them a key, or the daemon's hold what its own tool takes before any key: they are left to that.
    #[must_use]
    pub fn goes_its_own_way(
        &self,
        environment: &BTreeMap<String, String>,
        daemon: &BTreeMap<String, String>,
    ) -> bool {
        let Kind::Builtin(agent) = &self.kind else {
            return true;
        };
        through(*agent).is_none_or(|through| {
            let mut ways = through.own_ways();
            let named =
                ways.any(|name| environment.contains_key(name) || self.env.contains_key(name));
            let before = through.before_keys.and_then(|name| daemon.get(name));
            named || before.is_some_and(|value| !value.is_empty())
        })
    }

    /// Plans one attempt.
    ///
    /// # Errors
    /// Where the request asks for what the harness cannot or must not do; asking again gives the same.
    pub fn launch(&self, request: &LaunchRequest) -> Result<LaunchPlan, LaunchRefusal> {
        if request.terminal && !matches!(self.kind, Kind::Builtin(Builtin::Claude)) {
            return Err(LaunchRefusal::NoTerminal {
                harness: self.name.clone(),
            });
        }
        let mut plan = match &self.kind {
            Kind::Builtin(Builtin::Claude) => claude::launch(request)?,
            Kind::Builtin(Builtin::Codex) => codex::launch(request)?,
            Kind::Builtin(Builtin::Gemini) => gemini::launch(request)?,
            Kind::Builtin(Builtin::Opencode) => opencode::launch(request)?,
            Kind::Builtin(Builtin::Script) => script::launch(request)?,
            Kind::Custom(settings) => custom::launch(settings, request)?,
        };
        if let (Kind::Builtin(agent), Some(url)) = (&self.kind, &request.gateway)
            && let Some(through) = through(*agent)
        {
            through.change(*agent, &mut plan, url);
        }
        // After the program: in front of subcommands and of flags that take all that follows.
        plan.argv.splice(1..1, self.extra_args.iter().cloned());
        plan.set(&self.env);
        Ok(plan)
    }

    /// The refusal that the last turn of a conversation ended with, as the agent's own record of it
    /// ([`LaunchPlan::records`]) tells: prefer it to the stream's, which may round the reset to minutes.
    #[must_use]
    pub fn refusal_of_record(
        &self,
        record: &[u8],
        now: UnixMs,
        time_zone: Option<&str>,
    ) -> Option<LimitNotice> {
        match self.output() {
            OutputFormat::CodexJson => {
                let mut rollout = codex::CodexRollout::default();
                rollout.push(record, &mut Vec::new());
                rollout.refusal(now, &Zone::named(time_zone))
            }
            OutputFormat::Text
            | OutputFormat::ClaudeStream
            | OutputFormat::GeminiStream
            | OutputFormat::OpencodeJson
            | OutputFormat::Script => None,
        }
    }

    /// A reader for the agent's own record of a conversation ([`LaunchPlan::records`]), where it keeps
    /// one that says what was used.
    #[must_use]
    pub fn record_reader(&self) -> Option<Box<dyn RecordReader>> {
        match self.output() {
            OutputFormat::ClaudeStream => Some(Box::new(claude::ClaudeTranscript::default())),
            OutputFormat::CodexJson => Some(Box::new(codex::CodexRollout::default())),
            OutputFormat::Text
            | OutputFormat::GeminiStream
            | OutputFormat::OpencodeJson
            | OutputFormat::Script => None,
        }
    }

    fn output(&self) -> OutputFormat {
        match &self.kind {
            Kind::Builtin(Builtin::Claude) => OutputFormat::ClaudeStream,
            Kind::Builtin(Builtin::Codex) => OutputFormat::CodexJson,
            Kind::Builtin(Builtin::Gemini) => OutputFormat::GeminiStream,
            Kind::Builtin(Builtin::Opencode) => OutputFormat::OpencodeJson,
            Kind::Builtin(Builtin::Script) => OutputFormat::Script,
            Kind::Custom(settings) => settings.output,
        }
    }

    /// A parser for one attempt.
    #[must_use]
    pub fn parser(&self, context: &ParserContext) -> Box<dyn StreamParser> {
        match self.output() {
            OutputFormat::Text => Box::new(LineParser::new(TextStream::default(), context)),
            OutputFormat::ClaudeStream => {
                Box::new(LineParser::new(claude::ClaudeStream::default(), context))
            }
            OutputFormat::CodexJson => {
                Box::new(LineParser::new(codex::CodexStream::new(context), context))
            }
            OutputFormat::GeminiStream => {
                Box::new(LineParser::new(gemini::GeminiStream::default(), context))
            }
            OutputFormat::OpencodeJson => Box::new(LineParser::new(
                opencode::OpencodeStream::default(),
                context,
            )),
            OutputFormat::Script => {
                Box::new(LineParser::new(script::ScriptStream::default(), context))
            }
        }
    }
}
