//! `longhaul approve`.

use longhaul_api::OrderVerb;

use super::orders::{self, Targets};
use crate::context::Context;
use crate::failure::Outcome;

/// Accept what a task has, without or against its checks
///
/// For a task that needs you: its work is taken as it is, and the task is done, marked `approved`.
/// Its branch stays where it is.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longhaul show parser             look at the verdicts first
  longhaul workspace diff parser   look at the work itself
  longhaul approve parser          accept it")]
pub(crate) struct Args {
    #[command(flatten)]
    targets: Targets,
}

/// Gives the order.
pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    orders::give(context, &orders::plain(OrderVerb::Approve, &args.targets))
}
