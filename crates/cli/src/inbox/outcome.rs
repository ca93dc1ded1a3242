//! What becomes of a taken file when its task has ended: it is put away, a report beside it.

use std::io;

use longhaul_core::ids::TaskId;
use longhaul_core::task::StateWord;

use super::folders::{self, Folders};
use super::watch::Means;
use super::{Inbox, Trouble, report};

/// Puts the file of an ended task away; a task that has not ended is left alone. True if nothing is left to do.
///
/// # Errors
/// The task cannot be read, or the folders not be written.
pub(super) fn put_away(
    means: &Means,
    inbox: &Inbox,
    folders: &Folders,
    id: TaskId,
    kept: &str,
) -> Result<bool, Trouble> {
    let unreadable = |why: String| {
        Trouble::new(
            format!("task {id} cannot be read: {why}"),
            "see `longhaul doctor`",
        )
    };
    let stored = means
        .reader
        .task(id)
        .map_err(|e| unreadable(e.to_string()))?;
    let (to, part) = match stored.map(|s| s.task.state.word()) {
        Some(StateWord::Done) => (&folders.done, "done"),
        Some(StateWord::Cancelled) => (&folders.failed, "failed"),
        _ => return Ok(false),
    };
    let context = means.context_in(inbox);
    let detail = context
        .reads()
        .and_then(|reads| reads.task(&id.to_string()));
    let detail = detail.map_err(|e| unreadable(e.message()))?;
    let path = inbox.part(part);
    let text = report::outcome(&detail);
    folders::place(to, &report::name(kept), text.as_bytes())
        .map_err(|e| Trouble::io("write into", &path, &e))?;
    match folders::carry((&folders.accepted, kept.as_bytes()), (to, kept)) {
        // The user took it away: the report stays.
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(e) => Err(Trouble::io("move a file into", &path, &e)),
        Ok(()) => Ok(true),
    }
}
