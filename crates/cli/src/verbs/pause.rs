//! `longhaul pause`.

use longhaul_api::OrderVerb;

use super::orders::{self, Targets};
use crate::context::Context;
use crate::failure::Outcome;

/// Hold tasks at the end of their turn
///
/// A live session finishes what it is doing; then nothing new starts for the task until
/// `longhaul resume`. To end the session at once, use `longhaul stop`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longhaul pause parser
  longhaul resume parser")]
pub(crate) struct Args {
    #[command(flatten)]
    targets: Targets,
}

/// Gives the order.
pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    orders::give(context, &orders::plain(OrderVerb::Pause, &args.targets))
}
