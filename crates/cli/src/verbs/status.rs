//! `longhaul status`.

use std::time::Duration;

use longhaul_api::{Bucket, ExitCode, StatusView, TaskList};
use longhaul_core::time::UnixMs;

use super::ls::Filter;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::follow::Interrupt;
use crate::follow::screen::{self, Screen};
use crate::inbox::{Inbox, survey};
use crate::output::text::clean;
use crate::output::{clock, palette, task};

/// How often `--watch` looks.
const WATCH_EVERY: Duration = Duration::from_millis(1000);

/// How things stand: needs you, working, done
///
/// Every task in one of three buckets, and the daemon's own condition: whether it runs, what it rests
/// for, why nothing new starts. Reading needs no daemon and never starts one.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longhaul status
  longhaul status --watch          stays; Ctrl-C leaves, work goes on
  longhaul status --json | jq .data.buckets")]
pub(crate) struct Args {
    /// Stay and redraw
    #[arg(short, long)]
    watch: bool,
    #[command(flatten)]
    filter: Filter,
}

/// Prints the buckets, once or again and again.
pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    let query = args.filter.query(context)?;
    if context.json {
        let status = context.reads()?.status()?;
        context.printer.json(&longhaul_api::Envelope::new(status))?;
        return Ok(ExitCode::Done);
    }
    let look = || -> Result<Vec<String>, Failure> {
        let reads = context.reads()?;
        let status = reads.status()?;
        let list = reads.tasks(&query)?;
        Ok(lines(context, &status, &list))
    };
    if !args.watch {
        context.printer.out(&(look()?.join("\n") + "\n"))?;
        return Ok(ExitCode::Done);
    }
    if !context.printer.is_live() {
        return Err(Failure::usage("--watch needs a terminal")
            .help("`longhaul events -f` follows every change as text"));
    }
    let mut screen = Screen::new(&context.printer);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new("cannot set up input and output").because(e))?;
    let mut interrupt = runtime.block_on(async { Interrupt::new() })?;
    loop {
        screen.draw(&look()?)?;
        let left = async { tokio::time::timeout(WATCH_EVERY, interrupt.wait()).await };
        if runtime.block_on(left).is_ok() {
            screen.leave()?;
            return Ok(ExitCode::Done);
        }
    }
}

fn lines(context: &Context, status: &StatusView, list: &TaskList) -> Vec<String> {
    let now = clock::now();
    let p = &context.printer;
    let mut out = vec![daemon_line(context, status, now)];
    if status.daemon.is_some()
        && let Some(note) = crate::settings::unread_change(context.paths())
    {
        out.push(format!("{} {note}", p.paint(palette::WARN, "◐")));
    }
    for resting in &status.resting {
        out.push(format!(
            "{} {}",
            p.paint(palette::WARN, "◐"),
            clean(&resting.line)
        ));
    }
    out.extend(inbox_lines(context));
    let names = screen::name_width(&list.tasks);
    for bucket in Bucket::ALL {
        let tasks: Vec<_> = list.tasks.iter().filter(|t| t.bucket == bucket).collect();
        if tasks.is_empty() {
            continue;
        }
        out.push(String::new());
        let heading = p.paint(task::bucket_style(bucket), bucket.heading());
        out.push(format!("{heading} ({})", tasks.len()));
        out.extend(screen::task_lines(&tasks, names, p.width(), p.color(), now));
        if bucket == Bucket::NeedsYou {
            let hint = "  `longhaul show TASK` tells why, and what you can do";
            out.push(p.paint(palette::FAINT, hint));
        }
    }
    if list.tasks.is_empty() {
        out.push(String::new());
        out.push("no tasks; `longhaul init` writes a task file to start from".to_owned());
    } else if list.more {
        out.push(p.paint(
            palette::FAINT,
            "  and older finished ones; --all shows them",
        ));
    }
    out
}

/// A line for each inbox that has something to say (A20).
fn inbox_lines(context: &Context) -> Vec<String> {
    let p = &context.printer;
    let settings = match crate::settings::load(context, None) {
        Ok(resolved) => resolved.settings,
        // Said by whoever needs them; the tasks are shown all the same.
        Err(_) => return Vec::new(),
    };
    let inboxes = Inbox::all(&settings, &context.paths().home).unwrap_or_default();
    let mut out = Vec::new();
    for view in inboxes.iter().map(|i| survey::look(&context.env, i)) {
        let mut said = Vec::new();
        if view.waiting > 0 {
            said.push(format!("{} waiting", view.waiting));
        }
        if view.failed > 0 {
            said.push(format!("{} refused or failed", view.failed));
        }
        said.extend(view.trouble);
        if !said.is_empty() {
            let sign = p.paint(palette::WARN, "◐");
            let said = clean(&said.join(", "));
            out.push(format!(
                "{sign} inbox {}: {said}; `longhaul inbox status`",
                clean(&view.name)
            ));
        }
    }
    out
}

fn daemon_line(context: &Context, status: &StatusView, now: UnixMs) -> String {
    let p = &context.printer;
    let Some(daemon) = &status.daemon else {
        let sign = p.paint(palette::FAINT, "○");
        return format!(
            "{sign} no daemon runs; the next task starts it, as does `longhaul daemon start`"
        );
    };
    let (sign, style) = match (&daemon.holding, daemon.estopped) {
        (_, true) => ("✕", palette::BAD),
        (Some(_), _) => ("◐", palette::WARN),
        (None, _) => ("●", palette::GOOD),
    };
    let up = clock::span(now.since(UnixMs(daemon.started_at_ms)));
    let mut line = format!(
        "{} daemon pid {}, up {up}, {} of {} slots in use, {} ready",
        p.paint(style, sign),
        daemon.pid,
        daemon.sessions,
        daemon.slots,
        daemon.ready
    );
    if let Some(why) = &daemon.holding {
        line.push_str(&format!("; nothing new starts: {}", clean(why)));
    }
    line
}
