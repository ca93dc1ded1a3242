//! `longhaul retry`.

use longhaul_api::{OrderRequest, OrderVerb};

use super::orders::{self, Targets};
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Try tasks again, with a note for the agent
///
/// For tasks that need you or were stopped: the next attempt starts in the same workspace with what
/// was tried, the failed check's output, and your note. A live task is stopped first. The counts of
/// retries start anew.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longhaul retry parser
  longhaul retry parser --note 'the fixture is right, the code is wrong'
  longhaul retry parser --add-budget 2.50")]
pub(crate) struct Args {
    #[command(flatten)]
    targets: Targets,
    /// Tell the next attempt this
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Raise the task's budget by so many dollars
    #[arg(long, value_name = "USD")]
    add_budget: Option<f64>,
    /// Raise the task's budget by so many tokens
    #[arg(long, value_name = "N")]
    add_tokens: Option<u64>,
}

/// Gives the order.
pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    let request = OrderRequest {
        note: args.note.clone(),
        add_budget_usd: args.add_budget,
        add_tokens: args.add_tokens,
        ..orders::plain(OrderVerb::Retry, &args.targets)
    };
    request.order().map_err(|why| {
        Failure::usage(
            why.replace("add_budget_usd", "--add-budget")
                .replace('`', ""),
        )
    })?;
    orders::give(context, &request)
}
