//! `longhaul undo`.

use longhaul_api::{API_VERSION, ExitCode, TaskState};
use longhaul_core::time::UnixMs;
use longhaul_vcs::{FileRules, RestoreScope, SnapshotRef, SnapshotRequest};

use super::workspace::Place;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::text::clean;
use crate::output::{clock, palette};
use crate::submit::gitrun::SNAPSHOTS;

/// Bring back the files of an earlier snapshot
///
/// Longhaul snapshots a workspace at the end of every turn and before anything that rewrites it,
/// untracked files included; in-place work also before its first turn (snapshot 0). What is there now
/// is snapshotted first, so an undo can itself be undone. Ignored files are not part of snapshots.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longhaul undo parser --list      what can be brought back
  longhaul undo parser             the files of the last snapshot but one
  longhaul undo parser --to 3      of snapshot 3
  longhaul undo parser --to 3 --branch   and the branch's commits")]
pub(crate) struct Args {
    /// The task
    #[arg(value_name = "TASK")]
    task: String,
    /// Show the snapshots; change nothing
    #[arg(long, conflicts_with_all = ["to", "branch"])]
    list: bool,
    /// Number of the snapshot, as `--list` shows it
    #[arg(long, value_name = "N")]
    to: Option<String>,
    /// Move the branch back as well; later commits stay reachable from the snapshot made first
    #[arg(long)]
    branch: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// Lists or restores.
pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    let detail = context.reads()?.task(&args.task)?;
    let prefix = format!("{SNAPSHOTS}/{}", detail.task.id);
    let found = Place::snapshots(context, &detail)?;
    if args.list {
        return list(context, &found);
    }
    context.person_only()?;
    let place = Place::of(context, &detail)?;
    if matches!(
        detail.task.state,
        TaskState::Assigned | TaskState::Running | TaskState::Verifying
    ) {
        return Err(Failure::of(
            ExitCode::Conflict,
            format!("`{}` is at work in its workspace", clean(&detail.task.name)),
        )
        .help(format!(
            "stop it first: longhaul stop {}",
            clean(&detail.task.name)
        )));
    }
    let target = match &args.to {
        Some(n) => found.iter().find(|s| s.name == *n),
        None => found.iter().rev().nth(1),
    };
    let target = target.ok_or_else(|| {
        Failure::of(
            ExitCode::NotFound,
            match &args.to {
                Some(n) => format!(
                    "`{}` has no snapshot {}",
                    clean(&detail.task.name),
                    clean(n)
                ),
                None => format!("`{}` has no earlier snapshot", clean(&detail.task.name)),
            },
        )
        .help(format!(
            "`longhaul undo {} --list` shows what there is",
            args.task
        ))
    })?;
    let number = clean(&target.name);
    let question = format!(
        "Bring the files of {} back to snapshot {number} ({})?",
        place.worktree.path.display(),
        target.reason
    );
    if !args.yes && !context.printer.confirm(&question, "--yes")? {
        context.printer.say("nothing was changed");
        return Ok(ExitCode::Cancelled);
    }
    let next = SnapshotRef::next_by_order(&found);
    let before = SnapshotRequest {
        reference: format!("{prefix}/{next}"),
        reason: format!("before undo to {number}"),
        files: FileRules {
            keep: detail.spec.keep.clone(),
            ..FileRules::default()
        },
    };
    let scope = if args.branch {
        RestoreScope::FilesAndBranch
    } else {
        RestoreScope::Files
    };
    let restored = place
        .repo
        .restore(&place.worktree, &target.commit, &before, scope)
        .map_err(|e| Failure::new("nothing was brought back").because(e))?;
    let moved = if restored.branch_moved {
        ", and its branch"
    } else {
        ""
    };
    context.printer.line(&format!(
        "brought back snapshot {number}{moved}; what was there is snapshot {next} (`longhaul undo {} --to {next}`)",
        args.task
    ))?;
    Ok(ExitCode::Done)
}

fn list(context: &Context, found: &[SnapshotRef]) -> Outcome {
    let p = &context.printer;
    if context.json {
        let all: Vec<_> = found
            .iter()
            .map(|s| serde_json::json!({
                "name": s.name, "number": s.number, "commit": s.commit.as_str(), "made_at_ms": s.made_unix_s.saturating_mul(1000), "reason": s.reason,
            }))
            .collect();
        p.json(&serde_json::json!({ "longhaul": API_VERSION, "kind": "snapshots", "data": { "snapshots": all } }))?;
        return Ok(ExitCode::Done);
    }
    if found.is_empty() {
        p.line("no snapshots yet")?;
    }
    let now = clock::now();
    for s in found.iter().rev() {
        let number = clean(&s.name);
        let at = UnixMs(s.made_unix_s.saturating_mul(1000));
        p.line(&format!(
            "{:>4}  {}  {}",
            p.paint(palette::STRONG, &number),
            p.paint(palette::FAINT, &clock::moment(at, now)),
            clean(&s.reason)
        ))?;
    }
    Ok(ExitCode::Done)
}
