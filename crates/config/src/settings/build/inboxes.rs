//! `[inbox.NAME]` (A20).

use std::collections::BTreeMap;

use camino::{Utf8Component, Utf8Path};
use longhaul_core::time::SpanMs;

use super::super::layers::Map;
use super::super::tables::InboxTable;
use super::wrong;
use crate::diag::Sink;

/// Where an inbox lies below its project if nothing is said.
const FOLDER: &str = ".agent-queue";
/// How long files are kept that were put away.
const RETENTION: SpanMs = SpanMs::from_secs(30 * 24 * 3600);
/// What they may take together.
const MAX_BYTES: u64 = 256 << 20;

/// The inboxes.
pub(super) fn inboxes(map: &Map, sink: &mut Sink) -> BTreeMap<String, InboxTable> {
    let mut all = BTreeMap::new();
    for name in map.names("inbox") {
        let at = |key: &str| format!("inbox.{name}.{key}");
        let Some(project) = map.text(&at("project")) else {
            let problem = format!("is missing; `[inbox.{name}]` needs it");
            wrong(map, &at("project"), problem, sink);
            continue;
        };
        let folder = map.text(&at("folder")).unwrap_or_else(|| FOLDER.to_owned());
        if !is_below(&folder) {
            let problem = "must be a folder below the project, such as `.agent-queue`".to_owned();
            wrong(map, &at("folder"), problem, sink);
        }
        let inbox = InboxTable {
            project,
            folder,
            retention: map.some_span(&at("retention")).unwrap_or(RETENTION),
            max_bytes: match map.size(&at("max_size")) {
                0 => MAX_BYTES,
                bytes => bytes,
            },
        };
        all.insert(name.to_owned(), inbox);
    }
    all
}

/// Whether a path names a folder below another one by its names alone, and none of git's or Longhaul's own.
fn is_below(folder: &str) -> bool {
    let path = Utf8Path::new(folder);
    let plain = |part: Utf8Component<'_>| match part {
        Utf8Component::Normal(name) => !matches!(name, ".git" | ".longhaul"),
        _ => false,
    };
    path.components().next().is_some() && path.components().all(plain)
}
