//! `longhaul events`.

use longhaul_api::{Envelope, EventView, ExitCode};

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::follow;

/// Every change, one line each
///
/// The ledger as it grows: what changed, why, and who caused it. With --json, one enveloped object per
/// line, to be read by programs; `seq` resumes with --after. Ctrl-C leaves; work goes on.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longhaul events                  the last hundred changes
  longhaul events -f               and those that come
  longhaul events -f --json | jq -c '.data | {name, to, cause}'
  longhaul events --after 4711     those after a position")]
pub(crate) struct Args {
    /// Wait for more
    #[arg(short, long)]
    follow: bool,
    /// Begin after this position (`seq`) instead of at the last hundred
    #[arg(long, value_name = "SEQ")]
    after: Option<u64>,
}

/// How many are shown without `--after`.
const LAST: usize = 100;

/// Prints the events.
pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    let mut last = args.after;
    {
        let reads = context.reads()?;
        for event in reads.events(args.after, LAST)? {
            last = Some(event.seq);
            print(context, event)?;
        }
    }
    if !args.follow {
        return Ok(ExitCode::Done);
    }
    let client = context.daemon()?;
    client.block_on(async {
        let mut events = client.wire().events(last.or(Some(0))).await.map_err(Failure::from)?;
        let mut interrupt = follow::Interrupt::new()?;
        loop {
            // Both arms are cancel safe: see `Events::next` and `Interrupt::wait`.
            tokio::select! {
                () = interrupt.wait() => return Ok(ExitCode::Done),
                event = events.next() => match event {
                    Some(event) => print(context, event)?,
                    None => {
                        context.printer.warn("the daemon is gone; `longhaul events -f` follows the next one");
                        return Ok(ExitCode::Unavailable);
                    }
                },
            }
        }
    })
}

fn print(context: &Context, event: EventView) -> Result<(), Failure> {
    if context.json {
        // One object per line, whatever the terminal: this is NDJSON (G10).
        let text = serde_json::to_string(&Envelope::new(event))
            .map_err(|e| Failure::new("cannot write the event as JSON").because(e))?;
        context.printer.line(&text)
    } else {
        context
            .printer
            .line(&follow::plain::event_line(&event, context.printer.color()))
    }
}
