//! Plays a script: the effects of its commands, and the events that tell of them.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::command::{Command, LimitKind, Script, Tokens};
use crate::event::Event;
use crate::process::{shell, wait_for_ever};

/// Permission mode of a run (T23). `plan` refuses every write and command, and says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// May edit and run.
    #[default]
    Edits,
    /// May only read.
    Plan,
    /// May do everything.
    Bypass,
}

impl Mode {
    /// The word in arguments and events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Edits => "edits",
            Self::Plan => "plan",
            Self::Bypass => "bypass",
        }
    }
}

/// What a run knows beside its script.
#[derive(Clone, Debug)]
pub struct PlayContext {
    /// The attempt, from 1.
    pub attempt: u32,
    /// Whether a conversation goes on.
    pub resumed: bool,
    /// Id of the conversation.
    pub conversation: String,
    /// Permission mode.
    pub mode: Mode,
    /// The composed prompt.
    pub prompt: String,
    /// Folder that paths and commands are relative to.
    pub folder: PathBuf,
    /// Program and first arguments that lead to [`crate::main`], for `spawn`.
    pub relaunch: Vec<OsString>,
}

/// How a run ended, for the process that plays it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Exit with this code.
    Exit(u8),
    /// Die by SIGKILL.
    Kill,
}

/// Why playing cannot go on: only the output can fail; everything else is an event.
type Played = io::Result<Option<Ending>>;

/// Plays the commands that fit the context. Blocks as long as the script says, which may be for ever.
/// The caller makes the ending true; this function never ends its process.
///
/// # Errors
/// The output is closed.
pub fn play(script: &Script, context: &PlayContext, out: &mut impl Write) -> io::Result<Ending> {
    let mut player = Player {
        context,
        out,
        totals: Tokens::default(),
        calls: 0,
    };
    player.emit(&Event::Start {
        conversation: &context.conversation,
        mode: context.mode.as_str(),
    })?;
    for command in script.commands(context.attempt, context.resumed) {
        if let Some(ending) = player.step(command)? {
            return Ok(ending);
        }
    }
    player.finish("done")
}

struct Player<'a, W> {
    context: &'a PlayContext,
    out: &'a mut W,
    totals: Tokens,
    calls: u32,
}

impl<W: Write> Player<'_, W> {
    fn emit(&mut self, event: &Event<'_>) -> io::Result<()> {
        event.write_to(self.out)
    }

    fn finish(&mut self, summary: &str) -> io::Result<Ending> {
        self.emit(&Event::End {
            ok: true,
            summary: Some(summary),
            error: None,
        })?;
        Ok(Ending::Exit(0))
    }

    fn fail(&mut self, error: &str) -> io::Result<Ending> {
        self.emit(&Event::End {
            ok: false,
            summary: None,
            error: Some(error),
        })?;
        Ok(Ending::Exit(1))
    }

    fn step(&mut self, command: &Command) -> Played {
        match command {
            Command::Say(text) => self.emit(&Event::Say { text })?,
            Command::Write { path, content } => {
                self.tool("write", path, |file| write_file(&file, content))?;
            }
            Command::Append { path, content } => {
                self.tool("append", path, |file| append_file(&file, content))?;
            }
            Command::Delete { path } => {
                self.tool("delete", path, fs::remove_file)?;
            }
            Command::Run(line) => self.run(line)?,
            Command::Sleep(time) => std::thread::sleep(*time),
            Command::Usage(tokens) => self.usage(tokens)?,
            Command::Limit { kind, reset_in } => return self.limit(*kind, *reset_in).map(Some),
            Command::ExpectPrompt(text) => {
                if !self.context.prompt.contains(text.as_str()) {
                    return self.fail(&format!("the prompt lacks: {text}")).map(Some);
                }
            }
            Command::Ask(text) => {
                self.emit(&Event::Question { text })?;
                wait_for_ever();
            }
            Command::Deny { tool, detail } => self.emit(&Event::Denied { tool, detail })?,
            Command::Fail(error) => return self.fail(error).map(Some),
            Command::Exit(code) => return Ok(Some(Ending::Exit(*code))),
            Command::Crash => return Ok(Some(Ending::Kill)),
            Command::Hang => wait_for_ever(),
            Command::IgnoreTerm => {
                // The flag is never read: that a handler is set is what keeps SIGTERM from ending us.
                let flag = Arc::new(AtomicBool::new(false));
                signal_hook::flag::register(signal_hook::consts::SIGTERM, flag)?;
            }
            Command::Spawn(line) => self.spawn(line)?,
            Command::Flood(bytes) => self.flood(*bytes)?,
            Command::DieMidline => {
                self.out.write_all(br#"{"type":"say","te"#)?;
                self.out.flush()?;
                return Ok(Some(Ending::Kill));
            }
            Command::Done(summary) => return self.finish(summary).map(Some),
        }
        Ok(None)
    }

    /// One tool call on a file, refused in `plan`.
    fn tool(
        &mut self,
        name: &str,
        path: &str,
        act: impl FnOnce(PathBuf) -> io::Result<()>,
    ) -> io::Result<()> {
        let Some(id) = self.begin(name, path)? else {
            return Ok(());
        };
        let result = act(self.context.folder.join(path));
        let output = result.as_ref().err().map(ToString::to_string);
        self.emit(&Event::ToolEnd {
            id: &id,
            ok: result.is_ok(),
            output: output.as_deref().unwrap_or_default(),
        })
    }

    fn run(&mut self, line: &str) -> io::Result<()> {
        let Some(id) = self.begin("run", line)? else {
            return Ok(());
        };
        let (ok, output) = match shell(&self.context.folder, line) {
            Ok(done) => done,
            Err(error) => (false, error.to_string()),
        };
        self.emit(&Event::ToolEnd {
            id: &id,
            ok,
            output: &output,
        })
    }

    /// Announces a tool call, or its refusal.
    fn begin(&mut self, name: &str, summary: &str) -> io::Result<Option<String>> {
        if self.context.mode == Mode::Plan {
            self.emit(&Event::Denied {
                tool: name,
                detail: summary,
            })?;
            return Ok(None);
        }
        self.calls += 1;
        let id = format!("call-{}", self.calls);
        self.emit(&Event::Tool {
            id: &id,
            name,
            summary,
        })?;
        Ok(Some(id))
    }

    /// Starts a command in a session of its own, by way of this program's `--detached`.
    fn spawn(&mut self, line: &str) -> io::Result<()> {
        let Some((program, first)) = self.context.relaunch.split_first() else {
            return Ok(());
        };
        let started = std::process::Command::new(program)
            .args(first)
            .args(["--detached", line])
            .current_dir(&self.context.folder)
            .stdin(Stdio::null())
            .spawn();
        if let Err(error) = started {
            let text = format!("could not spawn: {error}");
            self.emit(&Event::Say { text: &text })?;
        }
        Ok(())
    }

    fn usage(&mut self, add: &Tokens) -> io::Result<()> {
        let sum = &mut self.totals;
        sum.input = sum.input.saturating_add(add.input);
        sum.output = sum.output.saturating_add(add.output);
        sum.cache_read = sum.cache_read.saturating_add(add.cache_read);
        sum.cache_write = sum.cache_write.saturating_add(add.cache_write);
        if let Some(cost) = add.cost_usd {
            sum.cost_usd = Some(sum.cost_usd.unwrap_or(0.0) + cost);
        }
        let sum = self.totals;
        self.emit(&Event::Usage {
            input: sum.input,
            output: sum.output,
            cache_read: sum.cache_read,
            cache_write: sum.cache_write,
            cost_usd: sum.cost_usd,
        })
    }

    fn limit(&mut self, kind: LimitKind, reset_in: Option<Duration>) -> io::Result<Ending> {
        let (window, message) = match kind {
            LimitKind::Quota => (Some("five_hour"), "you have hit your five-hour limit"),
            LimitKind::Throttle => (None, "too many requests"),
            LimitKind::Overload => (None, "the service is overloaded"),
            LimitKind::Billing => (None, "your credit balance is too low"),
            LimitKind::Auth => (None, "you are not logged in"),
        };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        self.emit(&Event::Limit {
            class: kind.as_str(),
            reset_at_ms: reset_in.and_then(|time| i64::try_from((now + time).as_millis()).ok()),
            window,
            message,
        })?;
        self.fail(message)
    }

    fn flood(&mut self, bytes: u64) -> io::Result<()> {
        let text = "all work and no play makes a dull stream ".repeat(24);
        let mut line = serde_json::to_vec(&Event::Say { text: &text })?;
        line.push(b'\n');
        for _ in 0..bytes.div_ceil(line.len() as u64) {
            self.out.write_all(&line)?;
        }
        self.out.flush()
    }
}

fn write_file(path: &PathBuf, content: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, content)
}

fn append_file(path: &PathBuf, content: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)?;
    file.write_all(content.as_bytes())
}
