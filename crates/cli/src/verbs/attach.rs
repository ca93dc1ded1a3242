//! `longhaul attach`.

use std::io::IsTerminal as _;

use longhaul_api::{ExitCode, LogStream, TaskDetail, TaskState};
use longhaul_core::ids::{Fence, SpawnKey};
use longhaul_pool::State;

use super::logs;
use crate::client::{LogRequest, Piece};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::follow::transcript::Transcript;
use crate::output::text::clean;
use crate::wire::terminals::Terminals;

/// Look over an agent's shoulder
///
/// What a live session writes, made readable, from its beginning and as it comes. Most agents run without a terminal of
/// their own: `longhaul send` talks to them. Ctrl-C leaves, work goes on. One that lives in a terminal of the pool is
/// shown there, to look at and to type to; leave with Ctrl-b d, and it goes on, too.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longhaul attach parser
  longhaul attach latest")]
pub(crate) struct Args {
    /// The task
    #[arg(value_name = "TASK")]
    task: String,
    /// What it writes, as text, also where its session lives in a terminal
    #[arg(long)]
    text: bool,
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
    if !args.text
        && std::io::stdin().is_terminal()
        && std::io::stdout().is_terminal()
        && let Some((terminals, session)) = its_terminal(context, &detail)?
    {
        context.person_only()?;
        terminals.attach(context, &session)?;
        context.printer.line(&format!(
            "left {session}; {name} goes on, and `longhaul attach {name}` comes back"
        ))?;
        return Ok(ExitCode::Done);
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

/// The session of the pool in which a task's live session works, if it does.
fn its_terminal(
    context: &Context,
    detail: &TaskDetail,
) -> Result<Option<(Terminals, String)>, Failure> {
    // Without a socket there is no server, and nobody needs tmux.
    let (true, Some(attempt)) = (
        context.paths().tmux_socket().exists(),
        detail.attempts.last(),
    ) else {
        return Ok(None);
    };
    let key = SpawnKey::session(detail.task.id, Fence(attempt.fence));
    let terminals = Terminals::new(context)?;
    let session = terminals.survey()?.into_iter().find(|s| {
        matches!(s.state, State::Busy { .. })
            && s.last.as_ref().is_some_and(|note| note.key == key.as_str())
    });
    Ok(session.map(|s| (terminals, s.name)))
}
