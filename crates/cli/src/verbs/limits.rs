//! `longhaul limits`.

use longhaul_api::{API_VERSION, ExitCode};

use crate::app::answer;
use crate::context::Context;
use crate::failure::Outcome;
use crate::output::palette;
use crate::output::text::clean;

/// What rests at a usage limit, and until when
///
/// A limit ends at the time that the provider told; one session proves it before the others start. `clear`
/// says that it is over already: bought off, reset, or misread. The waiting tasks are then tried at once,
/// and if the provider still refuses, they wait again.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longhaul limits
  longhaul limits clear claude")]
pub(crate) struct Args {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// A limit is over: try again now
    Clear {
        /// The harness or account, as `limits` names it
        #[arg(value_name = "SCOPE")]
        scope: String,
    },
}

/// Lists or clears them.
pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    let p = &context.printer;
    if let Some(What::Clear { scope }) = &args.what {
        let done = context.daemon()?.clear_limit(scope)?;
        answer(context, done, |done| p.line(&clean(&done.message)))?;
        return Ok(ExitCode::Done);
    }
    let resting = context.reads()?.status()?.resting;
    if context.json {
        p.json(&serde_json::json!({ "longhaul": API_VERSION, "kind": "limits", "data": { "resting": resting } }))?;
        return Ok(ExitCode::Done);
    }
    if resting.is_empty() {
        p.line("nothing rests at a limit")?;
    }
    for each in &resting {
        let mark = p.paint(palette::WARN, "\u{25d0}");
        p.line(&format!("{mark} {}", clean(&each.line)))?;
    }
    Ok(ExitCode::Done)
}
