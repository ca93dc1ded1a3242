//! The conflict matrix (L10): branches against base and against each other, before anybody tries to
//! land them. Merged by git itself in a quarantine; pairs that share nothing a merge could meet on are
//! not merged at all; what is known by (base, commit) and by trees is not asked again.
//!
//! Every branch is merged with base first. Two of them are then merged as trees with base between, so
//! that each brings its own change only.

mod quarantine;
mod touch;
mod work;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use longhaul_core::queue::ConflictPath;

use crate::fsx;
use crate::git::GitError;
use crate::merge::{Merged, conflicted_part};
use crate::oid::Oid;

use super::{Position, Queue, QueueError, reproduce};
use quarantine::Quarantine;
use touch::Touched;

pub use work::{Work, WorkPlace};

/// The most pairs that are kept in memory: each leaves some small files there.
const PAIRS_IN_MEMORY: usize = 2_000;
/// What must be free in a memory file system for it to be used.
const MEMORY_FREE: u64 = 256 << 20;
/// The kernel's number of a file system in memory.
const TMPFS: u32 = 0x0102_1994;
/// Known results are dropped, oldest base first, when there are more pairs than this.
const PAIRS_KEPT: usize = 100_000;

/// Predicts conflicts for one base branch; kept by its owner from one report to the next.
#[derive(Debug)]
pub struct Predictor {
    quarantine: Quarantine,
    /// While the quarantine is in memory: where to go on if that does not serve.
    on_disk: Option<Quarantine>,
    /// git takes commits only, in merges with a named base (before 2.45).
    commits_only: bool,
    base: Option<Position>,
    heads: HashMap<Oid, Known>,
    pairs: HashMap<(Oid, Oid), Option<Arc<PairConflict>>>,
    /// The last report and what it was asked for.
    last: Option<(Vec<Oid>, Matrix)>,
}

/// A branch against base.
#[derive(Clone, Debug)]
enum Known {
    Clean { tree: Oid, touched: Arc<Touched> },
    Conflict { merged: Arc<Merged> },
    Unknown,
}

/// What a branch is to base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeadVerdict {
    /// It merges; so many paths differ then.
    Clean {
        /// How many.
        paths: usize,
    },
    /// It conflicts.
    Conflict {
        /// Where.
        paths: Vec<ConflictPath>,
        /// A command that shows the same.
        reproduce: String,
    },
    /// git cannot merge it: its commit or history is missing.
    Unknown,
}

/// Two branches that each merge with base, and not together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairConflict {
    /// Where.
    pub paths: Vec<ConflictPath>,
    /// The merged tree with markers, in the quarantine.
    merged: Merged,
}

/// The matrix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matrix {
    /// Each branch against base, in the order they were given.
    pub heads: Vec<HeadVerdict>,
    /// Pairs that conflict, by position, the smaller first.
    pub pairs: BTreeMap<(usize, usize), Arc<PairConflict>>,
    /// The tree that each branch makes of base, if it merges: the name of its side in a preview.
    pub trees: Vec<Option<Oid>>,
    /// How many pairs had to be merged for this report.
    pub merged_pairs: usize,
}

impl Queue<'_> {
    /// A predictor for this base branch, with nothing known yet.
    #[must_use]
    pub fn predictor(&self) -> Predictor {
        let key = fsx::digest(self.base.as_bytes());
        self.predictor_in(self.repo.state().join("predict").join(&key[..16]))
    }

    /// The same, which keeps what it merges below `memory`, a folder that no session can write, if that is in
    /// memory and has room: thousands of small files cost there a tenth of what they cost on a disk. It goes
    /// on on the disk when there is too much of it or memory fails, and leaves nothing there.
    #[must_use]
    pub fn predictor_in_memory(&self, memory: &Path) -> Predictor {
        let mut predictor = self.predictor();
        if is_memory_with_room(memory) {
            let name = [self.repo.state().as_os_str(), self.base.as_ref()];
            let key = fsx::digest(&name.map(OsStr::as_bytes).join(&0));
            let folder = memory.join("predict").join(&key[..16]);
            let git = self.repo.git();
            let quarantine = Quarantine::new(git, folder, self.repo.common_dir());
            predictor.on_disk = Some(std::mem::replace(&mut predictor.quarantine, quarantine));
        }
        predictor
    }

    /// The same, which keeps what it merges in this folder. What was in it before is removed; it may
    /// not be used by two predictors at the same time.
    #[must_use]
    pub fn predictor_in(&self, folder: PathBuf) -> Predictor {
        let git = self.repo.git();
        Predictor {
            commits_only: git.version() < (2, 45),
            quarantine: Quarantine::new(git, folder, self.repo.common_dir()),
            on_disk: None,
            base: None,
            heads: HashMap::new(),
            pairs: HashMap::new(),
            last: None,
        }
    }
}

impl Predictor {
    /// The matrix of these commits over `base`: tips of branches, or snapshots of work that is not
    /// committed. At most three runs of git (five where it leaves memory), none if nothing changed; nothing is written to the user's
    /// repository. Drivers that only the repository names do not run, also after `trust`.
    ///
    /// # Errors
    /// If git cannot be run, or `base` is missing.
    pub fn matrix(&mut self, base: &Position, heads: &[Oid]) -> Result<Matrix, QueueError> {
        if self.base.as_ref() != Some(base) || self.pairs.len() > PAIRS_KEPT {
            self.forget();
        }
        if let Some((asked, matrix)) = &self.last
            && asked == heads
        {
            return Ok(matrix.clone());
        }
        let mut matrix = self.try_matrix(base, heads);
        if matrix.is_err() && self.leave_memory() {
            matrix = self.try_matrix(base, heads);
        }
        match &matrix {
            Ok(matrix) => {
                let merged_pairs = 0;
                let again = Matrix {
                    merged_pairs,
                    ..matrix.clone()
                };
                self.last = Some((heads.to_vec(), again));
            }
            // The quarantine may be what is broken: the next report makes it anew.
            Err(_) => self.forget(),
        }
        matrix
    }

    fn forget(&mut self) {
        self.heads.clear();
        self.pairs.clear();
        self.last = None;
        self.base = None;
    }

    /// Goes on on the disk, with nothing known; false if it is there already.
    fn leave_memory(&mut self) -> bool {
        let Some(on_disk) = self.on_disk.take() else {
            return false;
        };
        self.quarantine.remove();
        self.quarantine = on_disk;
        self.forget();
        true
    }

    fn try_matrix(&mut self, base: &Position, heads: &[Oid]) -> Result<Matrix, QueueError> {
        if self.base.is_none() {
            self.quarantine.make(base.commit.as_str().len())?;
            self.base = Some(base.clone());
        }
        self.merge_heads(base, heads)?;
        let wanted = self.wanted(heads);
        if self.pairs.len() + wanted.len() > PAIRS_IN_MEMORY && self.leave_memory() {
            return self.try_matrix(base, heads);
        }
        self.merge_pairs(base, &wanted)?;
        Ok(self.assemble(base, heads, wanted.len()))
    }

    /// The conflicting hunks of a pair in zdiff3 style, at most `limit` bytes.
    ///
    /// # Errors
    /// If git cannot be run.
    pub fn preview(&self, pair: &PairConflict, limit: usize) -> Result<String, QueueError> {
        self.hunks(&pair.merged, limit)
    }

    /// The same of a branch of the last report that conflicts with base; empty for any other.
    ///
    /// # Errors
    /// If git cannot be run.
    pub fn preview_onto_base(&self, head: &Oid, limit: usize) -> Result<String, QueueError> {
        match self.heads.get(head) {
            Some(Known::Conflict { merged }) => self.hunks(merged, limit),
            Some(Known::Clean { .. } | Known::Unknown) | None => Ok(String::new()),
        }
    }

    fn hunks(&self, merged: &Merged, limit: usize) -> Result<String, QueueError> {
        let blobs = self.quarantine.blobs(merged)?;
        let mut text = String::new();
        for (path, content) in blobs {
            let hunk = conflicted_part(&String::from_utf8_lossy(&content));
            if !hunk.is_empty() && text.len() + hunk.len() + 64 <= limit {
                text.push_str(&format!("\n{path}:\n{hunk}"));
            }
        }
        Ok(text)
    }

    /// Behaves as with a git before 2.45. For tests.
    #[doc(hidden)]
    pub const fn with_commits_only(&mut self) {
        self.commits_only = true;
    }

    /// Every branch that is not known yet is merged with base, and what it touches is listed.
    fn merge_heads(&mut self, base: &Position, heads: &[Oid]) -> Result<(), GitError> {
        let new: BTreeSet<&Oid> = heads
            .iter()
            .filter(|head| !self.heads.contains_key(*head))
            .collect();
        let new: Vec<&Oid> = new.into_iter().collect();
        let lines: Vec<String> = new
            .iter()
            .map(|h| format!("{} {h}\n", base.commit))
            .collect();
        let merged = self.quarantine.merge(&base.commit, &lines)?;
        let clean: BTreeSet<&Oid> = merged
            .iter()
            .flatten()
            .filter(|m| m.clean)
            .map(|m| &m.tree)
            .collect();
        let trees: Vec<&Oid> = clean.into_iter().collect();
        let touched = self.quarantine.touched(&base.tree, &trees)?;
        let touched: HashMap<&Oid, Arc<Touched>> = trees
            .into_iter()
            .zip(touched.into_iter().map(Arc::new))
            .collect();
        for (head, merged) in new.into_iter().zip(&merged) {
            let known = match merged {
                None => Known::Unknown,
                Some(merged) if merged.clean => Known::Clean {
                    tree: merged.tree.clone(),
                    touched: Arc::clone(&touched[&merged.tree]),
                },
                Some(merged) => Known::Conflict {
                    merged: Arc::new(merged.clone()),
                },
            };
            self.heads.insert(head.clone(), known);
        }
        Ok(())
    }

    /// Pairs of trees that may conflict and are not known yet.
    fn wanted(&self, heads: &[Oid]) -> Vec<(Oid, Oid)> {
        let clean: BTreeMap<&Oid, &Arc<Touched>> = heads
            .iter()
            .filter_map(|head| match self.heads.get(head)? {
                Known::Clean { tree, touched } => Some((tree, touched)),
                Known::Conflict { .. } | Known::Unknown => None,
            })
            .collect();
        let trees: Vec<_> = clean.into_iter().collect();
        let touched: Vec<&Touched> = trees.iter().map(|(_, t)| t.as_ref()).collect();
        let meeting = touch::meeting(&touched);
        let pair = |(a, b): (usize, usize)| (trees[a].0.clone(), trees[b].0.clone());
        let pairs = meeting.into_iter().map(pair);
        pairs
            .filter(|pair| !self.pairs.contains_key(pair))
            .collect()
    }

    fn merge_pairs(&mut self, base: &Position, wanted: &[(Oid, Oid)]) -> Result<(), GitError> {
        if wanted.is_empty() {
            return Ok(());
        }
        let commits = if self.commits_only {
            let trees: BTreeSet<&Oid> = wanted.iter().flat_map(|(a, b)| [a, b]).collect();
            self.quarantine.commits(&trees)?
        } else {
            HashMap::new()
        };
        let object = |tree: &Oid| commits.get(tree).unwrap_or(tree).clone();
        let base_object = if self.commits_only {
            &base.commit
        } else {
            &base.tree
        };
        let lines: Vec<String> = wanted
            .iter()
            .map(|(a, b)| format!("{base_object} -- {} {}\n", object(a), object(b)))
            .collect();
        let merged = self.quarantine.merge(&base.commit, &lines)?;
        for (pair, merged) in wanted.iter().zip(merged) {
            let conflict = merged.filter(|m| !m.clean).map(|merged| {
                let paths = paths(&merged);
                Arc::new(PairConflict { paths, merged })
            });
            self.pairs.insert(pair.clone(), conflict);
        }
        Ok(())
    }

    fn assemble(&self, base: &Position, heads: &[Oid], merged_pairs: usize) -> Matrix {
        let mut matrix = Matrix {
            merged_pairs,
            ..Matrix::default()
        };
        let mut trees = Vec::with_capacity(heads.len());
        for head in heads {
            let known = self.heads.get(head);
            matrix.heads.push(match known {
                Some(Known::Clean { touched, .. }) => HeadVerdict::Clean {
                    paths: touched.len(),
                },
                Some(Known::Conflict { merged }) => HeadVerdict::Conflict {
                    paths: paths(merged),
                    reproduce: reproduce(&base.commit, head),
                },
                Some(Known::Unknown) | None => HeadVerdict::Unknown,
            });
            trees.push(match known {
                Some(Known::Clean { tree, .. }) => Some(tree),
                _ => None,
            });
        }
        for (b, theirs) in trees.iter().enumerate() {
            for (a, ours) in trees[..b].iter().enumerate() {
                let (Some(ours), Some(theirs)) = (ours, theirs) else {
                    continue;
                };
                let key = if ours < theirs {
                    (ours, theirs)
                } else {
                    (theirs, ours)
                };
                let key = ((*key.0).clone(), (*key.1).clone());
                if let Some(Some(conflict)) = self.pairs.get(&key) {
                    matrix.pairs.insert((a, b), Arc::clone(conflict));
                }
            }
        }
        matrix.trees = trees.into_iter().map(|tree| tree.cloned()).collect();
        matrix
    }
}

impl Drop for Predictor {
    fn drop(&mut self) {
        if self.on_disk.is_some() {
            self.quarantine.remove();
        }
    }
}

/// Whether a folder is in memory, with enough of it left: the user's other programs need theirs.
fn is_memory_with_room(folder: &Path) -> bool {
    let in_memory = rustix::fs::statfs(folder)
        .is_ok_and(|stat| u32::try_from(stat.f_type & 0xffff_ffff).is_ok_and(|k| k == TMPFS));
    in_memory
        && rustix::fs::statvfs(folder)
            .is_ok_and(|stat| stat.f_bavail.saturating_mul(stat.f_frsize) >= MEMORY_FREE)
}

fn paths(merged: &Merged) -> Vec<ConflictPath> {
    let path = |c: &crate::merge::Conflict| ConflictPath {
        path: c.path.to_string(),
        kind: c.kind,
    };
    merged.conflicts.iter().map(path).collect()
}
