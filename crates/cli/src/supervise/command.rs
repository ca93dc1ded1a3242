//! The command and its environment: with one key of each pool, or with a way to the gateway in their place. No other
//! key that Longhaul knows of goes along (I12).

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Command;

use longhaul_agents::{Again, Harness, Registry};
use longhaul_config::accounts::discover;
use longhaul_config::settings::{AccountSettings, KeySource};
use longhaul_core::account::Provider;
use longhaul_gateway::api::AccountSpec;

use super::MARK;
use crate::accounts::base_url_variable;
use crate::context::Context;

/// What the user asked to be run.
pub(super) struct Asked {
    /// The program and its arguments.
    words: Vec<OsString>,
    /// The agent that it is, if it is one.
    agent: Option<Harness>,
    /// How it is begun again, where that is another way than the first time.
    again: Option<Again>,
    /// Its conversation, if it can go on with it.
    conversation: String,
}

/// A way for one provider's language.
pub(super) enum Way<'a> {
    /// The key itself.
    Key(&'a AccountSpec),
    /// The gateway, with a token.
    Gateway {
        provider: Provider,
        url: &'a str,
        token: &'a str,
    },
}

impl Asked {
    pub(super) fn new(words: &[OsString], resume: bool) -> Self {
        let program = words.first().map(|w| Path::new(w).file_name());
        let name = program.flatten().and_then(OsStr::to_str);
        let agent = name.and_then(|name| Registry::builtin().resolve(name).ok().cloned());
        // Not by an alias, and not our own player of scripts.
        let agent = agent.filter(|a| Some(a.program()) == name && !a.is_builtin_script());
        let conversation = uuid::Uuid::now_v7().to_string();
        let text: Option<Vec<String>> = words
            .iter()
            .skip(1)
            .map(|w| Some(w.to_str()?.to_owned()))
            .collect();
        let again = agent.as_ref().zip(text).filter(|_| resume);
        let again = again.and_then(|(agent, args)| agent.again(&args, &conversation));
        Self {
            words: words.to_vec(),
            agent,
            again,
            conversation,
        }
    }

    /// The agent that it is.
    pub(super) fn agent(&self) -> Option<&Harness> {
        self.agent.as_ref()
    }

    /// What was asked, as text for people.
    pub(super) fn program(&self) -> String {
        let program = self.words.first().map(|w| w.to_string_lossy().into_owned());
        program.unwrap_or_default()
    }

    /// The words with which a person goes on with it later.
    pub(super) fn later(&self, context: &Context) -> Vec<OsString> {
        match &self.again {
            Some(again) if self.conversation_is_there(context) => {
                let program = self.words.first().cloned();
                let args = again.again.iter().map(OsString::from);
                program.into_iter().chain(args).collect()
            }
            _ => self.words.clone(),
        }
    }

    /// Ready to start; `again`: it ran already and was ended.
    pub(super) fn command(
        &self,
        context: &Context,
        settings: &AccountSettings,
        ways: &[Way<'_>],
        name: &str,
        again: bool,
    ) -> Command {
        let program = self.words.first().cloned().unwrap_or_default();
        let mut args: Vec<OsString> = match &self.again {
            Some(_) if again && self.conversation_is_there(context) => {
                self.later(context).split_off(1)
            }
            Some(first) => first.first.iter().map(OsString::from).collect(),
            None => self.words.iter().skip(1).cloned().collect(),
        };
        let mut command = Command::new(program);
        command.env_clear().envs(context.env.all());
        for variable in keys_of(context, settings) {
            command.env_remove(variable);
        }
        for way in ways {
            match way {
                Way::Key(account) => self.with_key(&mut command, account),
                Way::Gateway {
                    provider,
                    url,
                    token,
                } => {
                    let own = |name: &str| context.env.lossy(name).map(str::to_owned);
                    command.envs(longhaul_agents::past_proxy(own));
                    let passage = self.agent.as_ref().and_then(|a| a.passage(url));
                    match passage.filter(|p| p.provider == *provider) {
                        Some(passage) => {
                            for variable in passage.remove {
                                command.env_remove(variable);
                            }
                            command.envs(passage.set).env(passage.token_in, token);
                            args.splice(0..0, passage.args.iter().map(OsString::from));
                        }
                        None => {
                            command.envs(through(*provider, url, token));
                        }
                    }
                }
            }
        }
        command
            .env(MARK, name)
            .args(args)
            .current_dir(context.folder());
        command
    }

    fn with_key(&self, command: &mut Command, account: &AccountSpec) {
        command.env(key_variable(account.provider), account.key.expose());
        if let Some(url) = &account.base_url {
            command.env(base_url_variable(account.provider), url);
        }
    }

    /// Whether Claude wrote the conversation down; without it, it can only begin anew.
    fn conversation_is_there(&self, context: &Context) -> bool {
        let own = context.env.lossy("CLAUDE_CONFIG_DIR").map(Into::into);
        let home = own.unwrap_or_else(|| context.paths().home.join(".claude"));
        let projects = home.join("projects").read_dir_utf8();
        let file = format!("{}.jsonl", self.conversation);
        projects
            .into_iter()
            .flatten()
            .flatten()
            .any(|project| project.path().join(&file).exists())
    }
}

/// The variable that holds a provider's key for programs at large.
pub(crate) const fn key_variable(provider: Provider) -> &'static str {
    match provider {
        Provider::Anthropic => "ANTHROPIC_API_KEY",
        Provider::Openai => "OPENAI_API_KEY",
        Provider::Gemini => "GEMINI_API_KEY",
    }
}

/// The variables with which programs at large find the gateway.
pub(crate) fn through(provider: Provider, url: &str, token: &str) -> [(&'static str, String); 2] {
    // OpenAI's own libraries take the version as a part of the base.
    let base = match provider {
        Provider::Openai => format!("{url}/v1"),
        Provider::Anthropic | Provider::Gemini => url.to_owned(),
    };
    [
        (base_url_variable(provider), base),
        (key_variable(provider), token.to_owned()),
    ]
}

/// Every variable of ours that holds keys: none of them is the command's.
fn keys_of(context: &Context, settings: &AccountSettings) -> BTreeSet<String> {
    let all = context.env.all_text();
    let found = discover(all.iter().map(|(n, v)| (n.as_str(), v.as_str())));
    let named = settings.known.values().filter_map(|a| match &a.key {
        KeySource::Env(name) => Some(name.clone()),
        KeySource::File(_) | KeySource::Command(_) => None,
    });
    found.into_iter().map(|f| f.variable).chain(named).collect()
}
