//! `longhaul stop`.

use std::time::{Duration, Instant};

use longhaul_api::{ExitCode, OrderVerb, TaskDetail, TaskState};
use longhaul_engine::executor::Word;

use super::orders::{self, Targets};
use super::workspace::{removal, size};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::text::clean;

/// Beyond the grace of its processes, how long a stopped task may take to be at rest: its work is
/// secured meanwhile.
const AT_REST: Duration = Duration::from_secs(120);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Stop tasks and keep their work
///
/// The session of a running task is ended together with everything it started. Its work is secured,
/// and the task is parked until `longhaul retry`. Stopping costs no retry.
///
/// With --cleanup its workspace goes as well, once the work is secured: its branch and snapshots stay,
/// and a later retry makes the workspace anew from them, uncommitted work included.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longhaul stop parser             stop one task
  longhaul stop parser lexer       stop two
  longhaul stop --cleanup parser   and remove its workspace; the branch stays
  longhaul retry parser            let it go on later")]
pub(crate) struct Args {
    #[command(flatten)]
    targets: Targets,
    /// Remove its workspace too, after `teardown`; the branch stays
    #[arg(long)]
    cleanup: bool,
}

/// Gives the order.
pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    if args.cleanup {
        context.person_only()?;
    }
    let given = orders::give(context, &orders::plain(OrderVerb::Stop, &args.targets))?;
    if !args.cleanup {
        return Ok(given);
    }
    let tools = removal::tools(context)?;
    let mut worst = ExitCode::Done;
    for task in &args.targets.tasks {
        match clean_up(context, &tools, task) {
            Ok(()) => {}
            // The others go all the same.
            Err(failure) => {
                worst = failure.class();
                let text = crate::output::failure::render(&failure, context.printer.color_err());
                context.printer.say(text.trim_end());
            }
        }
    }
    // That a task had stopped before is no reason to leave its workspace.
    Ok(match worst {
        ExitCode::Done if given == ExitCode::NotFound => given,
        worst => worst,
    })
}

/// Removes the workspace of a task that was told to stop, once it is at rest.
fn clean_up(context: &Context, tools: &removal::Tools, task: &str) -> Result<(), Failure> {
    let detail = at_rest(context, tools, task)?;
    let name = clean(&detail.task.name);
    if matches!(detail.task.state, TaskState::Done | TaskState::Cancelled) {
        return Err(Failure::of(
            ExitCode::Conflict,
            format!(
                "`{name}` is {} and nothing of it was stopped; its workspace stays",
                detail.task.state.word()
            ),
        )
        .help(format!("longhaul workspace remove {name}")));
    }
    let keeper = removal::keeper(tools);
    let plan = match keeper.plan(detail.task.id, Word::Named) {
        Ok(Some(plan)) => plan,
        Ok(None) => {
            if !context.json {
                context.printer.line(&format!("{name} has no workspace"))?;
            }
            return Ok(());
        }
        Err(error) => return Err(removal::failure(&detail, error)),
    };
    if !plan.safe {
        return Err(removal::failure(&detail, removal::kept(plan)));
    }
    removal::take_away(context, tools, &detail, Word::Named)?;
    if !context.json {
        context.printer.line(&format!(
            "removed the workspace of {name} ({}); its commits stay on the branch {}, the rest in its snapshots, and `longhaul retry {name}` brings both back",
            size(plan.disk_bytes),
            clean(&plan.branch)
        ))?;
    }
    Ok(())
}

fn at_rest(context: &Context, tools: &removal::Tools, task: &str) -> Result<TaskDetail, Failure> {
    let deadline = Instant::now() + AT_REST + tools.stop_grace();
    loop {
        let detail = context.reads()?.task(task)?;
        if !matches!(
            detail.task.state,
            TaskState::Assigned | TaskState::Running | TaskState::Verifying
        ) {
            return Ok(detail);
        }
        if Instant::now() > deadline {
            let name = clean(&detail.task.name);
            return Err(Failure::of(
                ExitCode::Conflict,
                format!("`{name}` is still stopping; its workspace stays"),
            )
            .help(format!(
                "`longhaul show {name}` tells how it stands; then longhaul workspace remove {name}"
            )));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
