//! The worktree and branch of a task: where it starts, and making or finding it.

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_core::fact::WorkspaceFault;
use longhaul_core::spec::TaskSpec;
use longhaul_core::task::{StateWord, Task, WorkspaceRef};
use longhaul_vcs::{ErrorClass, IncludeLimits, Made, Oid, Repo, StartPoint, WorkspacePlan};

use super::super::desk::chain;
use super::super::{Desk, leftovers};
use super::fault::{Fault, ensure_fault};
use super::files::{remember_placed, rules};
use super::setup::{forget_setup, known_tree};
use super::{Prepared, drift, oid, rework};
use crate::machine::Dispatch;

pub(super) fn worktree(desk: &Desk, d: &Dispatch, spec: &TaskSpec) -> Result<Prepared, Fault> {
    let task = &d.task;
    let repo = open(desk, &spec.repo)?;
    let (base, start, conflict) = match &task.carry.workspace {
        Some(known) => (oid(&known.base)?, oid(&known.start)?, None),
        None => start_point(desk, &repo, task, spec)?,
    };
    let practice = desk.practice_of(&spec.repo).map_err(|why| {
        Fault::new(
            WorkspaceFault::Permanent,
            why,
            "mend the repository's `.longhaul` files, then `longhaul retry`",
        )
    })?;
    let (path, branch) = match &task.carry.workspace {
        Some(known) => (
            Utf8PathBuf::from(&known.path),
            known.branch.clone().unwrap_or_default(),
        ),
        None => (
            desk.dirs
                .workspaces()
                .join(format!("{}-{}", folder_name(&spec.repo), repo.short_hash()))
                .join(format!("{}-{}", spec.name, task.id.short())),
            format!(
                "{}/{}-{}",
                practice.branch_prefix,
                spec.name,
                task.id.short()
            ),
        ),
    };
    let restore = match &task.carry.snapshot {
        Some(name) => repo.ref_commit(name).map_err(|e| Fault::git(&e))?,
        None => None,
    };
    if !path.is_dir() {
        // Before it is made: whoever dies in between must not find it set up.
        forget_setup(desk, d).map_err(|e| Fault::io("cannot note the set-up", &e))?;
    }
    let plan = WorkspacePlan {
        path: path.clone().into_std_path_buf(),
        branch: branch.clone(),
        base: start.clone(),
        lock_reason: format!("longhaul task {}", task.id),
        restore,
    };
    let ensured = repo
        .ensure_worktree(&plan)
        .map_err(|error| ensure_fault(&error))?;
    for note in &ensured.notes {
        tracing::info!(task = %task.id, ?note, "workspace");
    }
    let placed = repo
        .place_included(&ensured.worktree, &base, IncludeLimits::default())
        .map_err(|e| Fault::git(&e))?;
    if !placed.not_placed.is_empty() || placed.over_limit {
        tracing::warn!(task = %task.id, not_placed = placed.not_placed.len(), over_limit = placed.over_limit, ".worktreeinclude");
    }
    remember_placed(desk, task.id, &placed.files)
        .map_err(|error| Fault::io("cannot note the placed files", &error))?;
    if ensured.made != Made::Existing {
        forget_setup(desk, d).map_err(|e| Fault::io("cannot note the set-up", &e))?;
    }
    let workspace = WorkspaceRef {
        path: path.into_string(),
        branch: Some(branch),
        base: base.to_string(),
        start: start.to_string(),
        start_tree: start.to_string(),
        port_base: task.carry.workspace.as_ref().and_then(|w| w.port_base),
    };
    // What the checks of the attempt before left is neither the agent's work nor a person's.
    let gone = leftovers::clear_before(desk, d, spec, &workspace)
        .map_err(|trouble| Fault::trouble(trouble, "look at the workspace"))?;
    let drift = match known_tree(desk, d, spec) {
        Some(end) if ensured.made == Made::Existing && !rework::is_begun(desk, d) => {
            let files = rules(desk, spec, task.id);
            drift(&repo, &ensured.worktree, &files, &end, &gone)?
        }
        _ => None,
    };
    // Not before somebody has looked at the drift.
    let tree = match drift {
        Some(_) => None,
        None => rework::begin(desk, d, spec, &repo, &ensured.worktree)?,
    };
    Ok(Prepared {
        workspace,
        drift,
        conflict,
        tree,
    })
}

/// Base, commit to start from, and the report of a conflict between dependencies (T3).
fn start_point(
    desk: &Desk,
    repo: &Repo,
    task: &Task,
    spec: &TaskSpec,
) -> Result<(Oid, Oid, Option<String>), Fault> {
    let base = match &spec.base {
        Some(branch) => repo.resolve(branch),
        None => repo
            .current_branch()
            .and_then(|branch| repo.resolve(&branch)),
    }
    .map_err(|error| Fault::new(WorkspaceFault::Permanent, chain(&error), error.remedy()))?;
    let base = landed(repo, spec, base)?;
    let mut results = Vec::new();
    for dep in &task.terms.depends_on {
        let stored = desk.read(|r| r.task(*dep)).map_err(|e| {
            Fault::new(
                WorkspaceFault::Transient,
                e.to_string(),
                "see `longhaul doctor`",
            )
        })?;
        let Some(stored) = stored.filter(|s| s.task.terms.repo == task.terms.repo) else {
            continue;
        };
        debug_assert_eq!(
            stored.task.state.word(),
            StateWord::Done,
            "a dependency is done"
        );
        let commit = stored.task.attempt.and_then(|a| a.sealed).map(|s| s.commit);
        if let Some(commit) = commit.filter(|c| !c.is_empty()) {
            results.push(oid(&commit)?);
        }
    }
    match repo
        .merge_bases_for_start(&base, &results)
        .map_err(|e| Fault::git(&e))?
    {
        StartPoint::Commit(start) => Ok((base, start, None)),
        StartPoint::Conflict {
            merged,
            with,
            report,
            ..
        } => {
            let report = format!("git merge {with}\n\n{report}");
            Ok((base, merged, Some(report)))
        }
    }
}

/// What has landed where the merge queue was used: new work goes on from there (L8). Only while it holds
/// all of base: what the user committed beside it is merged by the queue's next round.
fn landed(repo: &Repo, spec: &TaskSpec, base: Oid) -> Result<Oid, Fault> {
    let Some(branch) = &spec.base else {
        return Ok(base);
    };
    let fault = |e: longhaul_vcs::QueueError| {
        Fault::new(WorkspaceFault::Transient, chain(&e), "see `longhaul queue`")
    };
    let Some(tip) = repo.queue(branch).tip().map_err(fault)? else {
        return Ok(base);
    };
    let holds = repo
        .is_ancestor(&base, &tip.commit)
        .map_err(|e| Fault::git(&e))?;
    Ok(if holds { tip.commit } else { base })
}

fn open(desk: &Desk, path: &Utf8Path) -> Result<Repo, Fault> {
    desk.repo(path).map_err(|error| {
        let fault = match error.class() {
            ErrorClass::Transient => WorkspaceFault::Transient,
            ErrorClass::Permanent => WorkspaceFault::Permanent,
        };
        Fault::new(fault, chain(&error), error.remedy())
    })
}

fn folder_name(repo: &Utf8Path) -> String {
    let name = repo.file_name().unwrap_or("repo");
    let clean: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') {
                c
            } else {
                '-'
            }
        })
        .take(40)
        .collect();
    clean.trim_start_matches('.').to_owned()
}
