//! Which live processes stand in a folder or hold files of it open, from `/proc`. Kills nothing.

use std::path::Path;

/// What can be said about a folder's users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FolderUse {
    /// No readable process works in it. Processes of other people, whose state cannot be read, are
    /// not counted: workspaces live in folders that only their owner may enter.
    None,
    /// These processes have their working directory, program or an open file in it.
    By(Vec<i32>),
    /// This system does not tell; take it for used (I6).
    Unknown,
}

/// Finds the processes whose working directory, executable or open files lie in `folder`.
#[must_use]
pub fn folder_use(folder: &Path) -> FolderUse {
    match scan(|pid_folder| uses(pid_folder, folder)) {
        None => FolderUse::Unknown,
        Some(pids) if pids.is_empty() => FolderUse::None,
        Some(pids) => FolderUse::By(pids),
    }
}

/// True if a live process may hold this lock file: it has it open, or it is a git that works in one
/// of the folders (git closes a lock while a hook runs). Unknown counts as held.
pub(crate) fn lock_may_be_live(lock: &Path, folders: &[&Path]) -> bool {
    scan(|pid_folder| {
        if opens(pid_folder, |target| target == lock) {
            return true;
        }
        let is_git =
            std::fs::read(pid_folder.join("comm")).is_ok_and(|name| name.starts_with(b"git"));
        is_git
            && std::fs::read_link(pid_folder.join("cwd"))
                .is_ok_and(|cwd| folders.iter().any(|f| cwd.starts_with(f)))
    })
    .is_none_or(|pids| !pids.is_empty())
}

fn uses(pid_folder: &Path, folder: &Path) -> bool {
    ["cwd", "exe", "root"].iter().any(|link| {
        std::fs::read_link(pid_folder.join(link)).is_ok_and(|target| target.starts_with(folder))
    }) || opens(pid_folder, |target| target.starts_with(folder))
}

fn opens(pid_folder: &Path, wanted: impl Fn(&Path) -> bool) -> bool {
    let Ok(entries) = std::fs::read_dir(pid_folder.join("fd")) else {
        return false;
    };
    entries
        .flatten()
        .any(|entry| std::fs::read_link(entry.path()).is_ok_and(|target| wanted(&target)))
}

#[cfg(target_os = "linux")]
fn scan(wanted: impl Fn(&Path) -> bool) -> Option<Vec<i32>> {
    let own = i32::try_from(std::process::id()).ok()?;
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|n| n.parse::<i32>().ok()) else {
            continue;
        };
        if pid != own && wanted(&entry.path()) {
            found.push(pid);
        }
    }
    Some(found)
}

#[cfg(not(target_os = "linux"))]
fn scan(_wanted: impl Fn(&Path) -> bool) -> Option<Vec<i32>> {
    None
}
