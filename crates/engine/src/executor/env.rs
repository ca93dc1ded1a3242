//! The environment of jobs (T26, S11, I12): the submitter's few variables, what the task names, and
//! nothing else of ours.

use std::collections::BTreeMap;

use longhaul_agents::LaunchPlan;
use longhaul_core::ids::TaskId;
use longhaul_core::spec::{EnvValue, TaskSpec};
use longhaul_core::task::WorkspaceRef;

use super::Desk;

/// Variables that come from whoever submitted a task: exact names, or prefixes that end in `*`.
const CALLER_ENV: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TZ",
    "TERM",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
    "XDG_CACHE_HOME",
    "CARGO_HOME",
    "RUSTUP_HOME",
    "CLAUDE_CONFIG_DIR",
    "CODEX_HOME",
    "GEMINI_CLI_HOME",
    "OPENCODE_CONFIG",
    "OPENCODE_CONFIG_DIR",
];

/// What a task needs and the daemon does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    /// The variable.
    pub(crate) name: String,
}

impl Missing {
    pub(crate) fn detail(&self) -> String {
        format!(
            "the environment variable {} is not set where the daemon runs",
            self.name
        )
    }

    pub(crate) fn remedy(&self) -> &'static str {
        "set it and run `longhaul daemon restart` from that shell (sessions go on), then `longhaul retry`"
    }
}

/// The environment of a setup, a check or a teardown: a session's without the account keys of its harness (T26).
pub(crate) fn of_job(
    desk: &Desk,
    id: TaskId,
    spec: &TaskSpec,
    workspace: &WorkspaceRef,
) -> Result<BTreeMap<String, String>, Missing> {
    let mut env = of_task(desk, id, spec, workspace)?;
    let practice = desk.practice_or_own(&spec.repo);
    if let Ok(harness) = practice.registry.resolve(&spec.harness) {
        for name in &harness.capabilities().credentials {
            env.remove(name);
        }
    }
    Ok(env)
}

/// The environment of a session.
pub(crate) fn of_task(
    desk: &Desk,
    id: TaskId,
    spec: &TaskSpec,
    workspace: &WorkspaceRef,
) -> Result<BTreeMap<String, String>, Missing> {
    let mut env = spec.caller_env.clone();
    env.entry("PATH".to_owned())
        .or_insert_with(|| "/usr/local/bin:/usr/bin:/bin".to_owned());
    for name in &spec.env_pass {
        let value = desk
            .environment
            .get(name)
            .ok_or_else(|| Missing { name: name.clone() })?;
        env.insert(name.clone(), value.clone());
    }
    for (name, value) in &spec.env {
        let value = match value {
            EnvValue::Literal(text) => text.clone(),
            EnvValue::From { from } => desk
                .environment
                .get(from)
                .cloned()
                .ok_or_else(|| Missing { name: from.clone() })?,
        };
        env.insert(name.clone(), value);
    }
    env.insert("LONGHAUL_TASK".to_owned(), spec.name.clone());
    env.insert("LONGHAUL_TASK_ID".to_owned(), id.to_string());
    env.insert("LONGHAUL_WORKSPACE".to_owned(), workspace.path.clone());
    env.insert("LONGHAUL_REPO".to_owned(), spec.repo.to_string());
    if !workspace.start.is_empty() {
        env.insert("LONGHAUL_BASE".to_owned(), workspace.start.clone());
    }
    if let Some(port) = workspace.port_base {
        env.insert("LONGHAUL_PORT_BASE".to_owned(), port.to_string());
    }
    env.insert("GIT_TERMINAL_PROMPT".to_owned(), "0".to_owned());
    flush_git(&mut env);
    Ok(env)
}

/// Has a session's own git flush objects before it names them, which by default it does not: after a power
/// cut an empty object in the place of a commit makes the work unreadable, and git takes it for written.
fn flush_git(env: &mut BTreeMap<String, String>) {
    const SETTINGS: [(&str, &str); 2] = [
        ("core.fsync", "committed,reference"),
        ("core.fsyncMethod", "batch"),
    ];
    let given = env.get("GIT_CONFIG_COUNT").map(|count| count.parse());
    // The user's own go first; a count that is none is git's to complain of.
    let Ok(first) = given.unwrap_or(Ok(0_usize)) else {
        return;
    };
    for (n, (key, value)) in SETTINGS.into_iter().enumerate() {
        let n = first + n;
        env.insert(format!("GIT_CONFIG_KEY_{n}"), key.to_owned());
        env.insert(format!("GIT_CONFIG_VALUE_{n}"), value.to_owned());
    }
    let count = first + SETTINGS.len();
    env.insert("GIT_CONFIG_COUNT".to_owned(), count.to_string());
}

/// Adds what a launch plan says to a session's environment; values that it only names are read now.
pub(crate) fn add_plan(
    desk: &Desk,
    plan: &LaunchPlan,
    env: &mut BTreeMap<String, String>,
) -> Result<(), Missing> {
    for name in &plan.env_remove {
        env.remove(name);
    }
    env.extend(plan.env.clone());
    for (name, from) in &plan.env_from {
        let value = desk
            .environment
            .get(from)
            .ok_or_else(|| Missing { name: from.clone() })?;
        env.insert(name.clone(), value.clone());
    }
    Ok(())
}

/// Whether a variable of this name comes from the submitter.
#[must_use]
pub fn is_caller_variable(name: &str) -> bool {
    CALLER_ENV
        .iter()
        .any(|known| match known.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => *known == name,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_the_users_own_stay_before_ours() {
        let given = [("GIT_CONFIG_COUNT", "1"), ("GIT_CONFIG_KEY_0", "a.b")];
        let mut env: BTreeMap<_, _> = given.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        flush_git(&mut env);
        assert_eq!(env["GIT_CONFIG_COUNT"], "3");
        assert_eq!(env["GIT_CONFIG_KEY_0"], "a.b");
        assert_eq!(env["GIT_CONFIG_KEY_1"], "core.fsync");
        let mut odd: BTreeMap<_, _> = [("GIT_CONFIG_COUNT".to_owned(), "x".to_owned())].into();
        flush_git(&mut odd);
        assert_eq!(odd.len(), 1);
    }

    #[test]
    fn t26_only_a_few_variables_come_from_the_submitter() {
        assert!(is_caller_variable("PATH") && is_caller_variable("LC_ALL"));
        assert!(!is_caller_variable("ANTHROPIC_API_KEY") && !is_caller_variable("LCX"));
    }
}
