//! `longhaul stop`.

use longhaul_api::OrderVerb;

use super::orders::{self, Targets};
use crate::context::Context;
use crate::failure::Outcome;

/// Stop tasks and keep their work
///
/// The session of a running task is ended together with everything it started. Its work is secured,
/// and the task is parked until `longhaul retry`. Stopping costs no retry.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longhaul stop parser             stop one task
  longhaul stop parser lexer       stop two
  longhaul retry parser            let it go on later")]
pub(crate) struct Args {
    #[command(flatten)]
    targets: Targets,
}

/// Gives the order.
pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    orders::give(context, &orders::plain(OrderVerb::Stop, &args.targets))
}
