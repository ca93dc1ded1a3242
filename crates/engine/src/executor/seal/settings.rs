//! Git's settings of a repository as they were when nobody who could change them was at work: one
//! record per repository, whoever works in it (L20). A job that the kernel does not keep from them enters
//! the record before it starts and leaves it when it has ended; each that leaves compares and puts back.
//! The settings are read anew only when the record is empty, so what one plants while another starts
//! never becomes what is known as good.

use std::collections::BTreeSet;
use std::fs;

use camino::Utf8PathBuf;
use longhaul_core::ids::{SpawnKey, TaskId};
use longhaul_core::spec::{Permission, Sandbox, TaskSpec, WorkspaceKind};
use longhaul_hosts::ConfinementLevel;
use longhaul_vcs::{Repo, SettingsMark};
use serde::{Deserialize, Serialize};

use super::super::desk::chain;
use super::super::files::write_whole;
use super::super::trouble::Trouble;
use super::super::{Desk, lock};
use super::blame::Suspect;

/// What is known as good, and who could change it just now.
#[derive(Serialize, Deserialize)]
struct Record {
    settings: SettingsMark,
    /// Keys of jobs.
    open: BTreeSet<String>,
}

/// Whether the jobs of a task can reach git's settings. An agent with a sandbox of its own (`plan`) is
/// not kept by ours.
pub(in crate::executor) fn within_reach(spec: &TaskSpec) -> bool {
    spec.sandbox == Sandbox::Off
        || spec.workspace == WorkspaceKind::InPlace
        || spec.permission == Permission::Plan
        || longhaul_hosts::confinement_support() == ConfinementLevel::None
}

/// The name of a repository's record.
pub(in crate::executor) fn name_of(repo: &Repo) -> String {
    repo.short_hash()
}

/// A job that can reach them starts. Gives the name of the record, for [`leave`]. Repeating it is
/// harmless.
pub(in crate::executor) fn enter(
    desk: &Desk,
    key: &SpawnKey,
    repo: &Repo,
) -> Result<String, String> {
    let name = name_of(repo);
    let file = record(desk, &name);
    let _one = lock(&desk.settings);
    let known = read(&file).map(|mut known| {
        known
            .open
            .retain(|key| Suspect::at_work(desk, key).is_some());
        known
    });
    let mut known = match known.filter(|known| !known.open.is_empty()) {
        Some(known) => known,
        None => Record {
            settings: repo.mark_settings().map_err(|e| chain(&e))?,
            open: BTreeSet::new(),
        },
    };
    known.open.insert(key.to_string());
    write(&file, &known).map_err(|e| format!("cannot write {file}: {e}"))?;
    Ok(name)
}

/// A job has ended: puts back what was changed while it was at work, and gives what is to be told of it.
/// Before anything else: a repository whose settings were turned against it cannot even be opened.
pub(in crate::executor) fn leave(
    desk: &Desk,
    task: TaskId,
    key: &SpawnKey,
    name: &str,
) -> Result<Vec<String>, Trouble> {
    let me = Suspect::of(task, key);
    let file = record(desk, name);
    let _one = lock(&desk.settings);
    let Some(mut known) = read(&file).filter(|known| known.open.contains(key.as_str())) else {
        return Ok(me.told(desk));
    };
    let changed = known.settings.changes()?;
    if !changed.is_empty() {
        let paths: Vec<String> = changed.iter().map(ToString::to_string).collect();
        let words = format!("in the git folder (put back): {}", paths.join(", "));
        let mut suspects: BTreeSet<Suspect> = known
            .open
            .iter()
            .filter_map(|key| Suspect::at_work(desk, key))
            .collect();
        suspects.insert(me.clone());
        let folder = known.settings.folder().to_string();
        let named = suspects.iter().filter(|s| {
            let output = s.output(desk);
            paths
                .iter()
                .any(|path| output.contains(&format!("{folder}/{path}")))
        });
        let named: BTreeSet<Suspect> = named.cloned().collect();
        // Whoever could have, where nobody is shown: all of them are unconfined by the user's word.
        for suspect in if named.is_empty() { suspects } else { named } {
            suspect.note(desk, &words)?;
        }
        tracing::warn!(%task, words, "git's settings were changed");
        known
            .settings
            .restore()
            .map_err(|e| Trouble::for_good(chain(&e)))?;
    }
    known.open.remove(key.as_str());
    write(&file, &known).map_err(|error| Trouble {
        detail: format!("cannot write {file}: {error}"),
        transient: true,
    })?;
    Ok(me.told(desk))
}

fn record(desk: &Desk, name: &str) -> Utf8PathBuf {
    desk.dirs.repos().join(format!("{name}.settings.json"))
}

fn read(file: &Utf8PathBuf) -> Option<Record> {
    let bytes = fs::read(file).ok()?;
    serde_json::from_slice(&bytes)
        .map_err(
            |error| tracing::warn!(%file, %error, "the record of git's settings is unreadable"),
        )
        .ok()
}

fn write(file: &Utf8PathBuf, known: &Record) -> std::io::Result<()> {
    write_whole(file, &serde_json::to_vec(known)?)
}
