//! Slots: worktrees of the queue in which candidates are checked, used again and again at the same path,
//! so that files that stay the same keep their times and build caches stay warm. Nobody's work is in one;
//! what it holds is compared with the candidate's tree before and after (L9, I9).

use std::path::{Path, PathBuf};

use crate::diff::{Changes, changes};
use crate::disk;
use crate::fsx;
use crate::git::{ErrorClass, GitError};
use crate::lock;
use crate::oid::Oid;
use crate::path::RepoPath;
use crate::repo::Repo;
use crate::site::Site;
use crate::snapshot::FileRules;
use crate::worktree::{Record, Worktree, admin};

use super::Position;

/// A slot that shall hold a tree.
#[derive(Clone, Debug)]
pub struct SlotPlan {
    /// Where; absolute, in a folder of Longhaul's own.
    pub path: PathBuf,
    /// The commit whose files it shall hold, and their tree.
    pub at: Position,
    /// Patterns of ignored files that stay from one candidate to the next (`.gitignore` syntax); all
    /// other ignored files are removed. `None`: every ignored file stays.
    pub keep: Option<Vec<String>>,
    /// Why it is locked against `git worktree prune` and `remove`.
    pub lock_reason: String,
}

/// A slot that holds exactly a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Its worktree, on no branch.
    pub worktree: Worktree,
    /// The tree.
    pub tree: Oid,
}

/// Why a slot cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// The folder is not ours.
    #[error("`{path}` is not a slot of the queue")]
    ForeignFolder {
        /// The folder.
        path: String,
    },
    /// Its files are not the tree that was to be checked, although git wrote them: a filter or an
    /// attribute changes them at once.
    #[error("a fresh checkout of {} differs from it: {}", tree.short(), differs.summary(3))]
    NotTheTree {
        /// The tree.
        tree: Oid,
        /// What differs.
        differs: Changes,
    },
    /// A run of git failed.
    #[error(transparent)]
    Git(#[from] GitError),
}

impl SlotError {
    /// Whether a repetition can help.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::ForeignFolder { .. } | Self::NotTheTree { .. } => ErrorClass::Permanent,
            Self::Git(error) => error.class(),
        }
    }
}

impl Repo {
    /// Makes a slot or takes an old one, so that its files are exactly the tree, apart from the ignored
    /// ones that stay. Whatever was in it is thrown away; no process may work in it. Repeating it after
    /// a crash goes on.
    ///
    /// # Errors
    /// [`SlotError`].
    pub fn prepare_slot(&self, plan: &SlotPlan) -> Result<Slot, SlotError> {
        let worktree = {
            let _held = self.lock()?;
            self.ensure_slot(plan)?
        };
        if let Err(error) = self.fill_slot(plan, &worktree) {
            if error.class() == ErrorClass::Transient {
                return Err(error.into());
            }
            // Folders that git cannot clean, a broken index: made anew, with cold caches.
            tracing::warn!(slot = %worktree.path.display(), %error, "making a slot anew");
            self.discard_slot(&worktree.path)?;
            let _held = self.lock()?;
            self.ensure_slot(plan)?;
            self.fill_slot(plan, &worktree)?;
        }
        let slot = Slot {
            worktree,
            tree: plan.at.tree.clone(),
        };
        let differs = self.slot_changes(&slot)?;
        if differs.paths.is_empty() {
            return Ok(slot);
        }
        let tree = slot.tree;
        Err(SlotError::NotTheTree { tree, differs })
    }

    /// What differs in a slot from its tree, new files included if they are not ignored. git's index
    /// there, which the check may have written, is not believed.
    ///
    /// # Errors
    /// If git cannot be run.
    pub fn slot_changes(&self, slot: &Slot) -> Result<Changes, GitError> {
        let seen = self.look(&slot.worktree, &FileRules::default())?;
        changes(&self.objects()?, &slot.tree, &seen.captured.work)
    }

    /// Removes a slot with everything in it. Repeating it goes on.
    ///
    /// # Errors
    /// [`SlotError::ForeignFolder`], or if git or a file operation fails.
    pub fn discard_slot(&self, path: &Path) -> Result<(), SlotError> {
        let Some(record) = self.record(path)? else {
            return Ok(());
        };
        if !is_slot(&record) {
            return Err(foreign(path));
        }
        disk::remove_tree(path).map_err(GitError::file("remove", path))?;
        self.deregister(&Worktree {
            path: path.to_owned(),
            git_dir: PathBuf::new(),
            branch: String::new(),
        })?;
        fsx::remove_file_if_there(&self.slot_index(path))?;
        self.forget(path)?;
        Ok(())
    }

    /// The slot is registered with git afterwards; its files may be anything.
    fn ensure_slot(&self, plan: &SlotPlan) -> Result<Worktree, SlotError> {
        let path = &plan.path;
        match self.record(path)? {
            Some(record) if is_slot(&record) => {}
            None if path.symlink_metadata().is_err() => self.write_record(
                path,
                &Record {
                    version: 1,
                    branch: String::new(),
                    base: plan.at.commit.clone(),
                    admin: None,
                    ready: false,
                },
            )?,
            Some(_) | None => return Err(foreign(path)),
        }
        let worktree = |git_dir| Worktree {
            path: path.clone(),
            git_dir,
            branch: String::new(),
        };
        if let Some(admin) = admin::find(self.common_dir(), path)? {
            if path.is_dir() && admin.join("HEAD").is_file() {
                if admin::link(path, &admin) != admin::Link::Right {
                    let link = path.join(".git");
                    disk::remove_tree(&link).map_err(GitError::file("remove", &link))?;
                    admin::write_link(path, &admin)?;
                }
                return Ok(worktree(admin));
            }
            longhaul_acts::files::remove_dir_all("vcs.slot.admin", &admin)
                .map_err(GitError::file("remove", &admin))?;
        }
        // Ours by its record, and not a worktree: nothing in it is worth anything.
        disk::remove_tree(path).map_err(GitError::file("remove", path))?;
        fsx::remove_file_if_there(&self.private_index(path))?;
        fsx::remove_file_if_there(&self.slot_index(path))?;
        self.objects()?
            .worktrees()?
            .args(["add", "--quiet", "--detach", "--no-checkout"])
            .args(["--lock", "--reason", &plan.lock_reason, "--"])
            .arg(path)
            .arg(plan.at.commit.as_str())
            .ok()?;
        let admin = admin::find(self.common_dir(), path)?.ok_or(GitError::Malformed {
            command: "worktree add".into(),
            expected: "a registered worktree",
        })?;
        Ok(worktree(admin))
    }

    /// Writes the files of a commit over whatever is there.
    fn fill_slot(&self, plan: &SlotPlan, worktree: &Worktree) -> Result<(), GitError> {
        let site = self.site(&worktree.git_dir, &worktree.path)?;
        site.wait_for_index()?;
        let own = worktree.git_dir.join("index");
        let trusted = self.slot_index(&worktree.path);
        // Not the index that the last check may have written: ours, which knows what was there before.
        if trusted.exists() {
            lock::replace_index(&worktree.git_dir, &worktree.path, &trusted)?;
        } else {
            fsx::remove_file_if_there(&own)?;
        }
        let commit = plan.at.commit.as_str();
        site.files(None)
            .args(["read-tree", "--reset", "-u", commit])
            .ok()?;
        self.clean(plan, &site)?;
        site.call()
            .args(["update-ref", "--no-deref", "-m", "longhaul: candidate"])
            .args(["HEAD", commit])
            .ok()?;
        for copy in [&self.private_index(&worktree.path), &trusted] {
            fsx::copy_index(&own, copy).map_err(GitError::file("write", copy))?;
        }
        Ok(())
    }

    /// The index of what was last written there. Not the private one, which goes along with what is
    /// found: files that stay because they are ignored must not count as tracked.
    fn slot_index(&self, path: &Path) -> PathBuf {
        self.private_index(path).with_extension("slot")
    }

    /// Removes what is not tracked, repositories too.
    fn clean(&self, plan: &SlotPlan, site: &Site<'_>) -> Result<(), GitError> {
        let mut call = site.files(None).args(["clean", "-ffdq"]);
        if let Some(keep) = &plan.keep {
            call = call.arg("-x");
            for pattern in keep {
                call = call.arg(format!("--exclude={pattern}"));
            }
        }
        call.ok()?;
        Ok(())
    }
}

/// A slot is on no branch; a workspace always has one.
const fn is_slot(record: &Record) -> bool {
    record.branch.is_empty()
}

fn foreign(path: &Path) -> SlotError {
    SlotError::ForeignFolder {
        path: RepoPath::from(path).to_string(),
    }
}
