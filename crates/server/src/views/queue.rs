//! The merge queue as the outside sees it: lines, what waits in them and why, what has landed.

use std::collections::HashMap;

use longhaul_api::{
    LandedView, LineView, QueueEntryView, QueueEventView, QueueExplanation, QueueView,
};
use longhaul_core::ids::TaskId;
use longhaul_core::queue::{
    Block, ConflictReport, EntryId, Landing, Line, LineId, NotUndone, Origin, QueueCause, Stage,
    Standing, WaitOn, standing, to_undo,
};
use longhaul_core::time::UnixMs;
use longhaul_store::{QueueLedgerRow, StoreError};
use serde_json::Value;
use uuid::Uuid;

use super::forecast::file;
use super::{ViewError, Views};
use crate::wording::{line_line, queue_event_line};

/// Newest rows of a line that are searched for landings.
const LOOK_BACK: usize = 400;
/// The same, where an entry that landed is looked for by its title.
const LOOK_FOR: usize = 20_000;
/// Landings of a line that a report tells.
const LANDED_REPORTED: usize = 200;
/// Landings that are shown.
const LANDED_SHOWN: usize = 10;

impl Views<'_> {
    /// All lines.
    ///
    /// # Errors
    /// The store's own.
    pub fn queue(&self) -> Result<QueueView, ViewError> {
        let each = self.lines()?.iter().map(|line| self.line(line));
        Ok(QueueView {
            lines: each.collect::<Result<_, StoreError>>()?,
        })
    }

    /// An entry with its history: one that waits, by id, the beginning of one, or title; or a task.
    ///
    /// # Errors
    /// Nothing is called so, or the store's own.
    pub fn queue_entry(&self, text: &str) -> Result<QueueExplanation, ViewError> {
        let (line, id) = self.entry(text)?;
        let stored = match &line {
            Some(line) => self.reader.line(line)?,
            None => None,
        };
        let waiting = stored.as_ref().and_then(|l| {
            let found = standing(l).into_iter().find(|s| s.entry.id == id)?;
            Some(self.waiting(&found))
        });
        let rows = self.reader.queue_of(id)?;
        let line = line.or_else(|| rows.last().map(|r| r.line.clone()));
        let Some(line) = line else {
            return Err(ViewError::NotFound {
                text: self.phrasing.line(text),
                nearest: Vec::new(),
            });
        };
        Ok(QueueExplanation {
            repo: self.phrasing.line(&line.repo),
            base: self.phrasing.line(&line.base),
            entry: waiting,
            history: rows.iter().map(|r| self.queue_event(r)).collect(),
        })
    }

    /// The entry that a person means, and its line while it waits.
    ///
    /// # Errors
    /// As [`Views::queue_entry`].
    pub fn entry(&self, text: &str) -> Result<(Option<LineId>, EntryId), ViewError> {
        let plain = text.replace('-', "").to_ascii_lowercase();
        let mut found = Vec::new();
        for line in self.reader.lines()? {
            for entry in &line.entries {
                let id = entry.id.0.simple().to_string();
                let by_id = plain.len() >= 4 && (id.starts_with(&plain) || id.ends_with(&plain));
                if by_id || entry.title == text {
                    found.push((Some(line.id.clone()), entry.id));
                }
            }
        }
        match found.as_slice() {
            [one] => Ok(one.clone()),
            _ => {
                let id = match self.resolve(text) {
                    Ok(task) => EntryId::of_task(task),
                    Err(error @ ViewError::NotFound { .. }) => {
                        self.landed_as(text, &plain)?.ok_or(error)?
                    }
                    Err(error) => return Err(error),
                };
                let line = found.into_iter().find(|(_, entry)| *entry == id);
                Ok(line.unwrap_or((None, id)))
            }
        }
    }

    /// The entry of no task that landed last under this title or id.
    fn landed_as(&self, text: &str, plain: &str) -> Result<Option<EntryId>, StoreError> {
        for line in self.lines()? {
            let rows = self.reader.queue_tail(&line.id, LOOK_FOR)?;
            let landed = rows
                .iter()
                .rev()
                .filter_map(|r| Landing::of(&r.line, &r.row));
            for landing in landed {
                let id = landing.entry.0.simple().to_string();
                let by_id = plain.len() >= 4 && (id.starts_with(plain) || id.ends_with(plain));
                if by_id || landing.title == text {
                    return Ok(Some(landing.entry));
                }
            }
        }
        Ok(None)
    }

    /// The landing that a person wants taken back, or why there is nothing to take back.
    ///
    /// # Errors
    /// As [`Views::queue_entry`].
    pub fn to_undo(&self, text: &str) -> Result<Result<Landing, NotUndone>, ViewError> {
        let (_, id) = self.entry(text)?;
        let rows = |id| -> Result<Vec<_>, StoreError> {
            let rows = self.reader.queue_of(id)?;
            Ok(rows.into_iter().map(|r| (r.line, r.row)).collect())
        };
        Ok(to_undo(id, rows)?)
    }

    /// The lines of a repository, a base branch, both or all.
    ///
    /// # Errors
    /// The store's own.
    pub fn lines_of(
        &self,
        repo: Option<&str>,
        base: Option<&str>,
    ) -> Result<Vec<LineId>, ViewError> {
        let lines = self.reader.lines()?;
        let fits = |id: &LineId| {
            repo.is_none_or(|repo| id.repo == repo) && base.is_none_or(|base| id.base == base)
        };
        Ok(lines.into_iter().map(|l| l.id).filter(fits).collect())
    }

    /// All lines, read once.
    pub(super) fn lines(&self) -> Result<&[Line], StoreError> {
        if let Some(known) = self.lines.get() {
            return Ok(known);
        }
        let read = self.reader.lines()?;
        Ok(self.lines.get_or_init(|| read))
    }

    fn line(&self, line: &Line) -> Result<LineView, StoreError> {
        let rows = self.reader.queue_tail(&line.id, LOOK_BACK)?;
        let p = self.phrasing;
        Ok(LineView {
            repo: p.line(&line.id.repo),
            base: p.line(&line.id.base),
            stage: match line.stage {
                Stage::Rest => "rest",
                Stage::Trial { .. } => "trial",
                Stage::Check { .. } => "check",
                Stage::Land { .. } => "land",
                Stage::Follow => "follow",
                Stage::Clear => "clear",
            }
            .to_owned(),
            line: line_line(line, p),
            tip: line.tip.as_ref().map(|t| p.line(&t.commit)),
            paused: line.paused,
            frozen_below: line.freeze_below,
            blocked: line.block.as_ref().map(|block| match block {
                Block::BaseRed { check, reason, .. } => p.line(&format!(
                    "what has landed fails `{check}` by itself: {reason}"
                )),
                Block::Trouble { detail, remedy, .. } => p.line(&format!("{detail}; {remedy}")),
            }),
            behind: line.behind.as_ref().map(|b| p.line(&b.why)),
            entries: standing(line).iter().map(|s| self.waiting(s)).collect(),
            landed: self.landings(&rows, LANDED_SHOWN),
            forecast: None,
        })
    }

    /// The lines in which something waits, or landed since a time, with what landed since.
    pub(super) fn queue_since(&self, since: UnixMs) -> Result<Vec<LineView>, StoreError> {
        let mut out = Vec::new();
        for line in self.lines()? {
            let rows = self.reader.queue_tail(&line.id, LOOK_FOR)?;
            let mut landed = self.landings(&rows, LANDED_REPORTED);
            landed.retain(|l| l.at_ms >= since.0);
            if !landed.is_empty() || !line.entries.is_empty() {
                let line = self.line(line)?;
                out.push(LineView { landed, ..line });
            }
        }
        Ok(out)
    }

    /// What landed last, the newest first.
    fn landings(&self, rows: &[QueueLedgerRow], most: usize) -> Vec<LandedView> {
        // By what they took back; what is newer was seen before, so it is known of each whether it holds.
        let mut undone: HashMap<(String, String), String> = HashMap::new();
        let mut out = Vec::new();
        for row in rows.iter().rev() {
            let Some(mut landed) = self.landed(row) else {
                continue;
            };
            if let Some(entry) = &landed.entry {
                landed.undone_by = undone.get(&(entry.clone(), landed.commit.clone())).cloned();
            }
            let of = row.row.data.get("origin").and_then(undo_of);
            if let Some((of, commit)) = of {
                landed.undoes = Some(of.clone());
                if landed.undone_by.is_none() {
                    undone.insert((of, commit), landed.commit.clone());
                }
            }
            out.push(landed);
            if out.len() == most {
                break;
            }
        }
        out
    }

    fn waiting(&self, s: &Standing<'_>) -> QueueEntryView {
        let (entry, p) = (s.entry, self.phrasing);
        let report: Option<&ConflictReport> = entry.wait.as_ref().and_then(|w| match &w.on {
            WaitOn::Tip { report } | WaitOn::Entry { report, .. } => Some(report),
            WaitOn::Unlanded { .. } | WaitOn::Red { .. } => None,
        });
        QueueEntryView {
            id: entry.id.0.to_string(),
            short_id: entry.id.short(),
            title: p.line(&entry.title),
            task: entry.task(),
            commit: p.line(&entry.commit),
            priority: entry.priority,
            place: s.place,
            ready: s.ready,
            held: entry.held,
            undoes: match &entry.origin {
                Origin::Undo { of, .. } => Some(of.0.to_string()),
                Origin::Task { .. } | Origin::Branch { .. } => None,
            },
            line: p.line(&s.why),
            remedy: s.remedy.map(str::to_owned),
            conflicts: report
                .into_iter()
                .flat_map(|r| &r.paths)
                .map(|c| file(c, p))
                .collect(),
            since_ms: entry.since.0,
            checks: entry.checks.iter().map(|c| p.line(&c.name)).collect(),
        }
    }

    /// A landing, if the row is one of a commit of its own.
    fn landed(&self, r: &QueueLedgerRow) -> Option<LandedView> {
        if r.row.cause != QueueCause::Landed {
            return None;
        }
        let text = |key: &str| r.row.data.get(key)?.as_str().map(|t| self.phrasing.line(t));
        Some(LandedView {
            entry: r.row.entry.map(|id| id.0.to_string()),
            short_id: r.row.entry.map(EntryId::short),
            title: text("title").unwrap_or_default(),
            commit: text("commit")?,
            tree: text("tree")?,
            verified: r.row.data.get("verified")?.as_bool()?,
            undoes: None,
            undone_by: None,
            at_ms: r.row.at.0,
        })
    }

    fn queue_event(&self, r: &QueueLedgerRow) -> QueueEventView {
        QueueEventView {
            at_ms: r.row.at.0,
            cause: r.row.cause.as_str().to_owned(),
            line: queue_event_line(&r.row, self.phrasing),
        }
    }

    /// Where a task that lands stands in its line, in a sentence.
    pub(super) fn landing_line(&self, task: TaskId) -> Result<Option<String>, StoreError> {
        let id = EntryId::of_task(task);
        for line in self.lines()? {
            let found = standing(line)
                .into_iter()
                .find(|s| s.entry.id == id)
                .map(|s| self.phrasing.line(&s.why));
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }
}

/// The entry and the commit that a landing of this origin took back.
fn undo_of(origin: &Value) -> Option<(String, String)> {
    let origin: Origin = serde_json::from_value(origin.clone()).ok()?;
    match origin {
        Origin::Undo { of, landed } => Some((of.0.to_string(), landed)),
        Origin::Task { .. } | Origin::Branch { .. } => None,
    }
}

/// A new entry's id.
#[must_use]
pub fn new_entry() -> EntryId {
    EntryId(Uuid::now_v7())
}
