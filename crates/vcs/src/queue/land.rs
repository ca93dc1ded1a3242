//! A landing: one compare-and-swap of the integration ref, from the very commit that the candidate was
//! made on (L8, L18). That it is what was checked is looked at once more, by id, and not believed (I9).

use crate::fsx;
use crate::oid::Oid;
use crate::site::Site;

use super::integration::Position;
use super::trial::is_whole;
use super::{Queue, QueueError};

/// How a landing ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LandEnd {
    /// The integration ref holds the candidate, by this call or an earlier one. It is on the disk.
    Landed,
    /// The ref is not what the trial used, or somebody collected a part of what was made. Nothing was
    /// moved: the trial is to be made again.
    Moved {
        /// Where it stands; none if it is gone.
        now: Option<Position>,
    },
}

impl Queue<'_> {
    /// Moves the integration ref from `onto` to the candidate, or finds that done.
    ///
    /// # Errors
    /// [`QueueError::NotTheCandidate`] if the commit has another tree or was made onto another commit.
    pub fn land(&self, candidate: &Position, onto: &Oid) -> Result<LandEnd, QueueError> {
        let site = self.site()?;
        check(&site, candidate, onto)?;
        if !self.keep(&site, &candidate.commit, onto)? {
            let now = self.refs(&site)?.tip;
            return Ok(LandEnd::Moved { now });
        }
        let name = self.integration_ref();
        if !site.move_ref(&name, &candidate.commit, Some(onto), "longhaul: land")? {
            let now = self.refs(&site)?.tip;
            // Landed before, and the user committed on top of it since.
            let held = match &now {
                Some(now) => site.is_ancestor(&candidate.commit, &now.commit)?,
                None => false,
            };
            if !held {
                return Ok(LandEnd::Moved { now });
            }
        }
        // git flushes what it writes, but not the names.
        fsx::flush_disk_of(self.repo.common_dir())?;
        Ok(LandEnd::Landed)
    }

    /// Packs what a candidate adds; false if a part of it is gone. A `git prune` takes single objects that
    /// no ref held when it began, and the user's may have begun before the candidate was pinned: the
    /// integration ref would name what is no more. It takes no packs, and a repacking that does has seen
    /// the pin.
    fn keep(&self, site: &Site<'_>, candidate: &Oid, onto: &Oid) -> Result<bool, QueueError> {
        let packed = site
            .call()
            .args(["pack-objects", "--revs", "--quiet", "--window=0"])
            .arg(self.repo.common_dir().join("objects/pack/pack"))
            .stdin(format!("{candidate}\n^{onto}\n"))
            .output()?;
        if packed.code == Some(0) {
            return Ok(true);
        }
        if packed.code.is_some() && !is_whole(site, candidate, onto)? {
            return Ok(false);
        }
        Err(packed.failure().into())
    }
}

fn check(site: &Site<'_>, candidate: &Position, onto: &Oid) -> Result<(), QueueError> {
    let wrong = |what| QueueError::NotTheCandidate {
        commit: candidate.commit.clone(),
        what,
    };
    let commit = &candidate.commit;
    let tree = site.resolve(commit.as_str(), "tree")?;
    if tree.ok_or_else(|| wrong("it is missing"))? != candidate.tree {
        return Err(wrong("it has another tree"));
    }
    if site.resolve(&format!("{commit}^1"), "commit")?.as_ref() != Some(onto) {
        return Err(wrong("it was made onto another commit"));
    }
    Ok(())
}
