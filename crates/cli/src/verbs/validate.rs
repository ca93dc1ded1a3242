//! `longhaul validate`.

use camino::Utf8PathBuf;
use longhaul_api::ExitCode;

use crate::context::Context;
use crate::failure::Outcome;
use crate::output::palette;
use crate::output::text::count;
use crate::submit::file;

/// Look for mistakes in a task file, all at once
///
/// Every mistake is shown with its line and what to write instead. Nothing is stored and no agent is
/// needed; `longhaul run --dry-run` also looks at repositories and agents.
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
    let tasks = &file.parsed.tasks;
    if context.json {
        let names: Vec<&str> = tasks.iter().map(|t| t.name.as_str()).collect();
        context.printer.json(&serde_json::json!({
            "longhaul": longhaul_api::API_VERSION,
            "kind": "valid",
            "data": { "file": file.path, "tasks": names, "notes": file.parsed.notes },
        }))?;
        return Ok(ExitCode::Done);
    }
    let unchecked = tasks.iter().filter(|t| t.checks.is_empty()).count();
    let p = &context.printer;
    p.line(&format!(
        "{} {} is valid: {}",
        p.paint(palette::GOOD, "✓"),
        args.file,
        count(tasks.len(), "task")
    ))?;
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
