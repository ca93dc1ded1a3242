//! The keys of one `[[task]]` or of `[defaults]`, each read into its typed field.

use longhaul_core::spec::{
    EnvValue, Expect, Land, OnDrift, Permission, Priority, Sandbox, WorkspaceKind,
};
use longhaul_core::time::SpanMs;

use super::MAX_CHECKS;
use super::check::{check, note_spelling};
use super::context::TaskContext;
use super::keys::task_names;
use super::names::{
    bad_argument, bad_branch, bad_glob, bad_inner_path, bad_label, bad_name, bad_path, bad_variable,
};
use super::value::{
    Zero, bad_command, checked, checked_list, count, duration_entry, money, refuse, tokens,
    variable, word,
};
use super::values::Values;
use crate::diag::{Finding, Located, Sink, Site, quoted};
use crate::nearest::did_you_mean;
use crate::read::Entry;

/// Most retries and most restarts.
pub(super) const MAX_ATTEMPTS: u32 = 1000;

/// Whose keys are read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Task,
    Defaults,
}

/// Reads the keys of a task or of `[defaults]`.
pub(super) fn values(
    entries: &[Entry<'_>],
    owner: Owner,
    context: &TaskContext<'_>,
    sink: &mut Sink,
) -> Values {
    let mut v = Values::default();
    let mut spelled: Vec<(&'static str, Entry<'_>)> = Vec::new();
    for entry in entries {
        let key = ours(entry.key);
        if let Some((_, first)) = spelled.iter().find(|(known, _)| *known == key) {
            let message = format!("both `{}` and `{}` are given", first.key, entry.key);
            let finding = Finding::error(&entry.key_site(), message).key(entry.key);
            sink.push(finding.also(&first.key_site(), "the other one"));
            continue;
        }
        if matches!(key, "dir" | "timeout" | "check") {
            spelled.push((key, *entry));
            if key != entry.key {
                note_spelling(entry, key, sink);
            }
        }
        one(entry, owner, &mut v, context, sink);
    }
    v
}

/// Our spelling of a key.
fn ours(key: &str) -> &'static str {
    match key {
        "dir" | "cwd" => "dir",
        "timeout" | "timeout_min" => "timeout",
        "check" | "verify" => "check",
        _ => "",
    }
}

/// Reads one key into its field.
fn one(
    entry: &Entry<'_>,
    owner: Owner,
    v: &mut Values,
    context: &TaskContext<'_>,
    sink: &mut Sink,
) {
    let key = entry.key;
    match key {
        "name" if owner == Owner::Defaults => {
            refuse(
                key,
                &entry.key_site(),
                "belongs to each task, not to `[defaults]`",
                sink,
            );
        }
        "name" => {
            v.name = text(entry, bad_name, sink);
            v.name_refused |= v.name.is_none();
        }
        "prompt" => {
            v.prompt = entry.string("a string", sink);
            v.prompt_refused |= v.prompt.is_none();
        }
        "prompt_file" => {
            v.prompt_file = text(entry, bad_path, sink);
            v.prompt_refused |= v.prompt_file.is_none();
        }
        "repo" => v.repo = text(entry, bad_path, sink),
        "dir" | "cwd" => v.dir = text(entry, bad_inner_path, sink),
        "workspace" => v.workspace = choice(entry, &WORKSPACES, sink),
        "base" => v.base = text(entry, bad_branch, sink),
        "harness" => {
            v.harness = entry
                .string("a string", sink)
                .and_then(|text| known_harness(key, text, context, sink));
        }
        "profile" => {
            v.profile =
                text(entry, bad_argument, sink).and_then(|text| known_profile(text, context, sink));
        }
        "model" => v.model = text(entry, bad_argument, sink),
        "account" => {
            let help = "leave it out; the agent uses the login of its own configuration";
            not_yet(
                entry,
                "choosing an account is not part of this version",
                help,
                sink,
            );
        }
        "role" => v.role = text(entry, bad_argument, sink),
        "depends_on" => v.depends_on = list(entry, bad_argument, sink),
        "priority" => v.priority = choice(entry, &PRIORITIES, sink),
        "budget_usd" => v.budget_usd = entry.number(sink).and_then(|n| money(key, &n, sink)),
        "budget_tokens" => {
            v.budget_tokens = entry.integer(sink).and_then(|n| tokens(key, &n, sink));
        }
        "timeout" => v.timeout = duration_entry(entry, Zero::Refused, sink),
        "timeout_min" => v.timeout = minutes(entry, sink),
        "idle_timeout" => v.idle_timeout = duration_entry(entry, Zero::Refused, sink),
        "answer_timeout" => v.answer_timeout = duration_entry(entry, Zero::Allowed, sink),
        "max_retries" => {
            v.max_retries = entry
                .integer(sink)
                .and_then(|n| count(key, &n, 0, MAX_ATTEMPTS, sink));
        }
        "max_restarts" => {
            v.max_restarts = entry
                .integer(sink)
                .and_then(|n| count(key, &n, 0, MAX_ATTEMPTS, sink));
        }
        "on_drift" => v.on_drift = choice(entry, &DRIFTS, sink),
        "land" => v.land = land(entry, sink),
        "land_check" => v.land_check = list(entry, bad_command, sink),
        "land_unverified" => v.land_unverified = entry.boolean(sink),
        "project" => v.project = text(entry, bad_label, sink),
        "group" => v.group = text(entry, bad_label, sink),
        "labels" => v.labels = list(entry, bad_label, sink),
        "allow" => v.allow = list(entry, bad_command, sink),
        "keep" => v.keep = list(entry, bad_glob, sink),
        "sandbox" => {
            v.sandbox = choice(entry, &SANDBOXES, sink).filter(|s| {
                let weak = s.value == Sandbox::Off;
                users_word(key, "off", weak, &s.site, context, sink)
            });
        }
        "protect" => v.protect = list(entry, bad_glob, sink),
        "expect" => v.expect = choice(entry, &EXPECTS, sink),
        "permission" => {
            v.permission = choice(entry, &PERMISSIONS, sink).filter(|p| {
                let weak = p.value == Permission::Bypass;
                users_word(key, "bypass", weak, &p.site, context, sink)
            });
        }
        "env" => env(entry, v, sink),
        "env_pass" => v.env_pass = list(entry, bad_variable, sink),
        "setup" => v.setup = text(entry, bad_command, sink),
        "teardown" => v.teardown = text(entry, bad_command, sink),
        "check" | "verify" => {
            let header = if owner == Owner::Task {
                "task"
            } else {
                "defaults"
            };
            let all = entry.tables(&format!("{header}.{key}"), sink);
            if all.len() > MAX_CHECKS {
                let problem = format!("has {} checks; at most {MAX_CHECKS}", all.len());
                refuse(key, &entry.key_site(), &problem, sink);
                return;
            }
            v.checks = all
                .into_iter()
                .filter_map(|(site, keys)| check(site, &keys, context, sink))
                .collect();
        }
        _ => {
            let what = match owner {
                Owner::Defaults => "`[defaults]`",
                Owner::Task => "a task",
            };
            // Mistyped, not missing: one finding is enough.
            match entry.unknown(what, task_names(), sink) {
                Some("name") => v.name_refused = true,
                Some("prompt" | "prompt_file") => v.prompt_refused = true,
                _ => {}
            }
        }
    }
}

pub(super) const WORKSPACES: [(&str, WorkspaceKind); 2] = [
    ("worktree", WorkspaceKind::Worktree),
    ("in-place", WorkspaceKind::InPlace),
];
pub(super) const PRIORITIES: [(&str, Priority); 4] = [
    ("low", Priority::Low),
    ("normal", Priority::Normal),
    ("high", Priority::High),
    ("critical", Priority::Critical),
];
pub(super) const DRIFTS: [(&str, OnDrift); 2] = [("ask", OnDrift::Ask), ("warn", OnDrift::Warn)];
pub(super) const SANDBOXES: [(&str, Sandbox); 2] =
    [("write", Sandbox::Write), ("off", Sandbox::Off)];
pub(super) const EXPECTS: [(&str, Expect); 2] = [("change", Expect::Change), ("any", Expect::Any)];
pub(super) const PERMISSIONS: [(&str, Permission); 3] = [
    ("edits", Permission::Edits),
    ("plan", Permission::Plan),
    ("bypass", Permission::Bypass),
];

fn text(
    entry: &Entry<'_>,
    bad: fn(&str) -> Option<String>,
    sink: &mut Sink,
) -> Option<Located<String>> {
    let text = entry.string("a string", sink)?;
    checked(entry.key, text, bad, sink)
}

fn list(
    entry: &Entry<'_>,
    bad: fn(&str) -> Option<String>,
    sink: &mut Sink,
) -> Option<Vec<Located<String>>> {
    let texts = entry.strings(sink)?;
    checked_list(entry.key, texts, bad, sink)
}

fn choice<T: Copy>(
    entry: &Entry<'_>,
    words: &[(&'static str, T)],
    sink: &mut Sink,
) -> Option<Located<T>> {
    let text = entry.string("a string", sink)?;
    word(entry.key, &text, words, sink)
}

/// Whether a weakening word may stand here: only where the text speaks for the user (T23, T25).
pub(super) fn users_word(
    key: &str,
    value: &str,
    weak: bool,
    site: &Site,
    context: &TaskContext<'_>,
    sink: &mut Sink,
) -> bool {
    if weak && !context.trusted {
        let message = format!(
            "`{key} = \"{value}\"` is the user's own word; this file is not trusted to say it"
        );
        let help = "read the file, then run `longhaul trust` in its repository";
        sink.push(Finding::error(site, message).key(key).help(help));
    }
    !weak || context.trusted
}

/// The one name of a harness, or `auto`.
pub(super) fn known_harness(
    key: &str,
    text: Located<String>,
    context: &TaskContext<'_>,
    sink: &mut Sink,
) -> Option<Located<String>> {
    if text.value == "auto" {
        return Some(text);
    }
    if let Some(info) = context.harnesses.find(&text.value) {
        return Some(text.map(|_| info.name));
    }
    let names = context.harnesses.names();
    let near = did_you_mean(
        &text.value,
        names.iter().map(String::as_str).chain(["auto"]),
    );
    let message = format!("unknown harness {}{near}", quoted(&text.value));
    let help = format!("known: auto, {}", names.join(", "));
    sink.push(Finding::error(&text.site, message).key(key).help(help));
    None
}

/// A profile that the configuration has.
pub(super) fn known_profile(
    text: Located<String>,
    context: &TaskContext<'_>,
    sink: &mut Sink,
) -> Option<Located<String>> {
    let Some(profiles) = context.profiles else {
        return Some(text);
    };
    if profiles.contains_key(&text.value) {
        return Some(text);
    }
    let near = did_you_mean(&text.value, profiles.keys().map(String::as_str));
    let message = format!(
        "no profile {} in the configuration{near}",
        quoted(&text.value)
    );
    let help = format!("define it as `[profile.{}]` in config.toml", text.value);
    sink.push(
        Finding::error(&text.site, message)
            .key("profile")
            .help(help),
    );
    None
}

fn not_yet(entry: &Entry<'_>, what: &str, help: &str, sink: &mut Sink) {
    let message = format!("`{}`: {what}", entry.key);
    sink.push(
        Finding::error(&entry.key_site(), message)
            .key(entry.key)
            .help(help),
    );
}

fn land(entry: &Entry<'_>, sink: &mut Sink) -> Option<Located<Land>> {
    let site = entry.site();
    let value = match entry.value.get_ref() {
        value if value.as_str() == Some("pr") => Land::Pr,
        value if value.as_bool() == Some(true) => Land::Yes,
        value if value.as_bool() == Some(false) => Land::No,
        _ => {
            let finding = Finding::error(&site, "`land` must be true, false or \"pr\"").key("land");
            let help = "`true`: the merge queue puts it on the base branch; `\"pr\"`: a draft pull request";
            sink.push(finding.help(help));
            return None;
        }
    };
    Some(Located { value, site })
}

/// Another tool's minutes, whole or not.
fn minutes(entry: &Entry<'_>, sink: &mut Sink) -> Option<Located<SpanMs>> {
    let number = entry.number(sink)?;
    let ms = number.value * 60_000.0;
    if !(1.0..=crate::duration::MAX.0 as f64).contains(&ms) {
        let problem = "must be a number of minutes greater than zero, 100 years at most";
        refuse(entry.key, &number.site, problem, sink);
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 1 and MAX, checked just before"
    )]
    let ms = ms.round() as u64;
    Some(number.map(|_| SpanMs(ms)))
}

fn env(entry: &Entry<'_>, v: &mut Values, sink: &mut Sink) {
    let Some(variables) = entry.table("a table of variables", sink) else {
        return;
    };
    for var in variables {
        let Some(value) = env_value(&var, sink) else {
            continue;
        };
        if let Some((name, value)) = variable(var.key, &var.key_site(), value, sink) {
            v.env.insert(name, value);
        }
    }
}

pub(crate) fn env_value(var: &Entry<'_>, sink: &mut Sink) -> Option<Located<EnvValue>> {
    let wanted = "a string or `{ from = \"NAME\" }`";
    if var.value.get_ref().as_table().is_none() {
        if var.value.get_ref().is_integer() || var.value.get_ref().is_bool() {
            let finding = var.mistyped(wanted).help("put the value in quotes");
            sink.push(finding);
            return None;
        }
        return Some(var.string(wanted, sink)?.map(EnvValue::Literal));
    }
    let inner = var.table(wanted, sink)?;
    let mut from = None;
    let mut good = true;
    for key in &inner {
        if key.key == "from" {
            from = key.string("a variable's name", sink);
            good &= from.is_some();
        } else {
            let _meant = key.unknown("a variable", ["from"], sink);
            good = false;
        }
    }
    if good && from.is_none() {
        let message = format!("`{}` is an empty table; it must be {wanted}", var.key);
        sink.push(Finding::error(&var.site(), message).key("env"));
    }
    from.filter(|_| good)
        .map(|f| f.map(|from| EnvValue::From { from }))
}
