//! Arguments of `longhaul __script`. A hidden entry: Longhaul composes the command line itself.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::parse::{ScriptError, parse};
use crate::play::{Ending, Mode, PlayContext, play};
use crate::process::{detached, die};

/// Exit code of arguments or a script that cannot be used; nothing was played.
const UNUSABLE: u8 = 2;

/// Why nothing can be played. A retry cannot help but for `Io`.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// An argument has no meaning here, or lacks its value.
    #[error("cannot use the argument `{0}`")]
    Argument(String),
    /// `--script FILE` is missing.
    #[error("--script FILE is missing")]
    NoScript,
    /// The script or the prompt cannot be read.
    #[error("cannot read {what}")]
    Io {
        /// The script's path, or "the prompt".
        what: String,
        /// The cause.
        source: io::Error,
    },
    /// The script has a mistake.
    #[error("{path} has a mistake")]
    Script {
        /// The script's path.
        path: String,
        /// The cause.
        source: ScriptError,
    },
}

/// Plays the script that the arguments (without the program's name and `__script`) name, with the
/// prompt from standard input; gives the exit code: 0 the turn ended ok, 1 not ok, 2 nothing could be
/// played, or what `exit N` says. `crash` and `die-midline` do not return.
///
/// `--script FILE [--attempt N] [--resume ID] [--conversation ID] [--mode edits|plan|bypass]`
#[must_use = "the exit code of the process"]
pub fn main(args: impl IntoIterator<Item = OsString>) -> u8 {
    match start(args.into_iter()) {
        Ok(code) => code,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            // With no standard error left there is nobody to tell; the code says enough.
            drop(writeln!(
                io::stderr(),
                "script: {error}{}",
                cause.unwrap_or_default()
            ));
            UNUSABLE
        }
    }
}

fn start(mut args: impl Iterator<Item = OsString>) -> Result<u8, UsageError> {
    let mut script = None;
    let mut context = PlayContext {
        attempt: 1,
        resumed: false,
        conversation: String::new(),
        mode: Mode::default(),
        prompt: String::new(),
        folder: PathBuf::from("."),
        relaunch: relaunch(),
    };
    while let Some(flag) = args.next() {
        let name = flag.to_string_lossy().into_owned();
        let value = args
            .next()
            .ok_or_else(|| UsageError::Argument(name.clone()))?;
        let text = value.to_string_lossy().into_owned();
        let bad = || UsageError::Argument(format!("{name} {text}"));
        match name.as_str() {
            "--detached" => return Ok(detached(&value)),
            "--script" => script = Some(PathBuf::from(value)),
            "--attempt" => context.attempt = text.parse().map_err(|_| bad())?,
            "--resume" => {
                context.resumed = true;
                context.conversation = text;
            }
            "--conversation" if context.resumed => {}
            "--conversation" => context.conversation = text,
            "--mode" => {
                context.mode = match text.as_str() {
                    "edits" => Mode::Edits,
                    "plan" => Mode::Plan,
                    "bypass" => Mode::Bypass,
                    _ => return Err(bad()),
                };
            }
            _ => return Err(UsageError::Argument(name)),
        }
    }
    let path = script.ok_or(UsageError::NoScript)?;
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(&path).map_err(|source| UsageError::Io {
        what: shown.clone(),
        source,
    })?;
    let script = parse(&text).map_err(|source| UsageError::Script {
        path: shown,
        source,
    })?;
    let mut prompt = Vec::new();
    io::stdin()
        .lock()
        .read_to_end(&mut prompt)
        .map_err(|source| UsageError::Io {
            what: "the prompt".to_owned(),
            source,
        })?;
    context.prompt = String::from_utf8_lossy(&prompt).into_owned();
    if context.conversation.is_empty() {
        context.conversation = derived_id();
    }
    let played = play(&script, &context, &mut io::stdout().lock());
    Ok(match played {
        Ok(Ending::Exit(code)) => code,
        Ok(Ending::Kill) => die(),
        Err(_) => 1,
    })
}

/// An id of time and process, for runs that were given none.
fn derived_id() -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    format!("script-{:x}-{}", now.as_millis(), std::process::id())
}

/// This program, and the hidden verb if it was started by it.
fn relaunch() -> Vec<OsString> {
    let Ok(program) = std::env::current_exe() else {
        return Vec::new();
    };
    let mut words = vec![program.into_os_string()];
    words.extend(std::env::args_os().nth(1).filter(|verb| verb == "__script"));
    words
}
