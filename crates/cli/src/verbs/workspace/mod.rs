//! `longhaul workspace`.

mod catch_up;
pub(crate) mod removal;

use camino::Utf8Path;
use longhaul_api::{API_VERSION, ExitCode, TaskDetail, TaskQuery};
use longhaul_engine::executor::{BEFORE_FIRST, Word};
use longhaul_vcs::{CatchUpStyle, FileRules, Oid, Repo, SnapshotRef, Worktree, disk_usage};

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::palette;
use crate::output::table::{self, cell, styled};
use crate::output::text::clean;
use crate::submit::gitrun::SNAPSHOTS;
use crate::submit::repo;

/// Most bytes of a diff that are shown.
const DIFF_MAX: usize = 64 << 20;

/// The files that tasks work in
///
/// Every task has a git worktree and a branch of its own below the state folder. They stay until their
/// work has landed or you let them go; nothing that is not reachable elsewhere is ever removed. Once a
/// day the daemon removes those that `gc` calls safe and whose task ended a day ago or longer.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longhaul workspace list
  cd \"$(longhaul workspace path parser)\"
  longhaul workspace diff parser | less -R
  longhaul workspace rebase parser   onto what has landed
  longhaul workspace gc            the plan, with the reason for each
  longhaul workspace gc --apply
  longhaul workspace keep parser   gc and the daemon leave it alone
  longhaul workspace remove parser landed or not; the branch stays")]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// All of them, with their size
    List,
    /// One of them
    Show {
        /// The task
        task: String,
    },
    /// Only where it is, for `cd`
    Path {
        /// The task
        task: String,
    },
    /// What the task changed, uncommitted files included; in place, since before its first attempt
    Diff {
        /// The task
        task: String,
        /// Only which files, and how much
        #[arg(long)]
        stat: bool,
    },
    /// What could be removed, and why the rest stays
    Gc {
        /// Remove what is safe to remove
        #[arg(long)]
        apply: bool,
    },
    /// Keep one from `gc` and the daemon until you say otherwise
    Keep {
        /// The task
        task: String,
        /// No longer
        #[arg(long)]
        undo: bool,
    },
    /// Bring in what has landed, with a merge commit; nothing is touched if it conflicts
    Merge {
        /// The task
        task: String,
        /// Another commit or branch than what new work would start from
        #[arg(long, value_name = "REV")]
        to: Option<String>,
        /// Though it conflicts: leave the conflicts in the files, to be resolved there
        #[arg(long)]
        conflicts: bool,
    },
    /// Make the task's own commits anew on top of what has landed; nothing is touched if one conflicts
    Rebase {
        /// The task
        task: String,
        /// Another commit or branch than what new work would start from
        #[arg(long, value_name = "REV")]
        to: Option<String>,
    },
    /// Let one go: its branch stays, a snapshot is made and `teardown` run first
    Remove {
        /// The task
        task: String,
        /// Also with uncommitted work (the snapshot holds it), and though `teardown` failed
        #[arg(short, long)]
        force: bool,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

/// A task's workspace with its repository.
pub(crate) struct Place {
    pub(crate) repo: Repo,
    pub(crate) worktree: Worktree,
    start: String,
}

impl Place {
    /// The snapshots of a task, oldest first, whether or not its workspace is still there.
    ///
    /// # Errors
    /// Its repository cannot be opened or read.
    pub(crate) fn snapshots(
        context: &Context,
        detail: &TaskDetail,
    ) -> Result<Vec<SnapshotRef>, Failure> {
        let git = repo::git(&context.env)?;
        let folder = Utf8Path::new(&detail.spec.repo);
        let opened = if detail.spec.workspace == "in-place" {
            repo::open_in_place(&git, context.paths(), folder)?
        } else {
            repo::open(&git, context.paths(), folder)?
        };
        opened
            .snapshots(&format!("{SNAPSHOTS}/{}", detail.task.id))
            .map_err(|e| Failure::new("cannot list the snapshots").because(e))
    }

    /// Finds it.
    ///
    /// # Errors
    /// The task has none yet, or it is gone.
    pub(crate) fn of(context: &Context, detail: &TaskDetail) -> Result<Self, Failure> {
        let name = clean(&detail.task.name);
        let none = || {
            Failure::of(ExitCode::NotFound, format!("`{name}` has no workspace yet"))
                .help(format!("`longhaul show {name}` tells how it stands"))
        };
        let workspace = detail.workspace.as_ref().ok_or_else(none)?;
        let git = repo::git(&context.env)?;
        let folder = Utf8Path::new(&detail.spec.repo);
        let opened = if workspace.branch.is_none() {
            repo::open_in_place(&git, context.paths(), folder)?
        } else {
            repo::open(&git, context.paths(), folder)?
        };
        let worktree = if workspace.branch.is_none() {
            Some(opened.in_place())
        } else {
            opened
                .worktree_at(Utf8Path::new(&workspace.path).as_std_path())
                .map_err(|e| Failure::new("cannot read the workspace").because(e))?
        };
        let worktree = worktree.filter(|w| w.path.exists()).ok_or_else(|| {
            Failure::of(
                ExitCode::NotFound,
                format!("the workspace of `{name}` is gone: {}", workspace.path),
            )
            .help(format!(
                "its branch {} and its snapshots are still there: longhaul undo {name} --list",
                clean(workspace.branch.as_deref().unwrap_or_default())
            ))
        })?;
        Ok(Self {
            repo: opened,
            worktree,
            start: workspace.start.clone(),
        })
    }
}

fn rules(detail: &TaskDetail) -> FileRules {
    FileRules {
        keep: detail.spec.keep.clone(),
        ..FileRules::default()
    }
}

/// Carries out one of them.
pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    match &args.verb {
        Verb::List => list(context),
        Verb::Show { task } => show(context, task),
        Verb::Path { task } => {
            let detail = context.reads()?.task(task)?;
            let place = Place::of(context, &detail)?;
            context
                .printer
                .line(&place.worktree.path.display().to_string())?;
            Ok(ExitCode::Done)
        }
        Verb::Diff { task, stat } => diff(context, task, *stat),
        Verb::Gc { apply } => {
            if *apply {
                context.person_only()?;
            }
            removal::gc(context, *apply)
        }
        Verb::Keep { task, undo } => {
            context.person_only()?;
            removal::keep(context, task, !*undo)
        }
        Verb::Merge {
            task,
            to,
            conflicts,
        } => {
            context.person_only()?;
            let style = CatchUpStyle::Merge {
                leave_conflicts: *conflicts,
            };
            catch_up::run(context, task, to.as_deref(), style)
        }
        Verb::Rebase { task, to } => {
            context.person_only()?;
            catch_up::run(context, task, to.as_deref(), CatchUpStyle::Rebase)
        }
        Verb::Remove { task, force, yes } => {
            context.person_only()?;
            removal::remove(context, task, *force, *yes)
        }
    }
}

/// Every task that ever had a workspace of its own, with everything about it.
pub(super) fn all(context: &Context) -> Result<Vec<TaskDetail>, Failure> {
    let reads = context.reads()?;
    let list = reads.tasks(&TaskQuery {
        all: true,
        ..TaskQuery::default()
    })?;
    let with_branch = list.tasks.iter().filter(|t| t.branch.is_some());
    with_branch
        .map(|task| reads.task(&task.id.to_string()))
        .collect()
}

pub(super) fn is_there(detail: &TaskDetail) -> bool {
    let workspace = detail.workspace.as_ref();
    workspace.is_some_and(|w| Utf8Path::new(&w.path).exists())
}

fn list(context: &Context) -> Outcome {
    let p = &context.printer;
    let mut all = all(context)?;
    all.retain(is_there);
    let mut rows = Vec::new();
    let mut json = Vec::new();
    for d in &all {
        let Some(w) = &d.workspace else { continue };
        let bytes = disk_usage(Utf8Path::new(&w.path).as_std_path());
        json.push(serde_json::json!({ "task": d.task.name, "id": d.task.id.to_string(), "state": d.task.state, "path": w.path, "branch": w.branch, "disk_bytes": bytes }));
        rows.push(vec![
            styled(clean(&d.task.name), palette::STRONG),
            cell(d.task.state.word()),
            cell(size(bytes)),
            cell(clean(w.branch.as_deref().unwrap_or_default())),
            styled(clean(&w.path), palette::FAINT),
        ]);
    }
    if context.json {
        p.json(&serde_json::json!({ "longhaul": API_VERSION, "kind": "workspaces", "data": { "workspaces": json } }))?;
    } else if rows.is_empty() {
        p.line("no workspaces")?;
    } else {
        for line in table::lines(p, &["TASK", "STATE", "SIZE", "BRANCH", "PATH"], &rows) {
            p.line(&line)?;
        }
    }
    Ok(ExitCode::Done)
}

fn show(context: &Context, task: &str) -> Outcome {
    let detail = context.reads()?.task(task)?;
    let place = Place::of(context, &detail)?;
    let p = &context.printer;
    let Some(w) = &detail.workspace else {
        return Ok(ExitCode::NotFound);
    };
    if context.json {
        p.json(&serde_json::json!({ "longhaul": API_VERSION, "kind": "workspace", "data": w }))?;
        return Ok(ExitCode::Done);
    }
    let desk = removal::tools(context)?;
    let keeper = removal::keeper(&desk);
    let standing = if place.worktree.branch.is_empty() {
        "never: it is your own folder".to_owned()
    } else {
        let plan = keeper.plan(detail.task.id, Word::Plan);
        removal::standing(plan.map_err(|e| removal::failure(&detail, e))?.as_ref())
    };
    let teardown = keeper
        .torn_down(detail.task.id)
        .map(|t| format!("{}; all of its output: {}", clean(&t.words), t.log));
    for (name, value) in [
        ("task", clean(&detail.task.name)),
        ("path", clean(&w.path)),
        (
            "branch",
            clean(w.branch.as_deref().unwrap_or("none (in place)")),
        ),
        ("starts at", w.start.chars().take(12).collect()),
        ("size", size(disk_usage(&place.worktree.path))),
        ("removal", standing),
        ("teardown", teardown.unwrap_or_default()),
    ] {
        if value.is_empty() {
            continue;
        }
        p.line(&format!(
            "{} {value}",
            p.paint(palette::FAINT, &format!("{name:<10}"))
        ))?;
    }
    Ok(ExitCode::Done)
}

fn diff(context: &Context, task: &str, stat: bool) -> Outcome {
    let detail = context.reads()?.task(task)?;
    let place = Place::of(context, &detail)?;
    let fault = |e| Failure::new("cannot compare").because(e);
    let start = if place.worktree.branch.is_empty() {
        let known = Place::snapshots(context, &detail)?;
        known
            .into_iter()
            .find(|s| s.name == BEFORE_FIRST)
            .map(|s| s.commit)
    } else {
        let start = Oid::parse(place.start.as_bytes()).ok();
        // What was brought in since is nobody's change of this task.
        let since = start.map(|s| place.repo.compared_with(&place.worktree, &s));
        since.transpose().map_err(fault)?
    };
    let start = start.ok_or_else(|| {
        Failure::of(
            ExitCode::NotFound,
            "this workspace has no commit to compare with",
        )
    })?;
    let now = place
        .repo
        .tree_of(&place.worktree, &rules(&detail))
        .map_err(fault)?;
    let p = &context.printer;
    if stat {
        let changes = place.repo.changes(&start, &now).map_err(fault)?;
        p.line(clean(&changes.summary(usize::MAX)).trim_end())?;
        return Ok(ExitCode::Done);
    }
    let text = place
        .repo
        .diff_for_prompt(&start, &now, DIFF_MAX)
        .map_err(fault)?;
    for line in clean(&text.text).lines() {
        let style = match line.as_bytes().first() {
            _ if line.starts_with("diff ")
                || line.starts_with("+++")
                || line.starts_with("---") =>
            {
                palette::STRONG
            }
            Some(b'+') => palette::GOOD,
            Some(b'-') => palette::BAD,
            Some(b'@') => palette::BUSY,
            _ => anstyle::Style::new(),
        };
        p.line(&p.paint(style, line))?;
    }
    Ok(ExitCode::Done)
}

/// `1.4 GB`.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{} kB", bytes / 1_000),
        1_000_000..1_000_000_000 => {
            format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
        }
        _ => format!(
            "{}.{} GB",
            bytes / 1_000_000_000,
            bytes % 1_000_000_000 / 100_000_000
        ),
    }
}
