//! What is said beside the command, and what a person is asked (A16). On standard error; never into a screen that the
//! command draws, and never a key.

use std::ffi::OsStr;
use std::io::{self, IsTerminal as _};
use std::time::Duration;

use longhaul_core::supervise::{Choice, Standing, Verdict, answer};
use longhaul_core::time::{SpanMs, UnixMs};

use super::front::Happening;
use super::watch::{PoolReport, Report};
use super::{End, Run};
use crate::failure::Failure;
use crate::output::clock;
use crate::output::text::clean;
use crate::wire::visitor::now;

/// Between two steps of a countdown on a terminal.
const STEP: Duration = Duration::from_millis(200);
/// Between two lines of a wait where there is none.
const LINE_EVERY: SpanMs = SpanMs::from_secs(600);

impl Run<'_> {
    /// A line beside the command.
    pub(super) fn say(&self, text: &str) {
        if !self.stage.is_screen_taken() {
            self.context.printer.say(&format!("longhaul: {text}"));
        }
    }

    /// `account 2/3 (work)`.
    pub(super) fn name_of(&self, pool: usize, account: usize) -> String {
        let of = &self.pools[pool];
        let id = of.accounts.get(account).map_or("", String::as_str);
        // A fingerprint behind a name is the gateway's affair.
        let name = clean(id.split('@').next().unwrap_or_default());
        let provider = if self.pools.len() > 1 {
            format!("{} ", of.provider.as_str())
        } else {
            String::new()
        };
        let all = of.accounts.len();
        format!("{provider}account {}/{all} ({name})", account + 1)
    }

    /// The line of a check.
    pub(super) fn say_check(&mut self, report: &Report) {
        for (pool, of) in report.pools.iter().enumerate() {
            let current = self.current[pool];
            let usage = of.usage.get(current).map_or("", String::as_str);
            let mut line = format!("{}: {usage}", self.name_of(pool, current));
            if self.wish.through {
                line.push_str(&format!("; {} tokens so far", of.tokens));
            }
            self.say(&line);
        }
        if let Some(trouble) = &report.trouble {
            self.trouble(&clean(trouble));
        }
    }

    /// With which accounts it begins.
    pub(super) fn say_begin(&self) {
        for pool in 0..self.pools.len() {
            let name = self.name_of(pool, self.current[pool]);
            let how = if self.wish.through {
                "through the gateway, from "
            } else {
                ""
            };
            self.say(&format!("{how}{name}"));
        }
    }

    pub(super) fn say_account(&self, pool: usize) {
        let name = self.name_of(pool, self.current[pool]);
        self.say(&format!("goes on with {name}"));
    }

    /// What was met.
    pub(super) fn say_limit(&self, pool: usize, of: &PoolReport, verdict: Verdict) {
        let current = self.current[pool];
        let met = match of.standings.get(current) {
            Some(Standing::Over { .. }) => {
                format!("is beyond {} percent", self.wish.threshold.percent)
            }
            Some(Standing::Out) => {
                "cannot be used: its key was refused, or it has no credit".into()
            }
            _ => "is at its limit".to_owned(),
        };
        let name = self.name_of(pool, current);
        let all = match verdict {
            Verdict::Wait { .. } if self.pools[pool].accounts.len() > 1 => ", and no other is left",
            _ => "",
        };
        self.say(&format!("{name} {met}{all}"));
    }

    /// Asks until it is answered; the command is paused. The inner error: it ended meanwhile.
    pub(super) fn ask(
        &mut self,
        pool: usize,
        choices: &[Choice],
        verdict: Verdict,
        own: Option<(UnixMs, usize)>,
    ) -> Result<Result<Choice, End>, Failure> {
        let now = now();
        let wait = match verdict {
            Verdict::Wait { until, on } => Some((until, on)),
            _ => own,
        };
        for (n, choice) in choices.iter().enumerate() {
            let text = match (choice, verdict, wait) {
                (Choice::Rotate, Verdict::Rotate { to }, _) => {
                    format!("go on with {}", self.name_of(pool, to))
                }
                (Choice::Wait, _, Some((until, on))) => format!(
                    "wait until {} ({}) for {}",
                    clock::moment(until, now),
                    clock::relative(until, now),
                    self.name_of(pool, on)
                ),
                (Choice::Wait, _, None) => {
                    "wait (nobody says until when: the same as 4)".to_owned()
                }
                (Choice::Exit, ..) => "end the command, and say how to go on later".to_owned(),
                (Choice::KeepGoing | Choice::Rotate, ..) => "keep going as it is".to_owned(),
            };
            self.context.printer.say(&format!("  {}  {text}", n + 1));
        }
        loop {
            self.context.printer.prompt("longhaul: which? [1] ");
            loop {
                match self.stage.look_for(STEP, true) {
                    Happening::Ended => return Ok(Err(self.ended()?)),
                    Happening::Input => break,
                    // Passed on; the command, which goes on for it, says what comes next.
                    Happening::Told(_) | Happening::Nothing => {}
                }
            }
            let line = self.stage.line();
            match answer(choices, line.as_deref()) {
                Some(choice) => return Ok(Ok(choice)),
                None => self
                    .context
                    .printer
                    .say(&format!("a number from 1 to {}", choices.len())),
            }
        }
    }

    /// Waits for a reset, with a countdown. `Some`: it ended before that.
    pub(super) fn wait(
        &mut self,
        pool: usize,
        until: UnixMs,
        on: usize,
    ) -> Result<Option<End>, Failure> {
        let name = self.name_of(pool, on);
        let begun = now();
        let live = io::stderr().is_terminal() && !self.stage.is_screen_taken();
        self.say(&format!(
            "waits until {} ({}) for {name}",
            clock::moment(until, begun),
            clock::relative(until, begun)
        ));
        let mut said = begun;
        let mut shown = None;
        loop {
            // By the wall clock: the machine may sleep meanwhile.
            let now = now();
            let left = until.since(now);
            if left.0 == 0 {
                break;
            }
            if live {
                let seconds = left.0.div_ceil(1000);
                if shown != Some(seconds) {
                    shown = Some(seconds);
                    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
                    let text = format!("\r{h:02}:{m:02}:{s:02} until {name} is back ");
                    self.context.printer.prompt(&text);
                }
            } else if now.since(said) >= LINE_EVERY {
                said = now;
                self.say(&format!(
                    "{} until {name} is back",
                    clock::relative(until, now)
                ));
            }
            match self
                .stage
                .look_for(STEP.min(Duration::from_millis(left.0)), false)
            {
                Happening::Ended => {
                    if live {
                        self.context.printer.say("");
                    }
                    return self.ended().map(Some);
                }
                Happening::Told(signal) if self.stage.identity().is_none() => {
                    return Ok(Some(End::Signal(signal.as_raw())));
                }
                Happening::Nothing | Happening::Input | Happening::Told(_) => {}
            }
        }
        if live {
            self.context.printer.prompt("\r\x1b[K");
        }
        Ok(None)
    }

    pub(super) fn say_how_to_go_on(&self) {
        let words: Vec<String> = self
            .asked
            .later(self.context)
            .iter()
            .map(|word| quoted(word))
            .collect();
        self.context
            .printer
            .say("longhaul: ended here; which account is next is remembered. Go on with");
        self.context.printer.say(&format!(
            "  longhaul supervise --interactive -- {}",
            words.join(" ")
        ));
    }
}

/// As a shell takes it for one word.
pub(crate) fn quoted(word: &OsStr) -> String {
    let text = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
