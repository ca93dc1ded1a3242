//! Looks at base branches on which something waits: when one moves, what is known of it is old (L14).

use std::collections::HashMap;
use std::sync::Mutex;

use camino::Utf8Path;
use longhaul_core::queue::{Line, LineId, QueueFact};

use super::super::{Desk, lock};
use crate::event::Event;

/// Remembers where base branches stood.
#[derive(Debug, Default)]
pub struct BaseWatch {
    seen: Mutex<HashMap<LineId, String>>,
}

impl BaseWatch {
    /// Tells the dispatcher of base branches that moved since the last look. Costs a run of git for each
    /// line that waits for one; for a thread of its own.
    pub fn look(&self, desk: &Desk) {
        let lines = match desk.read(|r| r.lines()) {
            Ok(lines) => lines,
            Err(error) => {
                tracing::debug!(%error, "the lines of the merge queue are not looked at");
                return;
            }
        };
        for line in lines.into_iter().filter(waits) {
            let Some(now) = base_of(desk, &line.id) else {
                continue;
            };
            let before = lock(&self.seen).insert(line.id.clone(), now.clone());
            if before.is_some_and(|before| before != now) {
                desk.tell(Event::Line {
                    line: line.id,
                    fact: QueueFact::BaseMoved,
                });
            }
        }
    }
}

/// Whether a move of the base branch could help it.
fn waits(line: &Line) -> bool {
    line.behind.is_some() || line.block.is_some() || line.entries.iter().any(|e| e.wait.is_some())
}

/// Where a base branch stands; `None` if that cannot be said.
fn base_of(desk: &Desk, line: &LineId) -> Option<String> {
    let repo = desk.repo(Utf8Path::new(&line.repo)).ok()?;
    let name = repo.queue(&line.base).base_ref();
    repo.ref_commit(&name).ok().flatten().map(|c| c.to_string())
}
