//! The merge queue as text.

use longhaul_api::{
    ConflictView, ForecastView, HeadView, LineView, MeetingView, QueueEntryView, QueueExplanation,
    QueueView,
};
use longhaul_core::time::UnixMs;

use crate::context::Context;
use crate::output::text::clean;
use crate::output::{clock, palette};

/// Files of a conflict that are named.
const FILES_SHOWN: usize = 5;
/// Lines of a conflict that are shown.
const PREVIEW_LINES: usize = 10;

/// Every line.
pub(super) fn status(context: &Context, view: &QueueView) -> String {
    let mut out = String::new();
    for line in &view.lines {
        if !out.is_empty() {
            out.push('\n');
        }
        for text in line_lines(context, line) {
            out.push_str(&text);
            out.push('\n');
        }
    }
    if view.lines.is_empty() {
        out.push_str("nothing was ever in the merge queue; tasks with `land = true` go there\n");
    }
    out
}

fn line_lines(context: &Context, line: &LineView) -> Vec<String> {
    let (p, now) = (&context.printer, clock::now());
    let mut out = vec![format!(
        "{} of {}  {}",
        p.paint(palette::STRONG, &clean(&line.base)),
        clean(&line.repo),
        clean(&line.line)
    )];
    if let Some(why) = &line.blocked {
        out.push(format!("  {} {}", p.paint(palette::BAD, "✕"), clean(why)));
    }
    if let Some(least) = line.frozen_below {
        let least = format!("{least:?}").to_lowercase();
        out.push(format!("  frozen: only {least} and above is tried"));
    }
    if let Some(why) = &line.behind {
        out.push(format!(
            "  {} the base branch waits for you: {}",
            p.paint(palette::WARN, "◐"),
            clean(why)
        ));
    }
    let heads = line.forecast.as_ref().map_or(&[][..], |f| &f.heads);
    for entry in &line.entries {
        let head = heads.iter().find(|h| h.id == entry.id);
        out.extend(entry_lines(context, entry, head));
    }
    if let Some(forecast) = &line.forecast {
        out.extend(beside(context, forecast));
    }
    for landed in &line.landed {
        let title = if landed.title.is_empty() {
            "your own commits"
        } else {
            &landed.title
        };
        let unverified = if landed.verified { "" } else { ", unverified" };
        let (sign, since) = match &landed.undone_by {
            None => ("✓", ""),
            Some(_) => ("↶", ", taken back since"),
        };
        out.push(p.paint(
            palette::FAINT,
            &format!(
                "  {sign} {} landed as {}{unverified}, {}{since}",
                clean(title),
                landed.commit.get(..12).unwrap_or(&landed.commit),
                clock::moment(UnixMs(landed.at_ms), now)
            ),
        ));
    }
    out
}

fn entry_lines(context: &Context, entry: &QueueEntryView, head: Option<&HeadView>) -> Vec<String> {
    let p = &context.printer;
    let (sign, style) = if entry.ready {
        ("●", palette::GOOD)
    } else {
        ("◐", palette::WARN)
    };
    let mut out = vec![format!(
        "  {} {}. {}  {}  {}",
        p.paint(style, sign),
        entry.place,
        p.paint(palette::STRONG, &clean(&entry.title)),
        p.paint(palette::FAINT, &entry.short_id),
        clean(&entry.line)
    )];
    let meetings = head.map_or(&[][..], |h| &h.conflicts);
    if meetings.is_empty() {
        let files = entry.conflicts.iter();
        out.extend(files.map(|file| format!("       {}", named(file))));
    }
    out.extend(meetings.iter().flat_map(|m| meeting_lines(context, m)));
    let action = head.and_then(|h| h.action.as_ref());
    if let Some(remedy) = entry.remedy.as_ref().or(action) {
        out.push(p.paint(palette::FAINT, &format!("       {}", clean(remedy))));
    }
    out
}

/// Branches that are not in the queue, and what is not known.
fn beside(context: &Context, forecast: &ForecastView) -> Vec<String> {
    let p = &context.printer;
    let mut out = Vec::new();
    for head in forecast.heads.iter().filter(|h| h.place.is_none()) {
        if out.is_empty() {
            out.push("  not in the queue:".to_owned());
        }
        let mut line = format!(
            "  ○ {}  {}",
            p.paint(palette::STRONG, &clean(&head.title)),
            p.paint(palette::FAINT, &head.short_id)
        );
        if let Some(blocker) = &head.blocker {
            line.push_str(&format!("  {}", clean(blocker)));
        }
        if head.uncommitted {
            line.push_str(", uncommitted work included");
        }
        out.push(line);
        out.extend(
            head.conflicts
                .iter()
                .flat_map(|m| meeting_lines(context, m)),
        );
        if let Some(action) = &head.action {
            out.push(p.paint(palette::FAINT, &format!("       {}", clean(action))));
        }
    }
    if forecast.left_out > 0 {
        out.push(format!("  {} more were not looked at", forecast.left_out));
    }
    if let Some(why) = &forecast.error {
        let sign = p.paint(palette::WARN, "◐");
        out.push(format!(
            "  {sign} who would conflict is not known: {}",
            clean(why)
        ));
    }
    out
}

fn meeting_lines(context: &Context, meeting: &MeetingView) -> Vec<String> {
    let p = &context.printer;
    let files: Vec<String> = meeting.files.iter().take(FILES_SHOWN).map(named).collect();
    let more = match meeting.files.len().saturating_sub(files.len()) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    let with = match &meeting.with {
        Some(_) => clean(&meeting.with_title),
        None => "what has landed".to_owned(),
    };
    let mut out = vec![format!(
        "       would conflict with {with}: {}{more}",
        files.join(", ")
    )];
    let lines = meeting.preview.lines().filter(|l| !l.is_empty());
    for line in lines.take(PREVIEW_LINES) {
        out.push(p.paint(palette::FAINT, &format!("       │ {}", clean(line))));
    }
    out
}

/// A path and its kind of conflict.
fn named(file: &ConflictView) -> String {
    format!("{} ({})", clean(&file.path), clean(&file.kind))
}

/// An entry with its history.
pub(super) fn explanation(context: &Context, found: &QueueExplanation) -> String {
    let now = clock::now();
    let mut out = format!("{} of {}\n", clean(&found.base), clean(&found.repo));
    match &found.entry {
        Some(entry) => {
            for line in entry_lines(context, entry, None) {
                out.push_str(&line);
                out.push('\n');
            }
        }
        None => out.push_str("  it does not wait in the merge queue\n"),
    }
    for event in &found.history {
        out.push_str(&format!(
            "  {}  {}\n",
            clock::moment(UnixMs(event.at_ms), now),
            clean(&event.line)
        ));
    }
    out
}
