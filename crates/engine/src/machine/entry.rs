//! What a task brings into the merge queue.

use longhaul_core::queue::{Entry, EntryId, LandCheck, LineId, MergeStyle, Origin};
use longhaul_core::spec::{CheckKind, TaskSpec};
use longhaul_core::task::{State, Task};
use longhaul_core::time::Now;
use serde_json::json;
use sha2::{Digest, Sha256};

/// The line and the entry of a task whose work is finished.
pub(super) fn of_task(
    task: &Task,
    spec: &TaskSpec,
    style: MergeStyle,
    now: Now,
) -> (LineId, Entry) {
    let id = EntryId::of_task(task.id);
    let sealed = task.attempt.as_ref().and_then(|a| a.sealed.as_ref());
    let since = match &task.state {
        State::Landing { since } => *since,
        _ => now.wall,
    };
    let entry = Entry {
        id,
        origin: Origin::Task {
            task: task.id,
            fence: task.fence,
        },
        title: task.name.clone(),
        commit: sealed.map(|s| s.commit.clone()).unwrap_or_default(),
        priority: task.terms.priority,
        // It keeps its age when it comes back.
        since: task.carry.queued.unwrap_or(since),
        style: spec.merge_style.unwrap_or(style),
        checks: land_checks(id, spec),
        land_unverified: spec.land_unverified,
        held: task.hold,
        wait: None,
    };
    let line = LineId {
        repo: task.terms.repo.clone(),
        base: spec.base.clone().unwrap_or_default(),
    };
    (line, entry)
}

/// What must pass on the merged tree: the task's `land_check`, or its own `run` checks (L9).
fn land_checks(id: EntryId, spec: &TaskSpec) -> Vec<LandCheck> {
    let checks = if spec.land_checks.is_empty() {
        &spec.checks
    } else {
        &spec.land_checks
    };
    checks
        .iter()
        .filter_map(|check| match &check.kind {
            CheckKind::Run { command } => Some(LandCheck {
                name: check.name.clone(),
                command: command.clone(),
                timeout: check.timeout,
                key: key(spec, command),
                of: id,
            }),
            CheckKind::Model { .. } | CheckKind::Agent { .. } => None,
        })
        .collect()
}

/// Digest of everything beside the tree that a verdict depends on.
fn key(spec: &TaskSpec, command: &str) -> String {
    let text = json!([
        command,
        spec.dir,
        spec.setup,
        spec.env,
        spec.env_pass,
        spec.sandbox,
        spec.caller_env,
    ])
    .to_string();
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().map(|b| format!("{b:02x}")).collect()
}
