//! The inboxes (A20).

use longhaul_config::settings::Settings;

use super::{Row, advisory, fail, pass};
use crate::context::Context;
use crate::inbox::{Inbox, survey};

/// A row for each; none where none is configured.
pub(super) fn rows(context: &Context, settings: Option<&Settings>) -> Vec<Row> {
    let Some(settings) = settings.filter(|s| !s.inboxes.is_empty()) else {
        return Vec::new();
    };
    let inboxes = match Inbox::all(settings, &context.paths().home) {
        Ok(inboxes) => inboxes,
        Err(e) => return vec![fail("inbox", e.message(), e.help_lines().join("; "))],
    };
    let row = |inbox: &Inbox| {
        let name = format!("inbox {}", inbox.name);
        let view = survey::look(&context.env, inbox);
        match (view.trouble, view.remedy) {
            (Some(what), Some(remedy)) => advisory(&name, what, remedy),
            _ if view.failed > 0 => advisory(
                &name,
                format!("{}, {} refused or failed", view.path, view.failed),
                format!("read the reports in {}", inbox.part("failed")),
            ),
            _ => pass(&name, view.path),
        }
    };
    inboxes.iter().map(row).collect()
}
