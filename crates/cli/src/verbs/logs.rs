//! `longhaul logs`.

use longhaul_api::{Envelope, ExitCode, LogChunk, LogStream, TaskDetail};
use longhaul_core::ids::{Fence, TaskId};

use crate::client::{Client, LogRequest, Piece, Reads, stored_log};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::follow::{self, transcript::Transcript};
use crate::wire::logs;

/// What an agent wrote
///
/// The agent's words and tool calls, made readable; with --raw the bytes as it wrote them, untouched
/// (for most agents one JSON object per line). Without --attempt, the last attempt. Where no session
/// was started because `setup` failed, all of the set-up's output.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longhaul logs parser             the last attempt
  longhaul logs parser -f          as it is written; Ctrl-C leaves, work goes on
  longhaul logs parser --attempt 1 --err
  longhaul logs parser --raw | jq .")]
pub(crate) struct Args {
    /// The task
    #[arg(value_name = "TASK")]
    task: String,
    /// Wait for more
    #[arg(short, long)]
    follow: bool,
    /// Of this attempt instead of the last one
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
    /// As written, control characters and all
    #[arg(long)]
    raw: bool,
    /// Standard error instead of standard output
    #[arg(long)]
    err: bool,
}

/// Prints the log.
pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    let reads = context.reads()?;
    let detail = reads.task(&args.task)?;
    let reference = detail.task.id.to_string();
    let request = LogRequest {
        task: &reference,
        attempt: args.attempt,
        stream: if args.err {
            LogStream::Err
        } else {
            LogStream::Out
        },
        offset: 0,
        follow: args.follow,
    };
    let of_agent = !args.raw && !args.err && !is_of_setup(&detail, args.attempt, context);
    let harness = of_agent.then_some(detail.spec.harness.as_str());
    let mut transcript = Transcript::new(harness, context.printer.color());
    let mut show = |piece: Piece| match (context.json, args.raw) {
        (true, _) => chunk(context, detail.task.id, request.stream, &piece),
        (false, true) => context.printer.bytes(&piece.bytes),
        (false, false) => context.printer.out(&transcript.feed(&piece.bytes)),
    };
    match reads {
        Reads::Store(reader) if !args.follow => {
            stored_log(reader.as_ref(), context.paths(), &request, &mut show)?;
        }
        Reads::Store(_) => follow_log(&context.daemon()?, request, &mut show)?,
        Reads::Daemon(client) => follow_log(&client, request, &mut show)?,
    }
    if !context.json {
        context.printer.out(&transcript.finish())?;
    }
    Ok(ExitCode::Done)
}

/// Whether what is shown was written by `setup`, not by the agent.
fn is_of_setup(detail: &TaskDetail, attempt: Option<u32>, context: &Context) -> bool {
    let of = match attempt {
        Some(number) => detail.attempts.iter().find(|a| a.number == number),
        None => detail.attempts.last(),
    };
    let jobs = context.paths().state_dir.join("jobs");
    of.is_some_and(|a| logs::is_of_setup(&jobs, detail.task.id, Fence(a.fence)))
}

/// The log from the daemon, to its end or to Ctrl-C.
pub(super) fn follow_log(
    client: &Client,
    request: LogRequest<'_>,
    show: &mut dyn FnMut(Piece) -> Result<(), Failure>,
) -> Result<(), Failure> {
    client.block_on(async {
        let mut log = client.wire().log(request);
        let mut interrupt = follow::Interrupt::new()?;
        loop {
            // Both arms are cancel safe: see `Log::next` and `Interrupt::wait`.
            let piece = tokio::select! {
                () = interrupt.wait() => return Ok(()),
                piece = log.next() => piece?,
            };
            match piece {
                Some(piece) => show(piece)?,
                None => return Ok(()),
            }
        }
    })
}

/// One enveloped piece per line.
fn chunk(context: &Context, task: TaskId, stream: LogStream, piece: &Piece) -> Result<(), Failure> {
    let chunk = LogChunk {
        task,
        attempt: piece.attempt,
        stream,
        offset: piece.offset,
        next_offset: piece.offset + piece.bytes.len() as u64,
        text: String::from_utf8_lossy(&piece.bytes).into_owned(),
    };
    let text = serde_json::to_string(&Envelope::new(chunk))
        .map_err(|e| Failure::new("cannot write the log as JSON").because(e))?;
    context.printer.line(&text)
}
