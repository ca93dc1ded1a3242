//! Making a worktree so that repeating it after a crash at any step gives the same worktree (L1,
//! I4), and finding or repairing one that exists. Runs no setup and copies no ignored files.

use std::fs;
use std::path::{Path, PathBuf};

use longhaul_acts::files;

use super::admin::{self, Link};
use super::plan::{EnsureError, Ensured, Made, Note, WorkspacePlan, Worktree};
use super::record::Record;
use crate::fsx;
use crate::git::GitError;
use crate::oid::Oid;
use crate::path::RepoPath;
use crate::repo::{Head, Repo, read_head};
use crate::site::Site;

impl Repo {
    /// Makes the worktree, finishes an unfinished one, or finds the existing one (L1). Repeating it
    /// is harmless; files of a finished worktree are never touched. It never takes over a branch or
    /// folder that is not ours.
    ///
    /// # Errors
    /// [`EnsureError`], each with a remedy.
    pub fn ensure_worktree(&self, plan: &WorkspacePlan) -> Result<Ensured, EnsureError> {
        if self.is_plain() {
            return Err(EnsureError::Plain);
        }
        let path = self.prepare_parent(&plan.path)?;
        let (worktree, made) = {
            let _held = self.lock()?;
            self.register(plan, &path)?
        };
        let mut notes = self.inspect(&worktree)?;
        if made != Made::Existing {
            let target = plan.restore.as_ref().filter(|_| made == Made::Recreated);
            self.fill(&worktree, target)
                .map_err(|source| EnsureError::Checkout { source })?;
            // Before it is called ready: git flushes no file that it checks out. After a power cut an
            // empty one would be taken for the session's work and committed.
            fsx::flush_disk_of(&worktree.path)
                .map_err(|source| EnsureError::Checkout { source })?;
            let record = Record {
                version: 1,
                branch: plan.branch.clone(),
                base: plan.base.clone(),
                admin: worktree
                    .git_dir
                    .file_name()
                    .map(|n| RepoPath::from(Path::new(n))),
                ready: true,
            };
            self.write_record(&path, &record)?;
            notes.extend(self.census(&worktree)?);
        }
        Ok(Ensured {
            worktree,
            made,
            notes,
        })
    }

    /// Finds the worktree of ours at a path, without making or repairing anything.
    ///
    /// # Errors
    /// If its record or git's folders cannot be read.
    pub fn worktree_at(&self, path: &Path) -> Result<Option<Worktree>, GitError> {
        let Some(record) = self.record(path)? else {
            return Ok(None);
        };
        Ok(Some(Worktree {
            path: path.to_owned(),
            git_dir: self
                .admin_folder(path, Some(&record))?
                .unwrap_or_else(|| self.common_dir().join("worktrees/missing")),
            branch: record.branch,
        }))
    }

    /// The user's checkout itself as a workspace, for in-place work (T8: nothing is committed).
    #[must_use]
    pub fn in_place(&self) -> Worktree {
        Worktree {
            path: self.checkout().to_owned(),
            git_dir: self.checkout_git_dir().to_owned(),
            branch: String::new(),
        }
    }

    fn prepare_parent(&self, path: &Path) -> Result<PathBuf, EnsureError> {
        let foreign = || EnsureError::ForeignFolder {
            path: RepoPath::from(path).to_string(),
        };
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(foreign());
        };
        fsx::make_private_folder(parent)?;
        let parent = parent
            .canonicalize()
            .map_err(GitError::file("find", parent))?;
        Ok(parent.join(name))
    }

    /// Branch, admin folder and `.git` file exist afterwards; the files may not yet.
    fn register(&self, plan: &WorkspacePlan, path: &Path) -> Result<(Worktree, Made), EnsureError> {
        let site = self.objects()?;
        let record = self.record(path)?;
        if let Some(record) = &record
            && record.branch != plan.branch
        {
            return Err(EnsureError::OtherBranch {
                path: RepoPath::from(path).to_string(),
                branch: record.branch.clone(),
            });
        }
        if fs::symlink_metadata(path).is_ok_and(|m| !m.is_dir()) {
            return Err(EnsureError::ForeignFolder {
                path: RepoPath::from(path).to_string(),
            });
        }
        let admin = self.admin_folder(path, record.as_ref())?;
        let ready = record.as_ref().is_some_and(|r| r.ready);
        let worktree = |git_dir| Worktree {
            path: path.to_owned(),
            git_dir,
            branch: plan.branch.clone(),
        };
        if let (true, Some(admin)) = (ready, &admin) {
            let made = if path.is_dir() {
                Made::Existing
            } else {
                Made::Recreated
            };
            if made == Made::Recreated {
                self.relink(path, admin)?;
            }
            return Ok((worktree(admin.clone()), made));
        }
        if record.is_none() {
            check_branch_name(&site, &plan.branch)?;
            refuse_foreign(&site, plan, path, admin.as_deref())?;
            let record = Record {
                version: 1,
                branch: plan.branch.clone(),
                base: plan.base.clone(),
                admin: None,
                ready: false,
            };
            self.write_record(path, &record)?;
        }
        create_branch(&site, plan)?;
        if ready && path.is_dir() {
            let admin = self.register_again(&site, plan, path)?;
            return Ok((worktree(admin), Made::Existing));
        }
        // A making that was cut off: its admin folder is used if git got as far as a HEAD.
        if let Some(admin) = admin {
            let whole = self
                .site(&admin, path)
                .and_then(|site| read_head(&site))
                .is_ok_and(|head| matches!(head, Head::Branch { name, .. } if name == plan.branch));
            if whole {
                self.relink(path, &admin)?;
                write_lock_reason(&admin, &plan.lock_reason)?;
                return Ok((worktree(admin), Made::New));
            }
            files::remove_dir_all("vcs.admin.remove", &admin)
                .map_err(GitError::file("remove", &admin))?;
        }
        clear_unfinished(path)?;
        let admin = self.add(&site, plan, path)?;
        Ok((
            worktree(admin),
            if ready { Made::Recreated } else { Made::New },
        ))
    }

    /// `git worktree add` for a branch that exists, without writing files.
    fn add(&self, site: &Site<'_>, plan: &WorkspacePlan, path: &Path) -> Result<PathBuf, GitError> {
        site.worktrees()?
            .args(["add", "--quiet", "--no-checkout"])
            .args(["--lock", "--reason", &plan.lock_reason, "--"])
            .arg(path)
            .arg(&plan.branch)
            .ok()?;
        admin::find(self.common_dir(), path)?.ok_or(GitError::Malformed {
            command: "worktree add".into(),
            expected: "a registered worktree",
        })
    }

    /// The folder is there with its work, and git's registration is gone: registers an empty folder
    /// beside it and hands that registration over, because git adds only empty folders.
    fn register_again(
        &self,
        site: &Site<'_>,
        plan: &WorkspacePlan,
        path: &Path,
    ) -> Result<PathBuf, EnsureError> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".register");
        let beside = PathBuf::from(beside);
        let admin = match admin::find(self.common_dir(), &beside)? {
            Some(admin) if admin.join("HEAD").is_file() => admin,
            Some(admin) => {
                files::remove_dir_all("vcs.beside.remove", &admin)
                    .map_err(GitError::file("remove", &admin))?;
                clear_unfinished(&beside)?;
                self.add(site, plan, &beside)?
            }
            None => {
                clear_unfinished(&beside)?;
                self.add(site, plan, &beside)?
            }
        };
        admin::write_registration(&admin, path)?;
        clear_unfinished(&beside)?;
        match files::remove_dir("vcs.beside.folder", &beside) {
            Err(error) if !fsx::is_absent(&error) => {
                return Err(GitError::file("remove", &beside)(error).into());
            }
            Ok(()) | Err(_) => {}
        }
        // Only the index: every file is the session's.
        let own = self.site(&admin, path)?;
        own.files(None)
            .args(["read-tree", "--reset", "HEAD"])
            .ok()?;
        own.files(None)
            .args(["update-index", "-q", "--refresh"])
            .output()?;
        Ok(admin)
    }

    fn relink(&self, path: &Path, admin: &Path) -> Result<(), GitError> {
        files::create_dir_all("vcs.relink.folder", path)
            .map_err(GitError::file("create the folder", path))?;
        admin::write_link(path, admin)
    }

    /// Looks at a worktree's links and repairs what can be repaired without touching work.
    fn inspect(&self, worktree: &Worktree) -> Result<Vec<Note>, GitError> {
        let mut notes = Vec::new();
        match admin::link(&worktree.path, &worktree.git_dir) {
            Link::Right => {}
            Link::Broken => {
                admin::write_link(&worktree.path, &worktree.git_dir)?;
                notes.push(Note::LinkRepaired);
            }
            Link::Replaced => notes.push(Note::LinkReplaced),
        }
        if let Some(what) = admin::tampered(&worktree.git_dir, self.common_dir()) {
            notes.push(Note::AdminTampered { what });
        }
        Ok(notes)
    }

    /// Writes the files of a worktree that no session has used yet, or whose folder was gone.
    fn fill(&self, worktree: &Worktree, snapshot: Option<&Oid>) -> Result<(), GitError> {
        let site = self.site(&worktree.git_dir, &worktree.path)?;
        site.wait_for_index()?;
        site.files(None)
            .args(["read-tree", "--reset", "-u", "HEAD"])
            .ok()?;
        // No session has run yet, so this index can be believed: the first look at the files will not
        // have to read them all.
        let index = self.private_index(&worktree.path);
        fsx::copy_index(&worktree.git_dir.join("index"), &index)
            .map_err(GitError::file("write", &index))?;
        if let Some(snapshot) = snapshot {
            // The snapshot's files, while the worktree's index goes on saying what is committed.
            site.files(Some(&index))
                .args(["read-tree", "--reset", "-u", snapshot.as_str()])
                .ok()?;
        }
        Ok(())
    }

    /// What a fresh worktree holds that needs a word to its user.
    fn census(&self, worktree: &Worktree) -> Result<Vec<Note>, GitError> {
        let site = self.site(&worktree.git_dir, &worktree.path)?;
        let mut notes = Vec::new();
        if self.is_shallow() {
            notes.push(Note::Shallow);
        }
        let stages = site.files(None).args(["ls-files", "-s", "-z"]).ok()?;
        let count = stages
            .stdout
            .split(|b| *b == 0)
            .filter(|entry| entry.starts_with(b"160000 "))
            .count();
        if count > 0 {
            notes.push(Note::Submodules { count });
        }
        let tracked = site
            .files(None)
            .args(["ls-files", "-z", "--", ":(attr:filter=lfs)"])
            .ok()?;
        let files = crate::path::split_nul(&tracked.stdout)
            .filter(|path| is_lfs_pointer(&path.under(&worktree.path)))
            .count();
        if files > 0 {
            notes.push(Note::LfsPointers { files });
        }
        Ok(notes)
    }
}

fn is_lfs_pointer(path: &Path) -> bool {
    matches!(fsx::read_small(path, 1024), Ok(Some(bytes))
        if bytes.starts_with(b"version https://git-lfs.github.com/spec/"))
}

fn check_branch_name(site: &Site<'_>, branch: &str) -> Result<(), EnsureError> {
    let full = format!("refs/heads/{branch}");
    let checked = site.call().args(["check-ref-format", &full]).output()?;
    if checked.code != Some(0) || branch.starts_with('-') {
        return Err(EnsureError::BadBranchName {
            branch: branch.to_owned(),
        });
    }
    for (at, _) in branch.match_indices('/') {
        let existing = &branch[..at];
        if site
            .resolve(&format!("refs/heads/{existing}"), "object")?
            .is_some()
        {
            return Err(EnsureError::BranchBlocksPrefix {
                existing: existing.to_owned(),
                wanted: branch.to_owned(),
            });
        }
    }
    Ok(())
}

/// Without a record of ours nothing that exists is ours, but for a branch that stands exactly at the
/// base: it holds nothing of anybody's, and a lost state folder leaves such branches behind.
fn refuse_foreign(
    site: &Site<'_>,
    plan: &WorkspacePlan,
    path: &Path,
    admin: Option<&Path>,
) -> Result<(), EnsureError> {
    let occupied = match fs::symlink_metadata(path) {
        Err(error) if fsx::is_absent(&error) => false,
        Err(error) => return Err(GitError::file("look at", path)(error).into()),
        Ok(meta) if meta.is_dir() => fs::read_dir(path)
            .map_err(GitError::file("list", path))?
            .next()
            .is_some(),
        Ok(_) => true,
    };
    if occupied || admin.is_some() {
        return Err(EnsureError::ForeignFolder {
            path: RepoPath::from(path).to_string(),
        });
    }
    let name = format!("refs/heads/{}", plan.branch);
    let Some(at) = site.resolve(&name, "commit")? else {
        return Ok(());
    };
    let used = site
        .call()
        .args(["for-each-ref", "--format=%(worktreepath)", &name])
        .ok()?;
    if at != plan.base || used.stdout.iter().any(|b| *b != b'\n') {
        return Err(EnsureError::ForeignBranch {
            branch: plan.branch.clone(),
            at,
        });
    }
    Ok(())
}

fn create_branch(site: &Site<'_>, plan: &WorkspacePlan) -> Result<(), EnsureError> {
    let name = format!("refs/heads/{}", plan.branch);
    if site.resolve(&name, "commit")?.is_some() {
        return Ok(());
    }
    if site.resolve(plan.base.as_str(), "commit")?.is_none() {
        return Err(EnsureError::NoBase {
            base: plan.base.clone(),
        });
    }
    site.move_ref(&name, &plan.base, None, "longhaul: start")?;
    Ok(())
}

/// Takes away what `git worktree add` left before it registered anything: an empty folder, or one
/// with only a `.git` file. Anything more is not ours.
fn clear_unfinished(path: &Path) -> Result<(), EnsureError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if fsx::is_absent(&error) => return Ok(()),
        Err(error) => return Err(GitError::file("list", path)(error).into()),
    };
    for entry in entries.flatten() {
        let is_link = entry.file_name() == ".git" && entry.file_type().is_ok_and(|t| t.is_file());
        if !is_link {
            return Err(EnsureError::ForeignFolder {
                path: RepoPath::from(path).to_string(),
            });
        }
        fsx::remove_file_if_there(&entry.path())?;
    }
    Ok(())
}

fn write_lock_reason(admin: &Path, reason: &str) -> Result<(), GitError> {
    fsx::write_durably(&admin.join("locked"), reason.as_bytes())
}
