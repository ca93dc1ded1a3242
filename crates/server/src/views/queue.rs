//! The merge queue as the outside sees it: lines, what waits in them and why, what has landed.

use longhaul_api::{
    ConflictView, LandedView, LineView, QueueEntryView, QueueEventView, QueueExplanation, QueueView,
};
use longhaul_core::ids::TaskId;
use longhaul_core::queue::{
    Block, ConflictReport, EntryId, Line, LineId, Origin, QueueCause, Stage, Standing, WaitOn,
    standing,
};
use longhaul_store::{QueueLedgerRow, StoreError};
use uuid::Uuid;

use super::{ViewError, Views};
use crate::wording::{line_line, queue_event_line};

/// Newest rows of a line that are searched for landings.
const LOOK_BACK: usize = 400;
/// Landings that are shown.
const LANDED_SHOWN: usize = 10;

impl Views<'_> {
    /// All lines.
    ///
    /// # Errors
    /// The store's own.
    pub fn queue(&self) -> Result<QueueView, ViewError> {
        let lines = self.reader.lines()?;
        let each = lines.iter().map(|line| self.line(line));
        Ok(QueueView {
            lines: each.collect::<Result<_, _>>()?,
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
                let id = EntryId::of_task(self.resolve(text)?);
                let line = found.into_iter().find(|(_, entry)| *entry == id);
                Ok(line.unwrap_or((None, id)))
            }
        }
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
    fn lines(&self) -> Result<&[Line], StoreError> {
        if let Some(known) = self.lines.get() {
            return Ok(known);
        }
        let read = self.reader.lines()?;
        Ok(self.lines.get_or_init(|| read))
    }

    fn line(&self, line: &Line) -> Result<LineView, ViewError> {
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
            landed: rows
                .iter()
                .rev()
                .filter_map(|r| self.landed(r))
                .take(LANDED_SHOWN)
                .collect(),
        })
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
            task: match &entry.origin {
                Origin::Task { task, .. } => Some(*task),
                Origin::Branch { .. } | Origin::Undo { .. } => None,
            },
            commit: p.line(&entry.commit),
            priority: entry.priority,
            place: s.place,
            ready: s.ready,
            held: entry.held,
            line: p.line(&s.why),
            remedy: s.remedy.map(str::to_owned),
            conflicts: report
                .into_iter()
                .flat_map(|r| &r.paths)
                .map(|c| ConflictView {
                    path: p.line(&c.path),
                    kind: c.kind.word().to_owned(),
                })
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
            title: text("title").unwrap_or_default(),
            commit: text("commit")?,
            tree: text("tree")?,
            verified: r.row.data.get("verified")?.as_bool()?,
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

/// A new entry's id.
#[must_use]
pub fn new_entry() -> EntryId {
    EntryId(Uuid::now_v7())
}
