//! What a job may touch (T25): its workspace, git's folders for it, temp, the agent's home, caches.

use camino::Utf8PathBuf;
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
    all.extend(desk.practice_or_own(&spec.repo).writable.iter().cloned());
    Some(Confinement {
        writable: all,
        readable,
        closed: vec![desk.dirs.state.clone(), desk.dirs.config.clone()],
    })
}
