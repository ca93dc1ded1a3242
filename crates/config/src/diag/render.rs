//! Findings as text for a terminal.

use std::fmt::Write as _;

use super::{Diagnostic, Diagnostics, Place, Severity};

/// The escape sequences in use; all empty without colour.
struct Paint {
    error: &'static str,
    warning: &'static str,
    note: &'static str,
    strong: &'static str,
    frame: &'static str,
    off: &'static str,
}

const PLAIN: Paint = Paint {
    error: "",
    warning: "",
    note: "",
    strong: "",
    frame: "",
    off: "",
};

const COLORED: Paint = Paint {
    error: "\u{1b}[1;31m",
    warning: "\u{1b}[1;33m",
    note: "\u{1b}[1;36m",
    strong: "\u{1b}[1m",
    frame: "\u{1b}[34m",
    off: "\u{1b}[0m",
};

impl Paint {
    fn of(&self, severity: Severity) -> &'static str {
        match severity {
            Severity::Error => self.error,
            Severity::Warning => self.warning,
            Severity::Note => self.note,
        }
    }
}

/// All findings, a blank line between two, and the count last.
pub(super) fn render(diagnostics: &Diagnostics, color: bool) -> String {
    let paint = if color { &COLORED } else { &PLAIN };
    let mut out = String::new();
    for item in &diagnostics.items {
        one(&mut out, item, paint);
        out.push('\n');
    }
    let count = |severity| {
        let n = diagnostics
            .items
            .iter()
            .filter(|d| d.severity == severity)
            .count();
        (n, severity)
    };
    let counts: Vec<String> = [Severity::Error, Severity::Warning, Severity::Note]
        .map(count)
        .into_iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, severity)| format!("{n} {}{}", severity.word(), if n == 1 { "" } else { "s" }))
        .collect();
    out.push_str(&counts.join(", "));
    if diagnostics.omitted > 0 {
        push(&mut out, format_args!(", and {} more", diagnostics.omitted));
    }
    if !out.is_empty() {
        out.push('\n');
    }
    out
}

fn one(out: &mut String, item: &Diagnostic, paint: &Paint) {
    let Paint {
        strong, frame, off, ..
    } = paint;
    let tint = paint.of(item.severity);
    let word = item.severity.word();
    push(out, format_args!("{tint}{word}{off}{strong}: "));
    if let (None, Some(key)) = (&item.place, &item.key) {
        push(out, format_args!("`{key}`: "));
    }
    push(out, format_args!("{}{off}\n", item.message));
    let gutter = item
        .place
        .iter()
        .chain(item.related.iter().map(|r| &r.place))
        .map(|p| p.line.to_string().len())
        .max()
        .unwrap_or(1);
    if let Some(place) = &item.place {
        excerpt(out, place, gutter, '^', tint, "", paint);
    }
    for related in &item.related {
        excerpt(
            out,
            &related.place,
            gutter,
            '-',
            paint.note,
            &related.message,
            paint,
        );
    }
    if let Some(help) = &item.help {
        push(
            out,
            format_args!("{:gutter$} {frame}={off} help: {help}\n", ""),
        );
    }
}

fn excerpt(
    out: &mut String,
    place: &Place,
    gutter: usize,
    mark: char,
    tint: &str,
    label: &str,
    paint: &Paint,
) {
    let Paint { frame, off, .. } = paint;
    let Place {
        file,
        line,
        column,
        excerpt,
        ..
    } = place;
    push(
        out,
        format_args!("{:gutter$}{frame}-->{off} {file}:{line}:{column}\n", ""),
    );
    push(out, format_args!("{:gutter$} {frame}|{off}\n", ""));
    push(
        out,
        format_args!("{frame}{line:>gutter$} |{off} {excerpt}\n"),
    );
    let indent = " ".repeat(place.mark_start as usize);
    let marks: String = std::iter::repeat_n(mark, place.mark_len as usize).collect();
    let label = if label.is_empty() {
        String::new()
    } else {
        format!(" {label}")
    };
    push(
        out,
        format_args!(
            "{:gutter$} {frame}|{off} {indent}{tint}{marks}{label}{off}\n",
            ""
        ),
    );
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text)
        .expect("writing to a String cannot fail");
}
