//! `[account.NAME]` and what homes share.

use std::collections::BTreeMap;

use longhaul_core::account::Provider;

use super::super::layers::Map;
use super::super::tables::{AccountTable, HomeTable, PriceTable};
use super::{key_source, wrong};
use crate::diag::Sink;

/// The accounts with a key.
pub(super) fn keys(map: &Map, sink: &mut Sink) -> BTreeMap<String, AccountTable> {
    let mut all = BTreeMap::new();
    for name in map.names("account") {
        let at = |key: &str| format!("account.{name}.{key}");
        if map.text(&at("home")).is_some() {
            continue;
        }
        if map.text(&at("harness")).is_some() {
            let problem = "is only for an account with a `home`".to_owned();
            wrong(map, &at("harness"), problem, sink);
        }
        let provider = map.text(&at("provider"));
        let provider = provider.and_then(|word| Provider::of_word(&word));
        let key = key_source(map, &at("key"), sink);
        for (word, missing, hint) in [
            ("provider", provider.is_none(), ""),
            (
                "key",
                key.is_none(),
                " with `env`, `file` or `command` in it",
            ),
        ] {
            if missing {
                let problem = format!("is missing; `[account.{name}]` needs it{hint}");
                wrong(map, &at(word), problem, sink);
            }
        }
        let Some((provider, key)) = provider.zip(key) else {
            continue;
        };
        let account = AccountTable {
            provider,
            key,
            base_url: map.text(&at("base_url")),
            max_concurrent: map.count(&at("max_concurrent")),
            check_model: map.text(&at("check_model")),
            enabled: map.flag(&at("enabled")).unwrap_or(true),
            priority: map.count(&at("priority")).unwrap_or_default(),
        };
        all.insert(name.to_owned(), account);
    }
    all
}

/// Prices that the user sets, by model (A11).
pub(super) fn prices(map: &Map, sink: &mut Sink) -> BTreeMap<String, PriceTable> {
    let mut all = BTreeMap::new();
    for name in map.names("price") {
        let at = |key: &str| format!("price.{name}.{key}");
        let model = map.text(&at("model"));
        let (input, output) = (map.money(&at("input")), map.money(&at("output")));
        for (key, missing) in [
            ("model", model.is_none()),
            ("input", input.is_none()),
            ("output", output.is_none()),
        ] {
            if missing {
                let problem = format!("is missing; `[price.{name}]` needs it");
                wrong(map, &at(key), problem, sink);
            }
        }
        let (Some(model), Some(input), Some(output)) = (model, input, output) else {
            continue;
        };
        let price = PriceTable {
            input,
            output,
            cache_read: map.money(&at("cache_read")),
            cache_write: map.money(&at("cache_write")),
        };
        if all.insert(model.clone(), price).is_some() {
            let problem = format!("names `{model}`, which has a price already");
            wrong(map, &at("model"), problem, sink);
        }
    }
    all
}

/// The accounts that are config homes. Their tokens are their agents': nothing here names one.
pub(super) fn homes(map: &Map, sink: &mut Sink) -> BTreeMap<String, HomeTable> {
    let mut all = BTreeMap::new();
    for name in map.names("account") {
        let at = |key: &str| format!("account.{name}.{key}");
        let Some(home) = map.text(&at("home")) else {
            continue;
        };
        if !home.starts_with('/') && !home.starts_with("~/") {
            let problem = "is no absolute path; `~/` is your home".to_owned();
            wrong(map, &at("home"), problem, sink);
        }
        for key in [
            "provider",
            "key.env",
            "key.file",
            "key.command",
            "base_url",
            "max_concurrent",
            "check_model",
        ] {
            if map.get(&at(key)).is_some() {
                let problem = "is only for an account with a key; this one is a `home`".to_owned();
                wrong(map, &at(key), problem, sink);
            }
        }
        let Some(harness) = map.text(&at("harness")) else {
            let problem = format!("is missing; `[account.{name}]` with a `home` needs it");
            wrong(map, &at("harness"), problem, sink);
            continue;
        };
        let table = HomeTable {
            harness,
            home,
            enabled: map.flag(&at("enabled")).unwrap_or(true),
            priority: map.count(&at("priority")).unwrap_or_default(),
        };
        all.insert(name.to_owned(), table);
    }
    all
}

/// What homes share: plain names of folders in them.
pub(super) fn shared(map: &Map, sink: &mut Sink) -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::new();
    for harness in ["claude", "codex"] {
        let key = format!("accounts.shared.{harness}");
        let names = map.list(&key);
        for name in &names {
            let plain = !name.is_empty() && !name.contains('/') && name != "." && name != "..";
            // A login is never shared: each home keeps its own.
            if !plain || name.contains("credentials") || name == "auth.json" {
                let problem = format!("`{name}` is no folder that homes may share");
                wrong(map, &key, problem, sink);
            }
        }
        all.insert(harness.to_owned(), names);
    }
    if let Some(dir) = map.text("accounts.shared_dir")
        && !dir.starts_with('/')
        && !dir.starts_with("~/")
    {
        let problem = "is no absolute path; `~/` is your home".to_owned();
        wrong(map, "accounts.shared_dir", problem, sink);
    }
    all
}
