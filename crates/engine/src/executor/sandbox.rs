//! What a job may touch (T25): its workspace, git's folders for it, temp, the agent's home, caches.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_core::spec::{Sandbox, TaskSpec};
use longhaul_hosts::Confinement;

use super::Desk;

/// Caches of common build tools below HOME, so that checks and agents can build.
const CACHES: &[&str] = &[
    ".cache",
    ".cargo/registry",
    ".cargo/git",
    ".npm",
    ".yarn",
    ".local/share/pnpm",
    ".gradle",
    ".m2",
    "go/pkg",
];

/// The confinement of a job, or `None` where the task has `sandbox = "off"`.
pub(crate) fn confinement(
    desk: &Desk,
    spec: &TaskSpec,
    writable: Vec<Utf8PathBuf>,
    readable: Vec<Utf8PathBuf>,
) -> Option<Confinement> {
    if spec.sandbox == Sandbox::Off {
        return None;
    }
    make_caches(desk, spec);
    let mut all = writable;
    if let Some(home) = spec.caller_env.get("HOME") {
        all.extend(
            CACHES
                .iter()
                .map(|cache| Utf8PathBuf::from(home).join(cache)),
        );
    }
    for name in ["CARGO_HOME", "XDG_CACHE_HOME"] {
        if let Some(folder) = spec.caller_env.get(name) {
            let folder = Utf8PathBuf::from(folder);
            if name == "CARGO_HOME" {
                all.extend([folder.join("registry"), folder.join("git")]);
            } else {
                all.push(folder);
            }
        }
    }
    all.extend(desk.practice_or_own(&spec.repo).caches.iter().cloned());
    all.extend(desk.practice_or_own(&spec.repo).writable.iter().cloned());
    Some(Confinement {
        writable: all,
        readable,
        closed: vec![desk.dirs.state.clone(), desk.dirs.config.clone()],
    })
}

/// Makes the cache folders that a job may write and that are missing: the kernel's rules hold only for
/// what is there, so a job could not make them itself. Only those that nobody wonders about: the user's
/// cache folder, those below the folder of an installed tool, and the ones the config names.
fn make_caches(desk: &Desk, spec: &TaskSpec) {
    let home = spec.caller_env.get("HOME").map(Utf8Path::new);
    let folder = |name: &str, default: &str| match spec.caller_env.get(name) {
        Some(folder) => Some(Utf8PathBuf::from(folder)),
        None => home.map(|home| home.join(default)),
    };
    let mut all: Vec<Utf8PathBuf> = folder("XDG_CACHE_HOME", ".cache")
        .into_iter()
        .filter(|cache| cache.parent().is_some_and(Utf8Path::is_dir))
        .collect();
    let cargo = folder("CARGO_HOME", ".cargo").filter(|f| f.is_dir());
    all.extend(
        cargo
            .into_iter()
            .flat_map(|f| [f.join("registry"), f.join("git")]),
    );
    let go = home.map(|home| home.join("go")).filter(|f| f.is_dir());
    all.extend(go.map(|f| f.join("pkg")));
    all.extend(desk.practice.caches.iter().cloned());
    make_folders(&all);
}

/// Makes folders that are missing, for their owner alone.
pub(super) fn make_folders(folders: &[Utf8PathBuf]) {
    for folder in folders {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        match longhaul_acts::files::build_dir("engine.home", &builder, folder) {
            // A file of that name serves its purpose, whatever it is.
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                // The job may do without it, or says so itself.
                tracing::warn!(%folder, %error, "cannot make a folder that a job may write");
            }
            _ => {}
        }
    }
}
