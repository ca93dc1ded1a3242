//! What the writer remembers of the tasks that it moved last, so that the next move of the same task
//! need not look first, and writes only what changed.
//!
//! It may be trusted because the store is the only writer (T19); every move still compares and sets in
//! the database itself. A batch that fails forgets everything.

use std::collections::HashMap;

use longhaul_core::attempt::Attempt;
use longhaul_core::ids::{Fence, TaskId};
use longhaul_core::task::{Carry, StateWord};

use crate::chain::Hash;

/// Tasks that are remembered; one more, and all are forgotten (I16). About a kilobyte each.
const MOST: usize = 4_096;

/// The end of a task's history.
pub(super) struct Head {
    pub(super) key: i64,
    pub(super) version: u64,
    pub(super) fence: Fence,
    pub(super) state: StateWord,
    pub(super) chain: Hash,
    /// As stored; `None` if it was not looked at.
    pub(super) carry: Option<Carry>,
    /// The stored attempt of this fence.
    pub(super) attempt: Option<KnownAttempt>,
}

/// A stored attempt.
pub(super) struct KnownAttempt {
    pub(super) key: i64,
    /// As stored; `None` if it was not looked at.
    pub(super) body: Option<Attempt>,
}

/// The heads by task.
#[derive(Default)]
pub(super) struct Known(HashMap<TaskId, Head>);

impl Known {
    /// Takes a head out; whoever does puts the new one back.
    pub(super) fn take(&mut self, id: TaskId) -> Option<Head> {
        self.0.remove(&id)
    }

    pub(super) fn put(&mut self, id: TaskId, head: Head) {
        // A final task hardly ever moves again.
        if head.state.is_final() {
            return;
        }
        if self.0.len() >= MOST {
            self.0.clear();
        }
        self.0.insert(id, head);
    }

    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}
