//! `longhaul supervise`.

use std::ffi::OsString;
use std::time::Duration;

use longhaul_config::duration;
use longhaul_core::supervise::Threshold;

use crate::accounts::{self, named, roster};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::settings;
use crate::supervise::{self, Wish};

/// Run one command, and go on with another account when its own is at the limit
///
/// The command runs in front as if you had started it: it has the terminal itself, and its exit code is this one's.
/// Claude Code, Codex and Gemini CLI go through the gateway, which changes the key between two requests: nothing
/// restarts. Any other command gets a key in its environment (ANTHROPIC_API_KEY, OPENAI_API_KEY, GEMINI_API_KEY);
/// its account is checked by a small call now and then, and at the limit it is ended and begun again with the next
/// key. Where no account is left it is paused until the reset.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longhaul supervise -- claude
  longhaul supervise --interactive -- codex
  longhaul supervise --account work spare -- ./agent.sh
  longhaul supervise --threshold 80 --interval 30s -- python train.py
  longhaul supervise --gateway always -- ./uses-an-sdk.py

Ends as the command does. 127: there is no such command; 126: it cannot be run.")]
pub(crate) struct Args {
    /// Ask at a limit: go on with the next account, wait, leave, or keep going
    #[arg(short, long)]
    interactive: bool,
    /// Leave an account beyond this percentage of any window; without it, of those of an hour or more from
    /// `accounts.threshold` on
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100))]
    threshold: Option<u8>,
    /// How often use is told, and checked where no traffic tells of it
    #[arg(long, value_name = "TIME", default_value = "60s")]
    interval: String,
    /// Only these accounts, in this order
    #[arg(long, value_name = "NAME", num_args = 1..)]
    account: Vec<String>,
    /// Through the gateway: where the command is an agent that can be, always, or never
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    gateway: When,
    /// Go on with the same conversation after a restart, where the command is Claude Code
    #[arg(
        long,
        value_name = "on|off",
        default_value = "on",
        hide_possible_values = true
    )]
    resume: Switch,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum When {
    Auto,
    Always,
    Never,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Switch {
    On,
    Off,
}

/// Runs it.
pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    let interval = interval(&args.interval)?;
    context.person_only()?;
    let mut settings = settings::load(context, None)?.settings.accounts;
    let mut all = roster(&settings, &context.env, &context.paths().home);
    if !args.account.is_empty() {
        for name in &args.account {
            let account = named(&all, name)?;
            if let Err(why) = &account.key {
                return Err(Failure::usage(format!(
                    "the account `{name}` has no key: {why}"
                )));
            }
        }
        let place = |name: &str| args.account.iter().position(|a| a == name);
        all.retain(|a| place(&a.name).is_some());
        all.sort_by_key(|a| place(&a.name));
        // What is named is meant, whatever else is said of it.
        settings.only = None;
    }
    let mut request = accounts::request(&settings, &all, 0);
    if request.accounts.is_empty() {
        return Err(Failure::new("there is no account to supervise with").help(
            "set ANTHROPIC_API_KEY, OPENAI_API_KEY or GEMINI_API_KEY (further ones with _2, _3…, as a list in …_KEYS, in a file named by …_KEYS_FILE), or write one down with `longhaul account add`",
        ));
    }
    if let Some(percent) = args.threshold {
        request.policy.threshold_pct = percent;
    }
    let threshold = Threshold {
        percent: args.threshold.unwrap_or(settings.threshold_pct),
        any_window: args.threshold.is_some(),
    };
    let wish = Wish {
        words: args.command.clone(),
        interactive: args.interactive,
        threshold,
        interval,
        gateway: match args.gateway {
            When::Auto => None,
            When::Always => Some(true),
            When::Never => Some(false),
        },
        resume: matches!(args.resume, Switch::On),
        accounts: request,
        settings,
    };
    supervise::run(wish, context)
}

fn interval(text: &str) -> Result<Duration, Failure> {
    let wrong = |why: String| {
        Failure::usage(format!("--interval `{text}` {why}"))
            .help("a time from one second to a day, such as 30s, 5m or 1h30m")
    };
    let span = duration::parse(text).map_err(|e| wrong(e.to_string()))?;
    if !(1_000..=86_400_000).contains(&span.0) {
        return Err(wrong("is not between a second and a day".to_owned()));
    }
    Ok(Duration::from_millis(span.0))
}
