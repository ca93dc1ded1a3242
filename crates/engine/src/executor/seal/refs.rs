//! Refs that a session had no business with (L4): all are listed before its turn and compared after it.
//! A branch of another task stands at its sealed commit, or goes back there; what is the user's, or is
//! shown to be a person's doing, is noted and left alone.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_core::ids::SpawnKey;
use longhaul_core::spec::TaskSpec;
use longhaul_core::task::Task;
use longhaul_store::TaskFilter;
use longhaul_vcs::{Oid, PutBack, RefChange, RefList, Repo, Worktree};

use super::super::Desk;
use super::super::desk::chain;
use super::super::files::write_whole;
use super::super::trouble::Trouble;
use super::blame::{Suspect, others, shown};
use crate::machine::Dispatch;

/// Newest tasks whose branches are known.
const LOOK_BACK: usize = 10_000;
/// A snapshot of a task that ended longer ago may be gone because its retention time was over; put back
/// by mistake it would only be pruned once more.
const PRUNED_AFTER_MS: u64 = 24 * 60 * 60 * 1_000;
/// Where all refs of Longhaul's own are.
const OWN: &str = "refs/longhaul/";
/// Where the merge queue keeps its candidates.
const PINS: &str = "refs/longhaul/queue/";

/// Notes all refs before a session starts.
pub(super) fn mark(desk: &Desk, d: &Dispatch, repo: &Repo) -> Result<(), String> {
    if repo.is_plain() {
        // It has no refs but ours, which no session may reach: nothing to compare later.
        return Ok(());
    }
    let refs = repo.list_refs().map_err(|e| chain(&e))?;
    let file = file(desk, d);
    write_whole(&file, refs.to_text().as_bytes()).map_err(|e| format!("cannot write {file}: {e}"))
}

fn file(desk: &Desk, d: &Dispatch) -> Utf8PathBuf {
    let folder = desk.dirs.task(d.effect.task);
    folder.join(format!("refs-{}", d.effect.fence))
}

/// One comparison.
struct Watch<'a> {
    desk: &'a Desk,
    d: &'a Dispatch,
    spec: &'a TaskSpec,
    repo: &'a Repo,
    after: &'a RefList,
    /// The kernel kept the session to the branches of Longhaul's prefix.
    confined: bool,
    before: RefList,
    branches: OnceCell<BTreeMap<String, Task>>,
}

/// Puts back what was moved of other tasks while the session was at work. What is to be told of whom is
/// in its notes afterwards.
pub(super) fn put_back(
    desk: &Desk,
    d: &Dispatch,
    spec: &TaskSpec,
    repo: &Repo,
    confined: bool,
) -> Result<(), Trouble> {
    let Ok(text) = fs::read_to_string(file(desk, d)) else {
        return Ok(());
    };
    let before = RefList::from_text(&text);
    let after = repo.list_refs()?;
    let watch = Watch {
        desk,
        d,
        spec,
        repo,
        confined,
        after: &after,
        before,
        branches: OnceCell::new(),
    };
    for change in watch.before.changes(watch.after) {
        watch.judge(&change)?;
    }
    Ok(())
}

/// Brings the task's own branch back to its session's last commit, if somebody else moved it elsewhere.
pub(super) fn put_own_back(
    desk: &Desk,
    d: &Dispatch,
    spec: &TaskSpec,
    repo: &Repo,
    worktree: &Worktree,
) -> Result<(), Trouble> {
    let Some(change) = repo.moved_from_outside(worktree)? else {
        return Ok(());
    };
    let suspects = others(desk, &spec.repo, d.effect.task)?;
    let thing = change.name.trim_start_matches("refs/heads/");
    let named = suspects.iter().filter(|s| s.output(desk).contains(thing));
    for suspect in named {
        suspect.note(desk, &moved(&change, "put back"))?;
    }
    let to = change.stood_at();
    tracing::warn!(task = %d.effect.task, ?change, "the branch was moved from outside its workspace");
    restore(
        repo,
        &change,
        to.as_ref(),
        d.effect.task.to_string().as_str(),
    )
    .map(|_| ())
}

impl Watch<'_> {
    fn judge(&self, change: &RefChange) -> Result<(), Trouble> {
        if let Some(branch) = change.name.strip_prefix("refs/heads/")
            && branch.starts_with(&format!("{}/", self.desk.practice.branch_prefix))
        {
            return self.branch(change, branch);
        }
        if self.confined {
            // The kernel kept the session from it.
            return Ok(());
        }
        let own = format!(
            "refs/longhaul/snap/{}/{}",
            self.d.effect.task, self.d.effect.fence
        );
        if change.name.starts_with("refs/replace/") {
            return self.undo(change, change.stood_at().as_ref(), "replace");
        }
        if !change.name.starts_with(OWN) {
            tracing::info!(task = %self.d.effect.task, ?change, "a ref of the user's, left alone");
            return Ok(());
        }
        if change.name.starts_with(PINS) {
            // The merge queue pins its next candidate there, whatever the last one was.
            return Ok(());
        }
        // What has landed only grows. A snapshot that is made again holds the one before; a new one is somebody's seal.
        let (Some(old), false) = (change.stood_at(), change.name == own) else {
            return Ok(());
        };
        if self.grew(&old, change)? || self.is_over(&change.name) {
            return Ok(());
        }
        self.undo(change, Some(&old), "snapshots")
    }

    /// A branch under Longhaul's prefix.
    fn branch(&self, change: &RefChange, branch: &str) -> Result<(), Trouble> {
        let own = self.d.task.carry.workspace.as_ref();
        if own.and_then(|w| w.branch.as_deref()) == Some(branch) {
            return Ok(());
        }
        let Some(victim) = self.owners()?.get(branch) else {
            tracing::info!(task = %self.d.effect.task, ?change, "a branch of nobody's, left alone");
            return Ok(());
        };
        // Where its own session is at work the end of that turn judges.
        if victim.state.word().is_active() {
            return Ok(());
        }
        let sealed = victim.attempt.as_ref().and_then(|a| a.sealed.as_ref());
        let sealed = sealed
            .filter(|s| s.branch_problem.is_none())
            .and_then(|s| s.commit.parse::<Oid>().ok());
        let Some(to) = sealed.or_else(|| change.stood_at()) else {
            return Ok(());
        };
        if change.after.as_deref() == Some(to.as_str()) {
            return Ok(());
        }
        let ours = victim.carry.workspace.as_ref().map(|w| w.path.as_str());
        if self.was_ordered(victim)
            || self.repo.is_by_a_person(
                change,
                Utf8Path::new(ours.unwrap_or_default()).as_std_path(),
            )?
        {
            tracing::info!(task = %self.d.effect.task, ?change, "a person's doing, left alone");
            return Ok(());
        }
        self.undo(change, Some(&to), &victim.id.to_string())
    }

    /// A person's order (`undo`, `workspace remove`) snapshots first, where no confined session can
    /// write.
    fn was_ordered(&self, victim: &Task) -> bool {
        let prefix = format!("refs/longhaul/snap/{}/", victim.id);
        self.before.changes(self.after).iter().any(|c| {
            c.before.is_none()
                && c.name
                    .strip_prefix(&prefix)
                    .is_some_and(|n| n.contains('.'))
        })
    }

    fn grew(&self, old: &Oid, change: &RefChange) -> Result<bool, Trouble> {
        match change.stands_at() {
            Some(new) => Ok(self.repo.is_ancestor(old, &new)?),
            None => Ok(false),
        }
    }

    /// A snapshot of a task that ended long enough ago for its time to be up.
    fn is_over(&self, name: &str) -> bool {
        let id = name.split('/').nth(3).and_then(|id| id.parse().ok());
        let stored = id.map(|id| self.desk.read(|r| r.task(id)));
        let ended = match stored {
            Some(Ok(Some(stored))) => stored.final_at,
            _ => None,
        };
        ended.is_some_and(|at| self.desk.now().since(at).0 > PRUNED_AFTER_MS)
    }

    fn owners(&self) -> Result<&BTreeMap<String, Task>, Trouble> {
        if let Some(known) = self.branches.get() {
            return Ok(known);
        }
        let filter = TaskFilter {
            repo: Some(self.spec.repo.to_string()),
            limit: LOOK_BACK,
            ..TaskFilter::default()
        };
        let listed = self
            .desk
            .read(|r| r.list(&filter))
            .map_err(|error| Trouble {
                detail: format!("the tasks cannot be read: {error}"),
                transient: true,
            })?;
        let known = listed.into_iter().filter_map(|stored| {
            let branch = stored.task.carry.workspace.as_ref()?.branch.clone()?;
            Some((branch, stored.task))
        });
        Ok(self.branches.get_or_init(|| known.collect()))
    }

    /// Tells it of whoever is shown, then undoes it.
    fn undo(&self, change: &RefChange, to: Option<&Oid>, of: &str) -> Result<(), Trouble> {
        let key = SpawnKey::session(self.d.effect.task, self.d.effect.fence);
        let mut suspects = others(self.desk, &self.spec.repo, self.d.effect.task)?;
        suspects.push(Suspect::of(self.d.effect.task, &key));
        let thing = change.name.trim_start_matches("refs/heads/");
        let culprits = shown(self.desk, &suspects, thing);
        for culprit in &culprits {
            culprit.note(self.desk, &moved(change, "put back"))?;
        }
        tracing::warn!(task = %self.d.effect.task, ?change, shown = culprits.len(), "a ref was moved");
        if let Some(why) = restore(self.repo, change, to, of)? {
            for culprit in &culprits {
                culprit.note(self.desk, &moved(change, &format!("not put back: {why}")))?;
            }
        }
        Ok(())
    }
}

/// Puts a ref back; gives git's reason if it refused.
fn restore(
    repo: &Repo,
    change: &RefChange,
    to: Option<&Oid>,
    of: &str,
) -> Result<Option<String>, Trouble> {
    let at = change.stands_at().map(|oid| oid.to_string());
    let kept = format!("{OWN}displaced/{of}/{}", at.unwrap_or_default());
    match repo.put_ref_back(change, to, &kept)? {
        PutBack::Done { .. } => Ok(None),
        PutBack::Moved => Err(Trouble {
            detail: format!("{} moves while it is put back", change.name),
            transient: true,
        }),
        PutBack::Refused { why } => Ok(Some(why)),
    }
}

/// What happened to a ref, in words.
fn moved(change: &RefChange, then: &str) -> String {
    let short = |value: &Option<String>| match value {
        None => "nothing".to_owned(),
        Some(value) => value.chars().take(10).collect(),
    };
    let name = change.name.trim_start_matches("refs/heads/");
    format!(
        "{name} was moved from {} to {} ({then})",
        short(&change.before),
        short(&change.after)
    )
}
