//! The colours, by meaning. Only the sixteen of the terminal, so that its theme decides.

use anstyle::{AnsiColor, Style};

/// Names of things.
pub(crate) const STRONG: Style = Style::new().bold();
/// What matters less.
pub(crate) const FAINT: Style = Style::new().dimmed();
/// Done, passed.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// At work.
pub(crate) const BUSY: Style = AnsiColor::Cyan.on_default();
/// Waits, or something to look at.
pub(crate) const WARN: Style = AnsiColor::Yellow.on_default();
/// Failed, or needs a person.
pub(crate) const BAD: Style = AnsiColor::Red.on_default();
/// The word `error`.
pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
/// A heading.
pub(crate) const HEAD: Style = Style::new().bold().underline();
/// Commands that can be typed.
pub(crate) const COMMAND: Style = AnsiColor::Cyan.on_default().bold();

/// `text` in `style`, or as it is without colour.
pub(crate) fn paint(color: bool, style: Style, text: &str) -> String {
    if color && !text.is_empty() {
        format!("{style}{text}{style:#}")
    } else {
        text.to_owned()
    }
}
