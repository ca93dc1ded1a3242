//! `longhaul __gateway`: becomes the gateway. Hidden; Longhaul calls it itself.

use crate::context::Context;
use crate::failure::Outcome;
use crate::{client, wire};

/// Become the gateway (a process of Longhaul's own)
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Hands over.
pub(crate) fn run(_: &Args, context: &Context) -> Outcome {
    client::refuse_session(context.paths())?;
    context.paths().create()?;
    wire::gateway_main(context.paths(), &context.env)
}
