//! The accounts there are (A1): those that the configuration names and those that the environment holds, with
//! their keys, each key once. Which of them is used, and when, is the gateway's to say.

mod homes;
mod keys;
pub(crate) mod link;

use std::collections::BTreeMap;

use camino::Utf8Path;
use longhaul_config::accounts::{Found, FoundAt, discover};
use longhaul_config::settings::{AccountSettings, KeySource};
use longhaul_core::account::Provider;
use longhaul_core::usage::MicroUsd;
use longhaul_gateway::api::{AccountSpec, AccountsRequest, Key, Policy, Price, Token};

use crate::env::Env;
use crate::failure::Failure;

pub(crate) use homes::{HomeAccount, home_accounts, homes};
pub(crate) use keys::Reader;

/// An account.
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) provider: Provider,
    /// Where its key was found, for people.
    pub(crate) from: String,
    /// The configuration names it.
    pub(crate) configured: bool,
    pub(crate) enabled: bool,
    pub(crate) priority: u32,
    pub(crate) base_url: Option<String>,
    pub(crate) max_concurrent: Option<u32>,
    pub(crate) check_model: Option<String>,
    /// The key, or why it cannot be read.
    pub(crate) key: Result<Key, String>,
    /// An account before this one has the same key.
    pub(crate) same_as: Option<String>,
}

impl Account {
    /// Whether the gateway may have it.
    pub(crate) fn is_usable(&self) -> bool {
        self.enabled && self.same_as.is_none() && self.key.is_ok()
    }
}

/// All of them: the configuration's by name, then the environment's in its order.
pub(crate) fn roster(settings: &AccountSettings, env: &Env, home: &Utf8Path) -> Vec<Account> {
    let reader = Reader { env, home };
    let mut all: Vec<Account> = Vec::new();
    for (name, table) in &settings.known {
        all.push(Account {
            name: name.clone(),
            provider: table.provider,
            from: source(&table.key),
            configured: true,
            enabled: table.enabled,
            priority: table.priority,
            base_url: table.base_url.clone(),
            max_concurrent: table.max_concurrent,
            check_model: table.check_model.clone(),
            key: if table.enabled {
                reader.key(&table.key)
            } else {
                Err("it is disabled".to_owned())
            },
            same_as: None,
        });
    }
    if settings.discover {
        let variables = env.all_text();
        let found = discover(variables.iter().map(|(n, v)| (n.as_str(), v.as_str())));
        for each in &found {
            let of_variable = discovered(each, &reader, &variables);
            // A shell that was sent to the gateway holds its tokens where keys stand.
            let ours = |a: &Account| a.key.as_ref().is_ok_and(|k| Token::is_one(k.expose()));
            all.extend(of_variable.into_iter().filter(|a| !ours(a)));
        }
    }
    tell_twins(&mut all);
    all
}

fn discovered(
    found: &Found,
    reader: &Reader<'_>,
    variables: &BTreeMap<String, String>,
) -> Vec<Account> {
    let keys = match found.at {
        FoundAt::Whole | FoundAt::Part(_) => vec![reader.found(found)],
        FoundAt::File => reader.file_of_keys(found),
    };
    let base_url = base_url_variable(found.provider);
    let several = found.at == FoundAt::File;
    // Then the base URL is the gateway's, too.
    let through_us = variables.values().any(|value| Token::is_one(value));
    let account = |(n, key)| Account {
        name: if several {
            format!("{}-{}", found.name, n + 1)
        } else {
            found.name.clone()
        },
        provider: found.provider,
        from: match found.at {
            FoundAt::Whole => format!("variable {}", found.variable),
            FoundAt::Part(n) => format!("variable {}, key {n}", found.variable),
            FoundAt::File => format!("file of {}, key {}", found.variable, n + 1),
        },
        configured: false,
        enabled: true,
        priority: 0,
        base_url: variables
            .get(base_url)
            .filter(|url| !url.is_empty() && !through_us)
            .cloned(),
        max_concurrent: None,
        check_model: None,
        key,
        same_as: None,
    };
    keys.into_iter().enumerate().map(account).collect()
}

/// The variable with which the vendor's own tools are sent elsewhere.
pub(crate) const fn base_url_variable(provider: Provider) -> &'static str {
    match provider {
        Provider::Anthropic => "ANTHROPIC_BASE_URL",
        Provider::Openai => "OPENAI_BASE_URL",
        Provider::Gemini => "GOOGLE_GEMINI_BASE_URL",
    }
}

fn source(key: &KeySource) -> String {
    match key {
        KeySource::Env(name) => format!("variable {name}"),
        KeySource::File(path) => format!("file {path}"),
        KeySource::Command(_) => "a command".to_owned(),
    }
}

/// One key is one account, whatever it is called; a name is one account, too.
fn tell_twins(all: &mut [Account]) {
    for n in 1..all.len() {
        let (before, rest) = all.split_at_mut(n);
        let Some(this) = rest.first_mut() else { return };
        let usable = before.iter().filter(|a| a.same_as.is_none());
        let twin = usable.clone().find(|a| {
            let same_key = matches!((&a.key, &this.key), (Ok(a), Ok(b)) if a == b);
            a.name == this.name || (a.provider == this.provider && same_key)
        });
        this.same_as = twin.map(|a| a.name.clone());
    }
}

/// What the gateway is given.
pub(crate) fn request(
    settings: &AccountSettings,
    all: &[Account],
    generation: u64,
) -> AccountsRequest {
    let chosen = settings.only.as_deref().and_then(|name| {
        let mut named = all.iter().filter(|a| a.is_usable());
        named.find(|a| a.name == name)
    });
    let accounts = all
        .iter()
        .filter(|a| a.is_usable())
        .filter(|a| chosen.is_none_or(|c| a.provider != c.provider || a.name == c.name))
        .filter_map(|a| {
            Some(AccountSpec {
                id: a.name.clone(),
                provider: a.provider,
                key: a.key.as_ref().ok()?.clone(),
                base_url: a.base_url.clone(),
                priority: a.priority,
                max_concurrent: a.max_concurrent,
                check_model: a.check_model.clone(),
                generation,
            })
        });
    AccountsRequest {
        giver: String::new(),
        accounts: accounts.collect(),
        policy: Policy {
            threshold_pct: settings.threshold_pct,
            check_every_ms: if settings.probe {
                settings.probe_interval.0
            } else {
                0
            },
            prices: prices(settings),
            ..Policy::default()
        },
    }
}

/// The user's prices as the gateway takes them, in dollars.
fn prices(settings: &AccountSettings) -> BTreeMap<String, Price> {
    let usd = |amount: MicroUsd| amount.0 as f64 / 1e6;
    let all = settings.prices.iter();
    all.map(|(model, p)| {
        let price = Price {
            input: usd(p.input),
            output: usd(p.output),
            cache_read: p.cache_read.map(usd),
            cache_write: p.cache_write.map(usd),
        };
        (model.clone(), price)
    })
    .collect()
}

/// The provider of the key account that `use` names, if it names one: its keys are used then, and no homes. Reads no
/// key.
pub(crate) fn provider_of_chosen_key(settings: &AccountSettings, env: &Env) -> Option<Provider> {
    let name = settings.only.as_deref()?;
    if settings.homes.contains_key(name) {
        return None;
    }
    if let Some(table) = settings.known.get(name) {
        return Some(table.provider);
    }
    let variables = env.all_text();
    let found = discover(variables.iter().map(|(n, v)| (n.as_str(), v.as_str())));
    let named = |f: &&Found| match f.at {
        FoundAt::Whole | FoundAt::Part(_) => f.name == name,
        FoundAt::File => name
            .strip_prefix(&f.name)
            .is_some_and(|rest| rest.starts_with('-')),
    };
    let found = settings.discover.then(|| found.iter().find(named))?;
    found.map(|f| f.provider)
}

/// An account by its name.
///
/// # Errors
/// There is none; the nearest are named.
pub(crate) fn named<'a>(all: &'a [Account], name: &str) -> Result<&'a Account, Failure> {
    all.iter().find(|a| a.name == name).ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|a| a.name.as_str()).collect();
        let known = if names.is_empty() {
            "there is none yet: `longhaul account add` writes one down".to_owned()
        } else {
            format!("known are: {}", names.join(", "))
        };
        Failure::of(
            longhaul_api::ExitCode::NotFound,
            format!("there is no account `{}`", crate::output::text::clean(name)),
        )
        .help(known)
    })
}

#[cfg(test)]
mod tests {
    use longhaul_config::settings::{AccountTable, PriceTable};

    use super::*;

    fn table(key: KeySource) -> AccountTable {
        AccountTable {
            provider: Provider::Anthropic,
            key,
            base_url: None,
            max_concurrent: None,
            check_model: None,
            enabled: true,
            priority: 0,
        }
    }

    #[test]
    fn a11_the_users_prices_go_to_the_gateway() {
        let price = PriceTable {
            input: MicroUsd(1_250_000),
            output: MicroUsd(10_000_000),
            cache_read: Some(MicroUsd(0)),
            cache_write: None,
        };
        let settings = AccountSettings {
            prices: [("gpt-5.9".to_owned(), price)].into(),
            ..AccountSettings::default()
        };
        let told = request(&settings, &[], 1).policy.prices;
        let expected = Price {
            input: 1.25,
            output: 10.0,
            cache_read: Some(0.0),
            cache_write: None,
        };
        assert_eq!(told, [("gpt-5.9".to_owned(), expected)].into());
    }

    #[test]
    fn a1_each_key_is_one_account_and_the_first_name_keeps_it() {
        let env = Env::fake(&[
            ("ANTHROPIC_API_KEY", "sk-one"),
            ("ANTHROPIC_API_KEYS", "sk-two,sk-one"),
            ("OPENAI_API_KEY", "sk-one"),
            ("MINE", "sk-two"),
            ("ANTHROPIC_BASE_URL", "http://127.0.0.1:1"),
        ]);
        let settings = AccountSettings {
            known: [
                ("work".to_owned(), table(KeySource::Env("MINE".to_owned()))),
                (
                    "gone".to_owned(),
                    table(KeySource::Env("NOT_SET".to_owned())),
                ),
            ]
            .into(),
            discover: true,
            ..AccountSettings::default()
        };
        let all = roster(&settings, &env, Utf8Path::new("/home/x"));
        let told: Vec<_> = all
            .iter()
            .map(|a| (a.name.as_str(), a.is_usable(), a.same_as.as_deref()))
            .collect();
        assert_eq!(
            told,
            [
                ("gone", false, None),
                ("work", true, None),
                ("anthropic", true, None),
                ("anthropic-keys-1", false, Some("work")),
                ("anthropic-keys-2", false, Some("anthropic")),
                ("openai", true, None),
            ]
        );
        assert_eq!(all[2].base_url.as_deref(), Some("http://127.0.0.1:1"));
        let env = env.with(&[("GEMINI_API_KEY", Token::generate().unwrap().expose())]);
        let through_us = roster(&settings, &env, Utf8Path::new("/home/x"));
        assert_eq!(through_us.len(), all.len());
        assert_eq!(through_us[2].base_url, None);
        assert!(
            all[0]
                .key
                .as_ref()
                .is_err_and(|why| why.contains("NOT_SET"))
        );
        let request = request(&settings, &all, 1);
        let ids: Vec<_> = request.accounts.iter().map(|a| a.id.as_str()).collect();
        assert_eq!(ids, ["work", "anthropic", "openai"]);
        // One of a provider: the others of that provider are left out, other providers are not.
        let only = AccountSettings {
            only: Some("anthropic".to_owned()),
            ..settings
        };
        let request = super::request(&only, &all, 1);
        let ids: Vec<_> = request.accounts.iter().map(|a| a.id.as_str()).collect();
        assert_eq!(ids, ["anthropic", "openai"]);
    }
}
