//! What a session did outside its workspace: the user's checkout, git's settings (`settings`) and all
//! refs (`refs`) are marked before a turn and compared after it (L4, L20).

use std::fs;
use std::path::Path;

use camino::Utf8PathBuf;
use longhaul_core::ids::SpawnKey;
use longhaul_core::spec::{TaskSpec, WorkspaceKind};
use longhaul_hosts::{ConfinementLevel, JobIdentity, JobLog, Stream};
use longhaul_vcs::{CheckoutMark, Difference, Repo};
use serde::{Deserialize, Serialize};

use super::super::desk::chain;
use super::super::files::write_aside;
use super::super::trouble::Trouble;
use super::super::{Desk, prepare};
use super::blame::Suspect;
use super::mention::{Search, Wanted};
use super::{refs, settings};
use crate::machine::Dispatch;

/// What is noted of a repository before a session starts.
#[derive(Serialize, Deserialize)]
struct Mark {
    /// Of work in a worktree only: what is done in place is done to the checkout.
    #[serde(flatten)]
    checkout: Option<CheckoutMark>,
    /// The record of git's settings that the session entered, if it can reach them.
    #[serde(default)]
    settings: Option<String>,
}

/// Notes how the user's checkout, git's settings and all refs look before the session starts.
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
    let made = path.parent().map_or(Ok(()), |folder| {
        longhaul_acts::files::create_dir_all("engine.mark.folder", folder)
    });
    made.map_err(|e| format!("cannot make the folder of {path}: {e}"))?;
    let key = SpawnKey::session(d.effect.task, d.effect.fence);
    let reached = settings::within_reach(spec);
    let checkout = match spec.workspace {
        WorkspaceKind::Worktree => Some(repo.mark_checkout().map_err(|e| chain(&e))?),
        WorkspaceKind::InPlace => None,
    };
    let mark = Mark {
        checkout,
        settings: reached.then(|| settings::name_of(&repo)),
    };
    let bytes = serde_json::to_vec(&mark).map_err(|e| e.to_string())?;
    let failed = |e: std::io::Error| format!("cannot write {path}: {e}");
    // All three wait for the disk at the same time. The mark gets its name last: once it is there, nothing
    // is marked again.
    let aside = std::thread::scope(|scope| {
        let entered = scope.spawn(|| match reached {
            true => settings::enter(desk, &key, &repo).map(|_| ()),
            false => Ok(()),
        });
        let listed = scope.spawn(|| refs::mark(desk, d, &repo));
        let aside = write_aside(&path, &bytes).map_err(failed);
        for done in [entered, listed] {
            done.join()
                .unwrap_or_else(|_| Err("marking broke".to_owned()))?;
        }
        aside
    })?;
    aside.publish().map_err(failed)
}

fn mark_path(desk: &Desk, d: &Dispatch) -> Utf8PathBuf {
    desk.dirs
        .task(d.effect.task)
        .join(format!("mark-{}.json", d.effect.fence))
}

fn read_mark(desk: &Desk, d: &Dispatch) -> Option<Mark> {
    let bytes = fs::read(mark_path(desk, d)).ok()?;
    serde_json::from_slice(&bytes)
        .map_err(|error| tracing::warn!(task = %d.effect.task, %error, "the mark is unreadable"))
        .ok()
}

/// Puts git's settings back where the session could reach them (L20).
pub(super) fn restore_settings(desk: &Desk, d: &Dispatch) -> Result<(), Trouble> {
    let key = SpawnKey::session(d.effect.task, d.effect.fence);
    match read_mark(desk, d).and_then(|mark| mark.settings) {
        Some(name) => settings::leave(desk, d.effect.task, &key, &name).map(|_| ()),
        None => Ok(()),
    }
}

/// Whether the kernel kept the session from all of git but its own part. In-place work has it all within
/// reach.
pub(super) fn was_confined(desk: &Desk, d: &Dispatch) -> bool {
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

fn session(d: &Dispatch) -> Suspect {
    let key = SpawnKey::session(d.effect.task, d.effect.fence);
    Suspect::of(d.effect.task, &key)
}

/// What was found of the session's doing in git's settings and refs, by whoever looked.
pub(super) fn told(desk: &Desk, d: &Dispatch) -> Vec<String> {
    session(d).told(desk)
}

/// What is to be told of the session: what it did to git's settings and to other tasks' refs, and changes
/// of the user's checkout that its tool calls name; other changes are the user's own (L4).
pub(super) fn trespasses(
    desk: &Desk,
    d: &Dispatch,
    spec: &TaskSpec,
    repo: &Repo,
) -> Result<Vec<String>, Trouble> {
    let mut found = told(desk, d);
    let Some(before) = read_mark(desk, d).and_then(|mark| mark.checkout) else {
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
