//! Lines of the merge queue as rows: written inside a batch, read by writer and readers alike.

#![expect(
    clippy::disallowed_methods,
    reason = "rows inside the transaction; the points are around its commit"
)]

use std::collections::HashMap;

use longhaul_core::queue::{Entry, EntryId, Line, LineId, QueueCause, QueueRow};
use longhaul_core::time::UnixMs;
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::commit::{Batch, Outcome};
use super::query::{capped, rows};
use super::rows::{At, int, json, parse_actor, text};
use crate::chain::{Chain, Hash, QueueLink, START, walk_queue};
use crate::check;
use crate::error::StoreError;
use crate::read::QueueLedgerRow;
use crate::write::{Applied, LineStep, Refusal, TreeVerdict};

/// What is stored of a line beside its entries.
struct Head {
    key: i64,
    version: u64,
    rows: u64,
    chain: Hash,
}

impl Batch<'_> {
    pub(super) fn line(&self, s: &LineStep) -> Result<Outcome, StoreError> {
        if let Err(refusal) = check::line(s) {
            return Ok(Err(refusal));
        }
        let id = &s.line.id;
        let head = head(self.conn, id)?;
        let version = head.as_ref().map_or(0, |h| h.version);
        if version != s.expect_version {
            let same = version == s.line.version && line(self.conn, id)?.as_ref() == Some(&s.line);
            return Ok(if same {
                Ok(Applied::Before)
            } else {
                Err(Refusal::StaleLine { version })
            });
        }
        let (key, mut n, mut chain) = match head {
            Some(h) => (h.key, h.rows, h.chain),
            None => {
                let sql = "INSERT INTO line (repo, base, version, rows, chain, body)
                     VALUES (?1, ?2, 0, 0, ?3, '')";
                self.conn
                    .prepare_cached(sql)?
                    .execute(params![id.repo, id.base, START])?;
                (self.conn.last_insert_rowid(), 0, START)
            }
        };
        for row in &s.rows {
            n += 1;
            let data = json(&row.data)?;
            chain = link(id, n, row, &data).hash(&chain);
            let sql =
                "INSERT INTO queue_ledger (line, n, version, entry, cause, actor, at, data, hash)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
            self.conn.prepare_cached(sql)?.execute(params![
                key,
                int(n),
                int(row.version),
                row.entry.map(|e| e.0),
                row.cause.as_str(),
                row.actor.as_str(),
                row.at.0,
                data,
                chain
            ])?;
        }
        let sql = "UPDATE line SET version = ?2, rows = ?3, chain = ?4, body = ?5 WHERE key = ?1";
        self.conn.prepare_cached(sql)?.execute(params![
            key,
            int(s.line.version),
            int(n),
            chain,
            line_body(&s.line)?
        ])?;
        self.entries(key, &s.line.entries)?;
        if let Some(green) = &s.green {
            self.green(green)?;
        }
        Ok(Ok(Applied::Stored))
    }

    /// Writes the entries that changed, moved or left.
    fn entries(&self, line: i64, entries: &[Entry]) -> Result<(), StoreError> {
        let sql = "SELECT id, place, body FROM queue_entry WHERE line = ?1";
        let stored = rows(self.conn, sql, [line], |r| {
            Ok((r.get(0)?, (r.get(1)?, text(r, 2)?.to_owned())))
        })?;
        let mut stored: HashMap<Uuid, (i64, String)> = stored.into_iter().collect();
        let most = stored.values().map(|(place, _)| *place).max().unwrap_or(0);
        let (mut last, mut free) = (-1, most + 1);
        for entry in entries {
            let body = json(entry)?;
            let known = stored.remove(&entry.id.0);
            let place = match &known {
                Some((place, _)) if *place > last => *place,
                _ => {
                    free = free.max(last + 1);
                    free
                }
            };
            last = place;
            if known.is_some_and(|k| k == (place, body.clone())) {
                continue;
            }
            let sql = "INSERT INTO queue_entry (line, id, place, body) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (line, id) DO UPDATE SET place = excluded.place, body = excluded.body";
            let mut sql = self.conn.prepare_cached(sql)?;
            sql.execute(params![line, entry.id.0, place, body])?;
        }
        for id in stored.keys() {
            let sql = "DELETE FROM queue_entry WHERE line = ?1 AND id = ?2";
            self.conn.prepare_cached(sql)?.execute(params![line, id])?;
        }
        Ok(())
    }

    fn green(&self, green: &TreeVerdict) -> Result<(), StoreError> {
        let sql = "INSERT INTO tree_verdict (tree, key, at, body) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (tree, key) DO NOTHING";
        self.conn.prepare_cached(sql)?.execute(params![
            green.tree,
            green.key,
            green.at.0,
            json(&green.judgement)?
        ])?;
        Ok(())
    }
}

/// A line's body: all but its entries.
fn line_body(line: &Line) -> Result<String, StoreError> {
    json(&Line {
        entries: Vec::new(),
        ..line.clone()
    })
}

fn link<'a>(id: &'a LineId, n: u64, row: &QueueRow, data: &'a str) -> QueueLink<'a> {
    QueueLink {
        repo: &id.repo,
        base: &id.base,
        n,
        version: row.version,
        entry: row.entry.map(|e| e.0),
        cause: row.cause.as_str(),
        actor: row.actor.as_str(),
        at: row.at.0,
        data,
    }
}

fn head(conn: &Connection, id: &LineId) -> Result<Option<Head>, StoreError> {
    let sql = "SELECT key, version, rows, chain FROM line WHERE repo = ?1 AND base = ?2";
    let at = At {
        table: "line",
        row: id,
    };
    let found = rows(conn, sql, params![id.repo, id.base], |r| {
        Ok(Head {
            key: r.get(0)?,
            version: at.count("version", r.get(1)?)?,
            rows: at.count("rows", r.get(2)?)?,
            chain: r.get(3)?,
        })
    })?;
    Ok(found.into_iter().next())
}

/// All lines, by repository and base.
pub(super) fn lines(conn: &Connection) -> Result<Vec<Line>, StoreError> {
    let sql = "SELECT key, repo, base, version, body FROM line ORDER BY repo, base";
    let found = rows(conn, sql, [], read_line)?;
    found
        .into_iter()
        .map(|found| with_entries(conn, found))
        .collect()
}

pub(super) fn line(conn: &Connection, id: &LineId) -> Result<Option<Line>, StoreError> {
    let sql = "SELECT key, repo, base, version, body FROM line WHERE repo = ?1 AND base = ?2";
    let found = rows(conn, sql, params![id.repo, id.base], read_line)?;
    found
        .into_iter()
        .next()
        .map(|found| with_entries(conn, found))
        .transpose()
}

fn read_line(r: &Row<'_>) -> Result<(i64, Line), StoreError> {
    let id = LineId {
        repo: r.get(1)?,
        base: r.get(2)?,
    };
    let at = At {
        table: "line",
        row: &id,
    };
    let line: Line = at.parse("body", text(r, 4)?)?;
    if line.id != id || line.version != at.count("version", r.get(3)?)? {
        return Err(at.bad("body", "another line"));
    }
    Ok((r.get(0)?, line))
}

fn with_entries(conn: &Connection, (key, line): (i64, Line)) -> Result<Line, StoreError> {
    let sql = "SELECT id, body FROM queue_entry WHERE line = ?1 ORDER BY place";
    let entries = rows(conn, sql, [key], |r| {
        let id: Uuid = r.get(0)?;
        let at = At {
            table: "queue_entry",
            row: &id,
        };
        let entry: Entry = at.parse("body", text(r, 1)?)?;
        if entry.id.0 != id {
            return Err(at.bad("body", "another entry"));
        }
        Ok(entry)
    })?;
    Ok(Line { entries, ..line })
}

const LEDGER: &str = "SELECT l.repo, l.base, q.seq, q.n, q.version, q.entry, q.cause, q.actor, q.at, \
    q.data, q.hash FROM queue_ledger q JOIN line l ON l.key = q.line";

/// The newest rows of a line, oldest first.
pub(super) fn tail(
    conn: &Connection,
    id: &LineId,
    limit: usize,
) -> Result<Vec<QueueLedgerRow>, StoreError> {
    let sql = format!("{LEDGER} WHERE l.repo = ?1 AND l.base = ?2 ORDER BY q.n DESC LIMIT ?3");
    let mut found = rows(
        conn,
        &sql,
        params![id.repo, id.base, capped(limit)],
        ledger_row,
    )?;
    found.reverse();
    Ok(found)
}

/// The rows about an entry, oldest first.
pub(super) fn of_entry(conn: &Connection, id: EntryId) -> Result<Vec<QueueLedgerRow>, StoreError> {
    let sql = format!("{LEDGER} WHERE q.entry = ?1 ORDER BY q.seq");
    rows(conn, &sql, [id.0], ledger_row)
}

fn ledger_row(r: &Row<'_>) -> Result<QueueLedgerRow, StoreError> {
    let seq: i64 = r.get(2)?;
    let at = At {
        table: "queue_ledger",
        row: &seq,
    };
    let (cause, actor) = (text(r, 6)?, text(r, 7)?);
    let entry: Option<Uuid> = r.get(5)?;
    Ok(QueueLedgerRow {
        line: LineId {
            repo: r.get(0)?,
            base: r.get(1)?,
        },
        n: at.count("n", r.get(3)?)?,
        row: QueueRow {
            version: at.count("version", r.get(4)?)?,
            entry: entry.map(EntryId),
            cause: QueueCause::parse(cause).ok_or_else(|| at.bad("cause", cause))?,
            actor: parse_actor(actor).ok_or_else(|| at.bad("actor", actor))?,
            at: UnixMs(r.get(8)?),
            data: at.parse("data", text(r, 9)?)?,
        },
        hash: r.get(10)?,
    })
}

pub(super) fn tree_verdict(
    conn: &Connection,
    tree: &str,
    key: &str,
) -> Result<Option<TreeVerdict>, StoreError> {
    let sql = "SELECT at, body FROM tree_verdict WHERE tree = ?1 AND key = ?2";
    let at = At {
        table: "tree_verdict",
        row: &tree,
    };
    let mut sql = conn.prepare_cached(sql)?;
    let found = sql
        .query_row(params![tree, key], |r| Ok((r.get(0)?, r.get(1)?)))
        .optional()?;
    let Some((when, body)): Option<(i64, String)> = found else {
        return Ok(None);
    };
    Ok(Some(TreeVerdict {
        tree: tree.to_owned(),
        key: key.to_owned(),
        judgement: at.parse("body", &body)?,
        at: UnixMs(when),
    }))
}

/// Walks the hash chain of a line.
pub(super) fn verify(conn: &Connection, id: &LineId) -> Result<Option<Chain>, StoreError> {
    let Some(head) = head(conn, id)? else {
        return Ok(None);
    };
    let sql = format!("{LEDGER} WHERE l.key = ?1 ORDER BY q.n");
    let mut statement = conn.prepare_cached(&sql)?;
    let mut found = statement.query([head.key])?;
    let mut links = Vec::new();
    while let Some(r) = found.next()? {
        let seq: i64 = r.get(2)?;
        let at = At {
            table: "queue_ledger",
            row: &seq,
        };
        // The texts as they are stored: what was tampered with may not parse.
        let link = QueueLink {
            repo: &id.repo,
            base: &id.base,
            n: at.count("n", r.get(3)?)?,
            version: at.count("version", r.get(4)?)?,
            entry: r.get(5)?,
            cause: text(r, 6)?,
            actor: text(r, 7)?,
            at: r.get(8)?,
            data: text(r, 9)?,
        };
        let before = links
            .last()
            .map_or(START, |(_, _, stored): &(_, _, Hash)| *stored);
        links.push((link.n, link.hash(&before), r.get(10)?));
    }
    Ok(Some(walk_queue(&links, head.rows, &head.chain)))
}
