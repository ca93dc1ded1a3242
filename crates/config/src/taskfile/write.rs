//! Drafts as a task file: every key written out, so that reading it back gives the same drafts
//! whatever the defaults of the reader.

use longhaul_core::spec::{CheckKind, CheckSpec, EnvValue, Land};
use longhaul_core::usage::MicroUsd;
use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, Value, value};

use super::draft::{DepRef, TaskDraft};
use super::fields::{DRIFTS, EXPECTS, PERMISSIONS, PRIORITIES, SANDBOXES, WORKSPACES};
use crate::duration;

/// The tasks as the text of a task file. [`DepRef::InFile`] is written as the name of the task at
/// that index; one that points nowhere is left out.
#[must_use]
pub fn to_toml(drafts: &[TaskDraft]) -> String {
    let mut tasks = ArrayOfTables::new();
    for draft in drafts {
        tasks.push(task(draft, drafts));
    }
    let mut document = DocumentMut::new();
    document.insert("task", Item::ArrayOfTables(tasks));
    document.to_string()
}

fn task(d: &TaskDraft, all: &[TaskDraft]) -> Table {
    let mut t = Table::new();
    text(&mut t, "name", Some(&d.name));
    text(&mut t, "prompt", Some(&d.prompt));
    text(&mut t, "repo", d.repo.as_ref().map(|p| p.as_str()));
    text(&mut t, "dir", d.dir.as_ref().map(|p| p.as_str()));
    text(&mut t, "workspace", spelled(&WORKSPACES, d.workspace));
    text(&mut t, "base", d.base.as_deref());
    text(&mut t, "harness", Some(&d.harness));
    text(&mut t, "profile", d.profile.as_deref());
    text(&mut t, "model", d.model.as_deref());
    text(&mut t, "role", d.role.as_deref());
    let names = d
        .depends_on
        .iter()
        .filter_map(|dependency| match dependency {
            DepRef::InFile(index) => all.get(*index).map(|task| task.name.as_str()),
            DepRef::Stored(name) => Some(name.as_str()),
        });
    list(&mut t, "depends_on", names);
    text(&mut t, "priority", spelled(&PRIORITIES, d.priority));
    money(&mut t, d.budget);
    number(&mut t, "budget_tokens", d.budget_tokens);
    text(&mut t, "timeout", Some(&duration::format(d.timeout)));
    text(
        &mut t,
        "idle_timeout",
        Some(&duration::format(d.idle_timeout)),
    );
    text(
        &mut t,
        "answer_timeout",
        Some(&duration::format(d.answer_timeout)),
    );
    number(&mut t, "max_retries", Some(d.max_retries.into()));
    number(&mut t, "max_restarts", Some(d.max_restarts.into()));
    text(&mut t, "on_drift", spelled(&DRIFTS, d.on_drift));
    match d.land {
        Land::No => {}
        Land::Yes => {
            t.insert("land", Item::Value(true.into()));
        }
        Land::Pr => text(&mut t, "land", Some("pr")),
    }
    if d.land_unverified {
        t.insert("land_unverified", Item::Value(true.into()));
    }
    let commands = d.land_checks.iter().filter_map(|c| match &c.kind {
        CheckKind::Run { command } => Some(command.as_str()),
        CheckKind::Model { .. } | CheckKind::Agent { .. } => None,
    });
    list(&mut t, "land_check", commands);
    text(&mut t, "project", d.project.as_deref());
    text(&mut t, "group", d.group.as_deref());
    for (key, values) in [
        ("labels", &d.labels),
        ("allow", &d.allow),
        ("keep", &d.keep),
        ("protect", &d.protect),
        ("env_pass", &d.env_pass),
    ] {
        list(&mut t, key, values.iter().map(String::as_str));
    }
    text(&mut t, "sandbox", spelled(&SANDBOXES, d.sandbox));
    text(&mut t, "expect", spelled(&EXPECTS, d.expect));
    text(&mut t, "permission", spelled(&PERMISSIONS, d.permission));
    text(&mut t, "setup", d.setup.as_deref());
    text(&mut t, "teardown", d.teardown.as_deref());
    if !d.env.is_empty() {
        let mut env = Table::new();
        for (name, variable) in &d.env {
            env.insert(name, Item::Value(variable_value(variable)));
        }
        t.insert("env", Item::Table(env));
    }
    if !d.checks.is_empty() {
        let checks: ArrayOfTables = d.checks.iter().map(check).collect();
        t.insert("check", Item::ArrayOfTables(checks));
    }
    t
}

fn variable_value(variable: &EnvValue) -> Value {
    match variable {
        EnvValue::Literal(literal) => literal.into(),
        EnvValue::From { from } => {
            let mut table = InlineTable::new();
            table.insert("from", from.into());
            Value::InlineTable(table)
        }
    }
}

fn check(c: &CheckSpec) -> Table {
    let mut t = Table::new();
    text(&mut t, "name", Some(&c.name));
    match &c.kind {
        CheckKind::Run { command } => text(&mut t, "run", Some(command)),
        CheckKind::Model {
            criterion,
            model,
            budget,
        } => {
            text(&mut t, "model", Some(criterion));
            text(&mut t, "judge", model.as_deref());
            money(&mut t, *budget);
        }
        CheckKind::Agent {
            instructions,
            harness,
            model,
            budget,
        } => {
            text(&mut t, "agent", Some(instructions));
            text(&mut t, "harness", harness.as_deref());
            text(&mut t, "model", model.as_deref());
            money(&mut t, *budget);
        }
    }
    text(&mut t, "timeout", Some(&duration::format(c.timeout)));
    number(&mut t, "retry_flaky", Some(c.retry_flaky.into()));
    t
}

fn spelled<T: Copy + PartialEq>(words: &[(&'static str, T)], wanted: T) -> Option<&'static str> {
    let found = words.iter().find(|(_, value)| *value == wanted);
    found.map(|(word, _)| *word)
}

fn text(t: &mut Table, key: &str, text: Option<&str>) {
    if let Some(text) = text {
        t.insert(key, value(text));
    }
}

fn list<'a>(t: &mut Table, key: &str, values: impl Iterator<Item = &'a str>) {
    let array: Array = values.collect();
    if !array.is_empty() {
        t.insert(key, value(array));
    }
}

fn number(t: &mut Table, key: &str, number: Option<u64>) {
    if let Some(number) = number.and_then(|n| i64::try_from(n).ok()) {
        t.insert(key, value(number));
    }
}

/// Micro-dollars are exact in a double up to the largest budget that is accepted.
fn money(t: &mut Table, amount: Option<MicroUsd>) {
    if let Some(amount) = amount {
        t.insert("budget_usd", value(amount.0 as f64 / 1e6));
    }
}
