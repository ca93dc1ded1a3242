//! `longhaul undrain`.

use longhaul_api::ExitCode;

use crate::app::answer;
use crate::client::Whole;
use crate::context::Context;
use crate::failure::Outcome;
use crate::output::text::clean;

/// Start tasks again after a drain
///
/// The other half of `longhaul drain`: tasks that `drain --stop` parked go on too.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longhaul undrain")]
pub(crate) struct Args {}

/// Tells the daemon.
pub(crate) fn run(_: &Args, context: &Context) -> Outcome {
    let done = context.daemon()?.whole(Whole::Undrain)?;
    answer(context, done, |done| {
        context.printer.line(&clean(&done.message))
    })?;
    Ok(ExitCode::Done)
}
