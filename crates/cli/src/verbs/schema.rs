//! `longhaul schema`.

use longhaul_api::{ExitCode, schema};

use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Print the JSON Schemas of everything `--json` and the API say
///
/// Without a name, all of them in one object by name. Answers are described in their envelope.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longhaul schema                  all of them
  longhaul schema task_list        what `longhaul ls --json` prints
  longhaul schema --list           their names")]
pub(crate) struct Args {
    /// Only this one
    #[arg(value_name = "NAME", conflicts_with = "list")]
    name: Option<String>,
    /// Only the names
    #[arg(long)]
    list: bool,
}

/// Prints the schemas.
pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    let all = schema::all();
    if args.list {
        for (name, _) in &all {
            context.printer.line(name)?;
        }
        return Ok(ExitCode::Done);
    }
    match &args.name {
        Some(wanted) => {
            let found = all.iter().find(|(name, _)| name == wanted).ok_or_else(|| {
                Failure::usage(format!("there is no schema `{wanted}`"))
                    .help("`longhaul schema --list` names them")
            })?;
            context.printer.json(&found.1)?;
        }
        None => {
            let map: std::collections::BTreeMap<_, _> = all.into_iter().collect();
            context.printer.json(&map)?;
        }
    }
    Ok(ExitCode::Done)
}
