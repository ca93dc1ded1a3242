//! Ledger rows as events.

use longhaul_api::EventView;
use longhaul_core::ids::TaskId;
use longhaul_store::{LedgerRow, StoreError};

use super::{ViewError, Views};
use crate::wording::event_line;

impl Views<'_> {
    /// The events after a sequence number, of all tasks, oldest first, at most `limit`.
    ///
    /// # Errors
    /// The store's own.
    pub fn events_after(&self, seq: u64, limit: usize) -> Result<Vec<EventView>, ViewError> {
        Ok(self.events(&self.reader.ledger_tail(seq, limit)?)?)
    }

    /// The events of one task after a sequence number, oldest first.
    ///
    /// # Errors
    /// The store's own.
    pub fn events_of(&self, task: TaskId, seq: u64) -> Result<Vec<EventView>, ViewError> {
        let mut rows = self.reader.ledger(task)?;
        rows.retain(|row| row.seq > seq);
        Ok(self.events(&rows)?)
    }

    pub(super) fn events(&self, rows: &[LedgerRow]) -> Result<Vec<EventView>, StoreError> {
        rows.iter().map(|row| self.event(row)).collect()
    }

    fn event(&self, row: &LedgerRow) -> Result<EventView, StoreError> {
        let entry = &row.entry;
        let name = self
            .task(entry.task)?
            .map(|t| self.phrasing.line(&t.task.name));
        Ok(EventView {
            seq: row.seq,
            at_ms: entry.at.0,
            task: entry.task,
            name: name.unwrap_or_default(),
            version: entry.version,
            fence: entry.fence.0,
            from: entry.from.into(),
            to: entry.to.into(),
            cause: entry.cause.as_str().to_owned(),
            actor: entry.actor.as_str().to_owned(),
            line: event_line(entry, self.phrasing, self.now),
            data: self.phrasing.value(&entry.data),
        })
    }
}
