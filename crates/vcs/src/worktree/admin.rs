//! git's admin folders of worktrees (`.git/worktrees/*`), found by their own content and never
//! through the `.git` file in a worktree, which its session may have replaced (L20).

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use crate::fsx;
use crate::git::GitError;

const LIMIT: u64 = 64 << 10;

/// The admin folder that is registered for a work tree path, if there is one.
pub(crate) fn find(common_dir: &Path, work_tree: &Path) -> Result<Option<PathBuf>, GitError> {
    let ours = |admin: &PathBuf| registered_path(admin).is_some_and(|path| path == work_tree);
    Ok(all(common_dir)?.into_iter().find(ours))
}

/// The admin folder with this branch whose registration a power cut left empty or full of zeros.
pub(crate) fn find_torn(common_dir: &Path, branch: &str) -> Result<Option<PathBuf>, GitError> {
    let head = format!("ref: refs/heads/{branch}\n");
    let ours = |admin: &PathBuf| {
        let says = fsx::read_small(&admin.join("HEAD"), LIMIT).ok().flatten();
        is_torn(&admin.join("gitdir")) && says.is_some_and(|bytes| bytes == head.as_bytes())
    };
    Ok(all(common_dir)?.into_iter().find(ours))
}

/// All admin folders.
fn all(common_dir: &Path) -> Result<Vec<PathBuf>, GitError> {
    let folder = common_dir.join("worktrees");
    match fs::read_dir(&folder) {
        Ok(entries) => {
            let folders = entries
                .flatten()
                .filter(|entry| entry.file_type().is_ok_and(|t| t.is_dir()));
            Ok(folders.map(|entry| entry.path()).collect())
        }
        Err(error) if fsx::is_absent(&error) => Ok(Vec::new()),
        Err(error) => Err(GitError::file("list", &folder)(error)),
    }
}

/// A file of git's that was being written when the power failed: git flushes none of them.
fn is_torn(file: &Path) -> bool {
    let plain = fs::symlink_metadata(file).is_ok_and(|m| m.is_file());
    let bytes = fsx::read_small(file, LIMIT).ok().flatten();
    plain && bytes.is_some_and(|b| b.iter().all(|byte| *byte == 0))
}

/// The work tree that an admin folder is registered for.
pub(crate) fn registered_path(admin: &Path) -> Option<PathBuf> {
    let bytes = fsx::read_small(&admin.join("gitdir"), LIMIT).ok()??;
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let link = Path::new(OsStr::from_bytes(bytes));
    let link = if link.is_absolute() {
        link.to_owned()
    } else {
        lexical(&admin.join(link))
    };
    (link.file_name() == Some(OsStr::new(".git"))).then(|| link.parent().map(Path::to_owned))?
}

/// Files of an admin folder that git writes through, which must not be links to elsewhere.
const OWN_FILES: [&str; 7] = [
    "HEAD",
    "index",
    "logs",
    "logs/HEAD",
    "commondir",
    "gitdir",
    "refs",
];

/// Something in an admin folder that only tampering puts there.
pub(crate) fn tampered(admin: &Path, common_dir: &Path) -> Option<&'static str> {
    for name in OWN_FILES {
        if fs::symlink_metadata(admin.join(name)).is_ok_and(|m| m.is_symlink()) {
            return Some("a file of git's own was replaced by a symbolic link");
        }
    }
    let gone = !admin.is_dir();
    (!gone && !points_home(admin, common_dir))
        .then_some("the worktree was pointed at another repository")
}

/// Undoes tampering in an admin folder of ours before git works with it: links that git would write
/// through are removed, and `commondir`, which git's refs follow even under `GIT_COMMON_DIR`, is
/// written anew (L20).
pub(crate) fn harden(admin: &Path, common_dir: &Path) -> Result<(), GitError> {
    if tampered(admin, common_dir).is_none() {
        return Ok(());
    }
    tracing::warn!(admin = %admin.display(), "undoing changes in a worktree's git folder");
    for name in OWN_FILES {
        let file = admin.join(name);
        if fs::symlink_metadata(&file).is_ok_and(|m| m.is_symlink()) {
            fsx::remove_file_if_there(&file)?;
        }
    }
    let file = admin.join("commondir");
    if fs::symlink_metadata(&file).is_ok_and(|m| m.is_dir()) {
        longhaul_acts::files::remove_dir_all("vcs.admin.clear", &file)
            .map_err(GitError::file("remove", &file))?;
    }
    if admin.is_dir() && !points_home(admin, common_dir) {
        fsx::write_durably(&file, b"../..\n")?;
    }
    Ok(())
}

/// Writes a `commondir` anew that a power cut left empty or full of zeros: with one such file every
/// `git worktree` of the whole repository fails, the user's own too. It says the same in every worktree.
pub(crate) fn mend_torn(common_dir: &Path) -> Result<(), GitError> {
    for admin in all(common_dir)? {
        let file = admin.join("commondir");
        if is_torn(&file) {
            tracing::warn!(file = %file.display(), "mending a worktree's torn registration");
            fsx::write_durably(&file, b"../..\n")?;
        }
    }
    Ok(())
}

fn points_home(admin: &Path, common_dir: &Path) -> bool {
    let common = fsx::read_small(&admin.join("commondir"), LIMIT)
        .ok()
        .flatten();
    common.is_some_and(|bytes| {
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        admin
            .join(OsStr::from_bytes(bytes))
            .canonicalize()
            .is_ok_and(|path| path == common_dir)
    })
}

/// Registers an admin folder for a work tree again.
pub(crate) fn write_registration(admin: &Path, work_tree: &Path) -> Result<(), GitError> {
    let mut bytes = work_tree.join(".git").into_os_string().into_encoded_bytes();
    bytes.push(b'\n');
    fsx::write_durably(&admin.join("gitdir"), &bytes)
}

/// What stands at `.git` in a work tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// The file that git wrote.
    Right,
    /// Nothing, or a file with other content.
    Broken,
    /// A folder or symbolic link: somebody made a repository of it.
    Replaced,
}

/// Judges `.git` of a work tree.
pub(crate) fn link(work_tree: &Path, admin: &Path) -> Link {
    let file = work_tree.join(".git");
    match fs::symlink_metadata(&file) {
        Ok(meta) if !meta.is_file() => return Link::Replaced,
        Ok(_) => {}
        Err(_) => return Link::Broken,
    }
    let Ok(Some(bytes)) = fsx::read_small(&file, LIMIT) else {
        return Link::Broken;
    };
    let target = bytes
        .strip_suffix(b"\n")
        .unwrap_or(&bytes)
        .strip_prefix(b"gitdir: ");
    match target.map(|t| Path::new(OsStr::from_bytes(t))) {
        Some(path) if lexical(&work_tree.join(path)) == admin => Link::Right,
        Some(_) | None => Link::Broken,
    }
}

/// Writes the `.git` file anew.
pub(crate) fn write_link(work_tree: &Path, admin: &Path) -> Result<(), GitError> {
    let mut bytes = b"gitdir: ".to_vec();
    bytes.extend_from_slice(admin.as_os_str().as_bytes());
    bytes.push(b'\n');
    let link = work_tree.join(".git");
    // Beside the worktree, unless that is another file system.
    if let Some(beside) = work_tree.parent()
        && fsx::write_durably_by_way_of(beside, &link, &bytes).is_ok()
    {
        return Ok(());
    }
    fsx::write_durably(&link, &bytes)
}

/// Resolves `.` and `..` by text alone.
fn lexical(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => out.push(part),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_registrations_are_understood() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().canonicalize().unwrap();
        let common = root.join("r/.git");
        let admin = common.join("worktrees/w");
        fs::create_dir_all(&admin).unwrap();
        fs::write(admin.join("gitdir"), "../../../../trees/w/.git\n").unwrap();
        assert_eq!(find(&common, &root.join("trees/w")).unwrap(), Some(admin));
        assert_eq!(find(&common, &root.join("trees/v")).unwrap(), None);
    }
}
