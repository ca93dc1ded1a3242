//! `longhaul ls`.

use longhaul_api::{Bucket, ExitCode, TaskList, TaskQuery, TaskSummary};
use longhaul_core::task::StateWord;
use longhaul_core::time::UnixMs;

use crate::app::answer;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::table::{self, Cell, cell, styled};
use crate::output::text::clean;
use crate::output::{clock, palette, task};

/// List tasks
///
/// Live tasks and the last fifty finished ones, those that need you first. Reading needs no daemon and
/// never starts one.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longhaul ls
  longhaul ls --state needs_human,parked
  longhaul ls --here               of this repository only
  longhaul ls --json | jq -r '.data.tasks[].name'")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(super) filter: Filter,
}

/// Which tasks.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Filter {
    /// Only these states, separated by commas
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = state)]
    state: Vec<StateWord>,
    /// Only tasks of the repository you are in
    #[arg(long)]
    here: bool,
    /// All finished tasks, not only the last fifty
    #[arg(long)]
    all: bool,
}

fn state(text: &str) -> Result<StateWord, String> {
    StateWord::parse(text).ok_or_else(|| {
        let words: Vec<&str> = StateWord::ALL.iter().map(|w| w.as_str()).collect();
        format!("the states are {}", words.join(", "))
    })
}

impl Filter {
    /// The query of the API.
    pub(super) fn query(&self, context: &Context) -> Result<TaskQuery, Failure> {
        let states: Vec<&str> = self.state.iter().map(|w| w.as_str()).collect();
        let repo = if self.here {
            Some(crate::submit::repo::top_level(context, context.folder())?.to_string())
        } else {
            None
        };
        Ok(TaskQuery {
            state: (!states.is_empty()).then(|| states.join(",")),
            repo,
            all: self.all,
            ..TaskQuery::default()
        })
    }
}

/// Prints the list.
pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    let query = args.filter.query(context)?;
    let list = context.reads()?.tasks(&query)?;
    let filtered = !args.filter.state.is_empty() || args.filter.here;
    answer(context, list, |list| print(context, list, filtered))?;
    Ok(ExitCode::Done)
}

fn print(context: &Context, list: &TaskList, filtered: bool) -> Result<(), Failure> {
    let p = &context.printer;
    if list.tasks.is_empty() && filtered {
        return p.line("no task is like that; `longhaul ls` lists the others");
    }
    if list.tasks.is_empty() {
        return p.line("no tasks; `longhaul init` writes a task file to start from");
    }
    let now = clock::now();
    let head = ["", "ID", "NAME", "STATE", "TRIES", "USED", "CHANGED", "NOW"];
    let rows: Vec<Vec<Cell>> = list.tasks.iter().map(|t| row(t, now)).collect();
    for line in table::lines(p, &head, &rows) {
        p.line(&line)?;
    }
    if list.more {
        p.line(&p.paint(
            palette::FAINT,
            "older finished tasks are not shown; --all shows them",
        ))?;
    }
    Ok(())
}

fn row(t: &TaskSummary, now: UnixMs) -> Vec<Cell> {
    let (glyph, style) = task::glyph(t);
    let line = match (&t.need, t.bucket) {
        (Some(need), Bucket::NeedsYou) => {
            format!("{} → {}", clean(&need.detail), clean(&need.remedy))
        }
        _ => clean(&t.line),
    };
    vec![
        styled(glyph, style),
        styled(t.id.short(), palette::FAINT),
        styled(clean(&t.name), palette::STRONG),
        styled(task::state_word(t), style),
        cell(task::attempts(t)),
        cell(task::usage(&t.usage)),
        styled(
            clock::relative(UnixMs(t.changed_at_ms), now),
            palette::FAINT,
        ),
        cell(line.replace('\n', " ")),
    ]
}
