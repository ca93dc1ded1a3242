//! Taking a landing back: which one is meant, and whether there is anything to take back. The queue's
//! ledger says both; the commit itself is made by an effect, and lands as any entry does.

use std::fmt;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::time::UnixMs;

use super::entry::{Entry, EntryId, LandCheck, MergeStyle, Origin};
use super::fact::ConflictReport;
use super::line::{LineId, QueueCause, QueueRow};

/// How often a landing may have been taken back and brought in again.
const TURNS: usize = 100;

/// A landing as the queue's ledger has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Landing {
    /// Where.
    pub line: LineId,
    /// What landed.
    pub entry: EntryId,
    /// What people call it.
    pub title: String,
    /// The entry's own commit.
    pub head: String,
    /// The commit that brought it onto the integration ref.
    pub commit: String,
    /// When.
    pub at: UnixMs,
    /// What passed on its tree.
    pub checks: Vec<LandCheck>,
    /// Whether anything did.
    pub verified: bool,
}

impl Landing {
    /// Reads a row; `None` if it tells of no landing of an entry's own commit.
    #[must_use]
    pub fn of(line: &LineId, row: &QueueRow) -> Option<Self> {
        if row.cause != QueueCause::Landed {
            return None;
        }
        let text = |key: &str| Some(row.data.get(key)?.as_str()?.to_owned());
        let checks = row.data.get("checks").cloned().unwrap_or(json!([]));
        Some(Self {
            line: line.clone(),
            entry: row.entry?,
            title: text("title")?,
            head: text("head")?,
            commit: text("commit")?,
            at: row.at,
            checks: serde_json::from_value(checks).unwrap_or_default(),
            verified: row.data.get("verified").and_then(Value::as_bool)?,
        })
    }

    /// The entry that takes it back; the same whenever it is asked for.
    #[must_use]
    pub fn undo_id(&self) -> EntryId {
        EntryId(Uuid::new_v5(&self.entry.0, self.commit.as_bytes()))
    }

    /// What people call taking it back: an undo is undone by a redo, and a redo by an undo.
    fn undo_title(&self) -> String {
        match self.title.strip_prefix("undo of ") {
            Some(what) => format!("redo of {what}"),
            None => {
                let what = self.title.strip_prefix("redo of ").unwrap_or(&self.title);
                format!("undo of {what}")
            }
        }
    }

    /// The entry that takes it back. Without checks of its own it has those that the landing had, and
    /// needs none where that had none; it still lacks its commit.
    #[must_use]
    pub fn undo(&self, checks: Option<Vec<LandCheck>>, unverified: bool, now: UnixMs) -> Entry {
        let without = unverified || checks.is_none() && !self.verified;
        let checks = checks.unwrap_or_else(|| self.checks.clone());
        Entry {
            id: self.undo_id(),
            origin: Origin::Undo {
                of: self.entry,
                landed: self.commit.clone(),
            },
            title: self.undo_title(),
            commit: String::new(),
            priority: crate::spec::Priority::Normal,
            since: now,
            style: MergeStyle::Merge,
            checks: if unverified { Vec::new() } else { checks },
            land_unverified: without,
            held: false,
            wait: None,
        }
    }
}

/// What came of making the commit that takes a landing back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undoing {
    /// This is to be queued.
    Made {
        /// The commit.
        commit: String,
    },
    /// Something builds on it.
    Conflict {
        /// Where.
        report: ConflictReport,
        /// It landed later; else it is an entry of the same landing.
        later: bool,
    },
}

/// Why there is nothing to take back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotUndone {
    /// It never landed.
    NeverLanded,
    /// Everything of it was on the base branch when its turn came: the queue brought nothing.
    BroughtNothing,
    /// It was taken back.
    Already {
        /// By this commit.
        commit: String,
        /// The entry of that, which can be taken back in turn.
        by: EntryId,
    },
}

impl fmt::Display for NotUndone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverLanded => f.write_str("it never landed"),
            Self::BroughtNothing => f.write_str(
                "everything of it was on the base branch when its turn came, so nothing of it landed",
            ),
            Self::Already { commit, by } => write!(
                f,
                "it was taken back already, by {}; `longhaul queue undo {}` brings it in again",
                commit.get(..12).unwrap_or(commit),
                by.short()
            ),
        }
    }
}

/// The landing that is to be taken back: the last one of an entry, or, where that was taken back and
/// brought in again, what brought it in again. `rows` gives the ledger's rows about an entry, oldest
/// first.
///
/// # Errors
/// Those of `rows`; inside, why there is nothing to take back.
pub fn to_undo<E>(
    entry: EntryId,
    mut rows: impl FnMut(EntryId) -> Result<Vec<(LineId, QueueRow)>, E>,
) -> Result<Result<Landing, NotUndone>, E> {
    let mut found = match last_landing(&rows(entry)?) {
        Ok(found) => found,
        Err(why) => return Ok(Err(why)),
    };
    for _ in 0..TURNS {
        let by = found.undo_id();
        let Ok(undo) = last_landing(&rows(by)?) else {
            return Ok(Ok(found));
        };
        match last_landing(&rows(undo.undo_id())?) {
            Ok(again) => found = again,
            Err(_) => {
                let commit = undo.commit;
                return Ok(Err(NotUndone::Already { commit, by }));
            }
        }
    }
    Ok(Ok(found))
}

fn last_landing(rows: &[(LineId, QueueRow)]) -> Result<Landing, NotUndone> {
    let landed = |(_, row): &&(LineId, QueueRow)| row.cause == QueueCause::Landed;
    let (line, row) = rows
        .iter()
        .rev()
        .find(landed)
        .ok_or(NotUndone::NeverLanded)?;
    Landing::of(line, row).ok_or(NotUndone::BroughtNothing)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::convert::Infallible;

    use super::*;
    use crate::ledger::Actor;
    use crate::time::SpanMs;

    type Rows = HashMap<EntryId, Vec<(LineId, QueueRow)>>;

    fn line() -> LineId {
        LineId {
            repo: "/r".to_owned(),
            base: "main".to_owned(),
        }
    }

    fn row(entry: EntryId, cause: QueueCause, data: Value) -> (LineId, QueueRow) {
        let row = QueueRow {
            version: 1,
            entry: Some(entry),
            cause,
            actor: Actor::Daemon,
            at: UnixMs(1),
            data,
        };
        (line(), row)
    }

    fn landed(entry: EntryId, commit: &str) -> (LineId, QueueRow) {
        let check = LandCheck {
            name: "test".to_owned(),
            command: "make test".to_owned(),
            timeout: SpanMs(1),
            key: "k".to_owned(),
            of: entry,
        };
        let data = json!({
            "title": "parser", "head": format!("head-of-{commit}"), "commit": commit,
            "checks": [check], "verified": true,
        });
        row(entry, QueueCause::Landed, data)
    }

    fn ask(rows: &Rows, entry: EntryId) -> Result<Landing, NotUndone> {
        let look = |id| Ok::<_, Infallible>(rows.get(&id).cloned().unwrap_or_default());
        let Ok(answer) = to_undo(entry, look);
        answer
    }

    #[test]
    fn a_landing_is_undone_once_and_its_undo_in_turn() {
        let id = EntryId(Uuid::from_u128(7));
        let mut rows = Rows::new();
        assert_eq!(ask(&rows, id), Err(NotUndone::NeverLanded));
        rows.insert(id, vec![row(id, QueueCause::Withdrawn, json!({}))]);
        assert_eq!(ask(&rows, id), Err(NotUndone::NeverLanded));
        rows.insert(id, vec![landed(id, "c1"), landed(id, "c2")]);
        let first = ask(&rows, id).unwrap();
        assert_eq!(first.commit, "c2", "the last landing is meant");
        let undo = first.undo(None, false, UnixMs(5));
        assert_eq!(
            undo.id,
            ask(&rows, id).unwrap().undo_id(),
            "always the same"
        );
        assert_eq!(undo.checks, first.checks);
        assert_eq!(undo.title, "undo of parser");
        assert!(!undo.land_unverified, "it is verified as the landing was");

        rows.insert(undo.id, vec![landed(undo.id, "u")]);
        let (commit, by) = ("u".to_owned(), undo.id);
        assert_eq!(ask(&rows, id), Err(NotUndone::Already { commit, by }));
        let redo = ask(&rows, undo.id).unwrap().undo(None, false, UnixMs(6));
        rows.insert(redo.id, vec![landed(redo.id, "r")]);
        // It is on base again: what is taken back now is what brought it in again.
        assert_eq!(ask(&rows, id).unwrap().commit, "r");
        assert_eq!(ask(&rows, redo.id).unwrap().commit, "r");
    }

    #[test]
    fn what_brought_nothing_cannot_be_undone() {
        let id = EntryId(Uuid::from_u128(7));
        let contained = row(
            id,
            QueueCause::Landed,
            json!({ "contained": true, "commit": "c" }),
        );
        let rows = Rows::from([(id, vec![contained])]);
        assert_eq!(ask(&rows, id), Err(NotUndone::BroughtNothing));
    }

    #[test]
    fn i9_an_undo_is_verified_unless_a_person_says_otherwise() {
        let id = EntryId(Uuid::from_u128(7));
        let (line, row) = landed(id, "c");
        let landing = Landing::of(&line, &row).unwrap();
        assert!(landing.undo(None, false, UnixMs(1)).may_land());
        let own = landing.undo(Some(Vec::new()), false, UnixMs(1));
        assert!(!own.may_land(), "no check and nobody allowed that");
        let without = landing.undo(None, true, UnixMs(1));
        assert!(without.may_land() && without.checks.is_empty());
        let unverified = Landing {
            checks: Vec::new(),
            verified: false,
            ..landing
        };
        assert!(unverified.undo(None, false, UnixMs(1)).may_land());
    }
}
