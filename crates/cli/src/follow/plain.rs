//! A change as one line of text, for logs and pipes.

use longhaul_api::{EventView, TaskState};
use longhaul_core::time::UnixMs;

use crate::output::clock;
use crate::output::palette::{self, paint};
use crate::output::text::clean;

/// `14:05:09 ● parser  check `test` failed; trying again`.
pub(crate) fn event_line(event: &EventView, color: bool) -> String {
    let (glyph, style) = match event.to {
        TaskState::Pending | TaskState::Ready => ("○", palette::FAINT),
        TaskState::Assigned | TaskState::Running | TaskState::Verifying => ("●", palette::GOOD),
        TaskState::Landing | TaskState::Parked => ("◐", palette::WARN),
        TaskState::NeedsHuman => ("✕", palette::BAD),
        TaskState::Done => ("✓", palette::GOOD),
        TaskState::Cancelled => ("✕", palette::FAINT),
        TaskState::Unknown => ("?", palette::WARN),
    };
    format!(
        "{} {} {}  {}",
        paint(
            color,
            palette::FAINT,
            &clock::time_of_day(UnixMs(event.at_ms))
        ),
        paint(color, style, glyph),
        paint(color, palette::STRONG, &clean(&event.name)),
        clean(&event.line).replace('\n', " ")
    )
}

/// Rows that somebody who follows along can do without: the next one says more.
pub(crate) fn is_noise(event: &EventView) -> bool {
    matches!(
        event.cause.as_str(),
        "conversation_known" | "late_report" | "workspace_ready" | "session_ended"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use longhaul_core::ids::TaskId;

    #[test]
    fn t31_an_event_is_one_clean_line() {
        let event = EventView {
            seq: 1,
            at_ms: 0,
            task: TaskId::new(0, [0; 10]),
            name: "par\u{1b}[2Jser".into(),
            version: 1,
            fence: 1,
            from: TaskState::Running,
            to: TaskState::Done,
            cause: "finished".into(),
            actor: "check".into(),
            line: "all\nchecks passed".into(),
            data: serde_json::Value::Null,
        };
        let line = event_line(&event, false);
        assert!(line.ends_with(" ✓ parser  all checks passed"), "{line}");
    }
}
