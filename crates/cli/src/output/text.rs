//! Text made safe and fitted to columns.

use longhaul_agents::text::{clean_text, snippet};
use unicode_width::UnicodeWidthChar as _;
use unicode_width::UnicodeWidthStr as _;

/// Text of agents, repositories or providers without control characters, lines kept (T31).
pub(crate) fn clean(text: &str) -> String {
    clean_text(text)
}

/// One clean line of at most `max` characters.
pub(crate) fn one_line(text: &str, max: usize) -> String {
    snippet(text, max)
}

/// Columns that a text takes.
pub(crate) fn columns(text: &str) -> usize {
    text.width()
}

/// The text cut to `max` columns, an ellipsis at the cut.
pub(crate) fn fit(text: &str, max: usize) -> String {
    if columns(text) <= max {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let w = c.width().unwrap_or(0);
        if used + w + 1 > max {
            break;
        }
        used += w;
        out.push(c);
    }
    if max > 0 {
        out.push('…');
    }
    out
}

/// The text cut and filled with blanks to exactly `width` columns.
pub(crate) fn pad(text: &str, width: usize) -> String {
    let mut out = fit(text, width);
    for _ in columns(&out)..width {
        out.push(' ');
    }
    out
}

/// Paragraph text broken at blanks into lines of at most `width` columns.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(20);
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && columns(&line) + 1 + columns(word) > width {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

/// A count of tokens in at most five characters: `950`, `12.3k`, `4.6M`.
pub(crate) fn tokens(n: u64) -> String {
    match n {
        0..1_000 => n.to_string(),
        1_000..100_000 => format!("{}.{}k", n / 1_000, n % 1_000 / 100),
        100_000..1_000_000 => format!("{}k", n / 1_000),
        1_000_000..1_000_000_000 => format!("{}.{}M", n / 1_000_000, n % 1_000_000 / 100_000),
        _ => format!("{}.{}G", n / 1_000_000_000, n % 1_000_000_000 / 100_000_000),
    }
}

/// `1 task`, `2 tasks`.
pub(crate) fn count(n: usize, noun: &str) -> String {
    if n == 1 {
        format!("{n} {noun}")
    } else {
        format!("{n} {noun}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fitting_counts_columns_not_bytes() {
        assert_eq!(fit("naïve", 5), "naïve");
        assert_eq!(fit("日本語", 5), "日本…");
        assert_eq!(pad("日", 4), "日  ");
        assert_eq!(fit("abc", 0), "");
    }

    #[test]
    fn tokens_stay_short() {
        let shown: Vec<String> = [0, 999, 1_000, 12_345, 123_456, 4_600_000]
            .map(tokens)
            .into();
        assert_eq!(shown, ["0", "999", "1.0k", "12.3k", "123k", "4.6M"]);
    }

    #[test]
    fn wrapping_keeps_paragraphs() {
        assert_eq!(
            wrap("aaaa bbbb cccc dddd eeee\n\nf", 20),
            ["aaaa bbbb cccc dddd", "eeee", "", "f"]
        );
    }
}
