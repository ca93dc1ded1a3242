//! A text with its lines, and the excerpt of it around a finding. Not a parser.

use super::{Place, Span};

/// Longest excerpt in characters.
const EXCERPT: usize = 100;
/// How many bytes around a mark are looked at for credentials; lines can have megabytes.
const WINDOW: usize = 4096;
/// How much of a line is kept in front of a mark that lies far to the right.
const BEFORE_MARK: usize = 40;

/// A decoded text and where its lines start.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    name: &'a str,
    text: &'a str,
    line_starts: Vec<usize>,
}

impl<'a> Source<'a> {
    /// A text and the name it is shown under.
    pub(crate) fn new(name: &'a str, text: &'a str) -> Self {
        let newlines = text.bytes().enumerate().filter(|(_, b)| *b == b'\n');
        let line_starts = std::iter::once(0)
            .chain(newlines.map(|(at, _)| at + 1))
            .collect();
        Self {
            name,
            text,
            line_starts,
        }
    }

    /// The text.
    pub(crate) fn text(&self) -> &'a str {
        self.text
    }

    /// The line of a byte offset, from 1.
    pub(crate) fn line(&self, at: usize) -> u32 {
        let line = self.line_starts.partition_point(|start| *start <= at);
        u32::try_from(line).unwrap_or(u32::MAX)
    }

    /// The place of a span, its line masked wherever a span of `secrets` covers it.
    pub(crate) fn place(&self, span: &Span, secrets: &[Span]) -> Place {
        let at = self.floor_boundary(span.start);
        let line = self.line(at);
        let start = self.line_starts[line as usize - 1];
        let end = self.text[start..]
            .find('\n')
            .map_or(self.text.len(), |n| start + n);
        let end = end - usize::from(self.text[start..end].ends_with('\r'));
        let at = at.min(end);
        let column = self.text[start..at].chars().count();
        let marked_to = self.floor_boundary(span.end.clamp(at, end));
        let marked = self.text[at..marked_to].chars().count().max(1);

        let from = self.floor_boundary(at.saturating_sub(WINDOW).max(start));
        let to = self.floor_boundary((at + WINDOW).min(end));
        let plain = self.masked(from, to, secrets);
        let within = self.text[from..at].chars().count();
        let cut = if within > EXCERPT - BEFORE_MARK {
            within - BEFORE_MARK
        } else {
            0
        };
        let (mut excerpt, lead) = if cut > 0 {
            (String::from("…"), 1)
        } else {
            (String::new(), 0)
        };
        excerpt.extend(plain.iter().skip(cut).take(EXCERPT));
        if plain.len() > cut + EXCERPT {
            excerpt.push('…');
        }
        let mark_start = within - cut + lead;
        let room = excerpt.chars().count().saturating_sub(mark_start).max(1);
        Place {
            file: super::quoted_file(self.name),
            line,
            column: small(column + 1),
            excerpt: excerpt.trim_end().to_owned(),
            mark_start: small(mark_start),
            mark_len: small(marked.min(room)),
        }
    }

    /// The characters of a part of a line, one for one, without control characters and credentials.
    fn masked(&self, start: usize, end: usize, secrets: &[Span]) -> Vec<char> {
        let line = crate::secrets::mask(&self.text[start..end]);
        self.text[start..end]
            .char_indices()
            .zip(line.chars())
            .map(|((offset, _), shown)| {
                let at = start + offset;
                if secrets.iter().any(|s| s.contains(&at)) {
                    '*'
                } else if shown == '\t' {
                    ' '
                } else if is_plain(shown) {
                    shown
                } else {
                    '\u{fffd}'
                }
            })
            .collect()
    }

    fn floor_boundary(&self, at: usize) -> usize {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }
}

/// Whether a character may be printed as it is: no control character, and none that turns the
/// direction of the text around it or takes no place (T31).
pub(super) fn is_plain(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn small(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_line_and_column_in_characters() {
        let source = Source::new("f", "a = 1\r\né = \"x\" # é\n");
        let place = source.place(&(12..15), &[]);
        assert_eq!((place.line, place.column), (2, 5));
        assert_eq!(place.excerpt, "é = \"x\" # é");
        assert_eq!((place.mark_start, place.mark_len), (4, 3));
    }

    #[test]
    fn the_end_of_the_text_and_beyond_are_places_too() {
        let source = Source::new("f", "ab");
        assert_eq!(source.place(&(2..2), &[]).column, 3);
        assert_eq!(source.place(&(99..100), &[]).column, 3);
        assert_eq!(Source::new("f", "").place(&(0..0), &[]).line, 1);
    }

    #[test]
    fn long_lines_are_cut_around_the_mark() {
        let text = format!("{}X{}", "a".repeat(500), "b".repeat(500));
        let place = Source::new("f", &text).place(&(500..501), &[]);
        let marked = place.excerpt.chars().nth(place.mark_start as usize);
        assert_eq!(marked, Some('X'));
        assert!(place.excerpt.chars().count() <= EXCERPT + 2);
        assert_eq!(place.column, 501);
    }

    #[test]
    fn i12_t31_secrets_and_control_characters_are_not_shown() {
        let text = "k = \"hunter2 \u{1b}[31m\u{202e}\"";
        let place = Source::new("f", text).place(&(0..1), std::slice::from_ref(&(5..12)));
        assert_eq!(place.excerpt, "k = \"******* \u{fffd}[31m\u{fffd}\"");
    }
}
