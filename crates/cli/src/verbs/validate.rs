//! `longhaul validate`.

use camino::Utf8PathBuf;
use longhaul_api::ExitCode;

use crate::context::Context;
use crate::failure::Outcome;
use crate::output::palette;
use crate::output::text::count;
use crate::submit::file::{self, Wish};

/// Look for mistakes in a task file, all at once
///
/// Everything that `longhaul run` would refuse is refused here, and nothing is stored. An agent that is
/// not installed on this machine is only named: the file may be meant for another one.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longhaul validate                tasks.toml
  longhaul validate night.toml && longhaul run night.toml")]
pub(crate) struct Args {
    /// The task file
    #[arg(value_name = "FILE", default_value = "tasks.toml")]
    file: Utf8PathBuf,
}

/// Reads the file.
pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    let file = file::read(context, &args.file)?;
    file::say_notes(context, &file.parsed.notes);
    let notes = file.parsed.notes.clone();
    let path = file.path.clone();
    let names: Vec<String> = file.parsed.tasks.iter().map(|t| t.name.clone()).collect();
    let unchecked = file
        .parsed
        .tasks
        .iter()
        .filter(|t| t.checks.is_empty())
        .count();
    let wish = Wish {
        anywhere: true,
        ..Wish::default()
    };
    let absent = file::plan(context, file, &wish)?.absent;
    if context.json {
        context.printer.json(&serde_json::json!({
            "longhaul": longhaul_api::API_VERSION,
            "kind": "valid",
            "data": { "file": path, "tasks": names, "notes": notes, "not_installed": absent },
        }))?;
        return Ok(ExitCode::Done);
    }
    let p = &context.printer;
    p.line(&format!(
        "{} {} is valid: {}",
        p.paint(palette::GOOD, "✓"),
        args.file,
        count(names.len(), "task")
    ))?;
    for name in &absent {
        let what = match name.as_str() {
            "auto" => {
                "no agent is installed here, so nobody knows whom `auto` would pick".to_owned()
            }
            name => format!("harness `{name}` is not installed here; `run` would refuse it"),
        };
        p.line(&p.paint(palette::WARN, &format!("  {what}")))?;
    }
    if unchecked > 0 {
        p.line(&p.paint(
            palette::WARN,
            &format!(
                "  {} without any check: done will mean unverified there",
                count(unchecked, "task")
            ),
        ))?;
    }
    Ok(ExitCode::Done)
}
