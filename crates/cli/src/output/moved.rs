//! Whether the branch of a task that is done still stands at the commit that was verified. What counts is
//! that commit, never the branch: dependents fork from it. A branch that points elsewhere is said.

use std::collections::HashMap;

use camino::Utf8Path;
use longhaul_api::{TaskDetail, TaskState};
use longhaul_vcs::{Git, Repo};

use crate::context::Context;
use crate::submit::repo;

/// Looks at repositories; each is opened once.
pub(crate) struct Moved<'c> {
    context: &'c Context,
    git: Option<Git>,
    repos: HashMap<String, Option<Repo>>,
}

impl<'c> Moved<'c> {
    /// Without git nothing is looked at.
    pub(crate) fn new(context: &'c Context) -> Self {
        Self {
            context,
            git: repo::git(&context.env).ok(),
            repos: HashMap::new(),
        }
    }

    /// Notes where the branch of a task that is done stands, if that is not the verified commit. What
    /// cannot be looked at (a repository that is elsewhere now) is not said.
    pub(crate) fn look(&mut self, detail: &mut TaskDetail) {
        let Some(verified) = verified(detail).filter(|_| detail.task.state == TaskState::Done)
        else {
            return;
        };
        let Some(workspace) = detail.workspace.as_mut() else {
            return;
        };
        let (Some(branch), Some(git)) = (&workspace.branch, &self.git) else {
            return;
        };
        let paths = self.context.paths();
        let path = &detail.spec.repo;
        let repo = self
            .repos
            .entry(path.clone())
            .or_insert_with(|| repo::open(git, paths, Utf8Path::new(path)).ok());
        let tip = repo
            .as_ref()
            .and_then(|r| r.ref_commit(&format!("refs/heads/{branch}")).ok());
        let Some(tip) = tip else { return };
        let tip = tip.map(|oid| oid.to_string()).unwrap_or_default();
        if tip != verified {
            workspace.moved_to = Some(tip);
        }
    }
}

/// The commit that the last checks ran on.
fn verified(detail: &TaskDetail) -> Option<String> {
    let sealed = detail.attempts.iter().rev().find_map(|a| a.sealed.as_ref());
    sealed.map(|s| s.commit.clone()).filter(|c| !c.is_empty())
}

/// The same in words: `branch moved since it was verified: abc → def`.
pub(crate) fn words(detail: &TaskDetail) -> Option<String> {
    let to = detail.workspace.as_ref()?.moved_to.as_ref()?;
    let from = verified(detail)?;
    let short = |oid: &str| oid.chars().take(10).collect::<String>();
    Some(if to.is_empty() {
        let work = short(&from);
        format!("branch gone since it was verified: the work is commit {work}")
    } else {
        let (from, to) = (short(&from), short(to));
        format!("branch moved since it was verified: {from} → {to}")
    })
}
