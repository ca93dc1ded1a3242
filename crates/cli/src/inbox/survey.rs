//! What lies in an inbox, for people. Only looks; needs no daemon.

use longhaul_core::inbox::{is_ignored, of_taken_name};
use rustix::fs::FileType;
use serde::Serialize;

use super::folders::{self, Entry, Folders};
use super::{Inbox, Trouble, guard, report};
use crate::env::Env;

/// An inbox and what lies in it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct InboxView {
    /// Its name in the configuration.
    pub(crate) name: String,
    /// The folder to put files into.
    pub(crate) path: String,
    /// Files that wait to be taken.
    pub(crate) waiting: usize,
    /// Entries that are left where they are: folders, hidden and unfinished names.
    pub(crate) ignored: usize,
    /// Files whose tasks have not ended.
    pub(crate) accepted: usize,
    /// Files whose tasks are done.
    pub(crate) done: usize,
    /// Files that were refused, or whose tasks were cancelled.
    pub(crate) failed: usize,
    /// Why nothing is taken now.
    pub(crate) trouble: Option<String>,
    /// What to do about that.
    pub(crate) remedy: Option<String>,
}

/// Looks into an inbox.
pub(crate) fn look(env: &Env, inbox: &Inbox) -> InboxView {
    let mut view = InboxView {
        name: inbox.name.clone(),
        path: inbox.part("inbox").into_string(),
        waiting: 0,
        ignored: 0,
        accepted: 0,
        done: 0,
        failed: 0,
        trouble: None,
        remedy: None,
    };
    let looked = count(inbox, &mut view).and_then(|()| guard::untracked(env, inbox));
    if let Err(Trouble { what, remedy }) = looked {
        view.trouble = Some(what);
        view.remedy = Some(remedy);
    }
    view
}

fn count(inbox: &Inbox, view: &mut InboxView) -> Result<(), Trouble> {
    let folders = Folders::open(inbox, false)?;
    let read = |folder, part: &str| {
        folders::entries(folder).map_err(|e| Trouble::io("read", &inbox.part(part), &e))
    };
    let (aside, waiting): (Vec<Entry>, Vec<Entry>) = read(&folders.inbox, "inbox")?
        .into_iter()
        .partition(|e| e.kind == FileType::Directory || is_ignored(&e.lossy()));
    (view.ignored, view.waiting) = (aside.len(), waiting.len());
    for (folder, part, number) in [
        (&folders.accepted, "accepted", &mut view.accepted),
        (&folders.done, "done", &mut view.done),
        (&folders.failed, "failed", &mut view.failed),
    ] {
        let files = read(folder, part)?.into_iter();
        let files = files.filter(|e| {
            let name = e.lossy();
            of_taken_name(&name).is_some() && !name.ends_with(report::END)
        });
        *number = files.count();
    }
    Ok(())
}
