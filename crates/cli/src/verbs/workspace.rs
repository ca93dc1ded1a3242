//! `longhaul workspace`.

use camino::Utf8Path;
use longhaul_api::{API_VERSION, ExitCode, TaskDetail, TaskQuery};
use longhaul_vcs::{
    FileRules, GcCandidate, Oid, Repo, SnapshotRef, SnapshotRequest, Verdict, Worktree, disk_usage,
};

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
/// work has landed or you let them go; nothing that is not reachable elsewhere is ever removed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longhaul workspace list
  cd \"$(longhaul workspace path parser)\"
  longhaul workspace diff parser | less -R
  longhaul workspace gc            the plan, with the reason for each
  longhaul workspace gc --apply")]
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
    /// What the task changed, uncommitted files included
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
    /// Let one go: its branch stays, a snapshot is made first
    Remove {
        /// The task
        task: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

/// A task's workspace with its repository.
pub(crate) struct Place {
    pub(crate) repo: Repo,
    pub(crate) worktree: Worktree,
    pub(crate) start: String,
}

impl Place {
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
        let worktree = worktree.ok_or_else(|| {
            Failure::of(
                ExitCode::NotFound,
                format!("the workspace of `{name}` is gone: {}", workspace.path),
            )
            .help("its branch is still there; `longhaul retry` makes the workspace anew")
        })?;
        Ok(Self {
            repo: opened,
            worktree,
            start: workspace.start.clone(),
        })
    }

    pub(super) fn candidate(&self, detail: &TaskDetail, released: bool) -> GcCandidate {
        let base = detail.spec.base.as_deref().unwrap_or_default();
        GcCandidate {
            worktree: self.worktree.clone(),
            open_attempt: !detail.task.state.is_final(),
            released,
            landed_in: if base.is_empty() {
                Vec::new()
            } else {
                vec![format!("refs/heads/{base}")]
            },
            files: rules(detail),
        }
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
            gc(context, *apply)
        }
        Verb::Remove { task, yes } => {
            context.person_only()?;
            remove(context, task, *yes)
        }
    }
}

/// Every task that ever had a workspace of its own, with everything about it.
pub(crate) fn all(context: &Context) -> Result<Vec<TaskDetail>, Failure> {
    let reads = context.reads()?;
    let list = reads.tasks(&TaskQuery {
        all: true,
        ..TaskQuery::default()
    })?;
    let mut out = Vec::new();
    for task in list.tasks.iter().filter(|t| t.branch.is_some()) {
        let detail = reads.task(&task.id.to_string())?;
        let there = detail
            .workspace
            .as_ref()
            .is_some_and(|w| Utf8Path::new(&w.path).exists());
        if there {
            out.push(detail);
        }
    }
    Ok(out)
}

fn list(context: &Context) -> Outcome {
    let p = &context.printer;
    let all = all(context)?;
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
    let verdict = place.repo.gc_plan(&[place.candidate(&detail, false)]);
    for (name, value) in [
        ("task", clean(&detail.task.name)),
        ("path", clean(&w.path)),
        (
            "branch",
            clean(w.branch.as_deref().unwrap_or("none (in place)")),
        ),
        ("starts at", w.start.chars().take(12).collect()),
        ("size", size(disk_usage(&place.worktree.path))),
        (
            "removal",
            verdict
                .first()
                .map(|v| reason(&v.verdict))
                .unwrap_or_default(),
        ),
    ] {
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
    let start = Oid::parse(place.start.as_bytes()).map_err(|_| {
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

fn gc(context: &Context, apply: bool) -> Outcome {
    let p = &context.printer;
    let mut freed = 0;
    let mut json = Vec::new();
    for detail in &all(context)? {
        let Ok(place) = Place::of(context, detail) else {
            continue;
        };
        let candidate = place.candidate(detail, false);
        for verdict in place.repo.gc_plan(std::slice::from_ref(&candidate)) {
            let safe = matches!(verdict.verdict, Verdict::Safe { .. });
            json.push(serde_json::json!({
                "task": detail.task.name, "path": verdict.path, "disk_bytes": verdict.disk_bytes,
                "safe": safe, "because": reason(&verdict.verdict),
            }));
            if !context.json {
                let (sign, style) = if safe {
                    ("✓", palette::GOOD)
                } else {
                    ("●", palette::FAINT)
                };
                p.line(&format!(
                    "{} {}  {}  {}",
                    p.paint(style, sign),
                    p.paint(palette::STRONG, &clean(&detail.task.name)),
                    p.paint(palette::FAINT, &size(verdict.disk_bytes)),
                    clean(&reason(&verdict.verdict))
                ))?;
            }
            if safe && apply {
                take_away(&place, detail, &candidate)?;
            }
            if safe {
                freed += verdict.disk_bytes;
            }
        }
    }
    if context.json {
        p.json(&serde_json::json!({ "longhaul": API_VERSION, "kind": "gc_plan", "data": { "applied": apply, "workspaces": json } }))?;
    } else if apply {
        p.line(&format!("freed {}", size(freed)))?;
    } else if freed > 0 {
        p.line(&format!(
            "{} could be freed; `longhaul workspace gc --apply` does",
            size(freed)
        ))?;
    } else {
        p.line("nothing to remove")?;
    }
    Ok(ExitCode::Done)
}

fn remove(context: &Context, task: &str, yes: bool) -> Outcome {
    let detail = context.reads()?.task(task)?;
    let place = Place::of(context, &detail)?;
    let branch = &place.worktree.branch;
    if branch.is_empty() {
        return Err(Failure::usage(
            "in-place work has no workspace of its own to remove",
        ));
    }
    let question = format!(
        "Remove {}? The branch {branch} stays.",
        place.worktree.path.display()
    );
    if !yes && !context.printer.confirm(&question, "--yes")? {
        context.printer.say("nothing was changed");
        return Ok(ExitCode::Cancelled);
    }
    take_away(&place, &detail, &place.candidate(&detail, true))?;
    context
        .printer
        .line(&format!("removed; all of it stays on the branch {branch}"))?;
    Ok(ExitCode::Done)
}

pub(super) fn take_away(
    place: &Place,
    detail: &TaskDetail,
    candidate: &GcCandidate,
) -> Result<(), Failure> {
    let prefix = format!("{SNAPSHOTS}/{}", detail.task.id);
    let known = place
        .repo
        .snapshots(&prefix)
        .map_err(|e| Failure::new("cannot list the snapshots").because(e))?;
    let next = SnapshotRef::next_by_order(&known);
    let snapshot = SnapshotRequest {
        reference: format!("{prefix}/{next}"),
        reason: "before removal".to_owned(),
        files: rules(detail),
    };
    place
        .repo
        .remove_workspace(candidate, &snapshot, false)
        .map(drop)
        .map_err(|e| {
            Failure::of(
                ExitCode::Conflict,
                format!(
                    "the workspace of `{}` was not removed",
                    clean(&detail.task.name)
                ),
            )
            .because(e)
            .help(format!(
                "`longhaul workspace diff {}` shows what is in it",
                clean(&detail.task.name)
            ))
        })
}

fn reason(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Safe { because } => format!("safe because {because}"),
        Verdict::Kept { because } => format!("kept because {because}"),
    }
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
