//! From the map of keys to [`Settings`]: tables put together, contradictions found.

mod accounts;
mod inboxes;

use std::collections::{BTreeMap, BTreeSet};

use longhaul_core::account::Strategy;
use longhaul_core::overlap::OverlapStrategy;
use longhaul_core::queue::MergeStyle;
use longhaul_core::spec::{CommitMode, EnvValue, Permission};
use longhaul_core::time::SpanMs;
use longhaul_core::usage::MicroUsd;

use super::layers::Map;
use super::pool::PoolTable;
use super::profile::{BadDescent, inherit};
use super::resolved::{
    AccountSettings, Limits, QueueSettings, RetryBackoff, SandboxPaths, Settings,
};
use super::tables::{HarnessTable, JudgeKind, JudgeTable, KeySource, ProfileTable};
use super::value::SettingValue;
use crate::diag::{Finding, Sink, Site};
use crate::nearest::did_you_mean;

/// How long one answer of a judge may take where nothing is said.
const JUDGE_TIMEOUT: SpanMs = SpanMs::from_secs(120);

pub(super) fn build(map: &Map, built_in_harnesses: &[&str], sink: &mut Sink) -> Settings {
    let judges = judges(map, sink);
    let default_judge = map.text("default_judge");
    if let Some(name) = &default_judge
        && !map.names("judge").contains(name.as_str())
    {
        let near = did_you_mean(name, judges.keys().map(String::as_str));
        wrong(
            map,
            "default_judge",
            format!("no `[judge.{name}]`{near}"),
            sink,
        );
    }
    for (least, most) in [
        ("retry.backoff_min", "retry.backoff_max"),
        ("limits.overload_min", "limits.overload_max"),
    ] {
        if map.span(least) > map.span(most) {
            wrong(map, least, format!("is longer than `{most}`"), sink);
        }
    }
    Settings {
        concurrency: map.count("concurrency").unwrap_or_default(),
        concurrency_per_repo: map.count("concurrency_per_repo"),
        concurrency_per_harness: map
            .names("concurrency_per_harness")
            .into_iter()
            .filter_map(|name| {
                let count = map.count(&format!("concurrency_per_harness.{name}"))?;
                Some((name.to_owned(), count))
            })
            .collect(),
        max_workspaces: map.count("max_workspaces").unwrap_or_default(),
        min_free_bytes: map.size("min_free"),
        min_free_memory_bytes: map.size("min_free_memory"),
        max_log_bytes: map.size("max_log"),
        snapshot_retention: map.span("snapshot_retention"),
        log_retention: map.some_span("log_retention"),
        workspace_retention: map.some_span("workspace_retention"),
        stop_grace: map.span("stop_grace"),
        snapshot_max_bytes: map.size("snapshot_max"),
        branch_prefix: map.text("branch_prefix").unwrap_or_default(),
        commit: match map.text("commit").as_deref() {
            Some("agent") => CommitMode::Agent,
            _ => CommitMode::Auto,
        },
        sign: map.flag("sign").unwrap_or(false),
        queue: QueueSettings {
            batch_max: map.count("queue.batch_max").unwrap_or_default(),
            merge_style: match map.text("queue.merge_style").as_deref() {
                Some("squash") => MergeStyle::Squash,
                Some("rebase") => MergeStyle::Rebase,
                _ => MergeStyle::Merge,
            },
            advance_checkout: map.text("queue.advance_checkout").as_deref() == Some("clean"),
            push: map.flag("queue.push").unwrap_or(false),
            live_conflicts: match map.text("queue.live_conflicts").as_deref() {
                Some("off") => OverlapStrategy::Off,
                Some("escalate") => OverlapStrategy::Escalate,
                Some("last_write_wins") => OverlapStrategy::LastWriteWins,
                Some("merge") => OverlapStrategy::Merge,
                _ => OverlapStrategy::Warn,
            },
        },
        setup: map.text("setup"),
        teardown: map.text("teardown"),
        default_harness: map.text("default_harness").unwrap_or_default(),
        default_permission: map.permission("default_permission").unwrap_or_default(),
        default_judge,
        sandboxed: map.flag("sandboxed").unwrap_or(false),
        sandbox: SandboxPaths {
            caches: map.list("sandbox.caches"),
            writable: map.list("sandbox.writable"),
        },
        on_needs_human: map.text("on_needs_human"),
        retry: RetryBackoff {
            min: map.span("retry.backoff_min"),
            max: map.span("retry.backoff_max"),
        },
        limits: Limits {
            unknown_reset: map.span("limits.unknown_reset"),
            wake_jitter: map.span("limits.wake_jitter"),
            throttle_pause: map.span("limits.throttle_pause"),
            overload_min: map.span("limits.overload_min"),
            overload_max: map.span("limits.overload_max"),
            overload_give_up: map.span("limits.overload_give_up"),
        },
        harnesses: harnesses(map, built_in_harnesses, sink),
        profiles: profiles(map, sink),
        judges,
        pool: pool(map),
        inboxes: inboxes::inboxes(map, sink),
        accounts: AccountSettings {
            known: accounts::keys(map, sink),
            homes: accounts::homes(map, sink),
            rotate_homes: map.flag("accounts.rotate_homes").unwrap_or(false),
            shared_dir: map.text("accounts.shared_dir"),
            shared: accounts::shared(map, sink),
            discover: map.flag("accounts.discover").unwrap_or(true),
            gateway: map.flag("accounts.gateway").unwrap_or(true),
            strategy: map
                .text("accounts.strategy")
                .and_then(|word| Strategy::of_word(&word))
                .unwrap_or_default(),
            threshold_pct: map
                .count("accounts.threshold")
                .and_then(|n| u8::try_from(n).ok())
                .unwrap_or(95),
            only: map.text("accounts.use"),
            probe: map.flag("accounts.probe").unwrap_or(false),
            prices: accounts::prices(map, sink),
            probe_interval: map.span("accounts.probe_interval"),
        },
    }
}

/// Reports a problem of a key with where its value came from.
fn wrong(map: &Map, key: &str, problem: String, sink: &mut Sink) {
    let origin = map
        .values
        .get(key)
        .map(|(_, origin)| format!(" ({origin})"));
    let site = Site::Named(key.to_owned());
    sink.push(Finding::error(&site, problem + &origin.unwrap_or_default()));
}

fn harnesses(map: &Map, built_in: &[&str], sink: &mut Sink) -> BTreeMap<String, HarnessTable> {
    let mut all = BTreeMap::new();
    for name in map.names("harness") {
        let at = |key: &str| format!("harness.{name}.{key}");
        let text = |key: &str| map.text(&at(key));
        let list = |key: &str| map.list(&at(key));
        let table = HarnessTable {
            program: text("program"),
            args: list("args"),
            base_args: list("base_args"),
            aliases: list("aliases"),
            host: text("host"),
            cwd_flag: text("cwd_flag"),
            session_name_flag: text("session_name_flag"),
            task_flag: text("task_flag"),
            model_flag: text("model_flag"),
            add_dir_flag: text("add_dir_flag"),
            include_directories_flag: text("include_directories_flag"),
            allowed_tools_flag: text("allowed_tools_flag"),
            disallowed_tools_flag: text("disallowed_tools_flag"),
            permission_mode_flag: text("permission_mode_flag"),
            max_budget_usd_flag: text("max_budget_usd_flag"),
            append_system_prompt_flag: text("append_system_prompt_flag"),
            inline_system_prompt_for_task: map.flag(&at("inline_system_prompt_for_task")),
            project_markers: list("project_markers"),
            permission_modes: ["edits", "plan", "bypass"]
                .into_iter()
                .filter_map(|mode| {
                    let word = text(&format!("permission_modes.{mode}"))?;
                    Some((mode.to_owned(), word))
                })
                .collect(),
            credentials: list("credentials"),
            writable: list("writable"),
            resume_flag: text("resume_flag"),
            output_format: text("output_format"),
            cost_known: map.flag(&at("cost_known")),
            env: map.variables(&at("env")),
        };
        if name == "auto" {
            let problem = "`auto` is not a harness; it picks one".to_owned();
            wrong(map, "harness.auto", problem, sink);
        } else if table.program.is_none() && !built_in.contains(&name) {
            let near = did_you_mean(name, built_in.iter().copied());
            let problem = format!("`{name}` is not built in, so it needs a `program`{near}");
            wrong(map, &at("program"), problem, sink);
        }
        all.insert(name.to_owned(), table);
    }
    all
}

fn profiles(map: &Map, sink: &mut Sink) -> BTreeMap<String, super::Profile> {
    let mut tables = BTreeMap::new();
    for name in map.names("profile") {
        let at = |key: &str| format!("profile.{name}.{key}");
        let table = ProfileTable {
            inherits: map.text(&at("inherits")),
            model: map.text(&at("model")),
            agent: map.text(&at("agent")),
            allowed_tools: map.list(&at("allowed_tools")),
            disallowed_tools: map.list(&at("disallowed_tools")),
            permission_mode: map.permission(&at("permission_mode")),
            add_dirs: map.list(&at("add_dirs")),
            max_budget_usd: map.money(&at("max_budget_usd")),
            token_budget: map.number(&at("token_budget")),
            append_system_prompt: map.text(&at("append_system_prompt")),
            host: map.text(&at("host")),
        };
        tables.insert(name.to_owned(), table);
    }
    let at = |name: &str| format!("profile.{name}.inherits");
    let mut profiles = BTreeMap::new();
    for name in tables.keys() {
        match inherit(name, &tables) {
            Ok(profile) => {
                profiles.insert(name.clone(), profile);
            }
            // Every profile that leads into the circle meets it; its first member reports it.
            Err(BadDescent::Circle(circle)) => {
                if circle.first() == Some(name) {
                    let chain = circle.join(" → ");
                    let problem = format!("inherits from itself: {chain} → {name}");
                    wrong(map, &at(name), problem, sink);
                }
            }
            Err(BadDescent::NoParent(problem)) => {
                // A child of a broken profile is not broken itself.
                if tables[name]
                    .inherits
                    .as_ref()
                    .is_some_and(|p| !tables.contains_key(p))
                {
                    wrong(map, &at(name), problem, sink);
                }
            }
        }
    }
    profiles
}

fn judges(map: &Map, sink: &mut Sink) -> BTreeMap<String, JudgeTable> {
    let mut all = BTreeMap::new();
    for name in map.names("judge") {
        let at = |key: &str| format!("judge.{name}.{key}");
        let kind = match map.text(&at("kind")).as_deref() {
            Some("anthropic") => Some((JudgeKind::Anthropic, "https://api.anthropic.com")),
            Some(_) => Some((JudgeKind::Openai, "https://api.openai.com/v1")),
            None => None,
        };
        let model = map.text(&at("model"));
        for (key, missing) in [("kind", kind.is_none()), ("model", model.is_none())] {
            if missing {
                wrong(
                    map,
                    &at(key),
                    format!("is missing; `[judge.{name}]` needs it"),
                    sink,
                );
            }
        }
        let key = key_source(map, &at("key"), sink);
        let Some(((kind, own_url), model)) = kind.zip(model) else {
            continue;
        };
        let judge = JudgeTable {
            kind,
            url: map.text(&at("url")).unwrap_or_else(|| own_url.to_owned()),
            model,
            key,
            timeout: map.some_span(&at("timeout")).unwrap_or(JUDGE_TIMEOUT),
        };
        all.insert(name.to_owned(), judge);
    }
    all
}

/// Where a key is found, if that is said.
fn key_source(map: &Map, table: &str, sink: &mut Sink) -> Option<KeySource> {
    let of = |name: &str| map.text(&format!("{table}.{name}"));
    let given = [
        of("env").map(KeySource::Env),
        of("file").map(KeySource::File),
        of("command").map(KeySource::Command),
    ];
    let mut given = given.into_iter().flatten();
    let first = given.next();
    if given.next().is_some() {
        let problem = "more than one of `env`, `file` and `command` is given".to_owned();
        wrong(map, table, problem, sink);
    }
    first
}

fn pool(map: &Map) -> PoolTable {
    let text = |key: &str| map.text(key).unwrap_or_default();
    let count = |key: &str| map.count(key).unwrap_or_default();
    let dir = |name: &str| map.text(&format!("dedicated.{name}.dir"));
    PoolTable {
        prefix: text("pool.prefix"),
        start_index: count("pool.start_index"),
        min: count("pool.min"),
        max: count("pool.max"),
        ack_timeout: map.span("pool.ack_timeout"),
        retention: map.span("pool.retention"),
        signal: text("pool.signal"),
        tmux: text("pool.tmux"),
        dedicated: map
            .names("dedicated")
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), dir(name)?)))
            .collect(),
    }
}

impl Map {
    fn get(&self, key: &str) -> Option<&SettingValue> {
        self.values.get(key).map(|(value, _)| value)
    }

    /// The names below a table, in order.
    fn names<'m>(&'m self, table: &str) -> BTreeSet<&'m str> {
        let prefix = format!("{table}.");
        let below = self
            .values
            .keys()
            .filter_map(|key| key.strip_prefix(&prefix));
        below.filter_map(|rest| rest.split('.').next()).collect()
    }

    fn text(&self, key: &str) -> Option<String> {
        match self.get(key)? {
            SettingValue::Text(text) => Some(text.clone()),
            _ => None,
        }
    }

    fn number(&self, key: &str) -> Option<u64> {
        match self.get(key)? {
            SettingValue::Count(n) => Some(*n),
            _ => None,
        }
    }

    fn count(&self, key: &str) -> Option<u32> {
        self.number(key).and_then(|n| u32::try_from(n).ok())
    }

    fn size(&self, key: &str) -> u64 {
        match self.get(key) {
            Some(SettingValue::Size(bytes)) => *bytes,
            _ => 0,
        }
    }

    fn some_span(&self, key: &str) -> Option<SpanMs> {
        match self.get(key)? {
            SettingValue::Duration(span) => Some(*span),
            _ => None,
        }
    }

    fn span(&self, key: &str) -> SpanMs {
        self.some_span(key).unwrap_or_default()
    }

    fn money(&self, key: &str) -> Option<MicroUsd> {
        match self.get(key)? {
            SettingValue::Money(amount) => Some(*amount),
            _ => None,
        }
    }

    fn flag(&self, key: &str) -> Option<bool> {
        match self.get(key)? {
            SettingValue::Bool(value) => Some(*value),
            _ => None,
        }
    }

    fn list(&self, key: &str) -> Vec<String> {
        match self.get(key) {
            Some(SettingValue::List(list)) => list.clone(),
            _ => Vec::new(),
        }
    }

    fn permission(&self, key: &str) -> Option<Permission> {
        match self.text(key)?.as_str() {
            "edits" => Some(Permission::Edits),
            "plan" => Some(Permission::Plan),
            "bypass" => Some(Permission::Bypass),
            _ => None,
        }
    }

    fn variables(&self, table: &str) -> BTreeMap<String, EnvValue> {
        let value = |name: &str| match self.get(&format!("{table}.{name}"))? {
            SettingValue::Variable(value) => Some((name.to_owned(), value.clone())),
            _ => None,
        };
        self.names(table).into_iter().filter_map(value).collect()
    }
}
