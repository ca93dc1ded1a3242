//! The lines of the merge queue on plain maps.

use std::collections::BTreeMap;

use longhaul_core::queue::{Line, LineId, QueueRow};

use super::model::Model;
use crate::chain::{Chain, Hash, QueueLink, START, walk_queue};
use crate::check;
use crate::read::QueueLedgerRow;
use crate::write::{Applied, LineStep, Refusal, TreeVerdict};

/// What is stored of the merge queue.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) lines: BTreeMap<LineId, Line>,
    pub(super) ledger: Vec<QueueLedgerRow>,
    pub(super) green: BTreeMap<(String, String), TreeVerdict>,
}

impl Model {
    pub(super) fn lines(&self) -> Vec<Line> {
        self.queue.lines.values().cloned().collect()
    }

    pub(super) fn line(&mut self, s: &LineStep) -> Result<Applied, Refusal> {
        check::line(s)?;
        let known = self.queue.lines.get(&s.line.id);
        let version = known.map_or(0, |l| l.version);
        if version != s.expect_version {
            return if known == Some(&s.line) {
                Ok(Applied::Before)
            } else {
                Err(Refusal::StaleLine { version })
            };
        }
        for row in &s.rows {
            self.queue.append(&s.line.id, row);
        }
        self.queue.lines.insert(s.line.id.clone(), s.line.clone());
        if let Some(green) = &s.green {
            let key = (green.tree.clone(), green.key.clone());
            self.queue.green.entry(key).or_insert_with(|| green.clone());
        }
        Ok(Applied::Stored)
    }
}

impl Queue {
    pub(super) fn of_line<'a>(
        &'a self,
        id: &'a LineId,
    ) -> impl Iterator<Item = &'a QueueLedgerRow> + 'a {
        self.ledger.iter().filter(move |r| r.line == *id)
    }

    fn append(&mut self, id: &LineId, row: &QueueRow) {
        let (n, before) = self
            .of_line(id)
            .last()
            .map_or((1, START), |r| (r.n + 1, r.hash));
        let hash = hash(id, n, row, &before);
        self.ledger.push(QueueLedgerRow {
            line: id.clone(),
            n,
            row: row.clone(),
            hash,
        });
    }

    pub(super) fn verify(&self, id: &LineId) -> Option<Chain> {
        self.lines.get(id)?;
        let mut before = START;
        let links: Vec<_> = self
            .of_line(id)
            .map(|r| {
                let wanted = hash(id, r.n, &r.row, &before);
                before = r.hash;
                (r.n, wanted, r.hash)
            })
            .collect();
        Some(walk_queue(&links, links.len() as u64, &before))
    }
}

fn hash(id: &LineId, n: u64, row: &QueueRow, before: &Hash) -> Hash {
    QueueLink {
        repo: &id.repo,
        base: &id.base,
        n,
        version: row.version,
        entry: row.entry.map(|e| e.0),
        cause: row.cause.as_str(),
        actor: row.actor.as_str(),
        at: row.at.0,
        data: &row.data.to_string(),
    }
    .hash(before)
}
