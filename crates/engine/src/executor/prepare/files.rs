//! Which files of a workspace count, and which ones Longhaul placed there.

use std::collections::BTreeSet;
use std::fs;

use longhaul_core::ids::TaskId;
use longhaul_core::spec::TaskSpec;
use longhaul_vcs::{FileRules, RepoPath};

use super::super::Desk;
use super::super::files::write_whole;

/// Which files of a workspace count.
pub(in crate::executor) fn rules(desk: &Desk, spec: &TaskSpec, task: TaskId) -> FileRules {
    FileRules {
        placed: placed(desk, task),
        keep: spec.keep.clone(),
        max_total_bytes: desk.practice.snapshot_max_bytes,
        ..FileRules::default()
    }
}

fn placed(desk: &Desk, task: TaskId) -> BTreeSet<RepoPath> {
    let path = desk.dirs.task(task).join("placed.json");
    fs::read(path)
        .ok()
        .and_then(|b| serde_json::from_slice(&b).ok())
        .unwrap_or_default()
}

pub(super) fn remember_placed(
    desk: &Desk,
    task: TaskId,
    files: &BTreeSet<RepoPath>,
) -> std::io::Result<()> {
    let folder = desk.dirs.task(task);
    longhaul_acts::files::create_dir_all("engine.task.folder", &folder)?;
    let mut all = placed(desk, task);
    all.extend(files.iter().cloned());
    let bytes = serde_json::to_vec(&all)?;
    write_whole(&folder.join("placed.json"), &bytes)
}
