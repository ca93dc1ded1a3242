//! What is wrong with a text, where, and what to write instead. Not an error of the machine: every
//! finding here goes away when the user edits the text.

mod render;
mod sink;
mod source;

use std::fmt;

use serde::Serialize;

pub(crate) use sink::{Finding, Located, Sink, Site, Span};
pub(crate) use source::Source;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The text is refused.
    Error,
    /// Accepted, but something in it has no effect.
    Warning,
    /// Accepted; there is a better way to write it.
    Note,
}

impl Severity {
    /// `error`, `warning` or `note`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// Where in a file a finding lies, with the line itself, cut to a screen's width, without control
/// characters, and with credentials masked (I12, T31).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file as it is shown to the user.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// The line, or the part of it around the finding.
    pub excerpt: String,
    /// Where in the excerpt the marks start, from 0, in characters.
    pub mark_start: u32,
    /// How many characters are marked; at least one.
    pub mark_len: u32,
}

/// Another place that a finding speaks of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Related {
    /// What is there.
    pub message: String,
    /// Where.
    pub place: Place,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How much it matters.
    pub severity: Severity,
    /// The key, flag or variable it is about.
    pub key: Option<String>,
    /// What is wrong: a lower-case fragment.
    pub message: String,
    /// Where; `None` for a flag, a variable or a whole file.
    pub place: Option<Place>,
    /// Other places it speaks of.
    pub related: Vec<Related>,
    /// What to do about it.
    pub help: Option<String>,
}

/// Findings in the order of their place, bounded (I16).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Diagnostics {
    items: Vec<Diagnostic>,
    omitted: u32,
}

impl Diagnostics {
    /// The findings.
    #[must_use]
    pub fn items(&self) -> &[Diagnostic] {
        &self.items
    }

    /// How many more there were than fit.
    #[must_use]
    pub const fn omitted(&self) -> u32 {
        self.omitted
    }

    /// Whether nothing was found at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether anything is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.items.iter().any(|d| d.severity == Severity::Error)
    }

    /// Adds the findings of another text after these.
    pub fn append(&mut self, other: Self) {
        self.items.extend(other.items);
        self.omitted = self.omitted.saturating_add(other.omitted);
    }

    /// As text for a terminal: each finding with its line and marks, then a count. With `color`,
    /// ANSI colours are used.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        render::render(self, color)
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}

/// A text quoted inside a message: in backticks, one line, at most 60 characters, credentials
/// masked, control and direction characters escaped (T31).
pub(crate) fn quoted(text: &str) -> String {
    let masked = crate::secrets::mask(text);
    let mut out = String::from("`");
    for (n, c) in masked.chars().enumerate() {
        if n == 60 {
            out.push('…');
            break;
        }
        if source::is_plain(c) {
            out.push(c);
        } else {
            out.extend(c.escape_default());
        }
    }
    out.push('`');
    out
}

/// A file's name for display: as it is, without control characters.
fn quoted_file(name: &str) -> String {
    name.chars()
        .map(|c| if source::is_plain(c) { c } else { '\u{fffd}' })
        .collect()
}
