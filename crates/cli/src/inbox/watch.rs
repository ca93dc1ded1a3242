//! The daemon's look at its inboxes: what is there, what is complete, what has ended. An empty inbox costs some
//! twenty system calls a look and no question to the store but its newest number.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::fd::OwnedFd;
use std::time::Duration;

use longhaul_config::settings::Settings;
use longhaul_core::ids::TaskId;
use longhaul_core::inbox::{
    SETTLE_MS, Seen, Sight, is_complete, is_ignored, of_taken_name, taken_name,
};
use longhaul_core::time::{Now, UnixMs};
use longhaul_engine::clock::{Clock as _, SystemClock};
use longhaul_engine::handle::EngineHandle;
use longhaul_store::Reader;
use rustix::fs::FileType;
use uuid::Uuid;

use super::folders::{self, Entry, Folders};
use super::take::{self, Not};
use super::{Inbox, Trouble, guard, outcome, report};
use crate::context::Context;
use crate::failure::Failure;

/// Most files that are taken in one look.
const AT_ONCE: usize = 100;
/// Most tasks of one inbox that have not ended; further files wait (I16).
pub(super) const MOST_OPEN: usize = 1_000;
/// The first pause before a file is tried again, and the longest: milliseconds.
const PAUSES: (u64, u64) = (2_000, 300_000);
/// Ledger rows that are read at once.
const ROWS: usize = 1_000;

/// What the daemon lends to its inboxes.
pub(crate) struct Means {
    pub(crate) context: Context,
    pub(crate) engine: EngineHandle,
    pub(crate) reader: Box<dyn Reader>,
}

impl Means {
    /// The surroundings of a verb that is called in the project.
    pub(super) fn context_in(&self, inbox: &Inbox) -> Context {
        let c = &self.context;
        c.elsewhere(c.paths().clone(), c.env.clone(), inbox.project.clone())
    }
}

/// All inboxes of the daemon.
pub(crate) struct Inboxes {
    means: Means,
    boxes: Vec<Watched>,
}

impl Inboxes {
    /// How often they are looked at.
    pub(crate) const LOOK: Duration = Duration::from_secs(2);

    /// Those of the configuration.
    ///
    /// # Errors
    /// The configuration is wrong.
    pub(crate) fn new(means: Means, settings: &Settings) -> Result<Self, Failure> {
        let all = Inbox::all(settings, &means.context.paths().home)?;
        Ok(Self {
            means,
            boxes: all.into_iter().map(Watched::new).collect(),
        })
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.boxes.is_empty()
    }

    /// Looks at each of them.
    pub(crate) fn look(&mut self) {
        for watched in &mut self.boxes {
            watched.look(&self.means, SystemClock.now());
        }
    }
}

/// A taken file whose task is not stored yet.
#[derive(Debug, Default)]
struct Unstored {
    /// How it looked when it was found complete.
    expected: Option<Sight>,
    /// What the looks since then saw.
    seen: Option<Seen>,
    not_before_ms: u64,
    pause_ms: u64,
}

struct Watched {
    inbox: Inbox,
    /// What the looks before saw in `inbox`.
    seen: HashMap<Vec<u8>, Seen>,
    /// Files in `accepted` whose tasks are not stored yet.
    unstored: BTreeMap<String, Unstored>,
    /// Files in `accepted` whose tasks have not ended.
    open: BTreeMap<TaskId, String>,
    /// Those of which an ending was heard.
    ended: BTreeSet<TaskId>,
    /// The newest ledger row that was looked at; `None` before `accepted` was read.
    seq: Option<u64>,
    told: Option<Trouble>,
}

impl Watched {
    fn new(inbox: Inbox) -> Self {
        Self {
            inbox,
            seen: HashMap::new(),
            unstored: BTreeMap::new(),
            open: BTreeMap::new(),
            ended: BTreeSet::new(),
            seq: None,
            told: None,
        }
    }

    fn look(&mut self, means: &Means, now: Now) {
        let trouble = self.try_look(means, now).err();
        if let (Some(trouble), true) = (&trouble, trouble != self.told) {
            tracing::warn!(
                inbox = self.inbox.name,
                what = trouble.what,
                remedy = trouble.remedy,
                "an inbox waits"
            );
        }
        self.told = trouble;
    }

    fn try_look(&mut self, means: &Means, now: Now) -> Result<(), Trouble> {
        let folders = Folders::open(&self.inbox, true)?;
        self.follow(means, &folders)?;
        self.put_away(means, &folders)?;
        self.store(means, &folders, now)?;
        self.take(means, &folders, now)
    }

    /// Hears which tasks have ended; at first reads what an earlier daemon took.
    fn follow(&mut self, means: &Means, folders: &Folders) -> Result<(), Trouble> {
        let store = |e: longhaul_store::StoreError| {
            Trouble::new(format!("the database cannot be read: {e}"), e.remedy())
        };
        let Some(mut seq) = self.seq else {
            let newest = means.reader.newest_seq().map_err(store)?;
            let taken = folders::entries(&folders.accepted)
                .map_err(|e| Trouble::io("read", &self.inbox.part("accepted"), &e))?;
            for entry in taken {
                let name = entry.lossy();
                let Some((id, _)) = of_taken_name(&name) else {
                    continue;
                };
                if means.reader.task(id).map_err(store)?.is_some() {
                    self.open.insert(id, name);
                    self.ended.insert(id);
                } else {
                    self.unstored.insert(name, Unstored::default());
                }
            }
            self.seq = Some(newest);
            return Ok(());
        };
        if means.reader.newest_seq().map_err(store)? == seq {
            return Ok(());
        }
        loop {
            let rows = means.reader.ledger_tail(seq, ROWS).map_err(store)?;
            for row in &rows {
                seq = row.seq;
                if row.entry.to.is_final() && self.open.contains_key(&row.entry.task) {
                    self.ended.insert(row.entry.task);
                }
            }
            self.seq = Some(seq);
            if rows.len() < ROWS {
                return Ok(());
            }
        }
    }

    fn put_away(&mut self, means: &Means, folders: &Folders) -> Result<(), Trouble> {
        while let Some(id) = self.ended.first().copied() {
            if let Some(kept) = self.open.get(&id)
                && outcome::put_away(means, &self.inbox, folders, id, kept)?
            {
                self.open.remove(&id);
            }
            self.ended.remove(&id);
        }
        Ok(())
    }

    /// Hands in what was taken and is not stored: at once after the taking, or after a crash.
    fn store(&mut self, means: &Means, folders: &Folders, now: Now) -> Result<(), Trouble> {
        if self.unstored.is_empty() {
            return Ok(());
        }
        self.nobody_in_place(means, now)?;
        let due = self.unstored.iter();
        let due = due.filter(|(_, u)| u.not_before_ms <= now.mono_ms);
        let due: Vec<String> = due.map(|(name, _)| name.clone()).collect();
        for kept in due {
            self.store_one(means, folders, &kept, now)?;
        }
        Ok(())
    }

    fn store_one(
        &mut self,
        means: &Means,
        folders: &Folders,
        kept: &str,
        now: Now,
    ) -> Result<(), Trouble> {
        let Some((id, _)) = of_taken_name(kept) else {
            return Ok(());
        };
        let accepted = self.inbox.part("accepted");
        let entry = match folders::look(&folders.accepted, kept.as_bytes()) {
            Ok(entry) => entry,
            // The user took it away before it was stored.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                self.unstored.remove(kept);
                return Ok(());
            }
            Err(e) => return Err(Trouble::io("look into", &accepted, &e)),
        };
        let state = self.unstored.entry(kept.to_owned()).or_default();
        let came = if let Some(why) = take::no_file(&entry) {
            Err(Not::Refused(why))
        } else if state.expected.is_none() && {
            state.seen = Some(Seen::again(state.seen, entry.sight, now.mono_ms));
            !stood_still(state.seen, folders, &entry, now)
        } {
            Err(Not::Now("it is not complete".to_owned()))
        } else if let Some(why) = self.found_again(means, kept, &entry)? {
            Err(Not::Refused(why))
        } else {
            let expected = self.unstored.get(kept).and_then(|u| u.expected);
            take::hand_in(means, &self.inbox, folders, kept, id, expected)
        };
        match came {
            Ok(()) => {
                self.unstored.remove(kept);
                self.open.insert(id, kept.to_owned());
                // It may have ended already: its rows are older than what is read next.
                self.ended.insert(id);
                // What a refusal that was cut short left beside it is not true any more.
                match longhaul_acts::files::remove_file_at(
                    "inbox.unreport",
                    &folders.failed,
                    &*report::name(kept),
                ) {
                    Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                        Err(Trouble::io("write into", &self.inbox.part("failed"), &e))
                    }
                    _ => Ok(()),
                }
            }
            Err(Not::Refused(why)) => {
                self.refuse(folders, &folders.accepted, kept.as_bytes(), kept, &why)?;
                self.unstored.remove(kept);
                Ok(())
            }
            Err(Not::Now(why)) => {
                let state = self.unstored.entry(kept.to_owned()).or_default();
                if state.expected.take().is_some() {
                    state.seen = None;
                }
                state.pause_ms = (state.pause_ms * 2).clamp(PAUSES.0, PAUSES.1);
                state.not_before_ms = now.mono_ms + state.pause_ms;
                tracing::info!(
                    inbox = self.inbox.name,
                    file = kept,
                    why,
                    "a file is tried again"
                );
                Ok(())
            }
        }
    }

    /// Takes what is complete.
    fn take(&mut self, means: &Means, folders: &Folders, now: Now) -> Result<(), Trouble> {
        let path = self.inbox.part("inbox");
        let entries =
            folders::entries(&folders.inbox).map_err(|e| Trouble::io("read", &path, &e))?;
        if entries.is_empty() {
            self.seen.clear();
            return Ok(());
        }
        let mut seen = std::mem::take(&mut self.seen);
        let mut sure = false;
        let mut taken = 0;
        for entry in entries {
            if is_ignored(&entry.lossy()) || entry.kind == FileType::Directory {
                continue;
            }
            let now_seen = Seen::again(seen.remove(&entry.name), entry.sight, now.mono_ms);
            self.seen.insert(entry.name.clone(), now_seen);
            if taken >= AT_ONCE || self.open.len() + self.unstored.len() >= MOST_OPEN {
                continue;
            }
            let lossy = entry.lossy();
            let own = take::own_name(&lossy);
            // The same for the same file, so that a refusal that was cut short is gone on with.
            let refused_as = taken_name(entry.identity(), own);
            if let Some(why) = self.unfit(folders, &entry, now_seen, now) {
                self.refuse(folders, &folders.inbox, &entry.name, &refused_as, &why)?;
                taken += 1;
                continue;
            }
            if !complete(&folders.inbox, &entry, now_seen, now) {
                continue;
            }
            if !sure {
                guard::untracked(&means.context.env, &self.inbox)?;
                self.nobody_in_place(means, now)?;
                sure = true;
            }
            taken += 1;
            if let Some(why) = self.written_by_agent(means, &entry)? {
                self.refuse(folders, &folders.inbox, &entry.name, &refused_as, &why)?;
                continue;
            }
            let kept = taken_name(TaskId::from_uuid(Uuid::now_v7()), own);
            folders::carry((&folders.inbox, &entry.name), (&folders.accepted, &kept))
                .map_err(|e| Trouble::io("take a file out of", &path, &e))?;
            self.seen.remove(&entry.name);
            let state = Unstored {
                expected: Some(entry.sight),
                ..Unstored::default()
            };
            self.unstored.insert(kept.clone(), state);
            self.store_one(means, folders, &kept, now)?;
        }
        Ok(())
    }

    /// Why an entry never becomes a task, as far as that can be told before it is taken.
    fn unfit(&self, folders: &Folders, entry: &Entry, seen: Seen, now: Now) -> Option<Failure> {
        if let Some(why) = take::no_file(entry) {
            return Some(why);
        }
        let stood = now.mono_ms.saturating_sub(seen.since_ms) >= SETTLE_MS;
        match folders::read(&folders.inbox, &entry.name) {
            Err(e) if stood && e.kind() == std::io::ErrorKind::PermissionDenied => {
                Some(Failure::usage("the file cannot be read").help("chmod u+r it"))
            }
            _ => None,
        }
    }

    /// While a session works in the project's own folder it could change a file between a look and its taking.
    fn nobody_in_place(&self, means: &Means, now: Now) -> Result<(), Trouble> {
        match self.at_work(means, now.wall)? {
            None => Ok(()),
            Some(task) => Err(Trouble::new(
                format!("task `{task}` is at work in the project's own folder"),
                "nothing; files are looked at when it has ended",
            )),
        }
    }

    /// The task that was at work in the project's own folder at a time.
    fn at_work(&self, means: &Means, at: UnixMs) -> Result<Option<String>, Trouble> {
        guard::writer_in_place(means.reader.as_ref(), &self.inbox, at)
            .map_err(|e| Trouble::new(format!("the database cannot be read: {e}"), e.remedy()))
    }

    /// The same question of a file that was found in `accepted`: its time of change is that of its taking, if this
    /// very daemon did not take it.
    fn found_again(
        &self,
        means: &Means,
        kept: &str,
        entry: &Entry,
    ) -> Result<Option<Failure>, Trouble> {
        if self
            .unstored
            .get(kept)
            .is_some_and(|u| u.expected.is_some())
        {
            return Ok(None);
        }
        self.written_by_agent(means, entry)
    }

    fn written_by_agent(&self, means: &Means, entry: &Entry) -> Result<Option<Failure>, Trouble> {
        let at_work = self.at_work(means, entry.changed())?;
        Ok(at_work.map(|task| {
            Failure::usage(format!(
                "it was written while task `{task}` was at work in the project's own folder, whose agent could have written it"
            ))
            .help("read it, and put it back if it is yours")
        }))
    }

    fn refuse(
        &self,
        folders: &Folders,
        from: &OwnedFd,
        name: &[u8],
        kept: &str,
        why: &Failure,
    ) -> Result<(), Trouble> {
        take::refuse(&self.inbox, folders, (from, name), kept, why)
            .map_err(|e| Trouble::io("move a file into", &self.inbox.part("failed"), &e))
    }
}

/// Whether nothing of a file changes any more.
fn complete(folder: &OwnedFd, entry: &Entry, seen: Seen, now: Now) -> bool {
    // Whoever may not read it cannot ask for its writers; the looks alone tell.
    let writer = folders::read(folder, &entry.name)
        .ok()
        .and_then(|file| longhaul_hosts::has_writer(&file));
    is_complete(seen, now.mono_ms, now.wall, writer)
}

/// The same of a file in `accepted` whose state at the taking is not known any more. An empty one is handed in, and
/// refused for it.
fn stood_still(seen: Option<Seen>, folders: &Folders, entry: &Entry, now: Now) -> bool {
    seen.is_some_and(|seen| {
        complete(&folders.accepted, entry, seen, now)
            || (entry.sight.size == 0 && now.mono_ms.saturating_sub(seen.since_ms) >= SETTLE_MS)
    })
}
