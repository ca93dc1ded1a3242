//! What an agent's screen shows, for sessions that live in a terminal (A24). The last resort: hooks, transcripts and
//! the agent's own state files come first. Sans-IO: the text of a screen in, what it means out.
//!
//! Only the screen's *chrome* is believed: the input box, the footer below it, the line of progress above it, a
//! dialog in its place. What stands in the conversation was written by a model, a tool or a person, and may say
//! anything. Every rule is listed in [`RULES`] with the versions it was recorded with, and has screens in
//! `tests/samples/tui`.

mod claude;
mod codex;
mod feed;
mod limit_watch;
mod turn;

use serde::{Deserialize, Serialize};

pub use feed::ClaudeFeed;
pub use limit_watch::{LimitSeen, LimitWatch, Sighting};
pub use turn::{Enough, Facts, Move, Over, OwnState, Patience, Turn};

/// Whose screen it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScreenAgent {
    /// Claude Code.
    Claude,
    /// Codex CLI.
    Codex,
}

/// What a screen shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Showing {
    /// Nothing yet.
    Blank,
    /// An empty input box, and nothing in progress.
    Idle,
    /// Text stands in the input box and was not submitted.
    Typed {
        /// It is the placeholder of a paste (`[Pasted text #1 +3 lines]`).
        pasted: bool,
    },
    /// A turn is in progress.
    Working,
    /// The provider failed and the agent asks again by itself (A5: left alone).
    Retrying {
        /// Seconds until it does, where it says so.
        delay_s: Option<u64>,
        /// Which try, where it says so.
        attempt: Option<u32>,
    },
    /// It asks whether it may do something.
    Asking {
        /// The question.
        question: String,
    },
    /// It asks something before it begins.
    Dialog(Dialog),
    /// The menu that opens by itself at a usage limit; it takes whatever is typed.
    LimitMenu,
    /// At a usage limit; it goes on by itself at the reset (A5: never raced).
    WaitsForReset,
    /// Nobody is logged in.
    LoginNeeded,
    /// The agent has left; what is there is its last screen, or a shell's.
    Ended,
    /// No rule knows it; nothing is typed into it.
    Unknown,
}

/// A question that stands before the first prompt. Their defaults differ, so none is answered blindly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialog {
    /// Whether the folder is trusted.
    Trust {
        /// The marked answer is yes.
        yes_marked: bool,
    },
    /// Whether the key of the environment is to be used (marked: no).
    ApiKey,
    /// Whether bypassing permissions is accepted (marked: no, and exit).
    Bypass,
}

/// A rule and where it comes from.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name.
    pub id: &'static str,
    /// The versions whose screens were recorded for it.
    pub seen_in: &'static [&'static str],
}

/// What was seen, and by which rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// What is shown.
    pub showing: Showing,
    /// The rule that knew it.
    pub rule: &'static Rule,
}

const V197: &[&str] = &["claude 2.1.197"];
const V329: &[&str] = &["claude 2.1.329"];
const CODEX: &[&str] = &["codex 0.169.0"];

macro_rules! rules {
    ($($name:ident = $id:literal, $seen:expr;)*) => {
        $(const $name: &Rule = &Rule { id: $id, seen_in: $seen };)*
        /// All rules.
        pub const RULES: &[&Rule] = &[$($name),*];
    };
}

rules! {
    BLANK = "blank", &["claude 2.1.197", "codex 0.169.0"];
    UNKNOWN = "unknown", &["claude 2.1.197"];
    DEAD_PANE = "dead-pane", &["claude 2.1.197", "codex 0.169.0"];
    CLAUDE_LEFT = "claude/left", V197;
    CLAUDE_IDLE = "claude/idle", &["claude 2.1.197"];
    CLAUDE_TYPED = "claude/typed", V197;
    CLAUDE_PASTED = "claude/pasted", V197;
    CLAUDE_PROGRESS = "claude/progress", V197;
    CLAUDE_FOOTER = "claude/interrupt-footer", V197;
    CLAUDE_QUEUED = "claude/queued", V197;
    CLAUDE_RETRYING = "claude/retrying", V197;
    CLAUDE_ASKING = "claude/permission", V197;
    CLAUDE_TRUST = "claude/trust", V197;
    CLAUDE_API_KEY = "claude/api-key", V197;
    CLAUDE_BYPASS = "claude/bypass", V197;
    CLAUDE_LIMIT_MENU = "claude/limit-menu", V197;
    CLAUDE_WAITS = "claude/waits-for-reset", V329;
    CLAUDE_LOGIN = "claude/login", V197;
    CODEX_IDLE = "codex/idle", CODEX;
    CODEX_TYPED = "codex/typed", CODEX;
    CODEX_WORKING = "codex/working", CODEX;
    CODEX_ASKING = "codex/approval", CODEX;
    CODEX_TRUST = "codex/trust", CODEX;
}

/// Reads a screen: its lines as they stand, without colours.
#[must_use]
pub fn read(agent: ScreenAgent, screen: &str) -> Look {
    let screen = crate::text::clean_text(screen);
    let lines = Lines::of(&screen);
    let Some(last) = lines.0.last() else {
        return look(Showing::Blank, BLANK);
    };
    if last.starts_with("Pane is dead (") {
        return look(Showing::Ended, DEAD_PANE);
    }
    match agent {
        ScreenAgent::Claude => claude::read(&lines),
        ScreenAgent::Codex => codex::read(&lines),
    }
}

const fn look(showing: Showing, rule: &'static Rule) -> Look {
    Look { showing, rule }
}

/// The lines of a screen, without what is blank at their ends and below the last.
struct Lines<'s>(Vec<&'s str>);

impl<'s> Lines<'s> {
    fn of(screen: &'s str) -> Self {
        let mut lines: Vec<&str> = screen.lines().map(str::trim_end).collect();
        while lines.last().is_some_and(|l| l.is_empty()) {
            lines.pop();
        }
        Self(lines)
    }
}

/// A list of numbered answers at the end of a screen.
struct Choice<'s> {
    /// The last line above them that is not blank.
    question: &'s str,
    /// The answers, and whether each is marked.
    answers: Vec<(&'s str, bool)>,
    /// Where they begin.
    at: usize,
}

/// Reads the numbered answers that stand last on a screen, above one line of hints. `mark` is the sign of the one
/// that Enter would take.
fn choice<'s>(lines: &[&'s str], mark: char) -> Option<Choice<'s>> {
    let mut end = lines.len();
    let hint = lines.get(end.checked_sub(1)?)?.to_ascii_lowercase();
    if !hint.contains("esc") {
        return None;
    }
    end -= 1;
    while end > 0 && lines[end - 1].is_empty() {
        end -= 1;
    }
    let mut answers = Vec::new();
    let mut at = end;
    for (n, line) in lines[..end].iter().enumerate().rev() {
        if line.is_empty() {
            break;
        }
        match answer(line, mark) {
            Some(found) => {
                answers.push(found);
                at = n;
            }
            // The rest of an answer that was too long for its line stands below it, further in.
            None if line.starts_with("     ") => {}
            None => break,
        }
    }
    answers.reverse();
    let first = answers.first()?;
    if !first.0.starts_with("1. ") || !answers.iter().any(|(_, marked)| *marked) {
        return None;
    }
    let question = lines[..at].iter().rev().find(|l| !l.trim().is_empty());
    Some(Choice {
        question: question.map_or("", |l| l.trim()),
        answers,
        at,
    })
}

fn answer(line: &str, mark: char) -> Option<(&str, bool)> {
    let text = line.trim_start();
    let (text, marked) = match text.strip_prefix(mark) {
        Some(rest) => (rest.trim_start(), true),
        None => (text, false),
    };
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    (digits > 0 && text[digits..].starts_with(". ")).then_some((text, marked))
}
