//! What `doctor` looks at: one row per thing, each with what was found and, where it is not well, the
//! remedy (G8). Reads only; starts nothing but the version question of an installed agent.

mod agents;
mod daemon;
mod inboxes;
mod system;

use serde::Serialize;

use crate::context::Context;

/// How a row stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Grade {
    /// Well.
    Pass,
    /// Works, but worth a look.
    Advisory,
    /// Must be put right.
    Fail,
    /// Not looked at, and why.
    Skipped,
}

/// One row.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// What was looked at; stable.
    pub(crate) name: String,
    /// How it stands.
    pub(crate) grade: Grade,
    /// What was found.
    pub(crate) found: String,
    /// What to do.
    pub(crate) remedy: Option<String>,
}

/// A well row.
fn pass(name: &str, found: impl Into<String>) -> Row {
    Row {
        name: name.to_owned(),
        grade: Grade::Pass,
        found: found.into(),
        remedy: None,
    }
}

/// A row that was not looked at.
fn skipped(name: &str, why: impl Into<String>) -> Row {
    Row {
        name: name.to_owned(),
        grade: Grade::Skipped,
        found: why.into(),
        remedy: None,
    }
}

/// A row that is worth a look.
fn advisory(name: &str, found: impl Into<String>, remedy: impl Into<String>) -> Row {
    Row {
        name: name.to_owned(),
        grade: Grade::Advisory,
        found: found.into(),
        remedy: Some(remedy.into()),
    }
}

/// A row that must be put right.
fn fail(name: &str, found: impl Into<String>, remedy: impl Into<String>) -> Row {
    Row {
        name: name.to_owned(),
        grade: Grade::Fail,
        found: found.into(),
        remedy: Some(remedy.into()),
    }
}

/// All rows.
pub(crate) fn rows(context: &Context) -> Vec<Row> {
    let mut rows = vec![system::binary(context), system::git(context)];
    rows.extend(daemon::rows(context));
    rows.push(system::state_folder(context));
    rows.push(system::runtime_folder(context));
    rows.push(system::disk(context));
    let (settings, row) = system::config(context);
    rows.push(row);
    rows.extend(agents::rows(context, settings.as_ref()));
    rows.extend(inboxes::rows(context, settings.as_ref()));
    rows.push(system::sandbox());
    rows.push(system::cgroup());
    rows.push(system::lingering(context));
    rows.push(system::clock());
    rows
}
