//! Every key of the task file with one line about it: what is known, for messages and docs.

/// One key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskKey {
    /// The key.
    pub name: &'static str,
    /// Its type and default, as the docs show them.
    pub kind: &'static str,
    /// What it means.
    pub about: &'static str,
}

const fn key(name: &'static str, kind: &'static str, about: &'static str) -> TaskKey {
    TaskKey { name, kind, about }
}

/// The keys of `[[task]]` and `[defaults]`.
pub const TASK_KEYS: [TaskKey; 42] = [
    key(
        "name",
        "string, required",
        "unique in the file; ASCII letters, digits, `.`, `-`, `_`",
    ),
    key("prompt", "string; this or `prompt_file`", "what is wanted"),
    key(
        "prompt_file",
        "path",
        "a file that holds the prompt, relative to the task file",
    ),
    key(
        "repo",
        "path, default: the file's repository",
        "the repository, relative to the task file",
    ),
    key(
        "dir",
        "path inside the repository",
        "the folder where the agent and the checks run",
    ),
    key(
        "workspace",
        "`\"worktree\"` or `\"in-place\"`",
        "where the work happens",
    ),
    key(
        "base",
        "branch, default: the one checked out",
        "what the work starts from",
    ),
    key(
        "harness",
        "string, default: `default_harness`",
        "which agent does it, or `\"auto\"`",
    ),
    key(
        "profile",
        "string",
        "a `[profile.NAME]` of the configuration",
    ),
    key("model", "string", "the model, in the agent's own spelling"),
    key("account", "string", "not part of this version: refused"),
    key("role", "string", "the role the task is routed to"),
    key(
        "depends_on",
        "list of names",
        "tasks that must be done first",
    ),
    key(
        "priority",
        "`\"low\"`, `\"normal\"`, `\"high\"`, `\"critical\"`",
        "who goes first",
    ),
    key(
        "budget_usd",
        "number",
        "money for the task over all attempts",
    ),
    key(
        "budget_tokens",
        "whole number",
        "tokens for the task over all attempts",
    ),
    key(
        "timeout",
        "duration, `\"45m\"`",
        "the longest an attempt may take",
    ),
    key(
        "idle_timeout",
        "duration, `\"10m\"`",
        "the longest without any sign of life",
    ),
    key(
        "answer_timeout",
        "duration, `\"60s\"`",
        "how long a question nobody can answer may stand",
    ),
    key(
        "max_retries",
        "whole number, 2",
        "attempts after a failed check, an agent error or a timeout",
    ),
    key(
        "max_restarts",
        "whole number, 5",
        "attempts after a crash, a lost host or the like",
    ),
    key(
        "on_drift",
        "`\"ask\"` or `\"warn\"`",
        "what to do when other hands changed the workspace",
    ),
    key(
        "land",
        "`true` or `false`",
        "put the work on the base branch through the merge queue after the checks; `\"pr\"` is refused",
    ),
    key(
        "land_check",
        "list of commands, default: the `run` checks",
        "what must succeed on the merged tree before it lands",
    ),
    key(
        "land_unverified",
        "`true` or `false`",
        "land although nothing verifies the merged tree",
    ),
    key("project", "string", "grouping"),
    key("group", "string", "grouping"),
    key(
        "labels",
        "list of strings",
        "grouping, and hosts that may take it",
    ),
    key(
        "allow",
        "list of strings",
        "commands the agent may run beyond its permission mode",
    ),
    key("keep", "list of globs", "ignored files worth a snapshot"),
    key(
        "sandbox",
        "`\"write\"` or `\"off\"`",
        "whether writes are confined to the workspace",
    ),
    key("protect", "list of globs", "files the agent may not change"),
    key(
        "expect",
        "`\"change\"` or `\"any\"`",
        "whether no change at all is a FAIL",
    ),
    key(
        "permission",
        "`\"edits\"`, `\"plan\"`, `\"bypass\"`",
        "what the agent may do without asking",
    ),
    key(
        "env",
        "table",
        "variables of the session, the setup and the checks",
    ),
    key(
        "env_pass",
        "list of names",
        "variables passed on from the caller",
    ),
    key(
        "setup",
        "command",
        "prepares a new workspace, before any token is spent",
    ),
    key(
        "teardown",
        "command",
        "kept for the time before a workspace is removed; not run by this version",
    ),
    key("check", "`[[task.check]]`", "a verifier"),
    key("cwd", "path", "another tool's spelling of `dir`"),
    key(
        "timeout_min",
        "number",
        "another tool's spelling of `timeout`, in minutes",
    ),
    key(
        "verify",
        "`[[task.verify]]`",
        "another tool's spelling of `check`",
    ),
];

/// The keys of `[[task.check]]`.
pub const CHECK_KEYS: [TaskKey; 10] = [
    key("run", "command", "PASS if `/bin/sh -c` of it exits with 0"),
    key(
        "model",
        "string",
        "the criterion a model judges the diff by; beside `agent`: the reviewer's model",
    ),
    key(
        "agent",
        "string",
        "what another session reviews the work for",
    ),
    key("name", "string, default: `check-N`", "unique in the task"),
    key("timeout", "duration, `\"15m\"`", "after which it is a FAIL"),
    key(
        "budget_usd",
        "number",
        "money for a `model` or `agent` check",
    ),
    key(
        "retry_flaky",
        "whole number, 0",
        "how often a FAIL is run again; a later PASS is recorded as flaky",
    ),
    key(
        "judge",
        "string",
        "beside `model`: a `[judge.NAME]` of the configuration",
    ),
    key(
        "harness",
        "string",
        "beside `agent`: the reviewer's harness",
    ),
    key("brain", "string", "another tool's spelling of `model`"),
];

/// The names of the keys of a task, for suggestions.
pub(super) fn task_names() -> impl Iterator<Item = &'static str> {
    TASK_KEYS.iter().map(|k| k.name)
}

/// The names of the keys of a check, for suggestions.
pub(super) fn check_names() -> impl Iterator<Item = &'static str> {
    CHECK_KEYS.iter().map(|k| k.name)
}
