//! `longhaul drain`.

use longhaul_api::ExitCode;

use crate::app::answer;
use crate::client::Whole;
use crate::context::Context;
use crate::failure::Outcome;
use crate::output::text::clean;

/// Start nothing new; what runs goes on
///
/// Survives restarts of the daemon and of the machine, until `longhaul undrain`. With --stop,
/// running tasks are parked too, their work kept.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longhaul drain                   before an update: let work finish
  longhaul drain --stop            before a flight: park everything
  longhaul undrain                 go on")]
pub(crate) struct Args {
    /// Also park what runs, keeping its work
    #[arg(long)]
    stop: bool,
}

/// Tells the daemon.
pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    let done = context.daemon()?.whole(Whole::Drain { stop: args.stop })?;
    answer(context, done, |done| {
        context.printer.line(&clean(&done.message))
    })?;
    Ok(ExitCode::Done)
}
