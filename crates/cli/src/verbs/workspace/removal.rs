//! Letting workspaces go: `workspace gc`, `keep` and `remove`, and what `stop --cleanup` and `uninstall`
//! share with them. Removal itself is the engine's, in this process; a person's word is looked for before.

use std::time::Duration;

use longhaul_api::{API_VERSION, ExitCode, TaskDetail};
use longhaul_core::time::SpanMs;
use longhaul_engine::executor::{Desk, Keeper, Plan, RemovalError, Word};

use super::{all, size};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::palette;
use crate::output::text::clean;
use crate::{output, settings, wire};

/// What removals work with.
pub(crate) struct Tools {
    desk: Desk,
    retention: Option<SpanMs>,
}

impl Tools {
    /// Between TERM and KILL.
    pub(crate) fn stop_grace(&self) -> Duration {
        self.desk.practice.stop_grace
    }
}

/// Puts it together.
///
/// # Errors
/// The configuration, git or the store cannot be used.
pub(crate) fn tools(context: &Context) -> Result<Tools, Failure> {
    let settings = settings::load(context, None)?.settings;
    Ok(Tools {
        desk: wire::tools(context, &settings)?,
        retention: settings.workspace_retention,
    })
}

/// Judges and removes.
pub(crate) fn keeper(tools: &Tools) -> Keeper<'_> {
    Keeper::new(&tools.desk, tools.retention)
}

/// `safe because …`, `kept because …`.
pub(crate) fn standing(plan: Option<&Plan>) -> String {
    match plan {
        Some(plan) if plan.safe => format!("safe because {}", clean(&plan.because)),
        Some(plan) => format!("kept because {}", clean(&plan.because)),
        None => "none: git knows nothing of it any more".to_owned(),
    }
}

/// What a plan that keeps a workspace says of an order to remove it.
pub(crate) fn kept(plan: Plan) -> RemovalError {
    RemovalError::Kept {
        because: plan.because,
        force_helps: plan.force_helps,
    }
}

/// A workspace that stays, as a failure with what to do.
pub(crate) fn failure(detail: &TaskDetail, error: RemovalError) -> Failure {
    let name = clean(&detail.task.name);
    let stays = || format!("the workspace of `{name}` was not removed");
    match error {
        RemovalError::None => Failure::of(
            ExitCode::NotFound,
            format!("`{name}` has no workspace of its own"),
        )
        .help("`longhaul workspace list` shows which there are"),
        RemovalError::Teardown(record) => Failure::of(
            ExitCode::Conflict,
            format!("{}: its `teardown` {}", stays(), clean(&record.words)),
        )
        .help(format!(
            "all of its output is in {}; call again once it can pass, or remove the workspace all the same: longhaul workspace remove {name} --force",
            record.log
        )),
        RemovalError::Kept {
            because,
            force_helps,
        } => {
            let failure = Failure::of(
                ExitCode::Conflict,
                format!("{}: {}", stays(), clean(&because)),
            );
            let look = format!("`longhaul workspace diff {name}` shows what is in it");
            if force_helps {
                failure.help(format!(
                    "{look}; `longhaul workspace remove {name} --force` removes it, and its snapshot keeps that"
                ))
            } else {
                failure.help(format!("{look}; nothing was removed"))
            }
        }
        other => Failure::of(ExitCode::Conflict, stays())
            .because(other)
            .help("nothing is lost; call again"),
    }
}

/// Removes one, saying before what runs in it.
pub(crate) fn take_away(
    context: &Context,
    tools: &Tools,
    detail: &TaskDetail,
    word: Word,
) -> Result<(), Failure> {
    let teardown = detail.spec.teardown.as_deref();
    if let Some(command) = teardown.filter(|_| super::is_there(detail)) {
        context.printer.say(&format!(
            "running the teardown of {}: {}",
            clean(&detail.task.name),
            clean(command)
        ));
    }
    keeper(tools)
        .remove(detail.task.id, word)
        .map_err(|e| failure(detail, e))
}

/// The plan, and with `apply` what it allows.
pub(super) fn gc(context: &Context, apply: bool) -> Outcome {
    let p = &context.printer;
    let all = all(context)?;
    let mut freed = 0;
    let mut failed = Vec::new();
    let mut json = Vec::new();
    let tools = if all.is_empty() {
        None
    } else {
        Some(tools(context)?)
    };
    for (detail, tools) in all.iter().zip(tools.iter().cycle()) {
        // One that cannot be read does not hide the others.
        let plan = match keeper(tools).plan(detail.task.id, Word::Plan) {
            Ok(Some(plan)) => plan,
            Ok(None) => continue,
            Err(error) => {
                failed.push(failure(detail, error));
                continue;
            }
        };
        if !context.json {
            let (sign, style) = if plan.safe {
                ("✓", palette::GOOD)
            } else {
                ("●", palette::FAINT)
            };
            p.line(&format!(
                "{} {}  {}  {}",
                p.paint(style, sign),
                p.paint(palette::STRONG, &clean(&detail.task.name)),
                p.paint(palette::FAINT, &size(plan.disk_bytes)),
                standing(Some(&plan))
            ))?;
        }
        let mut removed = false;
        if plan.safe && apply {
            match take_away(context, tools, detail, Word::Plan) {
                Ok(()) => removed = true,
                Err(error) => failed.push(error),
            }
        }
        if removed || (plan.safe && !apply) {
            freed += plan.disk_bytes;
        }
        json.push(serde_json::json!({
            "task": detail.task.name, "id": detail.task.id.to_string(), "path": plan.path, "branch": plan.branch,
            "disk_bytes": plan.disk_bytes, "safe": plan.safe, "because": plan.because,
            "teardown": plan.teardown, "removed": removed,
        }));
    }
    let any_safe = json.iter().any(|w| w["safe"] == true);
    if context.json {
        p.json(&serde_json::json!({ "longhaul": API_VERSION, "kind": "gc_plan", "data": { "applied": apply, "workspaces": json } }))?;
    } else if apply {
        p.line(&format!("freed {}", size(freed)))?;
    } else if any_safe {
        p.line(&format!(
            "{} could be freed; `longhaul workspace gc --apply` does",
            size(freed)
        ))?;
    } else {
        p.line("nothing to remove")?;
    }
    // All but the last are shown here; the last one ends the program.
    let last = failed.pop();
    for failure in &failed {
        p.say(output::failure::render(failure, p.color_err()).trim_end());
    }
    last.map_or(Ok(ExitCode::Done), Err)
}

/// Keeps one from every plan, or no longer.
pub(super) fn keep(context: &Context, task: &str, yes: bool) -> Outcome {
    let detail = context.reads()?.task(task)?;
    keeper(&tools(context)?)
        .keep(detail.task.id, yes)
        .map_err(|e| failure(&detail, e))?;
    let name = clean(&detail.task.name);
    context.printer.line(&if yes {
        format!("the workspace of {name} stays; `longhaul workspace keep {name} --undo` ends this")
    } else {
        format!("the workspace of {name} is removed like any other once nothing is lost")
    })?;
    Ok(ExitCode::Done)
}

/// Lets one go by name.
pub(super) fn remove(context: &Context, task: &str, force: bool, yes: bool) -> Outcome {
    let detail = context.reads()?.task(task)?;
    let name = clean(&detail.task.name);
    if detail
        .workspace
        .as_ref()
        .is_some_and(|w| w.branch.is_none())
    {
        return Err(Failure::usage(
            "in-place work has no workspace of its own to remove",
        ));
    }
    let word = if force { Word::Forced } else { Word::Named };
    let tools = tools(context)?;
    let plan = keeper(&tools)
        .plan(detail.task.id, word)
        .and_then(|plan| plan.ok_or(RemovalError::None))
        .map_err(|e| failure(&detail, e))?;
    if !plan.safe {
        return Err(failure(&detail, kept(plan)));
    }
    let teardown = match &plan.teardown {
        Some(command) => format!(" `{}` runs in it first.", clean(command)),
        None => String::new(),
    };
    let question = format!(
        "Remove {}? The branch {} stays.{teardown}",
        clean(&plan.path.to_string_lossy()),
        clean(&plan.branch)
    );
    if !yes && !context.printer.confirm(&question, "--yes")? {
        context.printer.say("nothing was changed");
        return Ok(ExitCode::Cancelled);
    }
    take_away(context, &tools, &detail, word)?;
    if context.json {
        context.printer.json(&serde_json::json!({ "longhaul": API_VERSION, "kind": "workspace_removed", "data": { "task": detail.task.name, "id": detail.task.id.to_string(), "path": plan.path, "branch": plan.branch, "disk_bytes": plan.disk_bytes } }))?;
    } else if force {
        context.printer.line(&format!(
            "removed; its commits stay on the branch {}, the rest in its last snapshot (`longhaul undo {name} --list`)",
            clean(&plan.branch)
        ))?;
    } else {
        context.printer.line(&format!(
            "removed; all of it stays on the branch {}; `longhaul show {name}` still tells of it",
            clean(&plan.branch)
        ))?;
    }
    Ok(ExitCode::Done)
}
