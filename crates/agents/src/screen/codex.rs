//! The screens of Codex's terminal interface.

use super::{
    CODEX_ASKING, CODEX_IDLE, CODEX_TRUST, CODEX_TYPED, CODEX_WORKING, Dialog, Lines, Look,
    Showing, UNKNOWN, choice, look,
};
use crate::text::excerpt;

/// What its empty box says.
const INVITATION: &str = "Ask Codex to do anything";

pub(super) fn read(lines: &Lines<'_>) -> Look {
    let lines = &lines.0[..];
    if let Some(choice) = choice(lines, '›') {
        let first = choice.answers.first();
        if let Some((_, marked)) = first.filter(|(a, _)| a.contains("Trust and continue")) {
            let trust = Dialog::Trust {
                yes_marked: *marked,
            };
            return look(Showing::Dialog(trust), CODEX_TRUST);
        }
        // Between the question and the answers stand its reason and the command.
        let asked = lines[..choice.at]
            .iter()
            .rev()
            .map(|l| l.trim())
            .find(|l| l.starts_with("Would you like to "));
        return look(
            Showing::Asking {
                question: excerpt(asked.unwrap_or(choice.question), 200),
            },
            CODEX_ASKING,
        );
    }
    // The box is the last line that begins at the left edge; below it everything stands further in.
    let Some(at) = lines
        .iter()
        .rposition(|l| !l.is_empty() && !l.starts_with(' '))
    else {
        return look(Showing::Unknown, UNKNOWN);
    };
    let Some(typed) = lines[at].strip_prefix('›') else {
        return look(Showing::Unknown, UNKNOWN);
    };
    let above = lines[..at].iter().rev().find(|l| !l.is_empty());
    if above.is_some_and(|l| is_progress(l)) {
        return look(Showing::Working, CODEX_WORKING);
    }
    match typed.trim() {
        "" | INVITATION => look(Showing::Idle, CODEX_IDLE),
        _ => look(Showing::Typed { pasted: false }, CODEX_TYPED),
    }
}

/// `◦ Working (1s • esc to interrupt)`
fn is_progress(line: &str) -> bool {
    line.starts_with(['◦', '•']) && line.ends_with("esc to interrupt)")
}
