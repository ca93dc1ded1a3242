//! The merge queue in the report: what goes next, what is in the way, what landed.

use longhaul_api::{LandedView, LineView, QueueEntryView};
use longhaul_core::time::UnixMs;
use serde::Serialize;

use super::model::{Part, parts};
use crate::output::clock;
use crate::output::text::clean;

/// Landings of a line that are listed.
const LANDED_SHOWN: usize = 30;
/// Characters of a commit or tree.
const ID_SHOWN: usize = 12;

/// A line.
#[derive(Debug, Serialize)]
pub(crate) struct Queue {
    pub(crate) title: String,
    pub(crate) repo: String,
    /// How it stands.
    pub(crate) state: String,
    /// What is wrong with all of it.
    pub(crate) notes: Vec<String>,
    pub(crate) ready: Vec<Waiting>,
    pub(crate) blocked: Vec<Waiting>,
    pub(crate) landed: Vec<Landed>,
    /// How many more landed than are listed.
    pub(crate) more: usize,
}

/// An entry.
#[derive(Debug, Serialize)]
pub(crate) struct Waiting {
    pub(crate) place: usize,
    pub(crate) title: String,
    pub(crate) id: String,
    pub(crate) why: String,
    pub(crate) why_parts: Vec<Part>,
    pub(crate) files: Vec<String>,
    pub(crate) remedy: String,
}

/// A landing.
#[derive(Debug, Serialize)]
pub(crate) struct Landed {
    pub(crate) title: String,
    pub(crate) commit: String,
    pub(crate) tree: String,
    /// Empty for an ordinary one.
    pub(crate) note: &'static str,
    pub(crate) when: String,
}

/// A line for the report.
pub(super) fn queue(line: &LineView, now: UnixMs) -> Queue {
    let (ready, blocked): (Vec<_>, Vec<_>) = line.entries.iter().partition(|e| e.ready);
    let blocked_note = line.blocked.as_ref().map(|why| clean(why));
    let behind = line.behind.as_ref();
    let behind_note = behind.map(|why| format!("the base branch waits for you: {}", clean(why)));
    Queue {
        title: clean(&line.base),
        repo: clean(&line.repo),
        state: clean(&line.line),
        notes: blocked_note.into_iter().chain(behind_note).collect(),
        ready: ready.into_iter().map(waiting).collect(),
        blocked: blocked.into_iter().map(waiting).collect(),
        landed: line
            .landed
            .iter()
            .take(LANDED_SHOWN)
            .map(|l| landed(l, now))
            .collect(),
        more: line.landed.len().saturating_sub(LANDED_SHOWN),
    }
}

fn waiting(entry: &QueueEntryView) -> Waiting {
    let why = clean(&entry.line);
    Waiting {
        place: entry.place,
        title: clean(&entry.title),
        id: clean(&entry.short_id),
        why_parts: parts(&why),
        why,
        files: entry
            .conflicts
            .iter()
            .map(|c| format!("{} ({})", clean(&c.path), clean(&c.kind)))
            .filter(|file| !entry.line.contains(file.as_str()))
            .collect(),
        remedy: entry.remedy.as_deref().map(clean).unwrap_or_default(),
    }
}

fn landed(l: &LandedView, now: UnixMs) -> Landed {
    let short = |id: &str| clean(id.get(..ID_SHOWN).unwrap_or(id));
    let title = clean(&l.title);
    Landed {
        title: if title.is_empty() {
            "your own commits".to_owned()
        } else {
            title
        },
        commit: short(&l.commit),
        tree: short(&l.tree),
        note: match (&l.undone_by, l.verified) {
            (Some(_), _) => "taken back since",
            (None, false) => "unverified",
            (None, true) => "",
        },
        when: clock::moment(UnixMs(l.at_ms), now),
    }
}
