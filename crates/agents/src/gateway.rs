//! How each agent is sent through the gateway (A8): its base URL, and where it takes its key from. The session's
//! token is named and never held here (I12).

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

impl Through {
    /// The variables whose presence says that the user sends the agent somewhere himself.
    pub(crate) fn own_ways(&self) -> impl Iterator<Item = &'static str> {
        [self.url, self.token]
            .into_iter()
            .chain(self.others.iter().copied())
    }

    /// Changes a plan so that the session asks the gateway at `url`.
    pub(crate) fn change(&self, agent: Builtin, plan: &mut LaunchPlan, url: &str) {
        plan.env_remove.extend(self.own_ways().map(str::to_owned));
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
            plan.argv.splice(1..1, args);
        } else {
            plan.env.insert(self.url.to_owned(), url.to_owned());
        }
        if agent == Builtin::Claude {
            // Another base URL switches this off by itself (facts/limits.md §2).
            plan.env
                .insert("ENABLE_TOOL_SEARCH".to_owned(), "true".to_owned());
        }
        plan.token_in = Some(self.token.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::registry::Registry;

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
