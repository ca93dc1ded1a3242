//! `longhaul uninstall`.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_acts::files;
use longhaul_api::{ExitCode, TaskDetail, TaskQuery};
use longhaul_engine::executor::{Plan, RemovalError, Word};
use longhaul_gateway::Client;

use longhaul_pool::{Kind, PoolSession, State};

use super::workspace::{all, is_there, removal, size};
use crate::client::{self, Presence, Whole};
use crate::context::Context;
use crate::failure::{Failure, OnPath as _, Outcome};
use crate::output::text::{clean, count};
use crate::submit::{gitrun, repo};
use crate::wire::terminals::{Terminals, refused};

/// Take back what Longhaul put on this machine; the plan first
///
/// Without --purge: ends the daemon and removes the systemd unit; tasks, workspaces and configuration
/// stay; refused while something of a task runs. With --purge also those, but never a workspace with
/// work that is nowhere else. Branches in your repositories always stay. The program itself is removed the way it was installed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longhaul uninstall               shows the plan, and asks
  longhaul uninstall --purge --dry-run")]
pub(crate) struct Args {
    /// Also remove tasks, workspaces, snapshots and configuration
    #[arg(long)]
    purge: bool,
    /// Show the plan only
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// One thing that goes.
enum Step {
    Sessions(usize),
    Daemon(u32),
    Gateway(u32),
    Terminals,
    File(Utf8PathBuf),
    Workspace(Box<(Plan, TaskDetail)>),
    Worktree { repo: Utf8PathBuf, path: String },
    Refs(Utf8PathBuf),
    Folder(Utf8PathBuf),
}

impl Step {
    fn words(&self) -> String {
        match self {
            Self::Sessions(n) => format!("stop {}, keeping their work", count(*n, "running task")),
            Self::Daemon(pid) => format!("end the daemon (pid {pid})"),
            Self::Gateway(pid) => format!("end the gateway (pid {pid})"),
            Self::Terminals => "end the pool's tmux server".to_owned(),
            Self::File(path) => format!("remove {path}"),
            Self::Workspace(it) => {
                let (plan, _) = it.as_ref();
                let teardown = plan.teardown.as_ref();
                format!(
                    "remove the workspace {} ({}){}",
                    plan.path.display(),
                    size(plan.disk_bytes),
                    teardown.map_or(String::new(), |t| format!(
                        ", after its teardown: {}",
                        clean(t)
                    ))
                )
            }
            Self::Worktree { repo, path } => {
                format!("remove the worktree {path} of {repo}, which belongs to no task")
            }
            Self::Refs(repo) => {
                format!("remove the hidden refs under {} in {repo}", gitrun::REFS)
            }
            Self::Folder(path) => format!(
                "remove {path} ({})",
                size(longhaul_vcs::disk_usage(path.as_std_path()))
            ),
        }
    }
}

/// Shows the plan, asks, and carries it out.
pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    let p = &context.printer;
    let plan = plan(context, args.purge)?;
    if plan.is_empty() {
        p.line("nothing of Longhaul is here")?;
        return Ok(ExitCode::Done);
    }
    p.line("This would:")?;
    for step in &plan {
        p.line(&format!("  {}", step.words()))?;
    }
    if args.dry_run {
        return Ok(ExitCode::Done);
    }
    context.person_only()?;
    if !args.yes && !p.confirm("Go ahead?", "--yes")? {
        p.say("nothing was changed");
        return Ok(ExitCode::Cancelled);
    }
    for step in plan {
        carry_out(context, step)?;
    }
    p.line("done")?;
    if let Ok(program) = std::env::current_exe() {
        p.line(&format!("the program itself is {}", program.display()))?;
    }
    Ok(ExitCode::Done)
}

fn plan(context: &Context, purge: bool) -> Result<Vec<Step>, Failure> {
    let paths = context.paths();
    let mut steps = Vec::new();
    let at_work = match at_work(context) {
        Ok(names) => names,
        // What takes a daemon away that has lost its store must not need that.
        Err(_) if !purge => Vec::new(),
        Err(error) => return Err(error),
    };
    match client::look(paths)? {
        Presence::There(client) => {
            match at_work.len() {
                0 => {}
                n if purge => steps.push(Step::Sessions(n)),
                _ => return Err(left_alone(&at_work)),
            }
            steps.push(Step::Daemon(client.version().pid));
        }
        // Nobody is there to end them.
        Presence::Absent if !at_work.is_empty() => return Err(left_alone(&at_work)),
        Presence::Absent => {}
    }
    if let Ok(status) = gateway(context).status() {
        steps.push(Step::Gateway(status.pid));
    }
    steps.extend(terminals(context)?.map(|_| Step::Terminals));
    let unit = unit_file(context);
    if unit.exists() {
        steps.push(Step::File(unit));
    }
    if purge {
        purge_steps(context, &mut steps)?;
    }
    Ok(steps)
}

/// The names of tasks of which something runs.
fn at_work(context: &Context) -> Result<Vec<String>, Failure> {
    let list = context.reads()?.tasks(&TaskQuery::default())?;
    let running = list
        .tasks
        .into_iter()
        .filter(|t| client::is_at_work(t.state));
    Ok(running.map(|t| clean(&t.name)).collect())
}

/// Sessions go on without a daemon: nobody would watch over them any more.
fn left_alone(names: &[String]) -> Failure {
    Failure::of(
        ExitCode::Conflict,
        format!(
            "{} would be left running: {}; nothing was changed",
            count(names.len(), "task"),
            names.join(", ")
        ),
    )
    .help("`longhaul drain --stop` ends what runs and keeps its work; call again when that is over")
}

/// Repositories that tasks worked in in place; their snapshots are in them.
fn worked_in_place(context: &Context) -> Result<BTreeSet<Utf8PathBuf>, Failure> {
    let list = context.reads()?.tasks(&TaskQuery {
        all: true,
        ..TaskQuery::default()
    })?;
    let mut folders: BTreeSet<Utf8PathBuf> = list
        .tasks
        .into_iter()
        .filter(|t| t.branch.is_none())
        .map(|t| Utf8PathBuf::from(t.repo))
        .collect();
    // Of a plain folder, or one inside of a repository, they are in the state folder.
    folders.retain(|folder| {
        repo::top_level(context, folder).is_ok_and(|top| top == *folder)
            && refs(context, folder).is_ok_and(|refs| !refs.is_empty())
    });
    Ok(folders)
}

/// All refs of ours in a repository: snapshots, and those of the merge queue.
fn refs(context: &Context, repo: &Utf8Path) -> Result<Vec<String>, Failure> {
    let args = ["for-each-ref", "--format=%(refname)", gitrun::REFS];
    let refs = gitrun::git(&context.env, repo, &args)?;
    Ok(refs.lines().map(str::to_owned).collect())
}

/// What has landed and no branch holds yet must not go with the queue's ref (I5).
fn only_in_the_queue(context: &Context, repo: &Utf8Path) -> Result<(), Failure> {
    let landed = format!("--glob={}/integration", gitrun::REFS);
    let args = [
        "rev-list",
        "--count",
        &landed,
        "--not",
        "--branches",
        "--tags",
        "--remotes",
    ];
    let count = gitrun::git(&context.env, repo, &args)?;
    match count.trim() {
        "0" => Ok(()),
        count => Err(Failure::of(
            ExitCode::Conflict,
            format!("{count} landed commits in {repo} are on no branch yet; nothing was changed"),
        )
        .help("`longhaul queue advance` lets your branch follow; then call again")),
    }
}

/// Worktrees below the state folder that the removal of tasks' workspaces leaves registered: of one that
/// was made and never told of.
fn strays(
    context: &Context,
    repos: &BTreeSet<Utf8PathBuf>,
    steps: &[Step],
) -> Result<Vec<Step>, Failure> {
    let state = &context.paths().state_dir;
    let state = state.canonicalize_utf8().unwrap_or_else(|_| state.clone());
    let planned: BTreeSet<_> = steps
        .iter()
        .filter_map(|step| match step {
            Step::Workspace(it) => Some(it.0.path.as_path()),
            _ => None,
        })
        .collect();
    let mut strays = Vec::new();
    for repo in repos {
        for path in gitrun::worktrees(&context.env, repo)? {
            let ours = Utf8Path::new(&path).starts_with(&state);
            if ours && !planned.contains(Utf8Path::new(&path).as_std_path()) {
                let repo = repo.clone();
                strays.push(Step::Worktree { repo, path });
            }
        }
    }
    Ok(strays)
}

fn purge_steps(context: &Context, steps: &mut Vec<Step>) -> Result<(), Failure> {
    let paths = context.paths();
    let mut kept = String::new();
    let mut repos: BTreeSet<Utf8PathBuf> = BTreeSet::new();
    let all = all(context)?;
    let tools = if all.is_empty() {
        None
    } else {
        Some(removal::tools(context)?)
    };
    for (detail, tools) in all.into_iter().zip(tools.iter().cycle()) {
        repos.insert(Utf8PathBuf::from(&detail.spec.repo));
        let plan = match removal::keeper(tools).plan(detail.task.id, Word::Purge) {
            Ok(Some(plan)) => plan,
            Ok(None) => continue,
            // Its repository is gone, or was moved away.
            Err(RemovalError::Open(_)) => {
                repos.remove(Utf8Path::new(&detail.spec.repo));
                if is_there(&detail) {
                    kept.push_str(&format!(
                        "  {}: its repository cannot be opened; remove {} yourself if you do not need it\n",
                        clean(&detail.task.name),
                        clean(&detail.workspace.map(|w| w.path).unwrap_or_default())
                    ));
                }
                continue;
            }
            Err(error) => return Err(removal::failure(&detail, error)),
        };
        // One at work is stopped, its work secured, and judged when it is removed.
        if !plan.safe && !client::is_at_work(detail.task.state) {
            kept.push_str(&format!(
                "  {}: {}\n",
                clean(&detail.task.name),
                clean(&plan.because)
            ));
        }
        steps.push(Step::Workspace(Box::new((plan, detail))));
    }
    if !kept.is_empty() {
        return Err(Failure::of(
            ExitCode::Conflict,
            "some workspaces hold work that is nowhere else; nothing was changed",
        )
        .detail(kept)
        .help(
            "`longhaul workspace diff TASK` shows it; commit or discard it there, then call again",
        ));
    }
    repos.extend(worked_in_place(context)?);
    for repo in &repos {
        only_in_the_queue(context, repo)?;
    }
    let strays = strays(context, &repos, steps)?;
    steps.extend(strays);
    steps.extend(repos.into_iter().map(Step::Refs));
    for folder in [&paths.state_dir, &paths.config_dir, &paths.runtime_dir] {
        if folder.exists() {
            steps.push(Step::Folder(folder.clone()));
        }
    }
    Ok(())
}

fn carry_out(context: &Context, step: Step) -> Result<(), Failure> {
    match step {
        Step::Sessions(_) => {
            let Presence::There(client) = client::look(context.paths())? else {
                return Ok(());
            };
            client.whole(Whole::Estop)?;
            crate::scratch::wait_for_sessions(&client)
        }
        Step::Daemon(_) => match client::look(context.paths())? {
            Presence::There(client) => client::stop(context.paths(), &client),
            Presence::Absent => Ok(()),
        },
        // The daemon may have taken it along.
        Step::Gateway(_) => match gateway(context).shut_down() {
            Err(error) if !error.is_absent() => {
                Err(Failure::new("the gateway does not end").because(error))
            }
            _ => Ok(()),
        },
        Step::Terminals => match terminals(context)? {
            Some(terminals) => terminals.stop().map(drop).map_err(refused),
            None => Ok(()),
        },
        Step::File(path) => files::remove_file("cli.uninstall.file", &path).on("remove", &path),
        Step::Workspace(it) => {
            let tools = removal::tools(context)?;
            removal::take_away(context, &tools, &it.1, Word::Purge)
        }
        Step::Worktree { repo, path } => gitrun::forget_worktree(&context.env, &repo, &path),
        // Listed now: the removal of a workspace made one more.
        Step::Refs(repo) => refs(context, &repo)?
            .iter()
            .try_for_each(|name| gitrun::delete_ref(&context.env, &repo, name)),
        Step::Folder(path) => {
            files::remove_dir_all("cli.uninstall.folder", &path).on("remove", &path)
        }
    }
}

/// The pool's terminals, if its tmux server runs.
///
/// # Errors
/// Somebody's own session is on it (I11).
fn terminals(context: &Context) -> Result<Option<Terminals>, Failure> {
    if !context.paths().tmux_socket().exists() {
        return Ok(None);
    }
    let terminals = Terminals::new(context)?;
    let sessions = terminals.survey()?;
    let there = |s: &&PoolSession| s.state != State::Missing;
    if let Some(own) = sessions
        .iter()
        .filter(there)
        .find(|s| s.kind == Kind::Dedicated)
    {
        return Err(Failure::of(
            ExitCode::Conflict,
            format!("the tmux session {} is yours, and would end with the pool", own.name),
        )
        .help(format!(
            "take `[dedicated.{}]` out of the config, run `longhaul daemon restart`, and end it yourself: `tmux -S {} kill-session -t {}`",
            own.name,
            context.paths().tmux_socket(),
            own.name
        )));
    }
    Ok(sessions.iter().any(|s| there(&s)).then_some(terminals))
}

fn gateway(context: &Context) -> Client {
    Client::new(context.paths().gateway_socket())
}

/// Where `longhaul daemon unit` is told to be put.
fn unit_file(context: &Context) -> Utf8PathBuf {
    let base = context
        .paths()
        .config_dir
        .parent()
        .map_or_else(|| context.paths().home.join(".config"), Utf8Path::to_owned);
    base.join("systemd/user/longhaul.service")
}
