//! A conflict with what has landed, put into a task's own workspace as a merge in progress, for its
//! agent to resolve (L12); and what the seal of that turn makes of it. That a merge is ours stands in
//! the state folder, out of a session's reach. Not the trial merges of the queue: those touch no files.

use std::collections::BTreeSet;

use longhaul_core::queue::ConflictReport;
use serde::{Deserialize, Serialize};

use crate::branch::{Unfinished, unfinished};
use crate::fsx;
use crate::git::GitError;
use crate::merge::{Merged, Sides, merge};
use crate::oid::Oid;
use crate::path::{RepoPath, split_nul};
use crate::queue::conflict_report;
use crate::repo::{Head, Repo, read_head};
use crate::site::Site;
use crate::snapshot::FileRules;
use crate::worktree::Worktree;

/// git's files of a merge in progress.
const MERGE_FILES: [&str; 4] = ["MERGE_HEAD", "MERGE_MODE", "MERGE_MSG", "AUTO_MERGE"];
/// The most of a record of a merge, in bytes.
const LIMIT: u64 = 16 << 20;

/// What came of beginning a merge in a workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MergeBegun {
    /// The workspace holds all of it already.
    Contained,
    /// It is in progress: conflicted files hold markers in zdiff3 style, everything else is merged.
    Begun {
        /// Where it conflicts; no paths if it merges cleanly.
        report: Box<ConflictReport>,
    },
    /// There is work that is not committed, or a file where the merge writes one. Nothing was touched.
    Dirty,
    /// git is in the middle of something else there.
    Busy(Unfinished),
    /// HEAD is not on the task's branch.
    Elsewhere,
}

/// A merge that we began, or a rebase that we made.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Begun {
    version: u32,
    /// HEAD before.
    ours: Oid,
    /// What is merged in.
    theirs: Oid,
    /// The tree with markers.
    tree: Oid,
    /// Paths with conflicts, by their place in that tree.
    paths: Vec<RepoPath>,
    /// It was all written.
    ready: bool,
    /// What was merged in before this.
    before: Option<Oid>,
}

/// What a seal finds of a merge that we began.
pub(crate) enum Merging {
    None,
    /// To be committed with this second parent; none if that was done before.
    Resolved {
        theirs: Option<Oid>,
    },
    /// These paths still conflict.
    Unresolved(Vec<RepoPath>),
}

impl Merging {
    pub(crate) const fn to_commit(&self) -> Option<&Oid> {
        match self {
            Self::Resolved { theirs } => theirs.as_ref(),
            Self::None | Self::Unresolved(_) => None,
        }
    }

    pub(crate) fn unresolved(self) -> Vec<RepoPath> {
        match self {
            Self::Unresolved(paths) => paths,
            Self::None | Self::Resolved { .. } => Vec::new(),
        }
    }
}

impl Repo {
    /// Begins a merge of `theirs` in a workspace whose session has ended and whose work is sealed.
    /// Repeating it after a crash goes on; once it was begun, nothing is written again.
    ///
    /// # Errors
    /// If git cannot be run, or the commits cannot be merged at all.
    pub fn begin_merge(&self, worktree: &Worktree, theirs: &Oid) -> Result<MergeBegun, GitError> {
        let site = self.site(&worktree.git_dir, &worktree.path)?;
        let ours = match read_head(&site)? {
            Head::Branch { name, tip } if name == worktree.branch => tip,
            _ => return Ok(MergeBegun::Elsewhere),
        };
        let sides = Sides {
            base: None,
            ours: &ours,
            theirs,
        };
        let known = self.begun(worktree)?;
        let known = known.filter(|b| b.ours == ours && b.theirs == *theirs);
        let in_progress = merge_head(worktree).as_ref() == Some(theirs);
        let begun = |merged: &Merged| -> Result<MergeBegun, GitError> {
            let report = Box::new(conflict_report(&site, merged, sides)?);
            Ok(MergeBegun::Begun { report })
        };
        let half = match &known {
            Some(known) if known.ready && in_progress => return begun(&merge(&site, sides)?),
            Some(known) => !known.ready,
            None => false,
        };
        if !half {
            if let Some(what) = unfinished(&site, worktree)? {
                return Ok(MergeBegun::Busy(what));
            }
            if site.is_ancestor(theirs, &ours)? {
                return Ok(MergeBegun::Contained);
            }
            let seen = self.look(worktree, &FileRules::default())?;
            if seen.captured.work != site.tree_of(&ours)? {
                return Ok(MergeBegun::Dirty);
            }
        }
        let merged = merge(&site, sides)?;
        if !half && self.overwrites(&site, worktree, &ours, &merged.tree)? {
            return Ok(MergeBegun::Dirty);
        }
        self.write_merge(&site, worktree, sides, &merged)?;
        begun(&merged)
    }

    /// Writes files, index and git's notes of the merge.
    fn write_merge(
        &self,
        site: &Site<'_>,
        worktree: &Worktree,
        sides: Sides<'_>,
        merged: &Merged,
    ) -> Result<(), GitError> {
        let mut record = Begun {
            version: 1,
            ours: sides.ours.clone(),
            theirs: sides.theirs.clone(),
            tree: merged.tree.clone(),
            paths: merged.conflicts.iter().map(|c| c.place.clone()).collect(),
            ready: false,
            before: self.taken_in(site, worktree, Some(sides.ours))?,
        };
        self.write_begun(worktree, &record)?;
        site.wait_for_index()?;
        site.files(None)
            .args(["read-tree", "--reset", "-u", merged.tree.as_str()])
            .ok()?;
        let zero = sides.ours.zero();
        let mut entries = Vec::new();
        for conflict in &merged.conflicts {
            let mut entry = |head: &[u8]| {
                entries.extend_from_slice(head);
                entries.push(b'\t');
                entries.extend_from_slice(conflict.place.as_bytes());
                entries.push(0);
            };
            entry(format!("0 {zero}").as_bytes());
            for stage in &conflict.entries {
                entry(stage);
            }
        }
        if !entries.is_empty() {
            site.files(None)
                .args(["update-index", "-z", "--index-info"])
                .stdin(entries)
                .ok()?;
        }
        let note = |name: &str, text: &str| {
            fsx::write_durably(&worktree.git_dir.join(name), text.as_bytes())
        };
        note(
            "MERGE_MSG",
            &format!("Merge what has landed ({})\n", sides.theirs.short()),
        )?;
        note("MERGE_MODE", "no-ff")?;
        note("MERGE_HEAD", &format!("{}\n", sides.theirs))?;
        fsx::flush_disk_of(&worktree.path)?;
        record.ready = true;
        self.write_begun(worktree, &record)
    }

    /// The merge writes a file where an ignored one is.
    pub(crate) fn overwrites(
        &self,
        site: &Site<'_>,
        worktree: &Worktree,
        ours: &Oid,
        tree: &Oid,
    ) -> Result<bool, GitError> {
        let added = site
            .call()
            .args(["diff-tree", "-r", "-z", "--name-only", "--no-renames"])
            .args(["--diff-filter=A", ours.as_str(), tree.as_str()])
            .ok()?;
        let there = |path: RepoPath| {
            let meta = std::fs::symlink_metadata(path.under(&worktree.path));
            meta.is_ok_and(|m| !m.is_dir())
        };
        Ok(split_nul(&added.stdout).any(there))
    }

    /// Whether bringing `theirs` into a workspace at `ours` was begun and died before its files were all
    /// written: what they hold is no work then.
    pub(crate) fn half_brought(
        &self,
        worktree: &Worktree,
        ours: &Oid,
        theirs: &Oid,
    ) -> Result<bool, GitError> {
        let begun = self.begun(worktree)?;
        Ok(begun.is_some_and(|b| !b.ready && b.ours == *ours && b.theirs == *theirs))
    }

    /// Notes durably that `theirs` is being brought into a workspace without a merge commit, which will
    /// have this tree.
    pub(crate) fn note_brought(
        &self,
        site: &Site<'_>,
        worktree: &Worktree,
        (ours, theirs): (&Oid, &Oid),
        tree: &Oid,
    ) -> Result<Begun, GitError> {
        let record = Begun {
            version: 1,
            ours: ours.clone(),
            theirs: theirs.clone(),
            tree: tree.clone(),
            paths: Vec::new(),
            ready: false,
            before: self.taken_in(site, worktree, Some(ours))?,
        };
        self.write_begun(worktree, &record)?;
        Ok(record)
    }

    /// Notes that it is all there.
    pub(crate) fn brought(&self, worktree: &Worktree, note: Begun) -> Result<(), GitError> {
        self.write_begun(
            worktree,
            &Begun {
                ready: true,
                ..note
            },
        )
    }

    /// What a seal is to do about a merge that we began; `at` is where HEAD stands.
    pub(crate) fn merging(
        &self,
        site: &Site<'_>,
        worktree: &Worktree,
        at: &Oid,
        work: &Oid,
    ) -> Result<Merging, GitError> {
        let Some(begun) = self.begun(worktree)?.filter(|b| b.ready) else {
            return Ok(Merging::None);
        };
        if merge_head(worktree).as_ref() != Some(&begun.theirs) {
            return Ok(Merging::None);
        }
        if *at != begun.ours {
            // An earlier try committed it and died before git's notes were taken away.
            let parent = |n| site.resolve(&format!("{at}^{n}"), "commit");
            let done = parent(1)?.as_ref() == Some(&begun.ours)
                && parent(2)?.as_ref() == Some(&begun.theirs);
            return Ok(if done {
                Merging::Resolved { theirs: None }
            } else {
                Merging::None
            });
        }
        let unresolved = unresolved(site, &begun, work)?;
        Ok(if unresolved.is_empty() {
            Merging::Resolved {
                theirs: Some(begun.theirs),
            }
        } else {
            Merging::Unresolved(unresolved)
        })
    }

    /// Takes git's notes of a merge away once it is committed.
    pub(crate) fn end_merge(&self, worktree: &Worktree) -> Result<(), GitError> {
        MERGE_FILES
            .iter()
            .try_for_each(|name| fsx::remove_file_if_there(&worktree.git_dir.join(name)))
    }

    /// The last commit that we merged into this workspace and that `end` holds.
    pub(crate) fn taken_in(
        &self,
        site: &Site<'_>,
        worktree: &Worktree,
        end: Option<&Oid>,
    ) -> Result<Option<Oid>, GitError> {
        let (Some(end), Some(begun)) = (end, self.begun(worktree)?) else {
            return Ok(None);
        };
        let held = site.is_ancestor(&begun.theirs, end)?;
        Ok(if held {
            Some(begun.theirs)
        } else {
            begun.before
        })
    }

    fn begun(&self, worktree: &Worktree) -> Result<Option<Begun>, GitError> {
        let file = self.merge_file(&worktree.path);
        let bytes = fsx::read_small(&file, LIMIT).map_err(GitError::file("read", &file))?;
        bytes
            .map(|b| serde_json::from_slice(&b))
            .transpose()
            .map_err(|error| GitError::file("understand", &file)(error.into()))
    }

    fn write_begun(&self, worktree: &Worktree, begun: &Begun) -> Result<(), GitError> {
        let bytes = serde_json::to_vec(begun).expect("a record has only strings and numbers");
        fsx::write_durably(&self.merge_file(&worktree.path), &bytes)
    }
}

/// What git says is being merged in a worktree.
fn merge_head(worktree: &Worktree) -> Option<Oid> {
    let bytes = fsx::read_small(&worktree.git_dir.join("MERGE_HEAD"), 4096).ok()??;
    Oid::parse(&bytes).ok()
}

/// The conflicted paths that still hold our markers, or that nobody has looked at: as they were left,
/// and not added to the index.
fn unresolved(site: &Site<'_>, begun: &Begun, work: &Oid) -> Result<Vec<RepoPath>, GitError> {
    if begun.paths.is_empty() {
        return Ok(Vec::new());
    }
    let listing = site.call().args(["ls-files", "--unmerged", "-z"]).ok()?;
    let path = |record: &[u8]| {
        let tab = record.iter().position(|b| *b == b'\t')?;
        Some(RepoPath::from_bytes(&record[tab + 1..]))
    };
    let records = listing.stdout.split(|b| *b == 0);
    let unmerged: BTreeSet<RepoPath> = records.filter_map(path).collect();
    let changed = site
        .call()
        .args(["diff-tree", "-r", "-z", "--name-only", "--no-renames"])
        .args([begun.tree.as_str(), work.as_str()])
        .ok()?;
    let changed: BTreeSet<RepoPath> = split_nul(&changed.stdout).collect();
    let mut left = Vec::new();
    for path in &begun.paths {
        let untouched = unmerged.contains(path) && !changed.contains(path);
        if untouched || holds_markers(site, begun, work, path)? {
            left.push(path.clone());
        }
    }
    Ok(left)
}

/// Our markers name both commits, so that no file holds them by chance.
fn holds_markers(
    site: &Site<'_>,
    begun: &Begun,
    work: &Oid,
    path: &RepoPath,
) -> Result<bool, GitError> {
    let mut object = format!("{work}:").into_bytes();
    object.extend_from_slice(path.as_bytes());
    let object: std::ffi::OsString = std::os::unix::ffi::OsStringExt::from_vec(object);
    let blob = site
        .call()
        .args(["cat-file", "blob"])
        .arg(object)
        .output()?;
    if blob.code != Some(0) {
        return Ok(false);
    }
    let (ours, theirs) = (
        format!("<<<<<<< {}", begun.ours),
        format!(">>>>>>> {}", begun.theirs),
    );
    Ok(blob.stdout.split(|b| *b == b'\n').any(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        line.starts_with(ours.as_bytes()) || line.starts_with(theirs.as_bytes())
    }))
}
