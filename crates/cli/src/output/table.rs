//! Columns of text, the last one taking what is left. Not a box-drawing library.

use anstyle::Style;

use super::Printer;
use super::text::{columns, fit, pad};

/// One cell: clean text and its colour.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

/// A plain cell.
pub(crate) fn cell(text: impl Into<String>) -> Cell {
    styled(text, Style::new())
}

/// A cell in a colour.
pub(crate) fn styled(text: impl Into<String>, style: Style) -> Cell {
    Cell {
        text: text.into(),
        style,
    }
}

/// The rows as lines, columns two blanks apart; empty columns go. On a terminal the last column is
/// cut to what is left of its width.
pub(crate) fn lines(printer: &Printer, head: &[&str], rows: &[Vec<Cell>]) -> Vec<String> {
    let used: Vec<bool> = (0..head.len())
        .map(|n| {
            rows.iter()
                .any(|row| row.get(n).is_some_and(|c| !c.text.is_empty()))
        })
        .collect();
    let widths: Vec<usize> = head
        .iter()
        .enumerate()
        .map(|(n, title)| {
            rows.iter()
                .filter_map(|row| row.get(n))
                .map(|c| columns(&c.text))
                .chain([columns(title)])
                .max()
                .unwrap_or(0)
        })
        .collect();
    let last = used.iter().rposition(|u| *u).unwrap_or(0);
    let before: usize = (0..last).filter(|n| used[*n]).map(|n| widths[n] + 2).sum();
    let room = if printer.is_live() {
        printer.width().saturating_sub(before).max(10)
    } else {
        usize::MAX
    };
    let draw = |cells: &mut dyn Iterator<Item = (usize, &str, Style)>| {
        let mut line = String::new();
        for (n, text, style) in cells {
            if !used.get(n).copied().unwrap_or(false) {
                continue;
            }
            let shown = if n == last {
                fit(text, room)
            } else {
                pad(text, widths[n])
            };
            let blank = shown.len() - shown.trim_end().len();
            let (word, blanks) = shown.split_at(shown.len() - blank);
            line.push_str(&printer.paint(style, word));
            if n != last {
                line.push_str(blanks);
                line.push_str("  ");
            }
        }
        line.trim_end().to_owned()
    };
    let mut out = Vec::with_capacity(rows.len() + 1);
    out.push(draw(
        &mut head
            .iter()
            .enumerate()
            .map(|(n, t)| (n, *t, super::palette::FAINT)),
    ));
    for row in rows {
        out.push(draw(
            &mut row
                .iter()
                .enumerate()
                .map(|(n, c)| (n, c.text.as_str(), c.style)),
        ));
    }
    out
}
