//! Making text of agents fit to store and show (T31). Not an HTML escaper and not a secret masker.

/// Characters that may follow an escape introducer before the sequence is given up as broken.
const SEQUENCE_LIMIT: usize = 4096;

/// Removes control characters, terminal sequences and characters that reorder text.
///
/// Kept are line feeds and tabs; a carriage return that ends a line goes, a lone one becomes a line
/// feed. CSI, OSC, DCS, APC, PM and SOS sequences go with their content, in their 7-bit and their
/// 8-bit (C1) spelling; an unfinished one at the end of the text goes too. Bidirectional overrides and
/// isolates, byte order marks and the Unicode line and paragraph separators go (the separators become
/// line feeds), so that text cannot be shown in another order than it has. The result is clean: applying
/// the function again changes nothing.
#[must_use]
pub fn clean_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => skip_escape(&mut chars),
            '\u{9b}' => skip_csi(&mut chars),
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => skip_string(&mut chars),
            '\n' | '\t' => out.push(c),
            '\r' if chars.peek() == Some(&'\n') => {}
            '\r' | '\u{2028}' | '\u{2029}' => out.push('\n'),
            c if c.is_control() || is_reordering(c) => {}
            c => out.push(c),
        }
    }
    out
}

/// One cleaned line of at most `max` characters: white space is folded to single spaces, and text that
/// was cut ends in `…` (which counts).
#[must_use]
pub fn snippet(text: &str, max: usize) -> String {
    // Cleaning needs more than `max` characters of input only where most of it is dropped.
    let head: String = text.chars().take(max.saturating_mul(4)).collect();
    let cleaned = clean_text(&head);
    let cut_before = head.len() < text.len();
    let mut line = String::new();
    for word in cleaned.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    cut(&line, max, cut_before)
}

/// Cleaned text of at most `max` characters, lines kept; text that was cut ends in `…` (which counts).
#[must_use]
pub fn excerpt(text: &str, max: usize) -> String {
    let head: String = text.chars().take(max.saturating_mul(2)).collect();
    let cut_before = head.len() < text.len();
    cut(clean_text(&head).trim(), max, cut_before)
}

/// The end of cleaned text, at most `max` characters, lines kept; text that was cut begins with `…`
/// (which counts).
#[must_use]
pub fn tail(text: &str, max: usize) -> String {
    // All of it is cleaned: where a terminal sequence begins cannot be seen from its middle.
    let cleaned = clean_text(text);
    let cleaned = cleaned.trim();
    let start_of_last = |n: usize| {
        let mut ends = cleaned.char_indices().rev();
        ends.nth(n).map(|(at, c)| at + c.len_utf8())
    };
    match start_of_last(max) {
        None => cleaned.to_owned(),
        Some(_) => format!(
            "…{}",
            &cleaned[start_of_last(max.saturating_sub(1)).unwrap_or(0)..]
        ),
    }
}

fn cut(text: &str, max: usize, cut_before: bool) -> String {
    let more = text.chars().nth(max).is_some();
    if !more && !cut_before {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(max.saturating_sub(1)).collect();
    short.push('…');
    short
}

fn is_reordering(c: char) -> bool {
    matches!(
        c,
        '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'
            ..='\u{202e}' | '\u{2066}'
            ..='\u{2069}' | '\u{feff}'
    )
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn skip_escape(chars: &mut Chars<'_>) {
    match chars.peek() {
        Some('[') => {
            chars.next();
            skip_csi(chars);
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            chars.next();
            skip_string(chars);
        }
        // ESC, intermediates 0x20-0x2f, one final byte 0x30-0x7e.
        _ => {
            while chars.next_if(|c| (' '..='/').contains(c)).is_some() {}
            chars.next_if(|c| ('0'..='~').contains(c));
        }
    }
}

/// Parameters and intermediates up to the final byte; stops before anything that is not part of it.
fn skip_csi(chars: &mut Chars<'_>) {
    for _ in 0..SEQUENCE_LIMIT {
        if chars.next_if(|c| (' '..='?').contains(c)).is_none() {
            chars.next_if(|c| ('@'..='~').contains(c));
            return;
        }
    }
}

/// The content of a control string up to BEL, ST, or a line feed (where a terminal would still be
/// waiting, a reader is better served by the rest of the text).
fn skip_string(chars: &mut Chars<'_>) {
    for _ in 0..SEQUENCE_LIMIT {
        match chars.peek() {
            None | Some('\n') => return,
            Some('\u{7}' | '\u{9c}') => {
                chars.next();
                return;
            }
            Some('\u{1b}') => {
                chars.next();
                chars.next_if_eq(&'\\');
                return;
            }
            Some(_) => {
                chars.next();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn t31_sequences_and_controls_go_and_text_stays() {
        for (dirty, clean) in [
            ("plain\ttext\n", "plain\ttext\n"),
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}]0;title\u{7}after", "after"),
            ("\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{9b}2Jgone\u{9d}t\u{9c}.", "gone."),
            ("\u{1b}Pq#0;2\u{1b}\\sixel", "sixel"),
            ("\u{1b}(Bascii\u{1b}=", "ascii"),
            ("a\r\nb\rc", "a\nb\nc"),
            (
                "bell\u{7} back\u{8}space nul\0 del\u{7f}",
                "bell backspace nul del",
            ),
            ("unfinished\u{1b}[12", "unfinished"),
            ("unfinished\u{1b}", "unfinished"),
            ("if \u{202e}x\u{2066} y", "if x y"),
            ("line\u{2028}sep", "line\nsep"),
            ("\u{1b}]never closed\nnext", "\nnext"),
            ("❯ naïve 日本", "❯ naïve 日本"),
        ] {
            assert_eq!(clean_text(dirty), clean, "{dirty:?}");
        }
    }

    #[test]
    fn a_snippet_is_one_short_line() {
        assert_eq!(snippet("a  b\n\u{1b}[1mc", 10), "a b c");
        assert_eq!(snippet("abcdef", 4), "abc…");
        assert_eq!(snippet("日本語日本語", 3).chars().count(), 3);
        assert_eq!(excerpt("a\nb", 10), "a\nb");
    }

    proptest! {
        #[test]
        fn t31_cleaning_leaves_nothing_dangerous_and_is_idempotent(
            parts in prop::collection::vec(
                prop_oneof![any::<String>(), Just("\u{1b}".to_owned()), Just("\u{9d}".to_owned()),
                    Just("[3".to_owned()), Just("\r".to_owned())], 0..12)
        ) {
            let clean = clean_text(&parts.concat());
            prop_assert!(clean.chars().all(|c| matches!(c, '\n' | '\t') || !(c.is_control() || is_reordering(c))));
            prop_assert_eq!(clean_text(&clean), clean.clone());
            prop_assert!(snippet(&clean, 20).chars().count() <= 20);
        }
    }

    #[test]
    fn t31_a_tail_is_the_end_in_whole_characters() {
        assert_eq!(tail("one\ntwo\n", 7), "one\ntwo");
        assert_eq!(tail("one\ntwo\n", 4), "…two");
        assert_eq!(tail("äöü", 2), "…ü");
        assert_eq!(tail(&"\u{1b}[31mred\u{1b}[0m ".repeat(50), 6), "…d red");
        assert_eq!(tail("", 5), "");
    }
}
