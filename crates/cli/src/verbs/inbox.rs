//! `longhaul inbox`.

use longhaul_api::{API_VERSION, ExitCode};

use super::leftovers;
use crate::client::{self, Presence};
use crate::context::Context;
use crate::failure::Outcome;
use crate::inbox::{Inbox, survey};
use crate::janitor::Janitor;
use crate::output::table::{self, cell, styled};
use crate::output::text::clean;
use crate::output::{clock, palette};
use crate::settings;

/// Folders whose files become tasks
///
/// An `[inbox.NAME]` of your config.toml names a project. A file of text that is put into its `.agent-queue/inbox`
/// becomes a task there and moves to `accepted`; when the task has ended, to `done` or `failed`, with a report beside
/// it. The daemon looks every two seconds.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longhaul inbox status
  longhaul inbox gc                the plan; --apply carries it out
  echo 'Correct the README' > .agent-queue/inbox/readme.md")]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// What lies in each, and why nothing is taken
    Status,
    /// Which files in `done` and `failed` are too old or too many
    Gc {
        /// Remove them, with their reports
        #[arg(long)]
        apply: bool,
    },
}

/// Carries out one of them.
pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    match args.verb {
        Verb::Status => status(context),
        Verb::Gc { apply } => {
            if apply {
                context.person_only()?;
            }
            let settings = settings::load(context, None)?.settings;
            let janitor = Janitor::of(context.paths(), &settings, &context.env)?;
            let goes = janitor.inboxes(clock::now())?;
            leftovers::run(context, &janitor, &goes, apply, "inbox gc")
        }
    }
}

fn status(context: &Context) -> Outcome {
    let p = &context.printer;
    let settings = settings::load(context, None)?.settings;
    let inboxes = Inbox::all(&settings, &context.paths().home)?;
    let views: Vec<_> = inboxes
        .iter()
        .map(|inbox| survey::look(&context.env, inbox))
        .collect();
    if context.json {
        p.json(&serde_json::json!({ "longhaul": API_VERSION, "kind": "inboxes", "data": { "inboxes": views } }))?;
        return Ok(ExitCode::Done);
    }
    if views.is_empty() {
        p.line("there is no inbox: an `[inbox.NAME]` with `project = \"~/src/project\"` in your config.toml makes one")?;
        return Ok(ExitCode::Done);
    }
    let rows: Vec<_> = views
        .iter()
        .map(|v| {
            let number = |n: usize| cell(n.to_string());
            let failed = if v.failed > 0 {
                styled(v.failed.to_string(), palette::WARN)
            } else {
                number(0)
            };
            vec![
                cell(v.name.clone()),
                number(v.waiting),
                number(v.accepted),
                number(v.done),
                failed,
                cell(clean(&v.path)),
            ]
        })
        .collect();
    let head = [
        "INBOX",
        "WAITING",
        "AT WORK",
        "DONE",
        "FAILED",
        "PUT FILES INTO",
    ];
    for line in table::lines(p, &head, &rows) {
        p.line(&line)?;
    }
    for view in &views {
        if let (Some(what), Some(remedy)) = (&view.trouble, &view.remedy) {
            let sign = p.paint(palette::WARN, "◐");
            p.line(&format!("{sign} {}: {}", view.name, clean(what)))?;
            p.line(&format!(
                "  {}",
                p.paint(palette::WARN, &format!("→ {}", clean(remedy)))
            ))?;
        }
    }
    if let Presence::Absent = client::look(context.paths())? {
        p.line("no daemon runs, so nothing is taken; `longhaul daemon start` starts it")?;
    }
    Ok(ExitCode::Done)
}
