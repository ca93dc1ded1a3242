//! `longhaul run`.

use camino::Utf8PathBuf;
use longhaul_api::{Envelope, ExitCode, SubmissionView, SubmitRequest};
use longhaul_core::spec::Land;

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::follow::{self, End, Show};
use crate::output::text::{clean, count, one_line};
use crate::output::{palette, task};
use crate::submit::file::{self, Wish};
use crate::submit::rehearse;
use crate::submit::spec::Planned;

/// Run the tasks of a file and follow them
///
/// Every task gets a worktree and a branch of its own, an agent to work in it, and your checks to
/// judge it. Follows until nothing can move without you. Ctrl-C leaves; the work goes on, and calling
/// it again comes back to it. The daemon is started if none runs.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longhaul run                     tasks.toml, and follow
  longhaul run night.toml --detach hand it in and go to bed
  longhaul run --land              what is finished goes onto the base branch
  longhaul run --only parser lexer just these, and what they depend on
  longhaul run --dry-run           what would run, where, by which agent
  longhaul run --rehearse          all of it without a model: no cost, leaves nothing

Ends with 0 all done, 3 something needs you, 4 something was cancelled; 1 and 2 are errors.")]
pub(crate) struct Args {
    /// The task file
    #[arg(value_name = "FILE", default_value = "tasks.toml")]
    file: Utf8PathBuf,
    /// Hand the tasks in and return at once
    #[arg(short, long, conflicts_with = "wait")]
    detach: bool,
    /// Wait for the end without showing progress
    #[arg(short, long)]
    wait: bool,
    /// Show what would run; store and start nothing
    #[arg(short = 'n', long, conflicts_with_all = ["detach", "wait", "rehearse"])]
    dry_run: bool,
    /// Only these tasks, and what they depend on
    #[arg(long, value_name = "NAME", num_args = 1..)]
    only: Vec<String>,
    /// Try the file with an agent that needs no model: real worktrees and checks, no cost
    #[arg(long, conflicts_with_all = ["detach", "again"])]
    rehearse: bool,
    /// Run it again although the same file is still live
    #[arg(long)]
    again: bool,
    /// Finished work goes to the merge queue, except where a task says `land = false`
    #[arg(long, conflicts_with = "rehearse")]
    land: bool,
}

/// Hands the file in and follows it.
pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    let file = file::read_landing(context, &args.file, args.land)?;
    file::say_notes(context, &file.parsed.notes);
    if file.parsed.tasks.is_empty() {
        return Err(Failure::usage(format!("{} has no task", args.file))
            .help("a task begins with [[task]]; `longhaul init --print` shows one"));
    }
    if args.rehearse {
        return rehearse::run(context, file, &args.only, args.wait);
    }
    let wish = Wish {
        only: &args.only,
        again: args.again,
        ..Wish::default()
    };
    let (request, planned) = file::request(context, file, &wish)?;
    if args.dry_run {
        return dry_run(context, &planned);
    }
    let show = if args.wait {
        Show::Nothing
    } else {
        Show::Progress
    };
    hand_in(context, &request, (!args.detach).then_some(show))
}

/// Hands tasks in; follows them if `show` says how. Shared with `add`.
pub(super) fn hand_in(context: &Context, request: &SubmitRequest, show: Option<Show>) -> Outcome {
    let client = context.daemon()?;
    let events = show.map(|_| follow::listen(&client)).transpose()?;
    if let Some(note) = crate::settings::unread_change(context.paths()) {
        context.printer.say(&note);
    }
    let response = client.submit(request)?;
    let n = count(response.tasks.len(), "task");
    let at_work = format!("this file is at work already ({n})");
    if response.reattached && show.is_some() {
        context.printer.say(&format!(
            "{at_work}; following it. --again would run it once more"
        ));
    }
    let (Some(show), Some(events)) = (show, events) else {
        if context.json {
            context.printer.json(&Envelope::new(response))?;
        } else if response.reattached {
            context.printer.line(&format!(
                "{at_work}, and nothing was handed in; --again would run it once more"
            ))?;
        } else {
            context.printer.line(&format!(
                "handed in {n}; `longhaul status` tells how it goes"
            ))?;
        }
        return Ok(ExitCode::Done);
    };
    match follow::submission(context, client, response.submission, events, show, None)? {
        End::Settled(view) => end(context, view, show),
        End::Detached => {
            context.printer.say("left; the work goes on. `longhaul status` looks at it, the same `longhaul run` comes back");
            Ok(ExitCode::Interrupted)
        }
    }
}

/// Says how it ended, with what to do for everything that needs a person; apart from what `shown` showed.
pub(crate) fn end(context: &Context, view: SubmissionView, shown: Show) -> Outcome {
    let code = follow::verdict(&view);
    if context.json {
        context.printer.json(&Envelope::new(view))?;
        return Ok(code);
    }
    let p = &context.printer;
    let of = |bucket| view.tasks.iter().filter(|t| t.bucket == bucket).count();
    let cancelled = view
        .tasks
        .iter()
        .filter(|t| t.state == longhaul_api::TaskState::Cancelled)
        .count();
    let (needs, done) = (
        of(longhaul_api::Bucket::NeedsYou),
        of(longhaul_api::Bucket::Done) - cancelled,
    );
    if shown != Show::Nothing {
        p.line("")?;
    }
    for t in view
        .tasks
        .iter()
        .filter(|t| t.bucket == longhaul_api::Bucket::NeedsYou)
    {
        let (glyph, style) = task::glyph(t);
        p.line(&format!(
            "{} {}",
            p.paint(style, glyph),
            p.paint(palette::STRONG, &clean(&t.name))
        ))?;
        if let Some(need) = &t.need {
            p.line(&format!("  {}", one_line(&need.detail, 300)))?;
            p.line(&format!(
                "  {}",
                p.paint(palette::WARN, &format!("→ {}", one_line(&need.remedy, 300)))
            ))?;
        }
    }
    let mut sums = vec![format!(
        "{done} of {} done",
        count(view.tasks.len(), "task")
    )];
    if needs > 0 {
        sums.push(if needs == 1 {
            "1 needs you".to_owned()
        } else {
            format!("{needs} need you")
        });
    }
    if cancelled > 0 {
        sums.push(format!("{cancelled} cancelled"));
    }
    let unverified = view
        .tasks
        .iter()
        .filter(|t| t.basis.as_deref() == Some("unverified"))
        .count();
    if unverified > 0 {
        sums.push(format!("{unverified} unverified (no checks)"));
    }
    p.line(&p.paint(palette::STRONG, &sums.join(", ")))?;
    p.line(&p.paint(
        palette::FAINT,
        "`longhaul report` tells it whole; `longhaul workspace diff TASK` shows the work",
    ))?;
    Ok(code)
}

fn dry_run(context: &Context, planned: &[Planned]) -> Outcome {
    let p = &context.printer;
    if context.json {
        let tasks: Vec<_> = planned
            .iter()
            .map(|t| {
                let s = &t.task.spec;
                serde_json::json!({
                    "name": s.name, "repo": s.repo, "base": s.base, "harness": s.harness,
                    "model": s.model, "permission": s.permission, "depends_on": t.after,
                    "checks": s.checks.iter().map(|c| &c.name).collect::<Vec<_>>(),
                    "land": s.land,
                })
            })
            .collect();
        p.json(&serde_json::json!({
            "longhaul": longhaul_api::API_VERSION, "kind": "plan", "data": { "tasks": tasks },
        }))?;
        return Ok(ExitCode::Done);
    }
    for t in planned {
        let s = &t.task.spec;
        p.line(&p.paint(palette::STRONG, &s.name))?;
        let base = s
            .base
            .as_ref()
            .map_or_else(|| "in place".to_owned(), |b| format!("from {b}"));
        p.line(&format!("  in {} {base}", s.repo))?;
        let model = s
            .model
            .as_ref()
            .map_or_else(String::new, |m| format!(", model {m}"));
        p.line(&format!(
            "  by {}{model}, permission {}",
            s.harness,
            s.permission.as_str()
        ))?;
        if !t.after.is_empty() {
            p.line(&format!("  after {}", t.after.join(", ")))?;
        }
        let checks: Vec<&str> = s.checks.iter().map(|c| c.name.as_str()).collect();
        if checks.is_empty() {
            p.line(&format!(
                "  {}",
                p.paint(palette::WARN, "no checks: the result will be unverified")
            ))?;
        } else {
            p.line(&format!("  checked by {}", checks.join(", ")))?;
        }
        let base = s.base.as_deref().unwrap_or("its base branch");
        match s.land {
            Land::No => {}
            Land::Yes => p.line(&format!("  lands on {base} through the merge queue"))?,
            Land::Pr => p.line(&format!("  a draft pull request for {base} is opened"))?,
        }
    }
    p.line(&p.paint(
        palette::FAINT,
        &format!(
            "{} would run; nothing was stored",
            count(planned.len(), "task")
        ),
    ))?;
    Ok(ExitCode::Done)
}
