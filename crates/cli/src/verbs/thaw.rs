//! `longhaul thaw`.

use longhaul_api::ExitCode;

use crate::app::answer;
use crate::client::Whole;
use crate::context::Context;
use crate::failure::Outcome;
use crate::output::text::clean;

/// Go on after an emergency stop
///
/// The other half of `longhaul estop`: the stopped tasks go back to the queue.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longhaul thaw")]
pub(crate) struct Args {}

/// Tells the daemon.
pub(crate) fn run(_: &Args, context: &Context) -> Outcome {
    let done = context.daemon()?.whole(Whole::Thaw)?;
    answer(context, done, |done| {
        context.printer.line(&clean(&done.message))
    })?;
    Ok(ExitCode::Done)
}
