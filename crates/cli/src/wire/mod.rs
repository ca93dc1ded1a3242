//! The composition root: the only place that names concrete parts together. A placeholder until it
//! is filled in.

use std::ffi::OsString;
use std::process::ExitCode;

use longhaul_config::settings::Settings;

use crate::context::Context;
use crate::env::Env;
use crate::failure::{Failure, Outcome};
use crate::paths::Paths;

/// Runs the daemon in the foreground until it is told to end. Folders exist, the session is its own.
pub(crate) fn daemon_main(_paths: &Paths, _settings: &Settings, _env: &Env) -> ExitCode {
    longhaul_api::ExitCode::Unavailable.into()
}

/// The helper of `model` checks (`__judge`).
pub(crate) fn judge_main(_context: &Context, _args: &[OsString]) -> Outcome {
    Err(Failure::new("this program was built without its judge"))
}
