//! How each agent is sent through the gateway (A8): its base URL, and where it takes its key from. The session's
//! token is named and never held here (I12).

use std::collections::BTreeMap;

use longhaul_core::account::Provider;

use crate::harness::Builtin;
use crate::launch::LaunchPlan;

/// How one agent is sent elsewhere.
pub(crate) struct Through {
    pub(crate) provider: Provider,
    /// The variable with which its own tool is sent elsewhere.
    pub(crate) url: &'static str,
    /// The variable that its key is taken from.
    token: &'static str,
    /// The variable that comes before any key for its own tool: whoever sets it means it.
    pub(crate) before_keys: Option<&'static str>,
    /// Further credentials of its own; they must not be there beside the token.
    pub(crate) others: &'static [&'static str],
}

/// How this agent is sent through the gateway; `None` where it speaks to several providers or to none.
pub(crate) const fn through(agent: Builtin) -> Option<Through> {
    match agent {
        Builtin::Claude => Some(Through {
            provider: Provider::Anthropic,
            url: "ANTHROPIC_BASE_URL",
            token: "ANTHROPIC_AUTH_TOKEN",
            before_keys: Some("ANTHROPIC_AUTH_TOKEN"),
            others: &["ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN"],
        }),
        Builtin::Codex => Some(Through {
            provider: Provider::Openai,
            url: "OPENAI_BASE_URL",
            token: "LONGHAUL_GATEWAY_TOKEN",
            before_keys: None,
            others: &["OPENAI_API_KEY", "CODEX_API_KEY"],
        }),
        Builtin::Gemini => Some(Through {
            provider: Provider::Gemini,
            url: "GOOGLE_GEMINI_BASE_URL",
            token: "GEMINI_API_KEY",
            before_keys: None,
            others: &["GOOGLE_API_KEY"],
        }),
        Builtin::Opencode | Builtin::Script => None,
    }
}

/// The two ways in which a person's command is begun, without the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Again {
    /// The first time.
    pub first: Vec<String>,
    /// Every time after that.
    pub again: Vec<String>,
}

/// How an agent that somebody else starts is sent through the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// Whose accounts it uses.
    pub provider: Provider,
    /// Arguments right behind the program.
    pub args: Vec<String>,
    /// Variables that it gets.
    pub set: BTreeMap<&'static str, String>,
    /// Variables that it must not have; what is set comes after.
    pub remove: Vec<&'static str>,
    /// The variable for its token.
    pub token_in: &'static str,
}

/// What a program that asks the gateway needs where its environment names a company's proxy: the gateway is on this
/// machine, and no proxy can reach it. Nothing where there is none.
pub fn past_proxy(variable: impl Fn(&str) -> Option<String>) -> Vec<(&'static str, String)> {
    const PROXIES: [&str; 6] = [
        "HTTPS_PROXY",
        "https_proxy",
        "HTTP_PROXY",
        "http_proxy",
        "ALL_PROXY",
        "all_proxy",
    ];
    const HERE: [&str; 2] = ["127.0.0.1", "localhost"];
    let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
    if !PROXIES.into_iter().any(|name| set(name).is_some()) {
        return Vec::new();
    }
    let given = set("NO_PROXY").or_else(|| set("no_proxy"));
    let mut places: Vec<&str> = given.as_deref().unwrap_or_default().split(',').collect();
    places.retain(|place| !place.trim().is_empty());
    let missing = HERE
        .iter()
        .filter(|here| places.iter().all(|p| p.trim() != **here));
    let missing: Vec<&str> = missing.copied().collect();
    places.extend(missing);
    let places = places.join(",");
    vec![("NO_PROXY", places.clone()), ("no_proxy", places)]
}

impl Through {
    /// The variables whose presence says that the user sends the agent somewhere himself.
    pub(crate) fn own_ways(&self) -> impl Iterator<Item = &'static str> {
        [self.url, self.token]
            .into_iter()
            .chain(self.others.iter().copied())
    }

    /// What changes so that the agent asks the gateway at `url`.
    pub(crate) fn passage(&self, agent: Builtin, url: &str) -> Passage {
        let mut passage = Passage {
            provider: self.provider,
            args: Vec::new(),
            set: BTreeMap::new(),
            remove: self.own_ways().collect(),
            token_in: self.token,
        };
        if agent == Builtin::Codex {
            // Its own provider reads a login first; one of ours reads the variable alone.
            let settings = [
                "model_provider=\"longhaul\"".to_owned(),
                "model_providers.longhaul.name=\"Longhaul\"".to_owned(),
                format!("model_providers.longhaul.base_url=\"{url}/v1\""),
                format!("model_providers.longhaul.env_key=\"{}\"", self.token),
                "model_providers.longhaul.wire_api=\"responses\"".to_owned(),
            ];
            let args = settings.into_iter().flat_map(|s| ["-c".to_owned(), s]);
            passage.args.extend(args);
        } else {
            passage.set.insert(self.url, url.to_owned());
        }
        if agent == Builtin::Claude {
            // Another base URL switches this off by itself (facts/limits.md §2).
            passage.set.insert("ENABLE_TOOL_SEARCH", "true".to_owned());
        }
        passage
    }

    /// Changes a plan so that the session asks the gateway at `url`.
    pub(crate) fn change(&self, agent: Builtin, plan: &mut LaunchPlan, url: &str) {
        let passage = self.passage(agent, url);
        let names = passage.remove.into_iter().map(str::to_owned);
        plan.env_remove.extend(names);
        plan.argv.splice(1..1, passage.args);
        let set = passage.set.into_iter();
        plan.env
            .extend(set.map(|(name, value)| (name.to_owned(), value)));
        plan.token_in = Some(passage.token_in.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Registry;

    #[test]
    fn a8_no_proxy_stands_between_a_program_and_the_gateway() {
        let told = |variables: &[(&str, &str)]| {
            past_proxy(|name| {
                let found = variables.iter().find(|(n, _)| *n == name);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        assert_eq!(told(&[]), []);
        assert_eq!(told(&[("NO_PROXY", "x"), ("https_proxy", " ")]), []);
        let both = |text: &str| ["NO_PROXY", "no_proxy"].map(|n| (n, text.to_owned()));
        let proxy = ("http_proxy", "http://p:1");
        assert_eq!(told(&[proxy]), both("127.0.0.1,localhost"));
        let given = [proxy, ("no_proxy", ".corp, localhost")];
        assert_eq!(told(&given), both(".corp, localhost,127.0.0.1"));
    }

    #[test]
    fn a8_whoever_sends_an_agent_somewhere_himself_is_left_to_that() {
        let registry = Registry::builtin();
        let env = |names: &[&str]| -> BTreeMap<String, String> {
            names
                .iter()
                .map(|n| ((*n).to_owned(), "x".to_owned()))
                .collect()
        };
        let goes = |harness: &str, task: &[&str], daemon: &[&str]| {
            let harness = registry.resolve(harness).unwrap();
            harness.goes_its_own_way(&env(task), &env(daemon))
        };
        assert!(!goes(
            "claude",
            &["PATH"],
            &["ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"]
        ));
        assert!(goes("claude", &["ANTHROPIC_BASE_URL"], &[]));
        assert!(goes("claude", &["ANTHROPIC_API_KEY"], &[]));
        assert!(goes("claude", &[], &["ANTHROPIC_AUTH_TOKEN"]));
        assert!(!goes("codex", &[], &["OPENAI_API_KEY"]));
        assert!(goes("codex", &["OPENAI_BASE_URL"], &[]));
        assert!(!goes("gemini", &[], &["GEMINI_API_KEY"]));
        assert!(goes("gemini", &["GEMINI_API_KEY"], &[]));
        assert!(goes("opencode", &[], &[]) && goes("script", &[], &[]));
    }
}
