//! The only way to the terminal: knows what each stream can show and survives a reader that goes.

use std::io::{self, IsTerminal as _, Write as _};

use anstyle::Style;
use longhaul_api::ExitCode;
use serde::Serialize;

use super::palette;
use crate::env::Env;
use crate::failure::Failure;

/// What the user said about colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ColorWish {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Both output streams with what they can show.
#[derive(Clone, Debug)]
pub(crate) struct Printer {
    color_out: bool,
    color_err: bool,
    tty_out: bool,
    tty_err: bool,
    tty_in: bool,
    columns: Option<u16>,
}

impl Printer {
    /// For this process's streams.
    pub(crate) fn new(env: &Env, wish: ColorWish) -> Self {
        let tty_out = io::stdout().is_terminal();
        let tty_err = io::stderr().is_terminal();
        Self {
            color_out: wants_color(wish, env, tty_out),
            color_err: wants_color(wish, env, tty_err),
            tty_out,
            tty_err,
            tty_in: io::stdin().is_terminal(),
            columns: env
                .lossy("COLUMNS")
                .and_then(|c| c.parse().ok())
                .filter(|c| *c >= 20),
        }
    }

    /// Whether standard output may carry colour.
    pub(crate) const fn color(&self) -> bool {
        self.color_out
    }

    /// Whether standard error may carry colour.
    pub(crate) const fn color_err(&self) -> bool {
        self.color_err
    }

    /// Whether standard output is a terminal that can be redrawn.
    pub(crate) const fn is_live(&self) -> bool {
        self.tty_out
    }

    /// Whether a person can be asked: somebody reads what we say and can answer.
    pub(crate) const fn can_ask(&self) -> bool {
        self.tty_in && self.tty_err
    }

    /// Columns of the terminal now; 100 where there is none.
    pub(crate) fn width(&self) -> usize {
        self.columns
            .or_else(|| {
                let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
                (size.ws_col > 0).then_some(size.ws_col)
            })
            .map_or(100, usize::from)
    }

    /// Rows of the terminal now; 24 where there is none.
    pub(crate) fn height(&self) -> usize {
        rustix::termios::tcgetwinsize(io::stdout())
            .ok()
            .map(|size| usize::from(size.ws_row))
            .filter(|rows| *rows > 0)
            .unwrap_or(24)
    }

    /// `text` in `style` for standard output.
    pub(crate) fn paint(&self, style: Style, text: &str) -> String {
        palette::paint(self.color_out, style, text)
    }

    /// Writes text as it is to standard output.
    ///
    /// # Errors
    /// A reader that went away ends the verb silently; a full disk is told.
    pub(crate) fn out(&self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())
    }

    /// Writes a line to standard output.
    ///
    /// # Errors
    /// As [`Printer::out`].
    pub(crate) fn line(&self, text: &str) -> Result<(), Failure> {
        self.out(&format!("{text}\n"))
    }

    /// Writes bytes to standard output (`logs --raw`).
    ///
    /// # Errors
    /// As [`Printer::out`].
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        longhaul_acts::files::write_all("cli.say", &mut out, bytes)
            .and_then(|()| out.flush())
            .map_err(gone)
    }

    /// Writes a value as JSON, indented on a terminal, on one line elsewhere.
    ///
    /// # Errors
    /// As [`Printer::out`].
    pub(crate) fn json(&self, value: &impl Serialize) -> Result<(), Failure> {
        let text = if self.tty_out {
            serde_json::to_string_pretty(value)
        } else {
            serde_json::to_string(value)
        };
        let text = text.map_err(|e| Failure::new("cannot write the answer as JSON").because(e))?;
        self.line(&text)
    }

    /// Says something beside the output proper, on standard error. Nobody there is no error.
    pub(crate) fn say(&self, text: &str) {
        let mut err = io::stderr().lock();
        // A closed standard error leaves nobody to tell.
        drop(writeln!(err, "{text}"));
    }

    /// The same without an end of line, for what is answered or overwritten on it.
    pub(crate) fn prompt(&self, text: &str) {
        let mut err = io::stderr().lock();
        drop(write!(err, "{text}").and_then(|()| err.flush()));
    }

    /// Says something that deserves attention.
    pub(crate) fn warn(&self, text: &str) {
        let word = palette::paint(self.color_err, palette::WARN.bold(), "warning:");
        self.say(&format!("{word} {text}"));
    }

    /// Asks a question on the terminal; only `y` and `yes` are a yes.
    ///
    /// # Errors
    /// Where nobody can be asked: names the flag that answers.
    pub(crate) fn confirm(&self, question: &str, flag: &str) -> Result<bool, Failure> {
        if !self.can_ask() {
            return Err(
                Failure::usage(format!("{question} Nobody is here to answer."))
                    .help(format!("say {flag} to go ahead without being asked")),
            );
        }
        let mut err = io::stderr().lock();
        drop(write!(err, "{question} [y/N] ").and_then(|()| err.flush()));
        drop(err);
        let mut answer = String::new();
        io::stdin()
            .read_line(&mut answer)
            .map_err(|e| Failure::new("cannot read the answer").because(e))?;
        Ok(matches!(
            answer.trim().to_ascii_lowercase().as_str(),
            "y" | "yes"
        ))
    }
}

/// NO_COLOR beats CLICOLOR_FORCE beats what the stream is (no-color.org, bixense.com/clicolors).
fn wants_color(wish: ColorWish, env: &Env, tty: bool) -> bool {
    match wish {
        ColorWish::Always => true,
        ColorWish::Never => false,
        ColorWish::Auto => {
            if env.has("NO_COLOR") {
                false
            } else if env.lossy("CLICOLOR_FORCE").is_some_and(|v| v != "0") {
                true
            } else {
                tty && env.lossy("TERM") != Some("dumb") && env.lossy("CLICOLOR") != Some("0")
            }
        }
    }
}

fn gone(error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        Failure::silent(ExitCode::Done)
    } else {
        Failure::new("cannot write to standard output").because(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_follows_the_two_conventions() {
        let table = [
            (&[][..], true, true),
            (&[], false, false),
            (&[("NO_COLOR", "1")], true, false),
            (&[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")], true, false),
            (&[("CLICOLOR_FORCE", "1")], false, true),
            (&[("CLICOLOR_FORCE", "0")], false, false),
            (&[("TERM", "dumb")], true, false),
        ];
        for (vars, tty, want) in table {
            assert_eq!(
                wants_color(ColorWish::Auto, &Env::fake(vars), tty),
                want,
                "{vars:?} {tty}"
            );
        }
        assert!(wants_color(
            ColorWish::Always,
            &Env::fake(&[("NO_COLOR", "1")]),
            false
        ));
    }
}
