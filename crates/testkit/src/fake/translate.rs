//! Turns the events of a played script into an agent's own lines, as they are written: a `Write` that
//! takes the script harness's stream and emits Claude's, Codex's, Gemini's or OpenCode's.

use std::io::{self, Write};
use std::path::PathBuf;

use longhaul_script::PlayContext;
use serde::Deserialize;
use serde_json::Value;

use super::args::{Agent, Launch};
use super::store::Store;
use super::{claude, codex, gemini, opencode};

/// A line of the script harness, read back.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Told {
    Start {},
    Say {
        text: String,
    },
    Tool {
        id: String,
        name: String,
        summary: String,
    },
    ToolEnd {
        id: String,
        ok: bool,
        output: String,
    },
    Usage(Totals),
    Limit(Limit),
    Denied {
        tool: String,
        detail: String,
    },
    Question {
        text: String,
    },
    End {
        ok: bool,
        summary: Option<String>,
        error: Option<String>,
    },
}

/// Totals of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
pub(super) struct Totals {
    pub(super) input: u64,
    pub(super) output: u64,
    pub(super) cache_read: u64,
    pub(super) cache_write: u64,
    pub(super) cost_usd: Option<f64>,
}

/// A played limit.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Limit {
    pub(super) class: String,
    pub(super) reset_at_ms: Option<i64>,
}

impl Limit {
    /// The HTTP status behind it.
    pub(super) fn status(&self) -> u16 {
        match self.class.as_str() {
            "overload" => 529,
            "auth" => 401,
            "billing" => 400,
            _ => 429,
        }
    }
}

/// What every format needs to know of the run so far.
pub(super) struct Run {
    pub(super) launch: Launch,
    pub(super) store: Store,
    pub(super) conversation: String,
    pub(super) prompt: String,
    pub(super) folder: PathBuf,
    pub(super) totals: Totals,
    /// Kept until the turn's end, which reports it.
    pub(super) limit: Option<Limit>,
    /// Tool calls so far; the open one, if any.
    pub(super) calls: u32,
    pub(super) open: Option<(String, String)>,
    /// Refused calls, in Claude's shape.
    pub(super) denials: Vec<Value>,
    /// Numbers messages and items.
    pub(super) serial: u32,
    /// The last words.
    pub(super) said: String,
}

impl Run {
    /// A number no earlier line of this process has.
    pub(super) fn next(&mut self) -> u32 {
        self.serial += 1;
        self.serial
    }
}

/// The writer.
pub(super) struct Translator<W: Write> {
    out: W,
    run: Run,
    partial: Vec<u8>,
}

impl<W: Write> Translator<W> {
    pub(super) fn new(
        out: W,
        launch: Launch,
        store: Store,
        context: &PlayContext,
        folder: PathBuf,
    ) -> io::Result<Self> {
        Ok(Self {
            out,
            run: Run {
                launch,
                store,
                conversation: context.conversation.clone(),
                prompt: context.prompt.clone(),
                folder,
                totals: Totals::default(),
                limit: None,
                calls: 0,
                open: None,
                denials: Vec::new(),
                serial: 0,
                said: String::new(),
            },
            partial: Vec::new(),
        })
    }

    /// The exit code of a turn that ended not ok.
    pub(super) fn failure_code(&self) -> u8 {
        match (self.run.launch.agent, &self.run.limit) {
            // Gemini leaves with the HTTP status, of which one byte is left.
            (Agent::Gemini, Some(limit)) => u8::try_from(limit.status() % 256).unwrap_or(1),
            _ => 1,
        }
    }

    fn line(&mut self, line: &[u8]) -> io::Result<()> {
        let told: Told = serde_json::from_slice(line)?;
        let run = &mut self.run;
        match &told {
            Told::Usage(totals) => run.totals = *totals,
            Told::Limit(limit) => run.limit = Some(limit.clone()),
            Told::Say { text } => run.said.clone_from(text),
            Told::Tool { name, summary, .. } => {
                run.calls += 1;
                run.open = Some((name.clone(), summary.clone()));
            }
            Told::Start {}
            | Told::ToolEnd { .. }
            | Told::Denied { .. }
            | Told::Question { .. }
            | Told::End { .. } => {}
        }
        let lines = match run.launch.agent {
            Agent::Claude => claude::lines(run, &told)?,
            Agent::Codex => codex::lines(run, &told)?,
            Agent::Gemini => gemini::lines(run, &told)?,
            Agent::OpenCode => opencode::lines(run, &told)?,
        };
        for line in lines {
            writeln!(self.out, "{line}")?;
        }
        self.out.flush()
    }
}

impl<W: Write> Write for Translator<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.partial.extend_from_slice(bytes);
        while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            self.line(&line)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // Only `die-midline` flushes half a line: half a line is what comes out.
        if !self.partial.is_empty() {
            self.out.write_all(br#"{"type":"assis"#)?;
        }
        self.out.flush()
    }
}

/// `2:12am`, in UTC, as Claude writes it; `2:12 AM` with `space` as Codex does.
pub(super) fn clock(epoch_ms: i64, space: bool) -> String {
    let minutes = epoch_ms.div_euclid(60_000).rem_euclid(1440);
    let (hour, minute) = (minutes / 60, minutes % 60);
    let half = match (hour < 12, space) {
        (true, false) => "am",
        (false, false) => "pm",
        (true, true) => " AM",
        (false, true) => " PM",
    };
    let hour = if hour % 12 == 0 { 12 } else { hour % 12 };
    if minute == 0 && !space {
        format!("{hour}{half}")
    } else {
        format!("{hour}:{minute:02}{half}")
    }
}

/// RFC 3339 with milliseconds, now, in UTC.
pub(super) fn timestamp() -> String {
    let now = now_ms();
    let (days, ms) = (now.div_euclid(86_400_000), now.rem_euclid(86_400_000));
    // Days to a civil date, after Howard Hinnant's `civil_from_days`.
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 {
        month_index + 3
    } else {
        month_index - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (s, ms) = (ms / 1000, ms % 1000);
    let (h, m, s) = (s / 3600, s / 60 % 60, s % 60);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{ms:03}Z")
}

/// UTC milliseconds.
pub(super) fn now_ms() -> i64 {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_read_like_the_agents() {
        let at = |h: i64, m: i64| (h * 60 + m) * 60_000;
        assert_eq!(clock(at(2, 12), false), "2:12am");
        assert_eq!(clock(at(15, 0), false), "3pm");
        assert_eq!(clock(at(0, 5), true), "12:05 AM");
        assert_eq!(clock(at(21, 13), true), "9:13 PM");
        assert_eq!(timestamp().len(), "2026-11-21T00:15:28.418Z".len());
    }
}
