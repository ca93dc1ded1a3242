//! `longhaul __judge`: the helper process of a `model` check. Hidden; Longhaul calls it itself.

use std::ffi::OsString;

use crate::context::Context;
use crate::failure::Outcome;
use crate::wire;

/// Judge a diff by a model (a helper of Longhaul's own)
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// As composed by the daemon
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<OsString>,
}

/// Hands over.
pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    wire::judge_main(context, &args.rest)
}
