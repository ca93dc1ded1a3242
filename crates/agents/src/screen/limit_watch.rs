//! A limit seen on a screen (A6): what is *new* since the last look, said by the client itself, and sure enough.
//!
//! A hit with a reset acts at once. One without is suspected, and acts only if the next look still has it; a clean
//! look clears it. A server error in the same new text vetoes. Text that was there before neither triggers nor
//! vetoes. The sentences themselves are `limits`' (facts/limits.md §1a).

use std::collections::HashMap;

use longhaul_core::limit::LimitNotice;
use longhaul_core::time::UnixMs;

use super::ScreenAgent;
use super::claude::{Frame, is_rule, without_remains};
use crate::limits::{self, Client, Zone};
use crate::text::clean_text;

/// Words of a service that failed, not of an account that is spent.
const VETO: [&str; 4] = [
    "api_error",
    "overloaded_error",
    "internal server error",
    "api error: 5",
];

/// A limit that may be acted upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitSeen {
    /// The sentence's rule (`C4`, `X1`…).
    pub rule: &'static str,
    /// Class, reset, window and at most 120 characters of what was seen.
    pub notice: LimitNotice,
}

/// What a look found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sighting {
    /// No limit.
    Clear,
    /// One without a reset, for the first time.
    Suspected,
    /// One to act upon.
    Limit(LimitSeen),
}

/// Looks at one session's screens, one after the other.
#[derive(Clone, Debug)]
pub struct LimitWatch {
    agent: ScreenAgent,
    /// The prompt, without white space: what it says is nobody's limit.
    prompt: String,
    before: HashMap<String, u32>,
    suspected: Option<String>,
    /// Until when it rests, after a switch (A6 `cooldown`).
    rests_until: UnixMs,
}

impl LimitWatch {
    /// From this screen on: what it shows is old. What stands in `prompt` is not the client's.
    #[must_use]
    pub fn new(agent: ScreenAgent, screen: &str, prompt: &str) -> Self {
        Self {
            agent,
            prompt: squeezed(prompt),
            before: counted(&lines(agent, &clean_text(screen))),
            suspected: None,
            rests_until: UnixMs(i64::MIN),
        }
    }

    /// Looks away until then; what comes up meanwhile is old afterwards.
    pub const fn rest_until(&mut self, until: UnixMs) {
        self.rests_until = until;
    }

    /// Takes the next screen. `zone` is for resets that name none.
    pub fn look(&mut self, screen: &str, now: UnixMs, zone: &Zone) -> Sighting {
        let screen = clean_text(screen);
        let lines = lines(self.agent, &screen);
        let mut left = std::mem::replace(&mut self.before, counted(&lines));
        let suspected = self.suspected.take();
        if now < self.rests_until {
            return Sighting::Clear;
        }
        let new: Vec<&String> = lines
            .iter()
            .filter(|line| match left.get_mut(*line) {
                Some(n) if *n > 0 => {
                    *n -= 1;
                    false
                }
                _ => true,
            })
            .collect();
        let text = new.iter().map(|l| l.to_ascii_lowercase());
        if text
            .into_iter()
            .any(|l| VETO.iter().any(|words| l.contains(words)))
        {
            return Sighting::Clear;
        }
        let said = said_by_client(self.agent, &screen);
        let fresh = |words: &String| {
            new.iter()
                .any(|line| words.starts_with(line.trim_start_matches(SIGNS)))
        };
        for words in said.iter().rev() {
            if self.prompt.contains(&squeezed(words)) {
                continue;
            }
            let again = suspected.as_ref() == Some(words);
            if !again && !fresh(words) {
                continue;
            }
            let Some(seen) = limits::read(client(self.agent), words) else {
                continue;
            };
            let Some(notice) = seen.notice(now, zone) else {
                continue;
            };
            if notice.reset_at.is_none() && !again {
                self.suspected = Some(words.clone());
                return Sighting::Suspected;
            }
            return Sighting::Limit(LimitSeen {
                rule: seen.rule,
                notice,
            });
        }
        Sighting::Clear
    }
}

const SIGNS: [char; 4] = [' ', '⎿', '■', '\u{a0}'];

const fn client(agent: ScreenAgent) -> Client {
    match agent {
        ScreenAgent::Claude => Client::Claude,
        ScreenAgent::Codex => Client::Codex,
    }
}

/// The lines of the conversation; the input box, its footer and dialogs are no part of it.
fn lines(agent: ScreenAgent, screen: &str) -> Vec<String> {
    let all: Vec<&str> = screen.lines().map(str::trim_end).collect();
    let kept = match agent {
        ScreenAgent::Claude => conversation(&all),
        ScreenAgent::Codex => &all[..],
    };
    let kept = kept.iter().filter(|l| !l.trim().is_empty());
    kept.map(|l| (*l).to_owned()).collect()
}

fn conversation<'a, 's>(all: &'a [&'s str]) -> &'a [&'s str] {
    match Frame::of(all) {
        Some(frame) => &all[..frame.above.len()],
        None => {
            let all = without_remains(all);
            let end = all.iter().rposition(|l| is_rule(l)).unwrap_or(all.len());
            &all[..end]
        }
    }
}

fn squeezed(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

fn counted(lines: &[String]) -> HashMap<String, u32> {
    let mut counts = HashMap::new();
    for line in lines {
        *counts.entry(line.clone()).or_default() += 1;
    }
    counts
}

/// What the client itself said since the last prompt, each with its continuation lines joined.
fn said_by_client(agent: ScreenAgent, screen: &str) -> Vec<String> {
    let all: Vec<&str> = screen.lines().map(str::trim_end).collect();
    match agent {
        ScreenAgent::Claude => of_claude(conversation(&all)),
        ScreenAgent::Codex => of_codex(&all),
    }
}

/// Claude says it as an answer of its own: `⎿` below the prompt or below a blank line. Right below a `●` the same sign
/// begins what a tool printed, and what follows a `●` is the model's.
fn of_claude(all: &[&str]) -> Vec<String> {
    let prompt =
        |l: &&str| l.starts_with('❯') && !l.trim_start_matches('❯').trim_start().starts_with('/');
    let from = all.iter().rposition(prompt).unwrap_or(0);
    let lines = &all[from..];
    let mut said = Vec::new();
    let mut block = '❯';
    for (n, line) in lines.iter().enumerate() {
        if let Some(first) = line.chars().next().filter(|c| !c.is_whitespace()) {
            block = first;
        } else if n > 0 && lines[n - 1].is_empty() && line.starts_with("  ⎿") {
            block = '⎿';
        } else if is_running_tool(line) {
            block = '●';
        }
        let own = matches!(block, '❯' | '⎿');
        if let Some(words) = line.strip_prefix("  ⎿").filter(|_| own) {
            said.push(joined(words, &lines[n + 1..], "     "));
        }
    }
    said
}

/// `  Bash(…)`: a tool whose sign blinks, and is not there now.
fn is_running_tool(line: &str) -> bool {
    let call = line.strip_prefix("  ").and_then(|l| l.split_once('('));
    call.is_some_and(|(name, _)| {
        name.starts_with(char::is_uppercase)
            && name.chars().all(|c| c.is_alphanumeric() || c == '_')
    })
}

/// Codex marks what it says itself with a square.
fn of_codex(all: &[&str]) -> Vec<String> {
    let from = all
        .iter()
        .enumerate()
        .filter(|(_, l)| l.starts_with('›'))
        .map(|(n, _)| n)
        .rev()
        .nth(1)
        .unwrap_or(0);
    let lines = &all[from..];
    let mut said = Vec::new();
    for (n, line) in lines.iter().enumerate() {
        if let Some(words) = line.strip_prefix('■') {
            said.push(joined(words, &lines[n + 1..], ""));
        }
    }
    said
}

/// A sentence with the lines below that continue it.
fn joined(first: &str, below: &[&str], indent: &str) -> String {
    let mut words = first.trim().to_owned();
    let more = below.iter().take_while(|l| {
        !l.is_empty() && l.starts_with(indent) && !l.starts_with(['■', '›', '•', '◦'])
    });
    for line in more.take(8) {
        words.push(' ');
        words.push_str(line.trim());
    }
    words
}
