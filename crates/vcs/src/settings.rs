//! Git's own settings: config, hooks, info and the list of foreign object folders. Marked while nobody
//! who could change them is at work, and put back when a session changed them (L20). Everything here
//! works without git and without a [`Repo`]: a repository whose settings were turned against it cannot
//! even be opened.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use longhaul_acts::files;
use serde::{Deserialize, Serialize};

use crate::escape::{differing, disk_state};
use crate::fsx;
use crate::git::GitError;
use crate::path::RepoPath;
use crate::repo::Repo;

/// The largest guarded file whose content is kept for putting it back.
const KEPT_FILE: u64 = 256 << 10;
/// The most guarded files that are looked at; hooks of one repository are a few dozen.
const MAX_FILES: usize = 2000;
/// What is guarded, below the shared git folder. Of `objects/info` the alternates: a commit whose
/// objects lie in a folder of the session's own is gone with that folder.
const GUARDED: [&str; 6] = [
    "config",
    "config.worktree",
    "hooks",
    "info",
    "objects/info/alternates",
    "objects/info/http-alternates",
];

/// Git's settings of one repository at one moment. Can be stored, so that it survives a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsMark {
    guarded: BTreeMap<RepoPath, GuardedFile>,
    common_dir: RepoPath,
    git_dir: RepoPath,
}

/// One file of git's settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum GuardedFile {
    /// Content kept, in the printable form of [`RepoPath`].
    Kept { content: RepoPath, mode: u32 },
    /// Too large to keep: can be compared and not put back.
    Digest { sha256: String },
    /// A symbolic link.
    Link { target: RepoPath },
}

/// Why git's settings could not be put back.
#[derive(Debug, thiserror::Error)]
pub enum RestoreGuardError {
    /// The content before was too large to keep.
    #[error("`{path}` was changed and is too large to have been kept")]
    NotKept {
        /// The file.
        path: RepoPath,
    },
    /// A file operation failed.
    #[error(transparent)]
    Git(#[from] GitError),
}

impl SettingsMark {
    /// The shared git folder that they are of; paths of changes are below it.
    #[must_use]
    pub fn folder(&self) -> &RepoPath {
        &self.common_dir
    }

    /// Which of git's own settings differ from this mark. Needs no git and no [`Repo`], so it works
    /// whatever the settings now say (a repository with a planted `core.worktree` cannot be opened).
    ///
    /// # Errors
    /// If the git folder cannot be read.
    pub fn changes(&self) -> Result<Vec<RepoPath>, GitError> {
        let now = guarded_files(self.common_dir.as_path(), self.git_dir.as_path())?;
        Ok(differing(&self.guarded, &now).into_iter().collect())
    }

    /// Puts config, hooks and info back as they were at this mark, and names what it put back (L20).
    /// Repeating it is harmless. Needs no git, like [`SettingsMark::changes`].
    ///
    /// # Errors
    /// [`RestoreGuardError`]; everything that could be put back was.
    pub fn restore(&self) -> Result<Vec<RepoPath>, RestoreGuardError> {
        let top = self.common_dir.as_path();
        let mut not_kept = None;
        let changed = self.changes()?;
        for path in &changed {
            let file = path.under(top);
            match self.guarded.get(path) {
                Some(GuardedFile::Digest { .. }) => not_kept = Some(path.clone()),
                Some(GuardedFile::Kept { content, mode }) => {
                    clear_way(top, path)?;
                    fsx::write_durably(&file, content.as_bytes())?;
                    let mode = fs::Permissions::from_mode(*mode);
                    files::set_permissions("vcs.guarded.mode", &file, mode)
                        .map_err(GitError::file("set the mode of", &file))?;
                }
                Some(GuardedFile::Link { target }) => {
                    clear_way(top, path)?;
                    fsx::remove_file_if_there(&file)?;
                    files::symlink("vcs.guarded.link", target.as_path(), &file)
                        .map_err(GitError::file("write", &file))?;
                }
                None => fsx::remove_file_if_there(&file)?,
            }
        }
        match not_kept {
            Some(path) => Err(RestoreGuardError::NotKept { path }),
            None => Ok(changed),
        }
    }
}

impl Repo {
    /// Marks git's settings as they are now.
    ///
    /// # Errors
    /// If the git folder cannot be read.
    pub fn mark_settings(&self) -> Result<SettingsMark, GitError> {
        let (common, own) = (self.common_dir(), self.checkout_git_dir());
        Ok(SettingsMark {
            guarded: guarded_files(common, own)?,
            common_dir: RepoPath::from(common),
            git_dir: RepoPath::from(own),
        })
    }
}

fn guarded_files(
    common_dir: &Path,
    git_dir: &Path,
) -> Result<BTreeMap<RepoPath, GuardedFile>, GitError> {
    let mut found = BTreeMap::new();
    let mut roots: Vec<PathBuf> = GUARDED.iter().map(|n| common_dir.join(n)).collect();
    // A checkout that is a linked worktree has settings of its own.
    if git_dir != common_dir {
        roots.push(git_dir.join("config.worktree"));
        roots.push(git_dir.join("info"));
    }
    for root in roots {
        collect(common_dir, &root, &mut found)?;
    }
    Ok(found)
}

fn collect(
    top: &Path,
    path: &Path,
    found: &mut BTreeMap<RepoPath, GuardedFile>,
) -> Result<(), GitError> {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if fsx::is_absent(&error) => return Ok(()),
        Err(error) => return Err(GitError::file("look at", path)(error)),
    };
    if meta.is_dir() {
        for entry in fs::read_dir(path)
            .map_err(GitError::file("list", path))?
            .flatten()
        {
            collect(top, &entry.path(), found)?;
        }
        return Ok(());
    }
    if found.len() >= MAX_FILES {
        return Err(GitError::TooMuch {
            command: "hooks and info".into(),
            limit: MAX_FILES,
        });
    }
    let name = RepoPath::from(path.strip_prefix(top).unwrap_or(path));
    let file = if meta.is_symlink() {
        let target = fs::read_link(path).map_err(GitError::file("read", path))?;
        GuardedFile::Link {
            target: RepoPath::from(target.as_path()),
        }
    } else if meta.is_file() && meta.len() <= KEPT_FILE {
        let content = fs::read(path).map_err(GitError::file("read", path))?;
        GuardedFile::Kept {
            content: RepoPath::from_bytes(content),
            mode: meta.mode() & 0o7777,
        }
    } else {
        GuardedFile::Digest {
            sha256: disk_state(path),
        }
    };
    found.insert(name, file);
    Ok(())
}

/// Removes links and files that stand where folders of a guarded path were.
fn clear_way(top: &Path, path: &RepoPath) -> Result<(), GitError> {
    let mut folder = top.to_owned();
    for part in path
        .as_path()
        .parent()
        .unwrap_or(Path::new(""))
        .components()
    {
        folder.push(part);
        if fs::symlink_metadata(&folder).is_ok_and(|m| !m.is_dir()) {
            fsx::remove_file_if_there(&folder)?;
        }
        match files::create_dir("vcs.guarded.folder", &folder) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(GitError::file("create the folder", &folder)(error));
            }
            Ok(()) | Err(_) => {}
        }
    }
    let file = path.under(top);
    if fs::symlink_metadata(&file).is_ok_and(|m| m.is_dir()) {
        files::remove_dir_all("vcs.guarded.clear", &file)
            .map_err(GitError::file("remove", &file))?;
    }
    Ok(())
}
