//! `longhaul send`.

use std::io::Read as _;

use longhaul_api::ExitCode;

use crate::app::answer;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::text::clean;

/// Most bytes of a text.
const TEXT_MAX: u64 = 1 << 16;

/// Say something to a task's agent
///
/// The agent reads it when its turn ends and goes on in the same conversation, before anything is
/// checked; no retry is used up. A task that waits gives it to its agent with the next prompt. To interrupt
/// the agent instead: `longhaul retry TASK --note TEXT`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longhaul send parser 'leave the lexer alone'
  longhaul send parser - < notes.md")]
pub(crate) struct Args {
    /// The task
    #[arg(value_name = "TASK")]
    task: String,
    /// What to say; `-` reads it from standard input
    #[arg(value_name = "TEXT")]
    text: String,
}

/// Sends the text.
pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    let text = if args.text == "-" {
        let mut text = String::new();
        std::io::stdin()
            .take(TEXT_MAX)
            .read_to_string(&mut text)
            .map_err(|e| Failure::usage("cannot read the text from standard input").because(e))?;
        text
    } else {
        args.text.clone()
    };
    if text.trim().is_empty() {
        return Err(Failure::usage("there is no text to send"));
    }
    let task = context.reads()?.named(&args.task)?;
    let done = context.daemon()?.send(&task, &text)?;
    answer(context, done, |done| {
        context.printer.line(&clean(&done.message))
    })?;
    Ok(ExitCode::Done)
}
