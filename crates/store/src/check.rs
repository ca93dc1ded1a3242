//! What must hold of a write by itself, whatever is stored. Not the rules of tasks: those are `decide`'s.

use std::collections::HashSet;

use longhaul_core::ids::Fence;
use longhaul_core::task::Task;

use crate::write::{LineStep, Refusal, Step, Submission};

/// The first contradiction within a submission.
pub(crate) fn submission(s: &Submission) -> Result<(), Refusal> {
    if s.tasks.is_empty() {
        return Err(Refusal::Malformed("a submission has at least one task"));
    }
    let mut ids = HashSet::new();
    for new in &s.tasks {
        let (task, entry) = (&new.task, &new.entry);
        if task.version != 1 || entry.version != 1 {
            return Err(Refusal::Malformed("a new task has version 1"));
        }
        if task.fence != Fence::default() || entry.fence != task.fence || task.attempt.is_some() {
            return Err(Refusal::Malformed("a new task has no attempt"));
        }
        if entry.task != task.id || entry.to != task.state.word() {
            return Err(Refusal::Malformed("the ledger row is not of this task"));
        }
        if !ids.insert(task.id) {
            return Err(Refusal::Exists(task.id));
        }
    }
    Ok(())
}

/// The first contradiction within a step.
pub(crate) fn step(s: &Step) -> Result<(), Refusal> {
    let (task, entry) = (&s.task, &s.entry);
    if entry.task != task.id || entry.to != task.state.word() || entry.fence != task.fence {
        return Err(Refusal::Malformed("the ledger row is not of this move"));
    }
    if task.version != entry.version || s.expect_version.checked_add(1) != Some(task.version) {
        return Err(Refusal::Malformed("a move raises the version by one"));
    }
    if task.fence < s.expect_fence {
        return Err(Refusal::Malformed("a fence never shrinks"));
    }
    attempt(task)
}

/// The first contradiction within a move of a line.
pub(crate) fn line(s: &LineStep) -> Result<(), Refusal> {
    if s.expect_version.checked_add(1) != Some(s.line.version) {
        return Err(Refusal::Malformed("a move raises the version by one"));
    }
    if s.rows.iter().any(|r| r.version != s.line.version) {
        return Err(Refusal::Malformed("the ledger row is not of this move"));
    }
    let mut ids = HashSet::new();
    if !s.line.entries.iter().all(|e| ids.insert(e.id)) {
        return Err(Refusal::Malformed("an entry stands twice in the line"));
    }
    Ok(())
}

fn attempt(task: &Task) -> Result<(), Refusal> {
    match &task.attempt {
        Some(attempt) if attempt.fence != task.fence => {
            Err(Refusal::Malformed("the attempt carries another fence"))
        }
        _ => Ok(()),
    }
}
