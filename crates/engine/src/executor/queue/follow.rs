//! The base branch follows what has landed (L14). What is about to be done is noted first, so that a
//! checkout that was cut short in the middle is put right before anything else.

use camino::Utf8Path;
use longhaul_acts::files;
use longhaul_core::queue::{FollowEnd, QueueNews};
use longhaul_vcs::{AdvanceCheckout, FollowIntent, FollowPlan, FollowRecovery, PushEnd, Queue};

use super::super::Desk;
use super::super::desk::chain;
use super::super::files::write_whole;
use super::{Fault, open};
use crate::machine::LineDispatch;

/// The base branch follows, and where that is wanted what has landed is pushed.
pub(super) fn follow(desk: &Desk, d: &LineDispatch) -> Result<QueueNews, Fault> {
    let repo = open(desk, d)?;
    let queue = repo.queue(&d.effect.line.base);
    let practice = desk.practice_or_own(d.effect.line.repo.as_str().into());
    let end = here(desk, d, &queue, practice.advance_checkout)?;
    // What the user committed beside it comes first, or it would be pushed unmerged.
    if !practice.push || end == FollowEnd::Diverged {
        return Ok(QueueNews::Followed { end, pushed: None });
    }
    let base = &d.effect.line.base;
    let waits = |why| (FollowEnd::Waits { why }, None);
    let (end, pushed) = match longhaul_acts::around("engine.queue.push", || queue.push()) {
        Ok(PushEnd::There { pushed }) => (end, pushed),
        Ok(PushEnd::Rejected) => (FollowEnd::Rejected, None),
        Ok(PushEnd::NoRemote) => waits(format!(
            "`{base}` cannot be pushed: it tracks no remote branch, and there is no `origin`"
        )),
        Ok(PushEnd::Refused { why }) => waits(format!("the remote refuses `{base}`: {why}")),
        Err(error) => waits(format!("`{base}` cannot be pushed: {}", chain(&error))),
    };
    Ok(QueueNews::Followed { end, pushed })
}

/// The base branch of this repository follows.
fn here(
    desk: &Desk,
    d: &LineDispatch,
    queue: &Queue<'_>,
    advance_checkout: bool,
) -> Result<FollowEnd, Fault> {
    let folder = super::folder(desk, d);
    files::create_dir_all("engine.queue.journal-folder", &folder)
        .map_err(|e| Fault::failed(format!("cannot make {folder}: {e}")))?;
    let journal = folder.join("follow.json");
    if let Some(intent) = noted(&journal)? {
        match queue.recover_follow(&intent).map_err(Fault::of)? {
            FollowRecovery::Settled => forget(&journal)?,
            FollowRecovery::Stuck { why } => return Ok(FollowEnd::Waits { why }),
        }
    }
    let advance = if advance_checkout || d.line.advance {
        AdvanceCheckout::Clean
    } else {
        AdvanceCheckout::Never
    };
    let intent = match queue.plan_follow(advance).map_err(Fault::of)? {
        FollowPlan::End(end) => return Ok(end),
        FollowPlan::Go(intent) => intent,
    };
    let bytes = serde_json::to_vec(&intent)
        .map_err(|e| Fault::failed(format!("cannot note what is about to be done: {e}")))?;
    write_whole(&journal, &bytes)
        .map_err(|e| Fault::failed(format!("cannot write {journal}: {e}")))?;
    let end = longhaul_acts::around("engine.queue.follow", || queue.follow(&intent));
    let end = end.map_err(Fault::of)?;
    forget(&journal)?;
    Ok(end)
}

fn noted(journal: &Utf8Path) -> Result<Option<FollowIntent>, Fault> {
    let bytes = match std::fs::read(journal) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Fault::failed(format!("cannot read {journal}: {error}"))),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| Fault {
        remedy: Some(format!(
            "look at the checkout of the base branch, remove {journal}, then `longhaul queue resume`"
        )),
        ..Fault::failed(format!("{journal} is damaged: {error}"))
    })
}

fn forget(journal: &Utf8Path) -> Result<(), Fault> {
    match files::remove_file("engine.queue.forget-journal", journal) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Fault::failed(format!("cannot remove {journal}: {error}")))
        }
        _ => Ok(()),
    }
}
