//! What has to be done in the world for a task as it stands.
//!
//! A committed state names at most one outstanding effect, so the state *is* the durable intent
//! (I4): after a crash the same effect is asked for again, and every effect is an idempotent
//! *ensure* keyed by (task, fence).

use crate::attempt::Halt;
use crate::ids::{Fence, TaskId};
use crate::spec::Land;
use crate::task::{AssignStep, RunStep, State, Task};

/// An effect to ensure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// The task.
    pub task: TaskId,
    /// The attempt.
    pub fence: Fence,
    /// What.
    pub act: Act,
}

/// What to ensure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Make or find the workspace, run `setup`, compare with the last end tree.
    PrepareWorkspace,
    /// Start the session, or find it started; then watch it.
    Launch,
    /// Watch the session that was started.
    Attend,
    /// Stop what is left of the session's tree and secure its work.
    Seal,
    /// Run a check, or find it run.
    Check {
        /// Position of the check.
        check: u16,
        /// Which run of it.
        run: u16,
    },
    /// Push the branch and open a pull request for it, or find it opened.
    Propose,
    /// Stop the setup, session or check that belongs to the attempt.
    Halt {
        /// Why.
        why: Halt,
    },
}

/// The effect that a task's state asks for, if any.
#[must_use]
pub fn outstanding(task: &Task) -> Option<Effect> {
    let act = match (&task.state, &task.halt) {
        (
            State::Assigned { .. }
            | State::Running {
                step: RunStep::Live,
            }
            | State::Verifying { .. },
            Some(why),
        ) => Act::Halt { why: why.clone() },
        (
            State::Assigned {
                step: AssignStep::Workspace,
            },
            None,
        ) => Act::PrepareWorkspace,
        (
            State::Assigned {
                step: AssignStep::Launch,
            },
            None,
        ) => Act::Launch,
        (
            State::Running {
                step: RunStep::Live,
            },
            None,
        ) => Act::Attend,
        (
            State::Running {
                step: RunStep::Sealing { .. },
            },
            _,
        ) => Act::Seal,
        (State::Verifying { .. }, None) if task.hold => return None,
        (State::Verifying { check, run, .. }, None) => Act::Check {
            check: *check,
            run: *run,
        },
        (State::Landing { .. }, None) if task.terms.land == Land::Pr && !task.hold => Act::Propose,
        (
            State::Pending
            | State::Ready { .. }
            | State::Landing { .. }
            | State::Parked { .. }
            | State::NeedsHuman { .. }
            | State::Done { .. }
            | State::Cancelled,
            _,
        ) => return None,
    };
    Some(Effect {
        task: task.id,
        fence: task.fence,
        act,
    })
}
