//! `longhaul estop`.

use longhaul_api::ExitCode;

use crate::app::answer;
use crate::client::Whole;
use crate::context::Context;
use crate::failure::Outcome;
use crate::output::text::clean;

/// Stop every session now, keeping all work
///
/// The emergency stop: every session is ended with everything it started, its work is secured, and
/// nothing starts until `longhaul thaw`, not even after a reboot. It does not ask.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longhaul estop
  longhaul thaw                    go on")]
pub(crate) struct Args {}

/// Tells the daemon.
pub(crate) fn run(_: &Args, context: &Context) -> Outcome {
    let done = context.daemon()?.whole(Whole::Estop)?;
    answer(context, done, |done| {
        context.printer.line(&clean(&done.message))
    })?;
    Ok(ExitCode::Done)
}
