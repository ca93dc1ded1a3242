//! The tree of a folder that nobody touched since it was captured last: the same. Told by the stamps of all
//! its files and of all files that say what counts of them; costs no process of git, of which a capture
//! needs half a dozen. Only for in-place work: a worktree is made anew for each task.

use std::path::PathBuf;
use std::sync::Arc;

use super::{CaptureRules, Seen};
use crate::repo::{Head, Repo};
use crate::site::Site;
use crate::stamp::{self, Stamps, Taker};

/// The longest wait for files that were changed just now.
const PATIENCE_MS: u128 = 50;

/// What a capture depends on, as it was at one moment.
pub(super) struct Question<'s> {
    site: &'s Site<'s>,
    rules: &'s CaptureRules<'s>,
    objects: PathBuf,
    stamps: Stamps,
}

impl<'s> Question<'s> {
    /// Takes the stamps; `None` where they say too little: then git is asked and nothing remembered. With
    /// `patient` what was written a moment ago, as by a turn that has just ended, is given the time to be
    /// old enough.
    pub(super) fn ask(
        repo: &Repo,
        site: &'s Site<'s>,
        rules: &'s CaptureRules<'s>,
        patient: bool,
    ) -> Option<Self> {
        // An index of the session's own has a say in these.
        if site.git_dir != site.common_dir || site.settings.sparse {
            return None;
        }
        if !stamp::are_kept(&site.work_tree) {
            return None;
        }
        let mut taken = take(repo, site, rules)?;
        if let Some(left) = taken.unsettled_for().filter(|_| patient)
            && left.as_millis() < PATIENCE_MS
        {
            std::thread::sleep(left);
            taken = take(repo, site, rules)?;
        }
        Some(Self {
            site,
            rules,
            objects: site.common_dir.join("objects"),
            stamps: taken.settled()?,
        })
    }

    /// What was captured when all was as it is now, if its objects are there.
    pub(super) fn answer(&self) -> Option<Seen> {
        let trees = &self.site.git.remembered().trees;
        let seen = trees.get(&self.site.work_tree, &self.stamps)?;
        let is_there = |oid: &crate::oid::Oid| {
            let (first, rest) = oid.as_str().split_at(2);
            self.objects.join(first).join(rest).exists()
        };
        let there = is_there(&seen.captured.tree) && is_there(&seen.captured.work);
        there.then(|| Seen::clone(&seen))
    }

    /// Remembers what was captured, unless something was changed meanwhile.
    pub(super) fn answered(self, repo: &Repo, seen: &Seen) {
        let expected = match repo.glanced_tip() {
            Some((name, tip)) => Head::Branch { name, tip },
            None if repo.is_plain() => seen.head.clone(),
            None => return,
        };
        if seen.damaged || seen.head != expected {
            return;
        }
        let after = take(repo, self.site, self.rules).and_then(Taker::settled);
        if after.as_ref() == Some(&self.stamps) {
            let trees = &self.site.git.remembered().trees;
            let seen = Arc::new(seen.clone());
            trees.put(self.site.work_tree.clone(), self.stamps, seen);
        }
    }
}

fn take(repo: &Repo, site: &Site<'_>, rules: &CaptureRules<'_>) -> Option<Taker> {
    let mut taker = Taker::new();
    match repo.glanced_tip() {
        Some((name, tip)) => {
            taker.word(name.as_bytes());
            taker.word(tip.as_str().as_bytes());
        }
        None if repo.is_plain() => {}
        None => return None,
    }
    taker.word(format!("{rules:?}").as_bytes());
    taker.word(format!("{:?}", site.settings.variables).as_bytes());
    taker.word(format!("{:?}", site.git_dir).as_bytes());
    for file in site.settings.sources.as_ref()? {
        taker.file(file).ok()?;
    }
    taker.folder(&site.work_tree)?;
    Some(taker)
}
