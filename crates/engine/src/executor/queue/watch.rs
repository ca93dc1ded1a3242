//! Looks at base branches on which something waits: when one moves, what is known of it is old (L14).

use std::collections::HashMap;
use std::sync::Mutex;

use camino::Utf8Path;
use longhaul_core::queue::{Line, LineId, QueueFact};
use longhaul_vcs::Oid;

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
        for line in lines.into_iter().filter(Line::wants_base) {
            let Some(now) = base_of(desk, &line.id) else {
                continue;
            };
            let before = lock(&self.seen).insert(line.id.clone(), now.to_string());
            let moved = match before {
                Some(before) => before != now.as_str(),
                // Never looked at: what the user committed before that counts, too.
                None => !holds(desk, &line, &now),
            };
            if moved {
                desk.tell(Event::Line {
                    line: line.id,
                    fact: QueueFact::BaseMoved,
                });
            }
        }
    }
}

/// Whether what has landed, as the line knows it, holds this commit of base; true if that cannot be said.
fn holds(desk: &Desk, line: &Line, base: &Oid) -> bool {
    let tip = line.tip.as_ref().and_then(|tip| tip.commit.parse().ok());
    let Some((tip, repo)) = tip.zip(desk.repo(Utf8Path::new(&line.id.repo)).ok()) else {
        return true;
    };
    repo.is_ancestor(base, &tip).unwrap_or(true)
}

/// Where a base branch stands; `None` if that cannot be said.
fn base_of(desk: &Desk, line: &LineId) -> Option<Oid> {
    let repo = desk.repo(Utf8Path::new(&line.repo)).ok()?;
    let name = repo.queue(&line.base).base_ref();
    repo.ref_commit(&name).ok().flatten()
}
