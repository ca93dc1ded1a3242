//! The commit that takes a landing back, made before it is queued, so that whoever asks hears at once
//! if it cannot be. Only objects are written; the queue tries, checks and lands it as any other entry.

use longhaul_core::queue::{Landing, Undoing};
use longhaul_vcs::{UndoEnd, UndoRequest};

use super::super::Desk;
use super::super::desk::chain;
use super::oid;

/// Makes the commit of an undo. The same landing gives the same commit, unless it is signed.
/// Blocks while git runs.
///
/// # Errors
/// Why git could not, in a sentence.
pub fn undo_commit(desk: &Desk, landing: &Landing) -> Result<Undoing, String> {
    let line = &landing.line;
    let repo = desk.repo(line.repo.as_str().into());
    let repo = repo.map_err(|error| format!("{}; {}", chain(&error), error.remedy()))?;
    let request = UndoRequest {
        landed: oid(&landing.commit).map_err(|fault| fault.detail)?,
        commit: oid(&landing.head).map_err(|fault| fault.detail)?,
        message: format!(
            "Take back {}\n\nIt landed with {}.\n",
            landing.title, landing.commit
        ),
        date: u64::try_from(landing.at.0 / 1000).unwrap_or(0),
        sign: desk.practice_or_own(line.repo.as_str().into()).sign,
    };
    let end = longhaul_acts::around("engine.queue.undo", || {
        repo.queue(&line.base).undo(&request)
    });
    let conflict = |report, later| Undoing::Conflict { report, later };
    Ok(match end.map_err(|error| chain(&error))? {
        UndoEnd::Made(commit) => Undoing::Made {
            commit: commit.to_string(),
        },
        UndoEnd::Conflict(report) => conflict(*report, false),
        UndoEnd::BuiltOn(report) => conflict(*report, true),
    })
}
