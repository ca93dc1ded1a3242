//! `longhaul completions`.

use clap_complete::Shell;
use longhaul_api::ExitCode;

use crate::app;
use crate::context::Context;
use crate::failure::Outcome;

/// Print the completion script of a shell
///
/// Put it where your shell looks for completions; the examples name the usual places.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longhaul completions bash > ~/.local/share/bash-completion/completions/longhaul
  longhaul completions zsh  > ~/.zfunc/_longhaul
  longhaul completions fish > ~/.config/fish/completions/longhaul.fish")]
pub(crate) struct Args {
    /// Which shell
    shell: Shell,
}

/// Prints the script.
pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut app::command(), "longhaul", &mut script);
    context.printer.bytes(&script)?;
    Ok(ExitCode::Done)
}
