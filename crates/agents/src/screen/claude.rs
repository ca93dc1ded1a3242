//! The screens of Claude Code's terminal interface.

use super::{
    CLAUDE_API_KEY, CLAUDE_ASKING, CLAUDE_BYPASS, CLAUDE_FOOTER, CLAUDE_IDLE, CLAUDE_LEFT,
    CLAUDE_LIMIT_MENU, CLAUDE_LOGIN, CLAUDE_PASTED, CLAUDE_PROGRESS, CLAUDE_QUEUED,
    CLAUDE_RETRYING, CLAUDE_TRUST, CLAUDE_TYPED, CLAUDE_WAITS, Dialog, Lines, Look, Showing,
    UNKNOWN, choice, look,
};
use crate::text::excerpt;

/// The frames of its turning star; the finished line has one of them too, but no ellipsis.
const STAR: [char; 9] = ['·', '✢', '✳', '✶', '✻', '✽', '*', '∗', '✺'];

pub(super) fn read(lines: &Lines<'_>) -> Look {
    let lines = &lines.0[..];
    if left(lines) {
        return look(Showing::Ended, CLAUDE_LEFT);
    }
    match Frame::of(lines) {
        Some(frame) => of_box(&frame),
        None => of_dialog(without_remains(lines)),
    }
}

/// A screen without the rule that the input box left below a dialog (seen with sessions that have a name).
pub(super) fn without_remains<'a, 's>(lines: &'a [&'s str]) -> &'a [&'s str] {
    let end = lines.iter().rposition(|l| !l.is_empty() && !is_rule(l));
    &lines[..end.map_or(0, |n| n + 1)]
}

/// It said how to come back, and nothing stands below.
fn left(lines: &[&str]) -> bool {
    let [.., told, how] = lines else { return false };
    *told == "Resume this session with:" && how.starts_with("claude --resume ")
}

/// The input box with what is above and below it.
pub(super) struct Frame<'s> {
    pub(super) above: &'s [&'s str],
    content: &'s [&'s str],
    pub(super) footer: &'s [&'s str],
}

impl<'s> Frame<'s> {
    /// The box is the last two rules of the screen, with the prompt sign right below the first.
    pub(super) fn of(lines: &'s [&'s str]) -> Option<Self> {
        let bottom = lines.iter().rposition(|l| is_rule(l))?;
        let top = lines[..bottom].iter().rposition(|l| is_rule(l))?;
        let content = &lines[top + 1..bottom];
        content.first()?.strip_prefix('❯')?;
        Some(Self {
            above: &lines[..top],
            content,
            footer: &lines[bottom + 1..],
        })
    }

    /// What stands in the box.
    fn typed(&self) -> &'s str {
        let first = self
            .content
            .first()
            .map_or("", |l| l.trim_start_matches('❯'));
        let rest = self.content.get(1..).unwrap_or_default();
        if first.trim().is_empty() {
            rest.iter()
                .map(|l| l.trim())
                .find(|l| !l.is_empty())
                .unwrap_or("")
        } else {
            first.trim()
        }
    }

    /// The line of progress: the lowest that begins at the left edge (tips and queued messages stand further in).
    fn progress(&self) -> Option<&'s str> {
        let line = self
            .above
            .iter()
            .rev()
            .find(|l| !l.is_empty() && !l.starts_with(' '))?;
        let mut chars = line.chars();
        (chars.next().is_some_and(|c| STAR.contains(&c)) && chars.next() == Some(' '))
            .then_some(chars.as_str())
    }
}

pub(super) fn is_rule(line: &str) -> bool {
    line.chars().take_while(|c| *c == '─').count() >= 20
}

fn of_box(frame: &Frame<'_>) -> Look {
    let below = |words: &str| frame.footer.iter().any(|l| l.contains(words));
    if below("Continuing automatically at") {
        return look(Showing::WaitsForReset, CLAUDE_WAITS);
    }
    if let Some(progress) = frame.progress() {
        if let Some(retry) = progress.strip_prefix("API error · Retrying in ") {
            return look(retrying(retry), CLAUDE_RETRYING);
        }
        // `Waddling… (5s · ↓ 1 tokens)`; a finished turn says `Cogitated for 8s`.
        let verb = progress.split(" (").next().unwrap_or("");
        if verb.ends_with('…') {
            return look(Showing::Working, CLAUDE_PROGRESS);
        }
    }
    if below("esc to interrupt") {
        return look(Showing::Working, CLAUDE_FOOTER);
    }
    let typed = frame.typed();
    if typed == "Press up to edit queued messages" {
        return look(Showing::Working, CLAUDE_QUEUED);
    }
    if typed.starts_with("[Pasted text #") {
        return look(Showing::Typed { pasted: true }, CLAUDE_PASTED);
    }
    // An example of what could be asked, not text of anybody's.
    if !typed.is_empty() && !typed.starts_with("Try \"") {
        return look(Showing::Typed { pasted: false }, CLAUDE_TYPED);
    }
    if below("Not logged in") {
        return look(Showing::LoginNeeded, CLAUDE_LOGIN);
    }
    look(Showing::Idle, CLAUDE_IDLE)
}

/// `4s · attempt 1/10`
fn retrying(text: &str) -> Showing {
    let (delay, rest) = text.split_once(" · ").unwrap_or((text, ""));
    let attempt = rest
        .strip_prefix("attempt ")
        .and_then(|r| r.split('/').next());
    Showing::Retrying {
        delay_s: delay.trim_end_matches('s').parse().ok(),
        attempt: attempt.and_then(|n| n.parse().ok()),
    }
}

fn of_dialog(lines: &[&str]) -> Look {
    let Some(choice) = choice(lines, '❯') else {
        return look(Showing::Unknown, UNKNOWN);
    };
    let says = |n: usize, words: &str| {
        choice
            .answers
            .get(n)
            .is_some_and(|(a, _)| a.contains(words))
    };
    if says(0, "Yes, I trust this folder") {
        let yes_marked = choice.answers.first().is_some_and(|(_, marked)| *marked);
        return look(Showing::Dialog(Dialog::Trust { yes_marked }), CLAUDE_TRUST);
    }
    if says(0, "No, exit") && says(1, "Yes, I accept") {
        return look(Showing::Dialog(Dialog::Bypass), CLAUDE_BYPASS);
    }
    match choice.question {
        "Do you want to use this API key?" => look(Showing::Dialog(Dialog::ApiKey), CLAUDE_API_KEY),
        "What do you want to do?" if says(0, "Stop and wait for limit to reset") => {
            look(Showing::LimitMenu, CLAUDE_LIMIT_MENU)
        }
        "Select login method:" => look(Showing::LoginNeeded, CLAUDE_LOGIN),
        question => look(
            Showing::Asking {
                question: excerpt(question, 200),
            },
            CLAUDE_ASKING,
        ),
    }
}
