//! Sessions that change the same files while they work (L19): seen from what lies in their workspaces, opened
//! once for each path and pair, closed when it ends.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::ids::TaskId;
use crate::task::{State, Task};

/// Paths that are kept of one pair; what goes beyond is not told one by one.
pub const MOST_PATHS: usize = 50;

/// What follows when two live sessions change the same file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverlapStrategy {
    /// Nobody looks.
    Off,
    /// Both tasks are told, and go on.
    #[default]
    Warn,
    /// Both are told; the one that began later pauses after its turn.
    Escalate,
    /// Both are told; the one that began earlier pauses after its turn.
    LastWriteWins,
    /// It is left to the merge queue: written down, and no session is told.
    Merge,
}

/// What a task has changed in its workspace, as it was last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// The task.
    pub task: TaskId,
    /// The paths, from the top of the repository; lossy text.
    pub paths: BTreeSet<String>,
}

/// An open incident, as one of the two tasks keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlap {
    /// The other task.
    pub with: TaskId,
    /// What people call it.
    pub name: String,
    /// The files that both have changed.
    pub paths: BTreeSet<String>,
    /// Its session is told of it.
    pub told: bool,
}

/// How what two tasks share has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shift {
    /// Paths that they share now.
    pub now: BTreeSet<String>,
    /// Incidents that open.
    pub opened: Vec<String>,
    /// Incidents that close.
    pub closed: Vec<String>,
}

/// What becomes of the incidents of a pair. One opens only while both sessions live; it closes when the paths are
/// no longer shared, or when one of the tasks is over (`None`).
#[must_use]
pub fn shift(a: &Task, b: &Task, seen: Option<(&Touched, &Touched)>) -> Option<Shift> {
    let none = BTreeSet::new();
    let open = of(a, b.id).map_or(&none, |o| &o.paths);
    let both_live = is_live(a) && is_live(b);
    let shared = match seen {
        Some((x, y)) if !is_over(a) && !is_over(b) => {
            x.paths.intersection(&y.paths).cloned().collect()
        }
        Some(_) => BTreeSet::new(),
        // Not looked at this time: as it was, unless one is over.
        None if is_over(a) || is_over(b) => BTreeSet::new(),
        None => open.clone(),
    };
    let now: BTreeSet<String> = shared
        .into_iter()
        .filter(|path| both_live || open.contains(path))
        .take(MOST_PATHS)
        .collect();
    let shift = Shift {
        opened: now.difference(open).cloned().collect(),
        closed: open.difference(&now).cloned().collect(),
        now,
    };
    (!shift.opened.is_empty() || !shift.closed.is_empty()).then_some(shift)
}

/// The open incidents of a task with another one.
#[must_use]
pub fn of(task: &Task, with: TaskId) -> Option<&Overlap> {
    task.carry.overlaps.iter().find(|o| o.with == with)
}

/// Whether its session is at work.
#[must_use]
pub const fn is_live(task: &Task) -> bool {
    matches!(
        task.state,
        State::Running {
            step: crate::task::RunStep::Live
        }
    )
}

fn is_over(task: &Task) -> bool {
    task.state.word().is_final()
}

/// Whether `a` began its attempt before `b`; ties by age.
#[must_use]
pub fn began_before(a: &Task, b: &Task) -> bool {
    let began = |t: &Task| (t.attempt.as_ref().and_then(|a| a.started_at), t.id);
    began(a) < began(b)
}
