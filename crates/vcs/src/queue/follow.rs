//! The base branch follows what has landed (L14). Checked out nowhere, it is moved by compare-and-swap;
//! checked out, it moves together with that checkout, under guards, or it waits. The caller keeps the
//! intent before [`Queue::follow`] and gives it to [`Queue::recover_follow`] after a crash.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use longhaul_core::queue::FollowEnd;
use serde::{Deserialize, Serialize};

use crate::fsx;
use crate::git::GitError;
use crate::oid::Oid;
use crate::path::RepoPath;
use crate::repo::Head;
use crate::site::Site;
use crate::worktree::admin;

use super::advance::Advance;
use super::checkout::Checkout;
use super::integration::{BaseStand, Position};
use super::{Queue, QueueError};

/// How often a checkout that another git holds is tried, with growing waits.
const TRIES: u32 = 8;
/// How many of those leave the index alone while they look at the guards.
const UNLOCKED_TRIES: u32 = 2;

/// When it is looked after an advance whether HEAD was switched in its moment.
const SWITCH_LOOKS: [Duration; 2] = [Duration::ZERO, Duration::from_millis(30)];

/// Whether a checkout of the base branch may be advanced (`advance_checkout`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdvanceCheckout {
    /// Only the user moves it.
    Never,
    /// If nothing of the user's is in the way.
    Clean,
}

/// The base branch as it is about to be moved; to be kept before it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowIntent {
    /// Where base stands.
    pub from: Oid,
    /// Where it is to stand: what the integration ref held.
    pub to: Oid,
    /// The checkout that moves with it, as an absolute path; none if base is checked out nowhere.
    pub checkout: Option<RepoPath>,
    /// When, in milliseconds since 1970.
    pub at: u64,
}

/// What following asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FollowPlan {
    /// Nothing is to be done.
    End(FollowEnd),
    /// This is.
    Go(FollowIntent),
}

/// What is left of an intent after a crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FollowRecovery {
    /// Nothing: forget it and plan anew.
    Settled,
    /// Something that a person has to look at. Keep it and ask again.
    Stuck {
        /// What, in a sentence.
        why: String,
    },
}

/// Where a branch is checked out.
enum Place {
    Nowhere,
    At(PathBuf),
    Held(String),
}

impl Queue<'_> {
    /// What following would do now. Writes at most the integration ref (to base's own commit).
    ///
    /// # Errors
    /// [`QueueError::NoBase`], or if git cannot be run.
    pub fn plan_follow(&self, advance: AdvanceCheckout) -> Result<FollowPlan, QueueError> {
        let site = self.site()?;
        let (tip, stand) = self.bring_up_in(&site)?;
        let from = match stand {
            BaseStand::Even => return Ok(FollowPlan::End(FollowEnd::There)),
            BaseStand::Diverged { .. } => return Ok(FollowPlan::End(FollowEnd::Diverged)),
            BaseStand::Behind { base } => base,
        };
        let mut intent = FollowIntent {
            from,
            to: tip.commit,
            checkout: None,
            at: now_ms(),
        };
        match self.place(&site)? {
            Place::Nowhere => Ok(FollowPlan::Go(intent)),
            Place::Held(why) => Ok(waits(why)),
            Place::At(path) if advance == AdvanceCheckout::Never => Ok(waits(format!(
                "`{}` is checked out in {}",
                self.base,
                path.display()
            ))),
            Place::At(path) => {
                intent.checkout = Some(RepoPath::from(path.as_path()));
                let checkout = self.open_checkout(&path)?;
                Ok(match checkout.blocked(&self.base_ref(), &intent)? {
                    Some(why) => waits(why),
                    None => FollowPlan::Go(intent),
                })
            }
        }
    }

    /// Moves base as planned, if everything still stands as it did; looks at all guards again.
    ///
    /// # Errors
    /// If git cannot be run.
    pub fn follow(&self, intent: &FollowIntent) -> Result<FollowEnd, QueueError> {
        let site = self.site()?;
        let (base, path) = match self.still(&site, intent)? {
            Err(end) => return Ok(end),
            Ok(still) => still,
        };
        let Some(path) = path else {
            return self.swap(&site, intent);
        };
        let checkout = self.open_checkout(&path)?;
        let mut pause = Duration::from_millis(20);
        for round in 0..TRIES {
            match checkout.advance(&base, intent, round >= UNLOCKED_TRIES)? {
                Advance::Done => return self.followed(&checkout, intent),
                Advance::Blocked(why) => return Ok(FollowEnd::Waits { why }),
                // Another git holds the index, or something changed: then the guards say what. Or the
                // disk is full, and git gave up in the middle.
                Advance::Again => {}
            }
            std::thread::sleep(pause);
            pause *= 2;
        }
        let why = format!("git cannot write the checkout {} now", path.display());
        Ok(FollowEnd::Waits { why })
    }

    /// After a crash during [`Queue::follow`]: puts the checkout back to where base stands, or finishes
    /// what follows the branch. A lock is removed only if our dead child or we left it. If a file is
    /// neither as it was nor as it was to be, nothing is touched.
    ///
    /// # Errors
    /// If git cannot be run.
    pub fn recover_follow(&self, intent: &FollowIntent) -> Result<FollowRecovery, QueueError> {
        let Some(path) = intent.checkout.as_ref().map(RepoPath::as_path) else {
            return Ok(FollowRecovery::Settled);
        };
        if self.git_dir_of(path)?.is_none() || !path.is_dir() {
            return Ok(FollowRecovery::Settled);
        }
        let checkout = self.open_checkout(path)?;
        let stuck = checkout.recover(&self.base_ref(), intent)?;
        if stuck.is_none() {
            fsx::flush_disk_of(self.repo.common_dir())?;
            fsx::flush_disk_of(checkout.path())?;
        }
        Ok(stuck.map_or(FollowRecovery::Settled, |why| FollowRecovery::Stuck { why }))
    }

    /// Base's full name and its checkout, if it is still where the intent has it; else the end.
    fn still(
        &self,
        site: &Site<'_>,
        intent: &FollowIntent,
    ) -> Result<Result<(String, Option<PathBuf>), FollowEnd>, QueueError> {
        let refs = self.refs(site)?;
        let Some(Position { commit: now, .. }) = refs.base else {
            let base = self.base.to_owned();
            return Err(QueueError::NoBase { base });
        };
        if now != intent.from {
            let there = site.is_ancestor(&intent.to, &now)?;
            return Ok(Err(if there {
                FollowEnd::There
            } else if site.is_ancestor(&now, &intent.to)? {
                let why = format!("`{}` has just moved", self.base);
                FollowEnd::Waits { why }
            } else {
                FollowEnd::Diverged
            }));
        }
        let planned = intent.checkout.as_ref().map(|p| p.as_path().to_owned());
        Ok(match self.place(site)? {
            Place::Held(why) => Err(FollowEnd::Waits { why }),
            Place::Nowhere if planned.is_none() => Ok((self.base_ref(), None)),
            Place::At(path) if planned.as_ref() == Some(&path) => Ok((self.base_ref(), planned)),
            // Work that was begun in the planned checkout has to be put right there.
            Place::Nowhere | Place::At(_) => Err(FollowEnd::Waits {
                why: format!("`{}` was checked out elsewhere meanwhile", self.base),
            }),
        })
    }

    /// Moves a branch that is checked out nowhere.
    fn swap(&self, site: &Site<'_>, intent: &FollowIntent) -> Result<FollowEnd, QueueError> {
        let name = self.base_ref();
        let (from, to) = (&intent.from, &intent.to);
        if !site.move_ref(&name, to, Some(from), "longhaul: follow what has landed")? {
            let why = format!("`{}` has just moved", self.base);
            return Ok(FollowEnd::Waits { why });
        }
        // Checked out in this very moment: its files are the old ones, and to its user the landed work
        // would look taken back.
        if let Place::At(path) = self.place(site)?
            && site.move_ref(&name, from, Some(to), "longhaul: wait for its checkout")?
        {
            let why = format!("`{}` was just checked out in {}", self.base, path.display());
            return Ok(FollowEnd::Waits { why });
        }
        fsx::flush_disk_of(self.repo.common_dir())?;
        Ok(FollowEnd::There)
    }

    /// The checkout was written; HEAD may have been switched in between.
    fn followed(
        &self,
        checkout: &Checkout<'_>,
        intent: &FollowIntent,
    ) -> Result<FollowEnd, QueueError> {
        fsx::flush_disk_of(self.repo.common_dir())?;
        fsx::flush_disk_of(checkout.path())?;
        for pause in SWITCH_LOOKS {
            std::thread::sleep(pause);
            checkout.step_back_if_switched(&self.base_ref(), intent)?;
        }
        Ok(FollowEnd::There)
    }

    pub(super) fn open_checkout(&self, path: &Path) -> Result<Checkout<'_>, QueueError> {
        let git_dir = self.git_dir_of(path)?.ok_or_else(|| GitError::Malformed {
            command: "worktree list".into(),
            expected: "a registered worktree",
        })?;
        let site = self.repo.site(&git_dir, path)?;
        let scratch = fsx::digest(path.as_os_str().as_encoded_bytes());
        let scratch = self
            .repo
            .state()
            .join("index")
            .join(format!("follow-{}", &scratch[..16]));
        Ok(Checkout::new(site, scratch))
    }

    fn git_dir_of(&self, path: &Path) -> Result<Option<PathBuf>, GitError> {
        if path == self.repo.checkout() {
            return Ok(Some(self.repo.checkout_git_dir().to_owned()));
        }
        if let Some(admin) = admin::find(self.repo.common_dir(), path)? {
            return Ok(Some(admin));
        }
        let own = path.join(".git").canonicalize();
        let common = self.repo.common_dir();
        Ok(own
            .is_ok_and(|own| own == common)
            .then(|| common.to_owned()))
    }

    /// Where base is checked out. Every worktree counts, and one whose rebase or bisection will come
    /// back to base counts as well.
    fn place(&self, site: &Site<'_>) -> Result<Place, QueueError> {
        let listing = site.worktrees()?.args(["list", "--porcelain", "-z"]).ok()?;
        let wanted = format!("branch {}", self.base_ref());
        let mut found = Vec::new();
        for worktree in records(&listing.stdout) {
            let Some(path) = worktree.first().and_then(|l| l.strip_prefix(b"worktree ")) else {
                return Err(listing.malformed("worktrees").into());
            };
            let path = RepoPath::from_bytes(path).as_path().to_owned();
            if worktree.contains(&wanted.as_bytes()) {
                found.push(path);
            } else if let Some(what) = self.returns_to_base(&path)? {
                let path = path.display();
                return Ok(Place::Held(format!(
                    "a {what} of `{}` is open in {path}",
                    self.base
                )));
            }
        }
        Ok(match found.as_slice() {
            [] => Place::Nowhere,
            [path] if path.is_dir() => Place::At(found.remove(0)),
            [path] => Place::Held(format!(
                "`{}` is checked out in {}, which is not there (`git worktree prune` forgets it)",
                self.base,
                path.display()
            )),
            _ => Place::Held(format!("`{}` is checked out in several places", self.base)),
        })
    }

    /// What a worktree with a detached HEAD has open that ends with base checked out.
    fn returns_to_base(&self, path: &Path) -> Result<Option<&'static str>, GitError> {
        let Some(git_dir) = self.git_dir_of(path)? else {
            return Ok(None);
        };
        let full = self.base_ref();
        for (file, what) in [
            ("rebase-merge/head-name", "rebase"),
            ("rebase-apply/head-name", "rebase"),
            ("BISECT_START", "bisection"),
        ] {
            let read = fsx::read_small(&git_dir.join(file), 4096).ok().flatten();
            let name = read.as_deref().map(<[u8]>::trim_ascii);
            if name == Some(full.as_bytes()) || name == Some(self.base.as_bytes()) {
                return Ok(Some(what));
            }
        }
        Ok(None)
    }
}

/// The records of `worktree list -z`: fields end with NUL, records with one more.
pub(super) fn records(stdout: &[u8]) -> Vec<Vec<&[u8]>> {
    let mut records = Vec::new();
    let mut record = Vec::new();
    for field in stdout.split(|b| *b == 0) {
        if field.is_empty() {
            if !record.is_empty() {
                records.push(std::mem::take(&mut record));
            }
        } else {
            record.push(field);
        }
    }
    records
}

/// HEAD is on a branch and at a commit.
pub(super) fn stands_at(head: &Head, branch: &str, commit: &Oid) -> bool {
    matches!(head, Head::Branch { name, tip } if branch.strip_prefix("refs/heads/") == Some(name) && tip == commit)
}

const fn waits(why: String) -> FollowPlan {
    FollowPlan::End(FollowEnd::Waits { why })
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}
