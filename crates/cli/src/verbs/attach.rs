//! `longhaul attach`.

use longhaul_api::{ExitCode, LogStream, TaskState};

use super::logs;
use crate::client::{LogRequest, Piece};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::follow::transcript::Transcript;
use crate::output::text::clean;

/// Look over an agent's shoulder
///
/// What a live session writes, made readable, from its beginning and as it comes. The built-in agents run
/// without a terminal of their own: `longhaul send` talks to them. Ctrl-C leaves, work goes on.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longhaul attach parser
  longhaul attach latest")]
pub(crate) struct Args {
    /// The task
    #[arg(value_name = "TASK")]
    task: String,
}

/// Follows the session.
pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    if context.json {
        return Err(Failure::usage("`attach` is for people")
            .help("`longhaul logs TASK -f --json` is the same for programs"));
    }
    let detail = context.reads()?.task(&args.task)?;
    let name = clean(&detail.task.name);
    if detail.task.state != TaskState::Running {
        return Err(Failure::of(
            ExitCode::Conflict,
            format!(
                "no session of `{name}` lives now: it is {}",
                detail.task.state.word()
            ),
        )
        .help(format!(
            "`longhaul logs {name}` shows what it wrote, `longhaul show {name}` what it waits for"
        )));
    }
    context.printer.line(&format!(
        "{name}: {}, live. `longhaul send {name} TEXT` talks to it; Ctrl-C leaves, work goes on.\n",
        clean(&detail.spec.harness)
    ))?;
    let reference = detail.task.id.to_string();
    let request = LogRequest {
        task: &reference,
        attempt: None,
        stream: LogStream::Out,
        offset: 0,
        follow: true,
    };
    let harness = Some(detail.spec.harness.as_str());
    let mut transcript = Transcript::new(harness, context.printer.color());
    let mut show = |piece: Piece| context.printer.out(&transcript.feed(&piece.bytes));
    logs::follow_log(&context.daemon()?, request, &mut show)?;
    context.printer.out(&transcript.finish())?;
    let after = context.reads()?.task(&reference)?;
    context.printer.line(&format!(
        "\nthe session is over; {name} is {}",
        after.task.state.word()
    ))?;
    Ok(ExitCode::Done)
}
