//! Turning the files of a work tree into a tree object, through a private index and plumbing only:
//! no index, stash or file of the user's or session's is touched, and nothing they control is
//! believed about what changed.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use crate::fsx;
use crate::git::{Call, GitError};
use crate::lock;
use crate::oid::Oid;
use crate::path::{RepoPath, split_nul};
use crate::site::Site;

/// How many skipped files are listed by name; the rest is counted.
const LISTED: usize = 200;
/// How deep repositories within repositories are followed.
const NESTING: u8 = 4;

/// What goes into a tree.
#[derive(Debug)]
pub(crate) struct CaptureRules<'a> {
    /// Files that Longhaul placed there; never taken up (T8).
    pub(crate) exclude: &'a BTreeSet<RepoPath>,
    /// Patterns of ignored files that are taken up all the same.
    pub(crate) keep: &'a [String],
    /// The largest single file that is taken up.
    pub(crate) max_file_bytes: u64,
    /// The most that all new content together may hold.
    pub(crate) max_total_bytes: u64,
}

/// Why a file is not in a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// Larger than the limit for one file.
    TooLarge,
    /// Everything together would be larger than the limit for a snapshot.
    OverTotal,
    /// It could not be read.
    Unreadable,
}

/// A file that was left out of a tree, and is said to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The file.
    pub path: RepoPath,
    /// Its size in bytes.
    pub bytes: u64,
    /// Why.
    pub reason: SkipReason,
}

/// The files of a work tree as one tree.
#[derive(Clone, Debug)]
pub(crate) struct Captured {
    /// All that is taken up.
    pub(crate) tree: Oid,
    /// The same without ignored files that only `keep` patterns took up: what may be committed.
    pub(crate) work: Oid,
    pub(crate) skipped: Vec<Skipped>,
    pub(crate) skipped_total: usize,
    /// Folders in it that are repositories of their own.
    pub(crate) nested: Vec<RepoPath>,
    /// The session's own index could not be read.
    pub(crate) index_unreadable: bool,
}

/// Captures the files over what `head` holds. `index` is our private index for this work tree; on
/// return it holds [`Captured::work`] with fresh file times.
pub(crate) fn capture(
    site: &Site<'_>,
    head: Option<&Oid>,
    index: &Path,
    rules: &CaptureRules<'_>,
) -> Result<Captured, GitError> {
    let _held = lock::exclusive(&index.with_extension("lock-ours"))?;
    let work = index.with_extension("work");
    fsx::remove_file_if_there(&work.with_extension("work.lock"))?;
    match head.map_or(Err(std::io::ErrorKind::NotFound.into()), |_| {
        fsx::copy_index(index, &work)
    }) {
        Ok(()) => {}
        Err(error) if fsx::is_absent(&error) => fsx::remove_file_if_there(&work)?,
        Err(error) => return Err(GitError::file("copy", index)(error)),
    }
    let mut job = Job {
        site,
        index: &work,
        rules,
        skipped: Vec::new(),
        skipped_total: 0,
        nested: Vec::new(),
        index_unreadable: false,
    };
    let (tree, work_tree) = match job.trees(head) {
        // The private index is only a cache: a broken one is made anew.
        Err(GitError::Failed { .. }) if work.exists() => {
            fsx::remove_file_if_there(&work)?;
            job.skipped.clear();
            job.nested.clear();
            job.skipped_total = 0;
            job.trees(head)?
        }
        result => result?,
    };
    longhaul_acts::files::rename("vcs.capture.index", &work, index)
        .map_err(GitError::file("write", index))?;
    Ok(Captured {
        tree,
        work: work_tree,
        skipped: job.skipped,
        skipped_total: job.skipped_total,
        nested: job.nested,
        index_unreadable: job.index_unreadable,
    })
}

struct Job<'a> {
    site: &'a Site<'a>,
    index: &'a Path,
    rules: &'a CaptureRules<'a>,
    skipped: Vec<Skipped>,
    skipped_total: usize,
    nested: Vec<RepoPath>,
    index_unreadable: bool,
}

impl Job<'_> {
    fn call(&self) -> Call<'_> {
        self.site.files(Some(self.index))
    }

    /// All that is taken up, and the part of it that may be committed.
    fn trees(&mut self, head: Option<&Oid>) -> Result<(Oid, Oid), GitError> {
        let tracked = match head {
            // Without a commit nothing is tracked, and there is no index to ask.
            None => BTreeSet::new(),
            Some(head) => {
                self.call().args(["read-tree", "-m", head.as_str()]).ok()?;
                self.tracked_changes()?
            }
        };
        let new = self.new_files(head)?;
        let mut stage = Vec::new();
        let mut drop = Vec::new();
        let mut absent = Vec::new();
        let mut total = 0_u64;
        let sparse = self.sparse_paths()?;
        for (path, is_tracked) in tracked
            .iter()
            .map(|p| (p, true))
            .chain(new.iter().map(|p| (p, false)))
        {
            match self.judge(path, is_tracked, &mut total) {
                Verdict::Stage => stage.push(path),
                Verdict::Drop if sparse.contains(path) => absent.push(path),
                Verdict::Drop => drop.push(path),
                Verdict::Leave => {}
            }
        }
        self.update(&stage, &["--add", "--remove", "--replace"])?;
        self.update(&drop, &["--force-remove"])?;
        self.update(&absent, &["--skip-worktree"])?;
        let work = self.call().arg("write-tree").oid()?;
        let mut kept = Vec::new();
        let more = self.kept_files(&new)?;
        for path in &more {
            if let Verdict::Stage = self.judge(path, false, &mut total) {
                kept.push(path);
            }
        }
        if kept.is_empty() {
            return Ok((work.clone(), work));
        }
        self.update(&kept, &["--add", "--replace"])?;
        let tree = self.call().arg("write-tree").oid()?;
        self.update(&kept, &["--force-remove"])?;
        Ok((tree, work))
    }

    /// Ignored files that the `keep` patterns name and that are not taken up anyway.
    fn kept_files(&self, new: &BTreeSet<RepoPath>) -> Result<BTreeSet<RepoPath>, GitError> {
        if self.rules.keep.is_empty() {
            return Ok(BTreeSet::new());
        }
        let mut paths: BTreeSet<RepoPath> = self.matching(self.rules.keep)?.into_iter().collect();
        paths.retain(|path| {
            let wanted = path.is_plain() && !self.rules.exclude.contains(path);
            wanted && !path.as_bytes().ends_with(b"/") && !new.contains(path)
        });
        Ok(paths)
    }

    /// Tracked files that may have changed, by their stat data alone, and filled submodules.
    fn tracked_changes(&self) -> Result<BTreeSet<RepoPath>, GitError> {
        let changed = self
            .call()
            .args(["diff-files", "--name-only", "-z", "--ignore-submodules=all"])
            .ok()?;
        let mut paths: BTreeSet<RepoPath> = split_nul(&changed.stdout).collect();
        let entries = self.call().args(["ls-files", "-s", "-z"]).ok()?;
        for entry in entries.stdout.split(|b| *b == 0) {
            let Some(tab) = entry.iter().position(|b| *b == b'\t') else {
                continue;
            };
            let path = RepoPath::from_bytes(&entry[tab + 1..]);
            if entry.starts_with(b"160000 ")
                && path
                    .under(&self.site.work_tree)
                    .join(".git")
                    .symlink_metadata()
                    .is_ok()
            {
                paths.insert(path);
            }
        }
        Ok(paths)
    }

    /// Files that a sparse checkout leaves out, by the session's own index. A session that abuses
    /// this only keeps a file in its tree that it could have kept anyway.
    fn sparse_paths(&self) -> Result<BTreeSet<RepoPath>, GitError> {
        if !self.site.settings.sparse {
            return Ok(BTreeSet::new());
        }
        let listing = self
            .site
            .files(None)
            .args(["ls-files", "-t", "-z"])
            .output()?;
        let skipped = |entry: &RepoPath| entry.as_bytes().starts_with(b"S ");
        Ok(split_nul(&listing.stdout)
            .filter(skipped)
            .map(|entry| RepoPath::from_bytes(&entry.as_bytes()[2..]))
            .collect())
    }

    /// Untracked files, and ignored ones that the session staged by force.
    fn new_files(&mut self, head: Option<&Oid>) -> Result<BTreeSet<RepoPath>, GitError> {
        let others = self
            .call()
            .args(["ls-files", "--others", "--exclude-standard", "-z"])
            .ok()?;
        let mut paths: BTreeSet<RepoPath> = split_nul(&others.stdout).collect();
        paths.extend(self.staged_by_session(head)?);
        let folders: Vec<RepoPath> = paths
            .iter()
            .filter(|p| p.as_bytes().ends_with(b"/"))
            .cloned()
            .collect();
        for folder in folders {
            paths.remove(&folder);
            self.nested_files(&folder, NESTING, &mut paths)?;
        }
        paths.retain(|path| path.is_plain() && !self.rules.exclude.contains(path));
        Ok(paths)
    }

    fn matching(&self, patterns: &[String]) -> Result<Vec<RepoPath>, GitError> {
        let file = pattern_file(patterns.join("\n").as_bytes())?;
        let found = self
            .call()
            .args(["ls-files", "--others", "--ignored", "-z", "--exclude-from"])
            .arg(file.path())
            .ok()?;
        Ok(split_nul(&found.stdout).collect())
    }

    /// What the session added to its own index but did not commit; `git add -f` may hold ignored
    /// files.
    fn staged_by_session(&mut self, head: Option<&Oid>) -> Result<Vec<RepoPath>, GitError> {
        let (Some(head), true) = (head, self.site.git_dir != self.site.common_dir) else {
            return Ok(Vec::new());
        };
        let staged = self
            .site
            .call()
            .args([
                "diff-index",
                "--cached",
                "--name-only",
                "-z",
                "--no-renames",
            ])
            .args([
                "--ignore-submodules=all",
                "--diff-filter=A",
                head.as_str(),
                "--",
            ])
            .output()?;
        if staged.code != Some(0) {
            self.index_unreadable = true;
            return Ok(Vec::new());
        }
        Ok(split_nul(&staged.stdout).collect())
    }

    /// The files of a repository inside the work tree, as plain files, by that folder's own ignore
    /// rules. Its git folder is not looked into.
    fn nested_files(
        &mut self,
        folder: &RepoPath,
        depth: u8,
        paths: &mut BTreeSet<RepoPath>,
    ) -> Result<(), GitError> {
        let name = folder
            .as_bytes()
            .strip_suffix(b"/")
            .unwrap_or(folder.as_bytes());
        let folder = RepoPath::from_bytes(name);
        if self.nested.len() < LISTED {
            self.nested.push(folder.clone());
        }
        let top = folder.under(&self.site.work_tree);
        let none = self.index.with_extension("none");
        let listed = self
            .call()
            .env("GIT_WORK_TREE", &top)
            .env("GIT_INDEX_FILE", &none)
            .current_dir(&top)
            .args(["ls-files", "--others", "--exclude-standard", "-z"])
            .ok()?;
        for path in split_nul(&listed.stdout) {
            let joined = RepoPath::from_bytes([name, b"/", path.as_bytes()].concat());
            if !path.as_bytes().ends_with(b"/") {
                paths.insert(joined);
            } else if depth > 0 {
                self.nested_files(&joined, depth - 1, paths)?;
            }
        }
        Ok(())
    }

    fn judge(&mut self, path: &RepoPath, tracked: bool, total: &mut u64) -> Verdict {
        let full = path.under(&self.site.work_tree);
        let Ok(meta) = fs::symlink_metadata(&full) else {
            return if tracked {
                Verdict::Drop
            } else {
                Verdict::Leave
            };
        };
        if meta.is_symlink() {
            return Verdict::Stage;
        }
        if meta.is_dir() {
            // A filled submodule, or a file that became a folder, whose files come by themselves.
            let submodule = full.join(".git").symlink_metadata().is_ok();
            return match (tracked, submodule) {
                (true, true) => Verdict::Stage,
                (true, false) => Verdict::Drop,
                (false, _) => Verdict::Leave,
            };
        }
        if !meta.is_file() {
            return if tracked {
                Verdict::Drop
            } else {
                Verdict::Leave
            };
        }
        let reason = if meta.len() > self.rules.max_file_bytes {
            SkipReason::TooLarge
        } else if total.saturating_add(meta.len()) > self.rules.max_total_bytes {
            SkipReason::OverTotal
        } else if File::open(&full).is_err() {
            SkipReason::Unreadable
        } else {
            *total += meta.len();
            return Verdict::Stage;
        };
        self.skipped_total += 1;
        if self.skipped.len() < LISTED {
            self.skipped.push(Skipped {
                path: path.clone(),
                bytes: meta.len(),
                reason,
            });
        }
        Verdict::Leave
    }

    fn update(&self, paths: &[&RepoPath], how: &[&str]) -> Result<(), GitError> {
        if paths.is_empty() {
            return Ok(());
        }
        let list: Vec<u8> = paths
            .iter()
            .flat_map(|p| [p.as_bytes(), b"\0"].concat())
            .collect();
        self.call()
            .args(["update-index", "-z"])
            .args(how)
            .arg("--stdin")
            .stdin(list)
            .ok()?;
        Ok(())
    }
}

enum Verdict {
    Stage,
    Drop,
    Leave,
}

/// A temporary file with ignore patterns.
pub(crate) fn pattern_file(bytes: &[u8]) -> Result<tempfile::NamedTempFile, GitError> {
    let write = || -> std::io::Result<tempfile::NamedTempFile> {
        let mut file = tempfile::NamedTempFile::new()?;
        longhaul_acts::files::write_all("vcs.patterns", &mut file, bytes)?;
        file.flush()?;
        Ok(file)
    };
    write().map_err(GitError::file("write", Path::new("a list of patterns")))
}
