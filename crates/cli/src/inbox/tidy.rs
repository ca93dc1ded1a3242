//! What was put away long ago, or takes too much room (A25). Only files that the daemon itself put into `done` and
//! `failed` are looked at: their names begin with an id. `inbox` and `accepted` are never touched.

use std::collections::BTreeMap;
use std::io;

use longhaul_core::inbox::of_taken_name;
use longhaul_core::janitor::{Because, Item, Limits, plan};
use longhaul_core::time::UnixMs;
use rustix::fs::FileType;
use serde::Serialize;

use super::folders::{self, Folders};
use super::{Inbox, Trouble, report};

/// A file that was put away, with its report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct PutAway {
    /// `done` or `failed`.
    pub(crate) folder: &'static str,
    /// The file's name; its report's follows from it.
    pub(crate) name: String,
    /// What both take.
    pub(crate) bytes: u64,
    /// When they were put away: UTC milliseconds.
    pub(crate) since_ms: i64,
    /// Why they go.
    pub(crate) because: Because,
}

/// What goes, the oldest first.
///
/// # Errors
/// The folders cannot be read.
pub(crate) fn waste(inbox: &Inbox, limits: Limits, now: UnixMs) -> Result<Vec<PutAway>, Trouble> {
    let folders = Folders::open(inbox, false)?;
    let mut found: BTreeMap<(&'static str, String), (u64, UnixMs)> = BTreeMap::new();
    for (folder, part) in [(&folders.done, "done"), (&folders.failed, "failed")] {
        let entries =
            folders::entries(folder).map_err(|e| Trouble::io("read", &inbox.part(part), &e))?;
        for entry in entries {
            let name = entry.lossy();
            let own = name.strip_suffix(report::END).unwrap_or(&name);
            if of_taken_name(own).is_none() || entry.kind == FileType::Directory {
                continue;
            }
            let both = found.entry((part, own.to_owned())).or_default();
            both.0 = both.0.saturating_add(entry.sight.size);
            // The kernel's time of its arrival: its own time is that of its writing.
            both.1 = both.1.max(entry.changed());
        }
    }
    let items = found
        .into_iter()
        .map(|(what, (bytes, since))| Item { what, bytes, since });
    let goes = plan(items.collect(), limits, now).into_iter();
    Ok(goes
        .map(|(item, because)| PutAway {
            folder: item.what.0,
            name: item.what.1,
            bytes: item.bytes,
            since_ms: item.since.0,
            because,
        })
        .collect())
}

/// Removes a file and its report.
///
/// # Errors
/// One of them cannot be removed.
pub(crate) fn throw_away(inbox: &Inbox, what: &PutAway) -> Result<(), Trouble> {
    let folders = Folders::open(inbox, false)?;
    let folder = match what.folder {
        "done" => &folders.done,
        _ => &folders.failed,
    };
    let gone = |done: io::Result<()>| match done {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Trouble::io(
            "remove a file in",
            &inbox.part(what.folder),
            &e,
        )),
        _ => Ok(()),
    };
    // The report goes last: a file without one would look like one that was lost.
    gone(longhaul_acts::files::remove_file_at(
        "inbox.tidy.file",
        folder,
        &*what.name,
    ))?;
    let report = report::name(&what.name);
    gone(longhaul_acts::files::remove_file_at(
        "inbox.tidy.report",
        folder,
        &*report,
    ))
}
