//! `longhaul resume`.

use longhaul_api::OrderVerb;

use super::orders::{self, Targets};
use crate::context::Context;
use crate::failure::Outcome;

/// Let paused tasks go on
///
/// The other half of `longhaul pause`. For a task that was stopped or needs you, use
/// `longhaul retry`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longhaul resume parser")]
pub(crate) struct Args {
    #[command(flatten)]
    targets: Targets,
}

/// Gives the order.
pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    orders::give(context, &orders::plain(OrderVerb::Resume, &args.targets))
}
