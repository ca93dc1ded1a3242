//! Where branches and the work of live sessions stand, read in one run of git.

use std::collections::HashMap;

use crate::git::GitError;
use crate::oid::Oid;

use super::super::{Queue, QueueError};

/// Where to look for somebody's work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkPlace {
    /// The branch, without `refs/heads/`.
    pub branch: String,
    /// The last snapshot of its workspace, by the full name of its ref.
    pub snapshot: Option<String>,
}

/// What was found there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// The branch's tip, or the snapshot where that holds more.
    pub commit: Oid,
    /// It holds what was not committed when it was taken.
    pub uncommitted: bool,
}

struct Tip {
    commit: Oid,
    tree: Oid,
    /// Of a snapshot: what was checked out.
    parent: Option<Oid>,
}

impl Queue<'_> {
    /// The work at these places, in their order; `None` where the branch is gone. A snapshot counts as
    /// long as nothing was committed on its branch since.
    ///
    /// # Errors
    /// If git cannot be run.
    pub fn work(&self, places: &[WorkPlace]) -> Result<Vec<Option<Work>>, QueueError> {
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let tips = self.tips(places)?;
        let found = places.iter().map(|place| {
            let tip = tips.get(&branch_ref(place))?;
            let snapshot = place.snapshot.as_ref().and_then(|name| tips.get(name));
            let newer = snapshot
                .filter(|snap| snap.parent.as_ref() == Some(&tip.commit) && snap.tree != tip.tree);
            Some(Work {
                commit: newer.unwrap_or(tip).commit.clone(),
                uncommitted: newer.is_some(),
            })
        });
        Ok(found.collect())
    }

    fn tips(&self, places: &[WorkPlace]) -> Result<HashMap<String, Tip>, GitError> {
        let site = self.repo.objects()?;
        let names = places
            .iter()
            .flat_map(|p| [Some(branch_ref(p)), p.snapshot.clone()])
            .flatten();
        let output = site
            .call()
            .args([
                "for-each-ref",
                "--format=%(refname)%00%(objectname)%00%(tree)%00%(parent)",
            ])
            .args(names)
            .ok()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let mut tips = HashMap::new();
        for line in text.lines() {
            let fields: Vec<&str> = line.splitn(4, '\0').collect();
            let [name, commit, tree, parents] = fields[..] else {
                return Err(output.malformed("four fields for each ref"));
            };
            // A ref to anything but a commit is no work.
            let (Ok(commit), Ok(tree)) = (commit.parse(), tree.parse()) else {
                continue;
            };
            let parent = parents.split(' ').next().and_then(|p| p.parse().ok());
            let tip = Tip {
                commit,
                tree,
                parent,
            };
            tips.insert(name.to_owned(), tip);
        }
        Ok(tips)
    }
}

fn branch_ref(place: &WorkPlace) -> String {
    format!("refs/heads/{}", place.branch)
}
