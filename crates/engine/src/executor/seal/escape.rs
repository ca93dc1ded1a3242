//! What a session did outside its workspace: the user's checkout and git's settings are marked before
//! a turn and compared after it (L4, L20).

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use camino::Utf8PathBuf;
use longhaul_core::ids::SpawnKey;
use longhaul_core::spec::{TaskSpec, WorkspaceKind};
use longhaul_hosts::{ConfinementLevel, JobIdentity, JobLog, Stream};
use longhaul_vcs::{CheckoutMark, Difference, Repo};

use super::super::desk::chain;
use super::super::files::write_whole;
use super::super::trouble::Trouble;
use super::super::{Desk, prepare};
use super::mention::{Search, Wanted};
use crate::machine::Dispatch;

/// Notes how the user's checkout and git's settings look before the session starts.
pub(in crate::executor) fn mark(desk: &Desk, d: &Dispatch, spec: &TaskSpec) -> Result<(), String> {
    let path = mark_path(desk, d);
    if path.exists() {
        return Ok(());
    }
    let repo = match spec.workspace {
        WorkspaceKind::Worktree => desk.repo(&spec.repo).map_err(|e| chain(&e))?,
        WorkspaceKind::InPlace => {
            prepare::in_place_repo_of(desk, &spec.repo)
                .map_err(|t| t.detail)?
                .0
        }
    };
    let mark = repo.mark_checkout().map_err(|e| chain(&e))?;
    let bytes = serde_json::to_vec(&mark).map_err(|e| e.to_string())?;
    let made = path.parent().map_or(Ok(()), |folder| {
        longhaul_acts::files::create_dir_all("engine.mark.folder", folder)
    });
    made.and_then(|()| write_whole(&path, &bytes))
        .map_err(|e| format!("cannot write {path}: {e}"))
}

fn mark_path(desk: &Desk, d: &Dispatch) -> Utf8PathBuf {
    desk.dirs
        .task(d.effect.task)
        .join(format!("mark-{}.json", d.effect.fence))
}

fn read_mark(desk: &Desk, d: &Dispatch) -> Option<CheckoutMark> {
    let bytes = fs::read(mark_path(desk, d)).ok()?;
    serde_json::from_slice(&bytes)
        .map_err(|error| tracing::warn!(task = %d.effect.task, %error, "the mark is unreadable"))
        .ok()
}

/// Puts git's settings back and names what was changed (L20). Before anything else: a repository whose
/// settings were turned against it cannot even be opened. What is put back is noted first, so that a
/// second run after a crash, which finds all as it was, still tells of it.
pub(super) fn restored(desk: &Desk, d: &Dispatch) -> Result<Vec<String>, Trouble> {
    if could_not_reach_git_settings(desk, d) {
        return Ok(vec![]);
    }
    let Some(before) = read_mark(desk, d) else {
        return Ok(vec![]);
    };
    let notes = desk
        .dirs
        .task(d.effect.task)
        .join(format!("restored-{}.json", d.effect.fence));
    let mut told: BTreeSet<String> = fs::read(&notes)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let changed = before.guarded_changes()?;
    if !changed.is_empty() {
        told.extend(changed.iter().map(ToString::to_string));
        serde_json::to_vec(&told)
            .map_err(io::Error::from)
            .and_then(|bytes| write_whole(&notes, &bytes))
            .map_err(|error| Trouble {
                detail: format!("cannot write {notes}: {error}"),
                transient: true,
            })?;
        before
            .restore_guarded()
            .map_err(|e| Trouble::for_good(chain(&e)))?;
    }
    if told.is_empty() {
        return Ok(vec![]);
    }
    let all: Vec<String> = told.into_iter().collect();
    Ok(vec![format!(
        "in the git folder (put back): {}",
        all.join(", ")
    )])
}

/// Whether the kernel kept the session from git's settings: what changed there meanwhile is the user's
/// own doing (`git remote add`, `git push -u`) and left alone (L4). In-place work has them within reach.
fn could_not_reach_git_settings(desk: &Desk, d: &Dispatch) -> bool {
    let in_worktree = d
        .task
        .carry
        .workspace
        .as_ref()
        .is_some_and(|w| w.branch.is_some());
    let key = SpawnKey::session(d.effect.task, d.effect.fence);
    let record = desk.dirs.jobs().join(key.as_str()).join("identity.json");
    let confinement = fs::read(record)
        .ok()
        .and_then(|bytes| serde_json::from_slice::<JobIdentity>(&bytes).ok())
        .and_then(|identity| identity.confinement);
    in_worktree && matches!(confinement, Some(ConfinementLevel::Landlock { .. }))
}

/// What the session did outside its workspace: git's settings (put back), and changes of the user's
/// checkout that its tool calls name; other changes are the user's own (L4).
pub(super) fn trespasses(
    desk: &Desk,
    d: &Dispatch,
    spec: &TaskSpec,
    repo: &Repo,
    put_back: Vec<String>,
) -> Result<Vec<String>, Trouble> {
    let mut found = put_back;
    let Some(before) = read_mark(desk, d) else {
        return Ok(found);
    };
    let after = repo.mark_checkout()?;
    let differences = before.compare(&after);
    if differences.is_empty() {
        return Ok(found);
    }
    let named = names_checkout(desk, d, spec, repo);
    for difference in differences {
        let words = match &difference {
            Difference::Guarded { .. } => continue,
            Difference::Head { .. } => "HEAD of your checkout moved".to_owned(),
            Difference::Index => "the index of your checkout changed".to_owned(),
            Difference::TrackedFile { path } => format!("{path} in your checkout changed"),
        };
        if named {
            found.push(words);
        } else {
            tracing::info!(task = %d.effect.task, %words, "not by the session, left alone");
        }
    }
    Ok(found)
}

/// Whether the session's output names the user's checkout, or something in it, by any name of it (not as
/// the beginning of the workspace's path).
fn names_checkout(desk: &Desk, d: &Dispatch, spec: &TaskSpec, repo: &Repo) -> bool {
    let key = SpawnKey::session(d.effect.task, d.effect.fence);
    let bundle = desk.dirs.jobs().join(key.as_str());
    let workdir = d.task.carry.workspace.as_ref().map_or_else(
        || spec.repo.clone(),
        |workspace| super::super::shell::workdir(spec, workspace),
    );
    let own = [
        desk.dirs.state.clone().into_std_path_buf(),
        repo.checkout().join(".git/worktrees"),
    ];
    let folder = repo
        .checkout()
        .canonicalize()
        .unwrap_or_else(|_| repo.checkout().to_owned());
    let mut search = Search::new(Wanted {
        folder: &folder,
        own: &own,
        workdir: workdir.as_std_path(),
        home: spec.caller_env.get("HOME").map(Path::new),
    });
    let found = [Stream::Out, Stream::Err].into_iter().any(|stream| {
        let log = JobLog::new(bundle.as_std_path(), stream);
        search.in_log(&log).unwrap_or_else(|error| {
            tracing::warn!(task = %d.effect.task, %error, "a session's output cannot be read for the escape check");
            false
        })
    });
    if search.cut_short {
        tracing::warn!(task = %d.effect.task, "more names than are looked up: not all of the output was part of the escape check");
    }
    found
}
