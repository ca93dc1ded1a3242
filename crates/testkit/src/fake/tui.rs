//! Claude Code's terminal interface, version 2.1.197, as far as whoever types into it can tell: the input box, pastes and
//! their placeholder, the line of progress, the dialogs, the menu at a limit (facts/agents.md §7). What a turn does
//! is the script's; what it says goes to the transcript.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write};
use std::path::PathBuf;

use longhaul_script::{Ending, Mode, PlayContext, Script, play};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use serde_json::{Value, json};

use super::args::Launch;
use super::record::Record;
use super::store::Store;
use super::translate::Translator;

/// How it misbehaves.
#[derive(Clone, Debug, Default)]
pub(super) struct Manners {
    /// It asks whether the folder is trusted.
    pub(super) trust: bool,
    /// At its first start so many Enters after a paste do nothing.
    pub(super) swallow: u32,
    /// It asks this before it works.
    pub(super) ask: Option<String>,
    /// Milliseconds before its first prompt.
    pub(super) slow_ms: u64,
}

/// Everything a turn needs.
pub(super) struct Setting<'a> {
    pub(super) launch: Launch,
    pub(super) store: Store,
    pub(super) record: &'a Record,
    pub(super) script: &'a Script,
    pub(super) conversation: String,
    pub(super) attempt: u32,
    pub(super) folder: PathBuf,
}

/// Whether this start is one of the terminal interface.
pub(super) fn wanted(words: &[String]) -> bool {
    !words.iter().any(|w| w == "-p" || w == "--print") && rustix::termios::isatty(io::stdin())
}

const PASTE_BEGINS: &[u8] = b"\x1b[200~";
const PASTE_ENDS: &[u8] = b"\x1b[201~";

struct Terminal {
    pending: VecDeque<u8>,
    typed: String,
    above: Vec<String>,
}

/// Lives until `/exit`, or until the script ends the process.
pub(super) fn live(setting: &Setting<'_>, manners: &Manners) -> io::Result<u8> {
    let mut mode = tcgetattr(io::stdin())?;
    mode.make_raw();
    tcsetattr(io::stdin(), OptionalActions::Now, &mode)?;
    std::thread::sleep(std::time::Duration::from_millis(manners.slow_ms));
    let mut t = Terminal {
        pending: VecDeque::new(),
        typed: String::new(),
        above: vec![" ▐▛███▜▌   Claude Code v2.1.197".to_owned(), String::new()],
    };
    write!(io::stdout(), "\x1b[?2004h")?;
    if manners.trust {
        t.dialog(
            " Accessing workspace:",
            "",
            &["Yes, I trust this folder", "No, exit"],
            "Enter to confirm · Esc to cancel",
        )?;
        t.until_enter()?;
    }
    let mut swallow = if setting.attempt == 1 {
        manners.swallow
    } else {
        0
    };
    t.idle()?;
    loop {
        match t.byte()? {
            b'\x15' => t.typed.clear(),
            b'\r' if !t.typed.is_empty() && t.typed != "/exit" && swallow > 0 => swallow -= 1,
            b'\r' if t.typed == "/exit" => break,
            b'\r' if t.typed.is_empty() => {}
            b'\r' => {
                if let Some(code) = turn(&mut t, setting, manners)? {
                    return Ok(code);
                }
            }
            b'\x03' => break,
            b'\x1b' => t.escape()?,
            byte => t.typed.push_str(&String::from_utf8_lossy(&[byte])),
        }
        t.idle()?;
    }
    write!(
        io::stdout(),
        "\r\nResume this session with:\r\nclaude --resume \"{}\"\r\n",
        setting.conversation
    )?;
    Ok(0)
}

/// Plays the script once; `Some` where the process is to end.
fn turn(t: &mut Terminal, setting: &Setting<'_>, manners: &Manners) -> io::Result<Option<u8>> {
    let prompt = std::mem::take(&mut t.typed);
    setting.record.prompt(&prompt)?;
    t.above.push(format!("❯ {}", prompt.replace('\n', "\n  ")));
    t.above.push(String::new());
    if let Some(question) = &manners.ask {
        t.dialog(
            " Bash command",
            question,
            &["Yes", "No"],
            "Esc to cancel · Tab to amend",
        )?;
        t.until_enter()?;
    }
    t.draw(Some("✻ Waddling… (1s · ↓ 1 tokens)"), "  esc to interrupt")?;
    let context = PlayContext {
        attempt: setting.attempt,
        resumed: setting.launch.resume.is_some(),
        conversation: setting.conversation.clone(),
        mode: Mode::Bypass,
        prompt,
        folder: PathBuf::from("."),
        relaunch: Vec::new(),
    };
    let mut scribe = Scribe {
        setting,
        partial: Vec::new(),
        last: None,
    };
    let mut translator = Translator::new(
        &mut scribe,
        setting.launch.clone(),
        setting.store.clone(),
        &context,
        setting.folder.clone(),
    )?;
    let ending = play(setting.script, &context, &mut translator).unwrap_or(Ending::Exit(1));
    drop(translator);
    match ending {
        Ending::Exit(0 | 1) => {}
        Ending::Exit(code) => return Ok(Some(code)),
        Ending::Kill => {
            use rustix::process::{Signal, getpid, kill_process};
            kill_process(getpid(), Signal::KILL)?;
        }
    }
    let (limited, words) = scribe.last.unwrap_or_default();
    t.above.push(if limited {
        format!("  ⎿  {words}")
    } else {
        format!("● {words}")
    });
    t.above.extend([
        String::new(),
        "✻ Cogitated for 1s".to_owned(),
        String::new(),
    ]);
    if limited && words.contains("You've hit your") {
        t.above
            .extend(["❯ /rate-limit-options".to_owned(), String::new()]);
        t.dialog(
            "  What do you want to do?",
            "",
            &["Stop and wait for limit to reset", "Upgrade your plan"],
            "Enter to confirm · Esc to cancel",
        )?;
        t.until_enter()?;
    }
    Ok(None)
}

impl Terminal {
    fn byte(&mut self) -> io::Result<u8> {
        if let Some(byte) = self.pending.pop_front() {
            return Ok(byte);
        }
        let mut chunk = [0; 4096];
        let n = io::stdin().lock().read(&mut chunk)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.pending.extend(&chunk[1..n]);
        Ok(chunk[0])
    }

    /// A paste, or a key that means nothing here.
    fn escape(&mut self) -> io::Result<()> {
        let mut sequence = vec![b'\x1b'];
        while sequence.len() < PASTE_BEGINS.len() {
            sequence.push(self.byte()?);
        }
        if sequence != PASTE_BEGINS {
            return Ok(());
        }
        let mut text = Vec::new();
        while !text.ends_with(PASTE_ENDS) {
            text.push(self.byte()?);
        }
        text.truncate(text.len() - PASTE_ENDS.len());
        // A terminal sends carriage returns.
        self.typed
            .push_str(&String::from_utf8_lossy(&text).replace('\r', "\n"));
        Ok(())
    }

    fn until_enter(&mut self) -> io::Result<()> {
        while self.byte()? != b'\r' {}
        Ok(())
    }

    fn idle(&self) -> io::Result<()> {
        self.draw(None, "  ? for shortcuts · ← for agents")
    }

    fn draw(&self, progress: Option<&str>, footer: &str) -> io::Result<()> {
        let rule = "─".repeat(120);
        let lines = self.typed.lines().count();
        let content = match lines {
            0 | 1 => self.typed.clone(),
            _ => format!("[Pasted text #1 +{} lines]", lines - 1),
        };
        let above = self.above.join("\n");
        let progress = progress.map(|p| format!("{p}\n\n")).unwrap_or_default();
        self.show(&format!(
            "{above}\n{progress}{rule}\n❯\u{a0}{content}\n{rule}\n{footer}"
        ))
    }

    fn dialog(&self, title: &str, question: &str, answers: &[&str], hint: &str) -> io::Result<()> {
        let rule = "─".repeat(120);
        let mut list = String::new();
        for (n, answer) in answers.iter().enumerate() {
            let mark = if n == 0 { '❯' } else { ' ' };
            list.push_str(&format!(" {mark} {}. {answer}\n", n + 1));
        }
        let above = self.above.join("\n");
        self.show(&format!(
            "{above}\n{rule}\n{title}\n\n {question}\n{list}\n {hint}"
        ))
    }

    fn show(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        write!(out, "\x1b[H\x1b[2J{}", text.replace('\n', "\r\n"))?;
        out.flush()
    }
}

/// Writes what a headless agent would print into the transcript.
struct Scribe<'a> {
    setting: &'a Setting<'a>,
    partial: Vec<u8>,
    /// Whether the turn failed, and its last words.
    last: Option<(bool, String)>,
}

impl Scribe<'_> {
    fn line(&mut self, line: &Value) -> io::Result<()> {
        let mut entry = match line["type"].as_str() {
            Some("assistant" | "user") => line.clone(),
            Some("result") => {
                let failed = line["is_error"] == Value::Bool(true);
                let words = line["result"].as_str().unwrap_or_default().to_owned();
                self.last = Some((failed, words.clone()));
                let message = json!({"id": super::args::fresh_uuid(), "role": "assistant",
                    "model": if failed { "<synthetic>" } else { "claude-opus-4-8" },
                    "content": [{"type": "text", "text": words}], "usage": line["usage"],
                    "stop_reason": if failed { "stop_sequence" } else { "end_turn" }});
                json!({"type": "assistant", "message": message, "isApiErrorMessage": failed,
                    "apiErrorStatus": line["api_error_status"]})
            }
            _ => return Ok(()),
        };
        entry["sessionId"] = json!(self.setting.conversation);
        entry["isSidechain"] = Value::Bool(false);
        self.setting
            .store
            .append(&self.setting.conversation, &self.setting.folder, &entry)
    }
}

impl Write for Scribe<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.partial.extend_from_slice(bytes);
        while let Some(end) = self.partial.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            self.line(&serde_json::from_slice(&line)?)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
