//! `longhaul workspace merge` and `rebase`.

use longhaul_api::{API_VERSION, ExitCode, TaskDetail, TaskState};
use longhaul_engine::executor::{BroughtUp, RemovalError};
use longhaul_vcs::{CatchUpStyle, CaughtUp};

use super::removal;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::text::clean;

/// Paths that are named of a conflict.
const NAMED: usize = 20;

/// Brings a workspace up to what has landed, or to `to`.
pub(super) fn run(context: &Context, task: &str, to: Option<&str>, style: CatchUpStyle) -> Outcome {
    let detail = context.reads()?.task(task)?;
    let tools = removal::tools(context)?;
    let brought = removal::keeper(&tools)
        .catch_up(detail.task.id, style, to)
        .map_err(|e| refused(&detail, e))?;
    let (word, done) = settled(&detail, &brought)?;
    if context.json {
        context.printer.json(&serde_json::json!({ "longhaul": API_VERSION, "kind": "workspace_brought_up", "data": {
            "task": detail.task.name, "id": detail.task.id.to_string(), "to": brought.to.to_string(), "end": word,
            "commit": commit(&brought), "conflicts": conflicts(&brought),
        } }))?;
    } else {
        for line in done {
            context.printer.line(&line)?;
        }
    }
    Ok(ExitCode::Done)
}

/// The end's word and lines for people.
fn settled(
    detail: &TaskDetail,
    brought: &BroughtUp,
) -> Result<(&'static str, Vec<String>), Failure> {
    let name = clean(&detail.task.name);
    let onto = format!("{} ({})", clean(&brought.name), brought.to.short());
    let stays =
        |why: String| Failure::of(ExitCode::Conflict, format!("nothing was changed: {why}"));
    let by_hand = format!("cd \"$(longhaul workspace path {name})\"");
    match &brought.end {
        CaughtUp::Contained => Ok((
            "contained",
            vec![format!("the workspace of {name} holds {onto} already")],
        )),
        CaughtUp::Done { commit, replayed } => {
            let how = match replayed {
                None => format!("merged {onto} into the workspace of {name}"),
                Some(1) => format!("made 1 commit of {name} anew on {onto}"),
                Some(n) => format!("made {n} commits of {name} anew on {onto}"),
            };
            let mut lines = vec![format!("{how}; its branch is at {}", commit.short())];
            lines.push(format!(
                "what was there before: longhaul undo {name} --list"
            ));
            if matches!(detail.task.state, TaskState::Done) {
                lines.push(
                    "it was done before this: its checks, if it has any, have not seen what the branch holds now"
                        .to_owned(),
                );
            }
            Ok(("done", lines))
        }
        CaughtUp::Begun(_) => {
            let mut lines = vec![format!(
                "the merge of {onto} is begun; to resolve in the files:"
            )];
            lines.extend(conflicts(brought).iter().map(|c| format!("  {c}")));
            lines.push(format!(
                "{by_hand}, resolve and commit, or call this again once they are resolved"
            ));
            Ok(("conflicts_left", lines))
        }
        CaughtUp::Unresolved(_) => Err(stays(
            "the merge that was begun still has conflicts".to_owned(),
        )
        .help(format!("in {}; {by_hand}", named(&conflicts(brought))))),
        CaughtUp::Conflicts { commit, .. } => {
            let what = match commit {
                None => format!("{onto} conflicts with the work of {name}"),
                Some(commit) => {
                    format!("commit {} of {name} conflicts with {onto}", commit.short())
                }
            };
            let next = match commit {
                None => format!(
                    "`longhaul workspace merge {name} --conflicts` leaves the conflicts in the files, to be resolved there"
                ),
                Some(_) => format!(
                    "`longhaul workspace merge {name}` may do, or rebase by hand: {by_hand}"
                ),
            };
            Err(stays(what).help(format!("in {}; {next}", named(&conflicts(brought)))))
        }
        CaughtUp::NotPlain => Err(stays(format!(
            "the commits of {name} cannot be made anew: a merge is among them, or they are too many"
        ))
        .help(format!("longhaul workspace merge {name}"))),
        CaughtUp::Dirty => Err(stays(
            "there is work that is not committed, or an ignored file is in the way".to_owned(),
        )
        .help(format!(
            "commit or move it: {by_hand} && git status --ignored"
        ))),
        CaughtUp::Busy(what) => Err(stays(format!(
            "git is in the middle of a {} there",
            what.word()
        ))
        .help(format!("finish it or end it: {by_hand} && git status"))),
        CaughtUp::Elsewhere => Err(stays("HEAD there is not on the task's branch".to_owned())
            .help(format!(
                "{by_hand} && git switch {}",
                clean(detail.task.branch.as_deref().unwrap_or_default())
            ))),
    }
}

fn commit(brought: &BroughtUp) -> Option<String> {
    match &brought.end {
        CaughtUp::Done { commit, .. } => Some(commit.to_string()),
        _ => None,
    }
}

/// `path (kind)` of each.
fn conflicts(brought: &BroughtUp) -> Vec<String> {
    match &brought.end {
        CaughtUp::Begun(report) | CaughtUp::Conflicts { report, .. } => {
            let paths = report.paths.iter();
            paths
                .map(|p| format!("{} ({})", clean(&p.path), p.kind.word()))
                .collect()
        }
        CaughtUp::Unresolved(paths) => paths.iter().map(|p| clean(&p.to_string())).collect(),
        _ => Vec::new(),
    }
}

fn named(paths: &[String]) -> String {
    let mut text = paths
        .iter()
        .take(NAMED)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    if paths.len() > NAMED {
        text.push_str(&format!(" and {} more", paths.len() - NAMED));
    }
    text
}

fn refused(detail: &TaskDetail, error: RemovalError) -> Failure {
    let name = clean(&detail.task.name);
    match error {
        RemovalError::Kept { because, .. } => {
            let help = if matches!(detail.task.state, TaskState::Landing) {
                format!("take it out first: longhaul queue remove {name}")
            } else {
                format!("stop it first: longhaul stop {name}")
            };
            Failure::of(
                ExitCode::Conflict,
                format!("nothing was changed: {}", clean(&because)),
            )
            .help(help)
        }
        RemovalError::None => removal::failure(detail, RemovalError::None),
        RemovalError::Target(why) => {
            Failure::of(ExitCode::NotFound, format!("nothing was changed: {why}"))
                .help(why.remedy())
        }
        other => Failure::of(ExitCode::Conflict, "nothing was changed")
            .because(other)
            .help("call again"),
    }
}
