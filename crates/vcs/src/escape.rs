//! Noticing that a session left its workspace (L4) or changed git's own settings (L20): a mark of
//! the user's checkout before a turn, compared after it. Only config, hooks and info are ever put
//! back; files, HEAD and index of the user are not touched.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use longhaul_acts::files;
use serde::{Deserialize, Serialize};

use crate::fsx;
use crate::git::GitError;
use crate::path::{RepoPath, split_nul};
use crate::repo::{Head, Repo, read_head};

/// The largest guarded file whose content is kept for putting it back.
const KEPT_FILE: u64 = 256 << 10;
/// The most guarded files that are looked at; hooks of one repository are a few dozen.
const MAX_FILES: usize = 2000;

/// The user's checkout as it was at one moment. Can be stored, so that a check survives a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckoutMark {
    head: Head,
    /// Digest of mode, content and path of all entries; a mere refresh of file times is no change.
    index: String,
    /// Tracked files that differ from the index, with their state on disk.
    tracked: BTreeMap<RepoPath, String>,
    guarded: BTreeMap<RepoPath, GuardedFile>,
    /// Where the guarded files are: kept, since they have to be put back before git can be asked.
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

/// One thing that differs between two marks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Difference {
    /// HEAD stands elsewhere, or its branch moved.
    Head {
        /// Before.
        from: Head,
        /// After.
        to: Head,
    },
    /// Something was staged or unstaged.
    Index,
    /// A tracked file has other content.
    TrackedFile {
        /// The file.
        path: RepoPath,
    },
    /// A file of `.git/config`, `hooks` or `info` was added, removed or changed; the path is
    /// relative to the git folder.
    Guarded {
        /// The file.
        path: RepoPath,
    },
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

impl CheckoutMark {
    /// Everything in which `after` differs.
    #[must_use]
    pub fn compare(&self, after: &Self) -> Vec<Difference> {
        let mut found = Vec::new();
        if self.head != after.head {
            found.push(Difference::Head {
                from: self.head.clone(),
                to: after.head.clone(),
            });
        }
        if self.index != after.index {
            found.push(Difference::Index);
        }
        let tracked = differing(&self.tracked, &after.tracked);
        found.extend(
            tracked
                .into_iter()
                .map(|path| Difference::TrackedFile { path }),
        );
        let guarded = differing(&self.guarded, &after.guarded);
        found.extend(guarded.into_iter().map(|path| Difference::Guarded { path }));
        found
    }

    /// Which of git's own settings differ from this mark. Needs no git and no [`Repo`], so it works
    /// whatever the settings now say (a repository with a planted `core.worktree` cannot be opened).
    ///
    /// # Errors
    /// If the git folder cannot be read.
    pub fn guarded_changes(&self) -> Result<Vec<RepoPath>, GitError> {
        let now = guarded_files(self.common_dir.as_path(), self.git_dir.as_path())?;
        Ok(differing(&self.guarded, &now).into_iter().collect())
    }

    /// Puts config, hooks and info back as they were at this mark, and names what it put back (L20).
    /// Repeating it is harmless. Needs no git, like [`CheckoutMark::guarded_changes`].
    ///
    /// # Errors
    /// [`RestoreGuardError`]; everything that could be put back was.
    pub fn restore_guarded(&self) -> Result<Vec<RepoPath>, RestoreGuardError> {
        let top = self.common_dir.as_path();
        let mut not_kept = None;
        let changed = self.guarded_changes()?;
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

fn differing<V: PartialEq>(
    before: &BTreeMap<RepoPath, V>,
    after: &BTreeMap<RepoPath, V>,
) -> BTreeSet<RepoPath> {
    before
        .keys()
        .chain(after.keys())
        .filter(|path| before.get(*path) != after.get(*path))
        .cloned()
        .collect()
}

impl Repo {
    /// Marks the user's checkout. Costs three runs of git and reads `.git/config`, `hooks`, `info`.
    ///
    /// # Errors
    /// If git cannot read the checkout, for example because its config was broken; then put the
    /// guarded files back from an earlier mark first.
    pub fn mark_checkout(&self) -> Result<CheckoutMark, GitError> {
        let (common, own) = (self.common_dir(), self.checkout_git_dir());
        let guarded = guarded_files(common, own)?;
        let (common_dir, git_dir) = (RepoPath::from(common), RepoPath::from(own));
        if self.is_plain() {
            let head = Head::Broken;
            return Ok(CheckoutMark {
                head,
                index: String::new(),
                tracked: BTreeMap::new(),
                guarded,
                common_dir,
                git_dir,
            });
        }
        let site = self.objects()?;
        let entries = site.files(None).args(["ls-files", "-s", "-z"]).ok()?;
        let changed = site
            .files(None)
            .args(["diff-files", "--name-only", "-z", "--ignore-submodules=all"])
            .ok()?;
        let tracked = split_nul(&changed.stdout)
            .map(|path| {
                let state = disk_state(&path.under(self.checkout()));
                (path, state)
            })
            .collect();
        Ok(CheckoutMark {
            head: read_head(&site)?,
            index: fsx::digest(&entries.stdout),
            tracked,
            guarded,
            common_dir,
            git_dir,
        })
    }
}

fn guarded_files(
    common_dir: &Path,
    git_dir: &Path,
) -> Result<BTreeMap<RepoPath, GuardedFile>, GitError> {
    let mut files = BTreeMap::new();
    let mut roots: Vec<PathBuf> = ["config", "config.worktree", "hooks", "info"]
        .iter()
        .map(|n| common_dir.join(n))
        .collect();
    // A checkout that is a linked worktree has settings of its own.
    if git_dir != common_dir {
        roots.push(git_dir.join("config.worktree"));
        roots.push(git_dir.join("info"));
    }
    for root in roots {
        collect(common_dir, &root, &mut files)?;
    }
    Ok(files)
}

fn collect(
    top: &Path,
    path: &Path,
    files: &mut BTreeMap<RepoPath, GuardedFile>,
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
            collect(top, &entry.path(), files)?;
        }
        return Ok(());
    }
    if files.len() >= MAX_FILES {
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
    files.insert(name, file);
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

/// What the disk says about a file without reading it: any write changes it.
fn disk_state(path: &Path) -> String {
    match fs::symlink_metadata(path) {
        Err(_) => "absent".to_owned(),
        Ok(meta) => {
            let link = fs::read_link(path)
                .map(|t| fsx::digest(t.as_os_str().as_bytes()))
                .unwrap_or_default();
            format!(
                "{:o} {} {} {}.{} {}.{} {link}",
                meta.mode(),
                meta.ino(),
                meta.size(),
                meta.mtime(),
                meta.mtime_nsec(),
                meta.ctime(),
                meta.ctime_nsec()
            )
        }
    }
}
