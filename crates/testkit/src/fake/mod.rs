//! One program that speaks the wire formats of four agents and misbehaves on script.
//!
//! What it does stands in a script of the `script` harness (docs/script-harness.md), named by
//! `FAKE_AGENT_SCRIPT`; how it tells of it is the agent's own format, after facts/samples. So a test
//! says once what happens, and sees it through every harness. Beside the language's commands, lines
//! that start with `%` change the agent itself:
//!
//! - `%mode WORD` reports another permission mode than the one asked for (T23);
//! - `%deaf` never reads standard input;
//! - `%version WORD` reports another version;
//! - `%trust`, `%swallow N`, `%ask QUESTION`, `%slow MS` change its terminal interface (Claude's only, without `-p`): it
//!   asks whether the folder is trusted, ignores N Enters at its first start, asks before it works, is slow to show its prompt.
//!
//! `@attempt N` counts the starts of the program with this script, so that it also works where the
//! supervisor cannot be asked for the attempt. Every start and the prompt it got are recorded in the
//! file `FAKE_AGENT_RECORD` (default: in the folder of the agent's conversations, which a sandbox leaves
//! writable); [`starts`] reads it.

mod args;
mod claude;
mod codex;
mod gemini;
mod opencode;
mod record;
mod store;
mod translate;
mod tui;

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use longhaul_script::{Ending, Mode, PlayContext, Script, parse, play};

pub use record::{Start, starts};

use args::{Agent, Launch};
use record::Record;
use store::Store;
use translate::Translator;

/// Exit code of a fake agent that a test set up wrongly.
const MISUSED: u8 = 99;

/// Runs the fake agent: `args` is the whole command line, program first. The agent is the program's
/// name, or its first argument. Gives the exit code.
#[must_use]
pub fn main(args: Vec<OsString>) -> u8 {
    let mut words = args.into_iter();
    let program = words.next().unwrap_or_default();
    let mut words: Vec<OsString> = words.collect();
    if words.first().is_some_and(|word| word == "--detached") {
        return longhaul_script::main(words);
    }
    let name = Path::new(&program).file_name().unwrap_or_default();
    let agent = match Agent::from_name(&name.to_string_lossy()) {
        Some(agent) => agent,
        None if words.is_empty() => return misused("no agent named"),
        None => match Agent::from_name(&words.remove(0).to_string_lossy()) {
            Some(agent) => agent,
            None => return misused("the first argument names no agent"),
        },
    };
    let words: Vec<String> = words
        .into_iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    if words.iter().any(|word| word == "--version") {
        return print(&format!("{}\n", agent.version_line()));
    }
    let Some(path) = std::env::var_os("FAKE_AGENT_SCRIPT").map(PathBuf::from) else {
        return misused("FAKE_AGENT_SCRIPT names no file");
    };
    match start(agent, &words, &path) {
        Ok(code) => code,
        Err(error) => misused(&format!("{}: {error}", path.display())),
    }
}

fn start(agent: Agent, words: &[String], path: &Path) -> io::Result<u8> {
    let (script, traits) = read(path)?;
    let mut launch = Launch::parse(agent, words);
    if let Some(mode) = traits.mode {
        launch.mode = mode;
    }
    if let Some(version) = traits.version {
        launch.version = version;
    }
    let store = Store::new(agent);
    let record = Record::new(&store, path);
    let attempt = record.start(words)?;
    let in_terminal = agent == Agent::Claude && tui::wanted(words);
    let prompt = if traits.deaf || in_terminal {
        String::new()
    } else {
        prompt(&launch)?
    };
    if !in_terminal {
        record.prompt(&prompt)?;
    }
    let conversation = match (&launch.resume, &launch.session) {
        (Some(id), _) if store.knows(id) => id.clone(),
        (Some(id), _) => return unknown(agent, id),
        (None, Some(id)) if store.knows(id) => {
            writeln!(io::stderr(), "Error: Session ID {id} is already in use.")?;
            return Ok(1);
        }
        (None, Some(id)) => id.clone(),
        (None, None) => agent.new_id(),
    };
    let context = PlayContext {
        attempt,
        resumed: launch.resume.is_some(),
        conversation: conversation.clone(),
        // The agents' own modes are only reported: what a refused call looks like, `deny` plays.
        mode: Mode::Bypass,
        prompt,
        folder: PathBuf::from("."),
        relaunch: std::env::current_exe()
            .map(|program| vec![program.into_os_string()])
            .unwrap_or_default(),
    };
    let folder = std::env::current_dir()?;
    if in_terminal {
        let setting = tui::Setting {
            launch,
            store,
            record: &record,
            script: &script,
            conversation,
            attempt,
            folder,
        };
        return tui::live(&setting, &traits.manners);
    }
    let mut translator = Translator::new(io::stdout().lock(), launch, store, &context, folder)?;
    let ending = match play(&script, &context, &mut translator) {
        Ok(ending) => ending,
        Err(_) => return Ok(1),
    };
    match ending {
        Ending::Exit(0) => Ok(0),
        Ending::Exit(1) => Ok(translator.failure_code()),
        Ending::Exit(code) => Ok(code),
        Ending::Kill => {
            use rustix::process::{Signal, getpid, kill_process};
            kill_process(getpid(), Signal::KILL)?;
            loop {
                std::thread::park();
            }
        }
    }
}

/// What `%` lines change.
#[derive(Default)]
struct Traits {
    mode: Option<String>,
    version: Option<String>,
    deaf: bool,
    manners: tui::Manners,
}

fn read(path: &Path) -> io::Result<(Script, Traits)> {
    let text = std::fs::read_to_string(path)?;
    let mut traits = Traits::default();
    let mut rest = String::new();
    for line in text.lines() {
        if let Some(word) = line.strip_prefix('%') {
            match word.split_once(' ').unwrap_or((word, "")) {
                ("mode", value) => traits.mode = Some(value.to_owned()),
                ("version", value) => traits.version = Some(value.to_owned()),
                ("deaf", _) => traits.deaf = true,
                ("trust", _) => traits.manners.trust = true,
                ("ask", question) => traits.manners.ask = Some(question.to_owned()),
                ("swallow", n) => {
                    traits.manners.swallow = n.parse().map_err(io::Error::other)?;
                }
                ("slow", ms) => traits.manners.slow_ms = ms.parse().map_err(io::Error::other)?,
                _ => return Err(io::Error::other(format!("no such trait: {line}"))),
            }
        } else {
            rest.push_str(line);
        }
        rest.push('\n');
    }
    let script = parse(&rest).map_err(io::Error::other)?;
    Ok((script, traits))
}

fn prompt(launch: &Launch) -> io::Result<String> {
    if let Some(prompt) = &launch.prompt {
        return Ok(prompt.clone());
    }
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What each agent says of a conversation it does not know (facts/agents.md §4).
fn unknown(agent: Agent, id: &str) -> io::Result<u8> {
    let mut err = io::stderr();
    match agent {
        Agent::Claude => {
            writeln!(err, "No conversation found with session ID: {id}")?;
            let line = claude::unknown_conversation(id);
            writeln!(io::stdout(), "{line}")?;
            return Ok(1);
        }
        Agent::Codex => writeln!(
            err,
            "Error: thread/resume: thread/resume failed: no rollout found for thread id {id} (code -32600)"
        )?,
        Agent::Gemini => {
            writeln!(
                err,
                "Error resuming session: Invalid session identifier \"{id}\"."
            )?;
            return Ok(42);
        }
        Agent::OpenCode => writeln!(err, "Error: Session not found")?,
    }
    Ok(1)
}

fn print(text: &str) -> u8 {
    u8::from(io::stdout().write_all(text.as_bytes()).is_err())
}

fn misused(why: &str) -> u8 {
    // With no standard error left the code alone has to do.
    drop(writeln!(io::stderr(), "fake-agent: {why}"));
    MISUSED
}
