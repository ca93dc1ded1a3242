//! `longhaul doctor`.

use longhaul_api::{API_VERSION, ExitCode};

use crate::context::Context;
use crate::doctor::{self, Grade};
use crate::failure::Outcome;
use crate::output::palette;
use crate::output::text::{clean, columns, count};

/// Look whether everything Longhaul needs is there
///
/// One row per thing, with what to do about it. Changes nothing and starts nothing. Ends with 1 only
/// if a row fails; an advisory is worth a look.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longhaul doctor
  longhaul doctor --json | jq '.data.rows[] | select(.grade == \"fail\")'")]
pub(crate) struct Args {}

/// Prints the rows.
pub(crate) fn run(_: &Args, context: &Context) -> Outcome {
    let rows = doctor::rows(context);
    let of = |grade| rows.iter().filter(|r| r.grade == grade).count();
    let (failed, advised) = (of(Grade::Fail), of(Grade::Advisory));
    let p = &context.printer;
    if context.json {
        p.json(&serde_json::json!({ "longhaul": API_VERSION, "kind": "doctor", "data": { "rows": rows } }))?;
    } else {
        let width = rows.iter().map(|r| columns(&r.name)).max().unwrap_or(0);
        for row in &rows {
            let (glyph, style) = match row.grade {
                Grade::Pass => ("✓", palette::GOOD),
                Grade::Advisory => ("!", palette::WARN),
                Grade::Fail => ("✕", palette::BAD),
                Grade::Skipped => ("–", palette::FAINT),
            };
            p.line(&format!(
                "{} {}  {}",
                p.paint(style, glyph),
                p.paint(palette::STRONG, &crate::output::text::pad(&row.name, width)),
                clean(&row.found)
            ))?;
            if let Some(remedy) = &row.remedy {
                p.line(&format!(
                    "  {:width$}  {}",
                    "",
                    p.paint(palette::WARN, &format!("→ {}", clean(remedy)))
                ))?;
            }
        }
        p.line("")?;
        p.line(&match (failed, advised) {
            (0, 0) => "everything is there".to_owned(),
            (0, n) => format!(
                "usable; {} worth a look",
                if n == 1 {
                    "1 row is".to_owned()
                } else {
                    format!("{n} rows are")
                }
            ),
            (n, _) => format!("{} must be put right first", count(n, "row")),
        })?;
    }
    Ok(if failed > 0 {
        ExitCode::Error
    } else {
        ExitCode::Done
    })
}
