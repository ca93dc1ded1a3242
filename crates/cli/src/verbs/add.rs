//! `longhaul add`.

use camino::Utf8PathBuf;
use longhaul_api::{ExitCode, SubmitRequest};
use longhaul_config::taskfile::{TaskFlags, draft_from_flags};
use sha2::{Digest as _, Sha256};

use super::run::hand_in;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::follow::Show;
use crate::output::text::count;
use crate::submit::file::{Facts, say_notes};
use crate::submit::repo;
use crate::submit::spec::Resolver;
use crate::submit::stored::Stored;

/// Add one task from the command line
///
/// The same task as in a file, by flags. Returns at once; --follow stays with it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longhaul add --name readme --prompt 'Correct the README' --check-run 'make docs'
  longhaul add --name fix --prompt-file fix.md --harness codex --budget-tokens 500000 --follow
  longhaul add --name fix --prompt 'Fix it' --check-run 'make test' --land
  longhaul add --name port --prompt 'Port it' --depends-on parser --label night")]
pub(crate) struct Args {
    /// Its name
    #[arg(long)]
    name: Option<String>,
    /// What is wanted
    #[arg(short, long, value_name = "TEXT")]
    prompt: Option<String>,
    /// A file that says what is wanted
    #[arg(long, value_name = "FILE")]
    prompt_file: Option<String>,
    /// Stay and follow it
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    agent: Agent,
    #[command(flatten)]
    bounds: Bounds,
    #[command(flatten)]
    checks: Checks,
    #[command(flatten)]
    landing: Landing,
}

/// Where it happens.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Where")]
struct Place {
    /// The repository, instead of the one you are in
    #[arg(long, value_name = "DIR")]
    repo: Option<String>,
    /// Folder inside the repository where agent and checks run (-C is where longhaul itself looks)
    #[arg(long = "subdir", value_name = "DIR")]
    subdir: Option<String>,
    /// `worktree` or `in-place`
    #[arg(long, value_name = "KIND")]
    workspace: Option<String>,
    /// Base branch, instead of the one that is checked out
    #[arg(long, value_name = "BRANCH")]
    base: Option<String>,
    /// Tasks that must be done first
    #[arg(long, value_name = "TASK")]
    depends_on: Vec<String>,
    /// Command that prepares the workspace
    #[arg(long, value_name = "COMMAND")]
    setup: Option<String>,
    /// Command run before the workspace is removed
    #[arg(long, value_name = "COMMAND")]
    teardown: Option<String>,
    /// Variable of the workspace, NAME=VALUE
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Variable passed on from you, by name
    #[arg(long, value_name = "NAME")]
    env_pass: Vec<String>,
    /// Ignored files worth a snapshot
    #[arg(long, value_name = "GLOB")]
    keep: Vec<String>,
}

/// Who does it.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Who")]
struct Agent {
    /// claude, codex, gemini, opencode, script, or one of yours
    #[arg(long)]
    harness: Option<String>,
    /// One of your [profile.NAME]
    #[arg(long)]
    profile: Option<String>,
    /// Model, in the agent's own spelling
    #[arg(long)]
    model: Option<String>,
    /// Route it to a session of this role
    #[arg(long)]
    role: Option<String>,
    /// `edits`, `plan` or `bypass`
    #[arg(long, value_name = "MODE")]
    permission: Option<String>,
    /// `write` or `off`
    #[arg(long, value_name = "MODE")]
    sandbox: Option<String>,
    /// Command the agent may run beyond its permission
    #[arg(long, value_name = "COMMAND")]
    allow: Vec<String>,
}

/// How far it may go.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Bounds")]
struct Bounds {
    /// low, normal, high or critical
    #[arg(long)]
    priority: Option<String>,
    /// Dollars over all attempts
    #[arg(long, value_name = "USD")]
    budget_usd: Option<f64>,
    /// Tokens over all attempts
    #[arg(long, value_name = "N")]
    budget_tokens: Option<i64>,
    /// Per attempt, such as 45m
    #[arg(long, value_name = "SPAN")]
    timeout: Option<String>,
    /// Without any sign of life, such as 10m
    #[arg(long, value_name = "SPAN")]
    idle_timeout: Option<String>,
    /// How long a question may stand
    #[arg(long, value_name = "SPAN")]
    answer_timeout: Option<String>,
    /// Further attempts after a failed check, an error or a timeout
    #[arg(long, value_name = "N")]
    max_retries: Option<i64>,
    /// Further attempts after crashes and losses
    #[arg(long, value_name = "N")]
    max_restarts: Option<i64>,
    /// `ask` or `warn` when others changed the workspace meanwhile
    #[arg(long, value_name = "WORD")]
    on_drift: Option<String>,
    /// Grouping
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// Grouping
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Label
    #[arg(long, value_name = "NAME")]
    label: Vec<String>,
}

/// How it is judged.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Checks")]
struct Checks {
    /// A command that must exit with 0
    #[arg(long, value_name = "COMMAND")]
    check_run: Vec<String>,
    /// A criterion that a model judges the diff by
    #[arg(long, value_name = "TEXT")]
    check_model: Vec<String>,
    /// What another session reviews for
    #[arg(long, value_name = "TEXT")]
    check_agent: Vec<String>,
    /// Files the agent may not change
    #[arg(long, value_name = "GLOB")]
    protect: Vec<String>,
    /// `change` (no change is a failure) or `any`
    #[arg(long, value_name = "WORD")]
    expect: Option<String>,
}

/// What becomes of finished work.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Landing")]
struct Landing {
    /// Its finished work goes to the merge queue, and with that onto its base branch
    #[arg(long)]
    land: bool,
    /// A draft pull request is opened for its finished work
    #[arg(long, conflicts_with = "land")]
    pr: bool,
    /// A command that must succeed on the merged tree, in place of the --check-run
    #[arg(long, value_name = "COMMAND", requires = "land")]
    land_check: Vec<String>,
    /// Land it although nothing verifies the merged tree
    #[arg(long, requires = "land")]
    land_unverified: bool,
}

impl Args {
    fn flags(&self) -> TaskFlags {
        let (p, a, b, c) = (&self.place, &self.agent, &self.bounds, &self.checks);
        TaskFlags {
            name: self.name.clone(),
            prompt: self.prompt.clone(),
            prompt_file: self.prompt_file.clone(),
            repo: p.repo.clone(),
            dir: p.subdir.clone(),
            workspace: p.workspace.clone(),
            base: p.base.clone(),
            harness: a.harness.clone(),
            profile: a.profile.clone(),
            model: a.model.clone(),
            role: a.role.clone(),
            depends_on: p.depends_on.clone(),
            priority: b.priority.clone(),
            budget_usd: b.budget_usd,
            budget_tokens: b.budget_tokens,
            timeout: b.timeout.clone(),
            idle_timeout: b.idle_timeout.clone(),
            answer_timeout: b.answer_timeout.clone(),
            max_retries: b.max_retries,
            max_restarts: b.max_restarts,
            on_drift: b.on_drift.clone(),
            project: b.project.clone(),
            group: b.group.clone(),
            labels: b.label.clone(),
            allow: a.allow.clone(),
            keep: p.keep.clone(),
            sandbox: a.sandbox.clone(),
            protect: c.protect.clone(),
            expect: c.expect.clone(),
            permission: a.permission.clone(),
            env: p.env.clone(),
            env_pass: p.env_pass.clone(),
            setup: p.setup.clone(),
            teardown: p.teardown.clone(),
            land: self.landing.land,
            pr: self.landing.pr,
            land_check: self.landing.land_check.clone(),
            land_unverified: self.landing.land_unverified,
            check_run: c.check_run.clone(),
            check_model: c.check_model.clone(),
            check_agent: c.check_agent.clone(),
        }
    }
}

/// Hands the task in.
pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    let folder: Utf8PathBuf = context.folder().to_owned();
    let facts = Facts::of(context, &folder, true)?;
    let tasks = Stored::new(context);
    let stored = |text: &str| tasks.task(text).is_ok();
    let task =
        draft_from_flags(&args.flags(), &folder, &facts.context(&stored)).map_err(|found| {
            Failure::usage(format!(
                "the flags have {}; nothing was stored",
                count(found.items().len(), "mistake")
            ))
            .detail(found.render(context.printer.color_err()))
        })?;
    say_notes(context, &task.notes);
    let git = repo::git_on_demand(&context.env)?;
    let mut resolver = Resolver::new(context, git, &facts.settings, &tasks, folder);
    let planned = resolver.all(vec![task.draft])?;
    let tasks: Vec<_> = planned.into_iter().map(|p| p.task).collect();
    let name = tasks
        .first()
        .map(|t| t.spec.name.clone())
        .unwrap_or_default();
    let digest = tasks
        .first()
        .map(|t| Sha256::digest(t.id.to_string()))
        .unwrap_or_default();
    let request = SubmitRequest {
        source: "add".to_owned(),
        // Two tasks by flags are two tasks, however alike: the id makes the digest differ.
        digest: digest.iter().map(|b| format!("{b:02x}")).collect(),
        again: true,
        tasks,
    };
    let show = args.follow.then_some(Show::Progress);
    let code = hand_in(context, &request, show)?;
    if !args.follow && !context.json {
        context
            .printer
            .say(&format!("`longhaul show {name}` tells more"));
    }
    Ok(if args.follow { code } else { ExitCode::Done })
}
