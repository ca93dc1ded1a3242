//! `longhaul queue`.

mod page;

use camino::Utf8Path;
use longhaul_api::{Acknowledged, ExitCode, QueueBranch, QueueRequest, QueueVerb};
use longhaul_core::spec::Priority;

use crate::app::answer;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::text::clean;
use crate::settings;
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
    /// Every line: what waits, why, who would conflict with whom, and what landed last
    Status {
        /// Do not ask git who would conflict
        #[arg(long)]
        brief: bool,
    },
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
    let request = match args.verb.as_ref().unwrap_or(&Verb::Status { brief: false }) {
        Verb::Status { brief } => return status(context, *brief),
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
    let checkout = Utf8Path::from_path(here.checkout())
        .ok_or_else(|| Failure::new("the repository's path is not UTF-8"))?;
    let merge_style = settings::load(context, Some(checkout))?
        .settings
        .queue
        .merge_style;
    Ok(QueueRequest {
        repo: Some(checkout.to_string()),
        base: Some(base),
        branch: Some(QueueBranch {
            name: name.to_owned(),
            commit: commit.to_string(),
            checks: checks.to_vec(),
            unverified,
            merge_style,
        }),
        ..order(QueueVerb::Add)
    })
}

fn status(context: &Context, brief: bool) -> Outcome {
    let reads = context.reads()?;
    let view = if brief {
        reads.queue()?
    } else {
        reads.queue_forecast()?
    };
    answer(context, view, |view| {
        context.printer.out(&page::status(context, view))
    })?;
    Ok(ExitCode::Done)
}

fn explain(context: &Context, entry: &str) -> Outcome {
    let reads = context.reads()?;
    let found = reads.queue_entry(&reads.named(entry)?)?;
    answer(context, found, |found| {
        context.printer.out(&page::explanation(context, found))
    })?;
    Ok(ExitCode::Done)
}
