//! `run --rehearse`: the user's own file with an agent that needs no model. Real worktrees, real
//! checks, its own state and daemon; afterwards nothing of it is left in the repository.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_api::{ExitCode, SubmitTask, TaskDetail, TaskQuery};
use longhaul_config::taskfile::DepRef;
use longhaul_core::spec::{CheckKind, TaskSpec};
use longhaul_engine::executor::Word;

use super::file::{TaskFile, Wish, request};
use super::gitrun;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::follow::{self, End, Show};
use crate::output::palette;
use crate::output::text::count;
use crate::scratch::Scratch;
use crate::verbs::removal;

/// What the rehearsal's branches begin with, so that nobody takes them for work.
const BRANCHES: &str = "longhaul-rehearsal";

/// Rehearses a file.
pub(crate) fn run(context: &Context, file: TaskFile, only: &[String], quiet: bool) -> Outcome {
    let p = &context.printer;
    p.say(&p.paint(
        palette::WARN,
        "This is a rehearsal: no model is asked, no money is spent, and nothing of it stays.",
    ));
    p.say(
        "Each task is played by a stand-in that writes one file of its own: that set-up and checks run is what \
         this shows. A check that asks for the real work fails here, and what depends on such a task is not played.",
    );
    let settings = [
        ("LONGHAUL_BRANCH_PREFIX", BRANCHES),
        ("LONGHAUL_RETRY_BACKOFF_MIN", "100ms"),
    ];
    // Nobody is to be called for a rehearsal.
    let scratch = Scratch::new(
        context,
        "rehearsal",
        &settings,
        &["LONGHAUL_ON_NEEDS_HUMAN"],
    )?;
    let mut repos = BTreeSet::new();
    let outcome = play(&scratch, file, only, quiet, &mut repos);
    let made = made(&scratch);
    if let (Ok(ExitCode::Done | ExitCode::NeedsPerson), Ok(made)) = (&outcome, &made) {
        tear_down(&scratch, made);
    }
    let ended = scratch.end(false);
    let cleaned = made.and_then(|made| clean(context, &repos, &made));
    let code = outcome?;
    ended?;
    cleaned?;
    p.say(
        "the rehearsal is over; its tasks, branches, worktrees and state are gone again, so no verb finds them",
    );
    Ok(code)
}

fn play(
    scratch: &Scratch,
    mut file: TaskFile,
    only: &[String],
    quiet: bool,
    repos: &mut BTreeSet<Utf8PathBuf>,
) -> Outcome {
    let context = scratch.context();
    file.settings.branch_prefix = BRANCHES.to_owned();
    for task in &mut file.parsed.tasks {
        // Stored tasks are another installation's; a rehearsal takes them as done.
        task.depends_on.retain(|d| matches!(d, DepRef::InFile(_)));
    }
    let wish = Wish {
        only,
        again: true,
        harness: Some("script"),
        ..Wish::default()
    };
    let (mut request, _) = request(context, file, &wish)?;
    let mut left_out = 0;
    for task in &mut request.tasks {
        repos.insert(task.spec.repo.clone());
        left_out += rehearsed(task);
    }
    if left_out > 0 {
        context.printer.say(&format!(
            "{} by a model or an agent left out: those would cost something",
            count(left_out, "check")
        ));
    }
    let client = context.daemon()?;
    let events = follow::listen(&client)?;
    let response = client.submit(&request)?;
    let show = if quiet { Show::Nothing } else { Show::Bound };
    match follow::submission(context, client, response.submission, events, show, None)? {
        End::Settled(view) => crate::verbs::run::end(context, view, show),
        End::Detached => Ok(ExitCode::Interrupted),
    }
}

/// Makes a task one that the script harness can play; how many checks were left out.
fn rehearsed(task: &mut SubmitTask) -> usize {
    let spec: &mut TaskSpec = &mut task.spec;
    spec.prompt = format!(
        "say This is a rehearsal of {name}.\n\
         write longhaul-rehearsal-{name}.txt This file stands for the work of {name}.\n\
         sleep 300ms\n\
         done rehearsed\n",
        name = spec.name
    );
    spec.model = None;
    spec.profile = None;
    spec.role = None;
    spec.budget = None;
    let before = spec.checks.len();
    spec.checks
        .retain(|c| matches!(c.kind, CheckKind::Run { .. }));
    before - spec.checks.len()
}

/// Plays the removal of the workspaces, so that the file's `teardown` is tried too. A failure is said; what
/// is left goes with everything else.
fn tear_down(scratch: &Scratch, made: &[TaskDetail]) {
    let context = scratch.context();
    for task in made.iter().filter(|t| t.spec.teardown.is_some()) {
        let removed = removal::tools(context)
            .and_then(|tools| removal::take_away(context, &tools, task, Word::Purge));
        if let Err(failure) = removed {
            let text = crate::output::failure::render(&failure, context.printer.color_err());
            context.printer.say(text.trim_end());
        }
    }
}

/// Every task of the rehearsal, for what has to be removed.
fn made(scratch: &Scratch) -> Result<Vec<TaskDetail>, Failure> {
    let reads = scratch.context().reads()?;
    let list = reads.tasks(&TaskQuery {
        all: true,
        ..TaskQuery::default()
    })?;
    list.tasks
        .iter()
        .map(|t| reads.task(&t.id.to_string()))
        .collect()
}

/// Removes the worktrees' registrations, branches and hidden refs of exactly these tasks. Their
/// folders went with the scratch folder.
fn clean(
    context: &Context,
    repos: &BTreeSet<Utf8PathBuf>,
    made: &[TaskDetail],
) -> Result<(), Failure> {
    for task in made {
        let (Some(workspace), Some(repo)) =
            (&task.workspace, repos.get(Utf8Path::new(&task.spec.repo)))
        else {
            continue;
        };
        let Some(branch) = workspace
            .branch
            .as_deref()
            .filter(|b| b.starts_with(BRANCHES))
        else {
            continue;
        };
        gitrun::forget_worktree(&context.env, repo, &workspace.path)?;
        gitrun::delete_ref(&context.env, repo, &format!("refs/heads/{branch}"))?;
        for reference in gitrun::snapshots(&context.env, repo, task.task.id)? {
            gitrun::delete_ref(&context.env, repo, &reference)?;
        }
    }
    Ok(())
}
