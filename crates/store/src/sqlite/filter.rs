//! From a filter to the conditions of a query.

use rusqlite::types::Value as Sql;

use super::query::capped;
use crate::read::TaskFilter;

/// The conditions of a filter with their values.
pub(super) fn where_clause(f: &TaskFilter) -> (String, Vec<Sql>) {
    let mut terms: Vec<String> = Vec::new();
    let mut values: Vec<Sql> = Vec::new();
    let mut also = |term: &str, value: Sql| {
        terms.push(term.to_owned());
        values.push(value);
    };
    let texts = [
        ("t.repo = ?", &f.repo),
        ("t.harness = ?", &f.harness),
        ("t.project = ?", &f.project),
        ("t.grp = ?", &f.group),
    ];
    for (term, value) in texts {
        if let Some(value) = value {
            also(term, value.clone().into());
        }
    }
    for label in &f.labels {
        also(
            "EXISTS (SELECT 1 FROM json_each(t.labels) WHERE value = ?)",
            label.clone().into(),
        );
    }
    if let Some(id) = f.submission {
        also("t.submission = ?", id.into());
    }
    if let Some(since) = f.since {
        also("(t.final_at IS NULL OR t.final_at >= ?)", since.0.into());
    }
    if let Some(after) = f.after {
        also("t.id < ?", after.uuid().into());
    }
    if !f.states.is_empty() {
        let marks = vec!["?"; f.states.len()].join(", ");
        terms.push(format!("n.state IN ({marks})"));
        values.extend(f.states.iter().map(|w| Sql::from(w.as_str().to_owned())));
        if f.states.iter().all(|w| !w.is_final()) {
            // So that only the index of live tasks is walked.
            terms.push("t.final_at IS NULL".to_owned());
        }
    }
    let conditions = if terms.is_empty() {
        String::new()
    } else {
        format!("WHERE {}", terms.join(" AND "))
    };
    values.push(capped(f.limit).into());
    (format!("{conditions} ORDER BY t.id DESC LIMIT ?"), values)
}
