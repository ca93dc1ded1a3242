//! `longhaul cancel`.

use longhaul_api::{ExitCode, OrderVerb};

use super::orders::{self, Targets};
use crate::context::Context;
use crate::failure::Outcome;

/// Give tasks up for good
///
/// A live session is ended first, with everything it started. The task becomes `cancelled`, which is
/// final. Its branch, its workspace and its history stay; tasks that depend on it need you. To stop a
/// task and go on later, use `longhaul stop`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longhaul cancel parser           asks first
  longhaul cancel --yes parser     does not")]
pub(crate) struct Args {
    #[command(flatten)]
    targets: Targets,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// Asks, then gives the order.
pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    if !args.yes {
        let names = args.targets.tasks.join(", ");
        let question = format!("Cancel {names}? This is final; the work so far stays.");
        if !context.printer.confirm(&question, "--yes")? {
            context.printer.say("nothing was changed");
            return Ok(ExitCode::Cancelled);
        }
    }
    orders::give(context, &orders::plain(OrderVerb::Cancel, &args.targets))
}
