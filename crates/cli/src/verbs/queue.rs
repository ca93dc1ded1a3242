//! `longhaul queue`.

use longhaul_api::{
    Acknowledged, ExitCode, LineView, QueueBranch, QueueEntryView, QueueExplanation, QueueRequest,
    QueueVerb, QueueView,
};
use longhaul_core::spec::Priority;
use longhaul_core::time::UnixMs;

use crate::app::answer;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::text::clean;
use crate::output::{clock, palette};
use crate::submit::repo;

/// The merge queue: what waits to land, and why
///
/// Finished work of tasks with `land = true` is merged on what has landed already, checked as merged,
/// and put on an integration ref of the queue's own, exactly as checked. The base branch follows where
/// nothing of yours is in the way. Your checkout, index and stash are not touched.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longhaul queue                   the same as `queue status`
  longhaul queue explain parser    why it waits, and what happened so far
  longhaul queue add parser        put finished work in (again)
  longhaul queue add feature --branch --check 'make test'
  longhaul queue undo parser       take back what landed
  longhaul queue pause             nothing new is tried in this repository
  longhaul queue freeze high       only what is high or critical
  longhaul queue advance           let the base branch follow now")]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Every line: what waits, why, and what landed last
    Status,
    /// Put a task's finished work, or a branch, in
    Add {
        /// The task; with --branch a branch of this repository
        #[arg(value_name = "TASK|BRANCH")]
        what: String,
        /// It is a branch, not a task
        #[arg(long)]
        branch: bool,
        /// The branch to land on; without it the one checked out
        #[arg(long, requires = "branch", value_name = "BRANCH")]
        onto: Option<String>,
        /// A command that must succeed on the merged tree (again for more)
        #[arg(long, requires = "branch", value_name = "CMD")]
        check: Vec<String>,
        /// Land it although nothing verifies it
        #[arg(long, requires = "branch")]
        unverified: bool,
    },
    /// Take an entry out; its task then waits for you
    Remove {
        /// Its task, title or id
        entry: String,
    },
    /// Let an entry wait until you release it
    Hold {
        /// Its task, title or id
        entry: String,
    },
    /// Let a held entry go
    Release {
        /// Its task, title or id
        entry: String,
    },
    /// Try nothing new
    Pause {
        #[command(flatten)]
        lines: Lines,
    },
    /// Go on; also after the queue stopped by itself
    Resume {
        #[command(flatten)]
        lines: Lines,
    },
    /// Try only what has at least a priority: low, normal, high or critical
    Freeze {
        /// The least priority that is still tried
        #[arg(value_name = "PRIORITY", required_unless_present = "off")]
        below: Option<Least>,
        /// Try everything again
        #[arg(long, conflicts_with = "below")]
        off: bool,
        #[command(flatten)]
        lines: Lines,
    },
    /// One round, although paused
    Land {
        /// Say that you mean one
        #[arg(long, required = true)]
        once: bool,
        #[command(flatten)]
        lines: Lines,
    },
    /// Let the base branch follow what has landed now, under the same guards
    Advance {
        #[command(flatten)]
        lines: Lines,
    },
    /// Take a landing back: a commit that undoes it goes through the queue as an entry of its own
    Undo {
        /// What landed: its task, title or id
        #[arg(value_name = "TASK|ENTRY")]
        entry: String,
        /// A command that must succeed without it (again for more); without one the landing's own checks
        #[arg(long, value_name = "CMD")]
        check: Vec<String>,
        /// Land it although nothing verifies it
        #[arg(long, conflicts_with = "check")]
        unverified: bool,
    },
    /// Why an entry waits, and what happened to it
    Explain {
        /// Its task, title or id
        entry: String,
    },
}

/// Which lines an order is for.
#[derive(Debug, clap::Args)]
struct Lines {
    /// Only the line of this base branch
    #[arg(long, value_name = "BRANCH")]
    base: Option<String>,
    /// All repositories, not only this one
    #[arg(long)]
    all: bool,
}

/// A priority on the command line.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Least {
    Low,
    Normal,
    High,
    Critical,
}

impl From<Least> for Priority {
    fn from(least: Least) -> Self {
        match least {
            Least::Low => Self::Low,
            Least::Normal => Self::Normal,
            Least::High => Self::High,
            Least::Critical => Self::Critical,
        }
    }
}

/// Shows the queue or passes a word on.
pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    let request = match args.verb.as_ref().unwrap_or(&Verb::Status) {
        Verb::Status => return status(context),
        Verb::Explain { entry } => return explain(context, entry),
        Verb::Add {
            what,
            branch: true,
            onto,
            check,
            unverified,
        } => add_branch(context, what, onto.as_deref(), check, *unverified)?,
        Verb::Add { what, .. } => about(QueueVerb::Add, &context.reads()?.named(what)?),
        Verb::Remove { entry } => about(QueueVerb::Remove, entry),
        Verb::Hold { entry } => about(QueueVerb::Hold, entry),
        Verb::Release { entry } => about(QueueVerb::Release, entry),
        Verb::Undo {
            entry,
            check,
            unverified,
        } => QueueRequest {
            checks: check.clone(),
            unverified: *unverified,
            ..about(QueueVerb::Undo, &context.reads()?.named(entry)?)
        },
        Verb::Pause { lines } => whole(context, QueueVerb::Pause, lines)?,
        Verb::Resume { lines } => whole(context, QueueVerb::Resume, lines)?,
        Verb::Land { lines, .. } => whole(context, QueueVerb::Once, lines)?,
        Verb::Advance { lines } => whole(context, QueueVerb::Advance, lines)?,
        Verb::Freeze { below, lines, .. } => QueueRequest {
            below: below.map(Priority::from),
            ..whole(context, QueueVerb::Freeze, lines)?
        },
    };
    let done: Acknowledged = context.daemon()?.queue(&request)?;
    answer(context, done, |done| {
        context.printer.line(&clean(&done.message))
    })?;
    Ok(ExitCode::Done)
}

fn order(order: QueueVerb) -> QueueRequest {
    QueueRequest {
        order,
        repo: None,
        base: None,
        entry: None,
        below: None,
        branch: None,
        checks: Vec::new(),
        unverified: false,
    }
}

fn about(verb: QueueVerb, entry: &str) -> QueueRequest {
    QueueRequest {
        entry: Some(entry.to_owned()),
        ..order(verb)
    }
}

fn whole(context: &Context, verb: QueueVerb, lines: &Lines) -> Result<QueueRequest, Failure> {
    let repo = if lines.all {
        None
    } else {
        let git = repo::git(&context.env)?;
        let here = repo::open(&git, context.paths(), context.folder())
            .map_err(|failure| failure.help("go into the repository, or say --all"))?;
        Some(here.checkout().display().to_string())
    };
    Ok(QueueRequest {
        repo,
        base: lines.base.clone(),
        ..order(verb)
    })
}

fn add_branch(
    context: &Context,
    name: &str,
    onto: Option<&str>,
    checks: &[String],
    unverified: bool,
) -> Result<QueueRequest, Failure> {
    if checks.is_empty() && !unverified {
        return Err(Failure::usage("nothing would verify the merged tree")
            .help("give a --check CMD, or say --unverified"));
    }
    let git = repo::git(&context.env)?;
    let here = repo::open(&git, context.paths(), context.folder())?;
    let base = match onto {
        Some(base) => base.to_owned(),
        None => here.current_branch().map_err(|e| repo::start_failure(&e))?,
    };
    let commit = here
        .ref_commit(&format!("refs/heads/{name}"))
        .map_err(|e| Failure::new("cannot read the branch").because(e))?
        .ok_or_else(|| Failure::of(ExitCode::NotFound, format!("there is no branch `{name}`")))?;
    Ok(QueueRequest {
        repo: Some(here.checkout().display().to_string()),
        base: Some(base),
        branch: Some(QueueBranch {
            name: name.to_owned(),
            commit: commit.to_string(),
            checks: checks.to_vec(),
            unverified,
        }),
        ..order(QueueVerb::Add)
    })
}

fn status(context: &Context) -> Outcome {
    let view = context.reads()?.queue()?;
    answer(context, view, |view| {
        context.printer.out(&page(context, view))
    })?;
    Ok(ExitCode::Done)
}

fn page(context: &Context, view: &QueueView) -> String {
    let mut out = String::new();
    for line in &view.lines {
        if !out.is_empty() {
            out.push('\n');
        }
        for text in line_lines(context, line) {
            out.push_str(&text);
            out.push('\n');
        }
    }
    if view.lines.is_empty() {
        out.push_str("nothing was ever in the merge queue; tasks with `land = true` go there\n");
    }
    out
}

fn line_lines(context: &Context, line: &LineView) -> Vec<String> {
    let (p, now) = (&context.printer, clock::now());
    let mut out = vec![format!(
        "{} of {}  {}",
        p.paint(palette::STRONG, &clean(&line.base)),
        clean(&line.repo),
        clean(&line.line)
    )];
    if let Some(why) = &line.blocked {
        out.push(format!("  {} {}", p.paint(palette::BAD, "✕"), clean(why)));
    }
    if let Some(least) = line.frozen_below {
        let least = format!("{least:?}").to_lowercase();
        out.push(format!("  frozen: only {least} and above is tried"));
    }
    if let Some(why) = &line.behind {
        out.push(format!(
            "  {} the base branch waits for you: {}",
            p.paint(palette::WARN, "◐"),
            clean(why)
        ));
    }
    for entry in &line.entries {
        out.extend(entry_lines(context, entry));
    }
    for landed in &line.landed {
        let title = if landed.title.is_empty() {
            "your own commits"
        } else {
            &landed.title
        };
        let unverified = if landed.verified { "" } else { ", unverified" };
        let (sign, since) = match &landed.undone_by {
            None => ("✓", ""),
            Some(_) => ("↶", ", taken back since"),
        };
        out.push(p.paint(
            palette::FAINT,
            &format!(
                "  {sign} {} landed as {}{unverified}, {}{since}",
                clean(title),
                landed.commit.get(..12).unwrap_or(&landed.commit),
                clock::moment(UnixMs(landed.at_ms), now)
            ),
        ));
    }
    out
}

fn entry_lines(context: &Context, entry: &QueueEntryView) -> Vec<String> {
    let p = &context.printer;
    let (sign, style) = if entry.ready {
        ("●", palette::GOOD)
    } else {
        ("◐", palette::WARN)
    };
    let mut out = vec![format!(
        "  {} {}. {}  {}  {}",
        p.paint(style, sign),
        entry.place,
        p.paint(palette::STRONG, &clean(&entry.title)),
        p.paint(palette::FAINT, &entry.short_id),
        clean(&entry.line)
    )];
    for conflict in &entry.conflicts {
        out.push(format!(
            "       {} ({})",
            clean(&conflict.path),
            clean(&conflict.kind)
        ));
    }
    if let Some(remedy) = &entry.remedy {
        out.push(p.paint(palette::FAINT, &format!("       {}", clean(remedy))));
    }
    out
}

fn explain(context: &Context, entry: &str) -> Outcome {
    let reads = context.reads()?;
    let found = reads.queue_entry(&reads.named(entry)?)?;
    answer(context, found, |found| {
        context.printer.out(&explanation(context, found))
    })?;
    Ok(ExitCode::Done)
}

fn explanation(context: &Context, found: &QueueExplanation) -> String {
    let now = clock::now();
    let mut out = format!("{} of {}\n", clean(&found.base), clean(&found.repo));
    match &found.entry {
        Some(entry) => {
            for line in entry_lines(context, entry) {
                out.push_str(&line);
                out.push('\n');
            }
        }
        None => out.push_str("  it does not wait in the merge queue\n"),
    }
    for event in &found.history {
        out.push_str(&format!(
            "  {}  {}\n",
            clock::moment(UnixMs(event.at_ms), now),
            clean(&event.line)
        ));
    }
    out
}
