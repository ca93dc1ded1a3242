//! What keeps an agent from giving orders through an inbox (I17): a file that a session could have written is no
//! person's word. Two ways lead a session to an inbox although its sandbox is closed: what lands is checked out, and
//! work in place happens beside it.

use camino::Utf8Path;
use longhaul_core::task::StateWord;
use longhaul_core::time::UnixMs;
use longhaul_store::{Reader, StoreError, TaskFilter};

use super::{Inbox, Trouble};
use crate::env::Env;
use crate::submit::gitrun;

/// Most tasks whose work in place is looked at.
const LOOK_BACK: usize = 10_000;

/// Refuses an inbox that git keeps files of: a merge could put more there. While git works on the checkout nobody
/// knows that yet.
///
/// # Errors
/// It does, or is at work.
pub(super) fn untracked(env: &Env, inbox: &Inbox) -> Result<(), Trouble> {
    let run = |args: &[&str]| gitrun::git(env, &inbox.project, args);
    let lock = match run(&["rev-parse", "--git-path", "index.lock"]) {
        Ok(lock) => lock,
        // Whatever keeps git from answering, it may keep files there.
        Err(why) if inbox.project.ancestors().any(|a| a.join(".git").exists()) => {
            return Err(Trouble::new(
                why.message(),
                "put git right; see `longhaul doctor`",
            ));
        }
        // No repository: nothing is checked out.
        Err(_) => return Ok(()),
    };
    if inbox.project.join(lock.trim_end()).exists() {
        return Err(Trouble::new(
            format!("git is at work in {}", inbox.project),
            "nothing; files are taken when it has ended",
        ));
    }
    let folder = inbox.folder.as_str();
    let kept = |listed: Result<String, _>| listed.is_ok_and(|paths: String| !paths.is_empty());
    // An unborn HEAD has no tree, and nothing in it.
    if kept(run(&["ls-files", "-z", "--", folder]))
        || kept(run(&[
            "ls-tree",
            "-r",
            "-z",
            "--name-only",
            "HEAD",
            "--",
            folder,
        ]))
    {
        return Err(Trouble::new(
            format!(
                "git keeps files of {} in {}, so a merge could put tasks there",
                inbox.folder, inbox.project
            ),
            format!("git rm -r --cached {folder}, and commit that"),
        ));
    }
    Ok(())
}

/// The task that was at work in the project's own folder at a time, if one was.
///
/// # Errors
/// The store cannot be read.
pub(super) fn writer_in_place(
    reader: &dyn Reader,
    inbox: &Inbox,
    at: UnixMs,
) -> Result<Option<String>, StoreError> {
    let filter = TaskFilter {
        since: Some(at),
        limit: LOOK_BACK,
        ..TaskFilter::default()
    };
    let path = inbox.path();
    for stored in reader.list(&filter)? {
        let task = &stored.task;
        let Some(folder) = task.terms.exclusive_folder.as_deref().map(Utf8Path::new) else {
            continue;
        };
        let near = path.starts_with(folder) || folder.starts_with(&path);
        if near && worked_at(reader, &stored, at)? {
            return Ok(Some(task.name.clone()));
        }
    }
    Ok(None)
}

/// Whether a task's session or checks were at work at a time, by its ledger.
fn worked_at(
    reader: &dyn Reader,
    stored: &longhaul_store::StoredTask,
    at: UnixMs,
) -> Result<bool, StoreError> {
    let works = |word: StateWord| {
        matches!(
            word,
            StateWord::Assigned | StateWord::Running | StateWord::Verifying
        )
    };
    let mut began: Option<UnixMs> = None;
    for row in reader.ledger(stored.task.id)? {
        match (began, works(row.entry.to)) {
            (None, true) => began = Some(row.entry.at),
            (Some(from), false) => {
                if from <= at && at <= row.entry.at {
                    return Ok(true);
                }
                began = None;
            }
            _ => {}
        }
    }
    Ok(began.is_some_and(|from| from <= at))
}
