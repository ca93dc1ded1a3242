//! Which workspaces may be removed, and why (L6): a plan first, then, for what is safe and still
//! safe at that moment, a snapshot and the removal. Never decides what is no longer wanted.

use std::path::{Path, PathBuf};

use crate::disk;
use crate::git::{ErrorClass, GitError};
use crate::oid::Oid;
use crate::path::RepoPath;
use crate::procs::{FolderUse, folder_use};
use crate::repo::{Head, Repo};
use crate::snapshot::{FileRules, Snapshot, SnapshotRequest};
use crate::worktree::{Worktree, admin};

/// One workspace that the caller asks about.
#[derive(Clone, Debug)]
pub struct GcCandidate {
    /// The worktree.
    pub worktree: Worktree,
    /// An attempt of its task is open, or may still start.
    pub open_attempt: bool,
    /// The user or the retention time let it go although it has not landed.
    pub released: bool,
    /// A person wants it gone with uncommitted work or commits off its branch: the snapshot holds both.
    /// What no snapshot can hold still keeps it.
    pub forced: bool,
    /// Full names of the refs that count as landed: the base branch, the integration ref.
    pub landed_in: Vec<String>,
    /// Files placed by `.worktreeinclude` and other rules of its snapshots.
    pub files: FileRules,
}

/// Whether a workspace may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is lost by removing it.
    Safe {
        /// Why it is safe.
        because: SafeBecause,
    },
    /// It stays.
    Kept {
        /// Why it stays.
        because: KeptBecause,
    },
}

/// Why removing a workspace loses nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SafeBecause {
    /// Its folder is gone already; only git's registration is left.
    FolderGone,
    /// It is clean and every commit is in this ref.
    Landed {
        /// The ref.
        in_ref: String,
    },
    /// It is clean, was let go, and every commit stays on its branch.
    OnBranch {
        /// The branch, which is kept.
        branch: String,
    },
    /// A person insists; the snapshot that is made first holds its files and its commits.
    Forced,
}

/// Why a workspace stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptBecause {
    /// An attempt is open.
    OpenAttempt,
    /// Processes work in it or hold its files.
    InUse {
        /// Their ids.
        pids: Vec<i32>,
    },
    /// Whether processes work in it cannot be known on this system.
    UseUnknown,
    /// Tracked files were changed, or new files are there.
    Uncommitted,
    /// Some files are too large for a snapshot or unreadable.
    NotSnapshottable,
    /// It stands at commits that its branch does not hold.
    OffBranch,
    /// It has not landed, and nobody let it go.
    NotLanded,
    /// It holds repositories of their own, whose history no snapshot has.
    NestedRepository {
        /// Where.
        path: RepoPath,
    },
    /// git cannot read it; that is never taken for clean.
    Unreadable,
}

impl std::fmt::Display for SafeBecause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::FolderGone => f.write_str("its folder is gone already"),
            Self::Landed { in_ref } => write!(f, "it is clean and all of it is in {in_ref}"),
            Self::OnBranch { branch } => {
                write!(f, "it is clean and all of it stays on the branch {branch}")
            }
            Self::Forced => f.write_str("you insist, and its snapshot holds all of it"),
        }
    }
}

impl std::fmt::Display for KeptBecause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OpenAttempt => f.write_str("an attempt is open"),
            Self::InUse { pids } => write!(f, "processes work in it: {pids:?}"),
            Self::UseUnknown => f.write_str("this system does not tell which processes use it"),
            Self::Uncommitted => f.write_str("it has uncommitted work"),
            Self::NotSnapshottable => {
                f.write_str("it has files that are too large for a snapshot, or unreadable")
            }
            Self::OffBranch => f.write_str("it stands at commits that its branch does not hold"),
            Self::NotLanded => f.write_str("its branch has not landed"),
            Self::NestedRepository { path } => write!(f, "`{path}` is a repository of its own"),
            Self::Unreadable => f.write_str("git cannot read it"),
        }
    }
}

/// The verdict on one workspace.
#[derive(Clone, Debug)]
pub struct TreeVerdict {
    /// Where it is.
    pub path: PathBuf,
    /// Its task's branch.
    pub branch: String,
    /// Its size on disk in bytes.
    pub disk_bytes: u64,
    /// Whether it may go.
    pub verdict: Verdict,
}

/// A workspace whose removal loses nothing: judged, and snapshotted.
#[derive(Clone, Debug)]
pub struct Secured {
    snapshot: Option<Snapshot>,
}

/// What a removal did.
#[derive(Clone, Debug)]
pub struct Removed {
    /// The snapshot made before; none if the folder was gone already.
    pub snapshot: Option<Snapshot>,
    /// The branch was deleted because it had landed.
    pub branch_deleted: bool,
}

/// Why a workspace was not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// It is not safe, or not any more.
    #[error("it is kept: {because}")]
    Kept {
        /// Why.
        because: KeptBecause,
    },
    /// A run of git or a file operation failed; repeating goes on from there.
    #[error(transparent)]
    Git(#[from] GitError),
}

impl RemoveError {
    /// Whether a repetition can help.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Kept { .. } => ErrorClass::Permanent,
            Self::Git(error) => error.class(),
        }
    }
}

impl Repo {
    /// Judges workspaces without changing anything (L6). Problems of one do not hide the others.
    #[must_use]
    pub fn gc_plan(&self, candidates: &[GcCandidate]) -> Vec<TreeVerdict> {
        candidates
            .iter()
            .map(|candidate| TreeVerdict {
                path: candidate.worktree.path.clone(),
                branch: candidate.worktree.branch.clone(),
                disk_bytes: disk::disk_usage(&candidate.worktree.path),
                verdict: self.judge(candidate).unwrap_or_else(|error| {
                    tracing::warn!(%error, "a workspace cannot be read and is kept");
                    kept(KeptBecause::Unreadable)
                }),
            })
            .collect()
    }

    /// Removes one workspace if it is safe at this moment: snapshot, folder, registration, and, if
    /// asked, its branch once that has landed. Repeating it after a crash goes on.
    ///
    /// # Errors
    /// [`RemoveError::Kept`] if it is not safe.
    pub fn remove_workspace(
        &self,
        candidate: &GcCandidate,
        snapshot: &SnapshotRequest,
        delete_landed_branch: bool,
    ) -> Result<Removed, RemoveError> {
        let secured = self.secure_for_removal(candidate, snapshot)?;
        self.remove_secured(candidate, secured, snapshot, delete_landed_branch)
    }

    /// The first half of a removal: judges the workspace and snapshots it. Afterwards its owner's last
    /// commands (`teardown`) may run in it; nothing was removed.
    ///
    /// # Errors
    /// [`RemoveError::Kept`] if it is not safe.
    pub fn secure_for_removal(
        &self,
        candidate: &GcCandidate,
        snapshot: &SnapshotRequest,
    ) -> Result<Secured, RemoveError> {
        let worktree = &candidate.worktree;
        let because = match self.judge(candidate)? {
            Verdict::Kept { because } => return Err(RemoveError::Kept { because }),
            Verdict::Safe { because } => because,
        };
        let taken = match &because {
            SafeBecause::FolderGone => None,
            SafeBecause::Landed { .. } | SafeBecause::OnBranch { .. } | SafeBecause::Forced => {
                Some(self.snapshot(worktree, snapshot)?)
            }
        };
        // Work that arrived between the look and the snapshot is in the snapshot; it still counts.
        if taken.is_some()
            && let Verdict::Kept { because } = self.judge(candidate)?
        {
            return Err(RemoveError::Kept { because });
        }
        Ok(Secured { snapshot: taken })
    }

    /// The second half: folder, registration, and, if asked, the branch once it has landed. Files or
    /// commits that changed since the first half (by `teardown`, or by hand meanwhile) are no reason to
    /// keep it, but are snapshotted as well, as `again`. Repeating it after a crash goes on.
    ///
    /// # Errors
    /// [`RemoveError::Kept`] if processes work in it now, or what changed fits in no snapshot.
    pub fn remove_secured(
        &self,
        candidate: &GcCandidate,
        secured: Secured,
        again: &SnapshotRequest,
        delete_landed_branch: bool,
    ) -> Result<Removed, RemoveError> {
        let worktree = &candidate.worktree;
        let mut taken = secured.snapshot;
        if let Some(first) = &taken
            && worktree.path.symlink_metadata().is_ok()
        {
            if let Some(because) = beyond_snapshots(worktree)? {
                return Err(RemoveError::Kept { because });
            }
            let seen = self.look(worktree, &candidate.files)?;
            if seen.captured.skipped_total > 0 {
                let because = KeptBecause::NotSnapshottable;
                return Err(RemoveError::Kept { because });
            }
            if seen.captured.tree != first.tree || seen.head_commit != first.head {
                taken = Some(self.snapshot(worktree, again)?);
            }
        }
        disk::remove_whole(&worktree.path).map_err(GitError::file("remove", &worktree.path))?;
        self.deregister(worktree)?;
        let tip = self.resolve_branch(&worktree.branch)?;
        let mut branch_deleted = false;
        if let (Some(tip), true) = (tip, delete_landed_branch)
            && self.landed(&tip, &candidate.landed_in)?.is_some()
        {
            let name = format!("refs/heads/{}", worktree.branch);
            let site = self.objects()?;
            site.call()
                .args(["update-ref", "--no-deref", "-d", &name, tip.as_str()])
                .ok()?;
            branch_deleted = true;
        }
        // While the branch is there, so is our record of it: whoever wants the workspace again gets it
        // at the same path, on that branch, with the files of its last snapshot.
        if branch_deleted || self.resolve_branch(&worktree.branch)?.is_none() {
            self.forget(&worktree.path)?;
        }
        Ok(Removed {
            snapshot: taken,
            branch_deleted,
        })
    }

    fn resolve_branch(&self, branch: &str) -> Result<Option<Oid>, GitError> {
        self.ref_commit(&format!("refs/heads/{branch}"))
    }

    /// Tells git that a worktree whose folder is gone is gone.
    pub(crate) fn deregister(&self, worktree: &Worktree) -> Result<(), GitError> {
        let _held = self.lock()?;
        if admin::find(self.common_dir(), &worktree.path)?.is_some() {
            // Twice force: it is locked by us. The folder is gone, so nothing can be forced away.
            self.objects()?
                .worktrees()?
                .args(["remove", "--force", "--force", "--"])
                .arg(&worktree.path)
                .ok()?;
        }
        Ok(())
    }

    fn judge(&self, candidate: &GcCandidate) -> Result<Verdict, GitError> {
        let worktree = &candidate.worktree;
        if candidate.open_attempt {
            return Ok(kept(KeptBecause::OpenAttempt));
        }
        if worktree.path.symlink_metadata().is_err() {
            return self.judge_missing(worktree);
        }
        if let Some(because) = beyond_snapshots(worktree)? {
            return Ok(kept(because));
        }
        let seen = self.look(worktree, &candidate.files)?;
        let (Some(head), false) = (&seen.head_commit, seen.damaged) else {
            return Ok(kept(KeptBecause::Unreadable));
        };
        if seen.captured.skipped_total > 0 {
            return Ok(kept(KeptBecause::NotSnapshottable));
        }
        if candidate.forced {
            return Ok(Verdict::Safe {
                because: SafeBecause::Forced,
            });
        }
        let site = self.site(&worktree.git_dir, &worktree.path)?;
        if site.tree_of(head)? != seen.captured.tree
            || crate::branch::unfinished(&site, worktree)?.is_some()
        {
            return Ok(kept(KeptBecause::Uncommitted));
        }
        if let Some(in_ref) = self.landed(head, &candidate.landed_in)? {
            return Ok(Verdict::Safe {
                because: SafeBecause::Landed { in_ref },
            });
        }
        let tip = site.resolve(&format!("refs/heads/{}", worktree.branch), "commit")?;
        let on_branch = match (&seen.head, tip) {
            (Head::Branch { .. } | Head::Detached { .. }, Some(tip)) => {
                site.is_ancestor(head, &tip)?
            }
            (_, _) => false,
        };
        Ok(match (on_branch, candidate.released) {
            (false, _) => kept(KeptBecause::OffBranch),
            (true, false) => kept(KeptBecause::NotLanded),
            (true, true) => Verdict::Safe {
                because: SafeBecause::OnBranch {
                    branch: worktree.branch.clone(),
                },
            },
        })
    }

    /// The folder is gone; its HEAD may still be the only thing that holds some commits.
    fn judge_missing(&self, worktree: &Worktree) -> Result<Verdict, GitError> {
        if worktree.git_dir.is_dir() {
            let site = self.site(&worktree.git_dir, &worktree.path)?;
            if let Head::Detached { at } = crate::repo::read_head(&site)? {
                let lost = site
                    .call()
                    .args(["rev-list", "--max-count=1", at.as_str()])
                    .args(["--not", "--branches", "--tags", "--remotes"])
                    .args(["--glob=refs/longhaul/snap"])
                    .ok()?;
                if !lost.stdout.is_empty() {
                    return Ok(kept(KeptBecause::OffBranch));
                }
            }
        }
        Ok(Verdict::Safe {
            because: SafeBecause::FolderGone,
        })
    }

    fn landed(&self, commit: &Oid, refs: &[String]) -> Result<Option<String>, GitError> {
        let site = self.objects()?;
        for name in refs {
            if let Some(tip) = site.resolve(name, "commit")?
                && site.is_ancestor(commit, &tip)?
            {
                return Ok(Some(name.clone()));
            }
        }
        Ok(None)
    }
}

/// Why a workspace stays whatever a snapshot of it holds.
fn beyond_snapshots(worktree: &Worktree) -> Result<Option<KeptBecause>, GitError> {
    Ok(match folder_use(&worktree.path) {
        FolderUse::By(pids) => Some(KeptBecause::InUse { pids }),
        FolderUse::Unknown => Some(KeptBecause::UseUnknown),
        FolderUse::None => {
            first_repository(&worktree.path)?.map(|path| KeptBecause::NestedRepository { path })
        }
    })
}

fn kept(because: KeptBecause) -> Verdict {
    Verdict::Kept { because }
}

/// The first repository inside a work tree, submodules that were filled included. A folder that
/// cannot be listed is an error: it is never taken for empty.
fn first_repository(top: &Path) -> Result<Option<RepoPath>, GitError> {
    let mut folders = vec![top.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(GitError::file("list", &folder))? {
            let entry = entry.map_err(GitError::file("list", &folder))?;
            let is_folder = entry.file_type().is_ok_and(|t| t.is_dir());
            if entry.file_name() == ".git" {
                if folder != top || is_folder {
                    let inner = folder.strip_prefix(top).unwrap_or(&folder);
                    return Ok(Some(RepoPath::from(inner)));
                }
            } else if is_folder {
                folders.push(entry.path());
            }
        }
    }
    Ok(None)
}
