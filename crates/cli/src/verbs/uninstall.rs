//! `longhaul uninstall`.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_acts::files;
use longhaul_api::ExitCode;
use longhaul_vcs::Verdict;

use super::workspace::{Place, all, size};
use crate::client::{self, Presence, Whole};
use crate::context::Context;
use crate::failure::{Failure, OnPath as _, Outcome};
use crate::output::text::{clean, count};
use crate::submit::gitrun;

/// Take back what Longhaul put on this machine; the plan first
///
/// Without --purge: ends the daemon and removes the systemd unit; tasks, workspaces and configuration
/// stay. With --purge also those, but never a workspace with work that is nowhere else. Branches in
/// your repositories always stay. The program itself is removed the way it was installed.
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
    File(Utf8PathBuf),
    Workspace(Box<(Place, longhaul_api::TaskDetail)>),
    Snapshots(Utf8PathBuf),
    Folder(Utf8PathBuf),
}

impl Step {
    fn words(&self) -> String {
        match self {
            Self::Sessions(n) => format!(
                "stop {}, keeping their work on their branches",
                count(*n, "running task")
            ),
            Self::Daemon(pid) => format!("end the daemon (pid {pid})"),
            Self::File(path) => format!("remove {path}"),
            Self::Workspace(place) => format!(
                "remove the workspace {} ({})",
                place.0.worktree.path.display(),
                size(longhaul_vcs::disk_usage(&place.0.worktree.path))
            ),
            Self::Snapshots(repo) => {
                format!(
                    "remove the hidden refs under {} in {repo}",
                    gitrun::SNAPSHOTS
                )
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
    if let Presence::There(client) = client::look(paths)? {
        let live = client::live_tasks(&client)?;
        if live > 0 && purge {
            steps.push(Step::Sessions(live));
        }
        steps.push(Step::Daemon(client.version().pid));
    }
    let unit = unit_file(context);
    if unit.exists() {
        steps.push(Step::File(unit));
    }
    if purge {
        purge_steps(context, &mut steps)?;
    }
    Ok(steps)
}

fn purge_steps(context: &Context, steps: &mut Vec<Step>) -> Result<(), Failure> {
    let paths = context.paths();
    let mut kept = String::new();
    let mut repos: BTreeSet<Utf8PathBuf> = BTreeSet::new();
    for detail in all(context)? {
        repos.insert(Utf8PathBuf::from(&detail.spec.repo));
        let Ok(place) = Place::of(context, &detail) else {
            continue;
        };
        let mut candidate = place.candidate(&detail, true);
        // Stopped before it is removed; judged again at that moment.
        candidate.open_attempt = false;
        for verdict in place.repo.gc_plan(&[candidate]) {
            if let Verdict::Kept { because } = verdict.verdict {
                kept.push_str(&format!("  {}: {because}\n", clean(&detail.task.name)));
            }
        }
        steps.push(Step::Workspace(Box::new((place, detail))));
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
    steps.extend(repos.into_iter().map(Step::Snapshots));
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
        Step::File(path) => files::remove_file("cli.uninstall.file", &path).on("remove", &path),
        Step::Workspace(place) => {
            let (place, detail) = *place;
            let mut candidate = place.candidate(&detail, true);
            candidate.open_attempt = false;
            super::workspace::take_away(&place, &detail, &candidate)
        }
        // Listed now: the removal of a workspace made one more.
        Step::Snapshots(repo) => {
            let args = ["for-each-ref", "--format=%(refname)", gitrun::SNAPSHOTS];
            let refs = gitrun::git(&context.env, &repo, &args)?;
            refs.lines()
                .try_for_each(|name| gitrun::delete_ref(&context.env, &repo, name))
        }
        Step::Folder(path) => {
            files::remove_dir_all("cli.uninstall.folder", &path).on("remove", &path)
        }
    }
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
