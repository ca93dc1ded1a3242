//! The one renderer of errors: findings first, then the error, then what to do next.

use super::palette::{self, paint};
use super::text::clean;
use crate::failure::Failure;

/// The failure as text for standard error; ends with a line feed. Text from agents, repositories
/// and providers in it loses its control characters (T31).
pub(crate) fn render(failure: &Failure, color: bool) -> String {
    let mut out = String::new();
    if let Some(detail) = failure.detail_text() {
        out.push_str(detail);
        if !detail.ends_with('\n') {
            out.push('\n');
        }
    }
    out.push_str(&paint(color, palette::ERROR, "error:"));
    out.push(' ');
    out.push_str(&clean(&failure.message()));
    out.push('\n');
    for link in failure.candidates() {
        let id = paint(color, palette::STRONG, &link.id.short());
        out.push_str(&format!(
            "    {id}  {}  {}\n",
            clean(&link.name),
            link.state
        ));
    }
    for help in failure.help_lines() {
        let mut lines = help.lines();
        out.push_str(&paint(color, palette::BUSY, "  help:"));
        out.push(' ');
        out.push_str(&clean(lines.next().unwrap_or_default()));
        out.push('\n');
        for line in lines {
            out.push_str("        ");
            out.push_str(&clean(line));
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_happened_and_what_to_do() {
        let f =
            Failure::usage("no task is called `par\u{1b}[31mser`").help("`longhaul ls` lists them");
        assert_eq!(
            render(&f, false),
            "error: no task is called `parser`\n  help: `longhaul ls` lists them\n"
        );
    }
}
