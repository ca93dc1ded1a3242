//! The git side of the merge queue, with real git.

mod catching_up;
mod costs;
pub(crate) mod crashes;
mod following;
mod interference;
mod landing;
mod predicting;
mod pushing;
mod random;
mod replay;
mod rework;
mod slots;
mod styles;

use std::path::PathBuf;

use longhaul_core::queue::MergeStyle;
use longhaul_vcs::{
    CandidateCommit, EntryEnd, LandEnd, Oid, Position, Repo, Trial, TrialEntry, TrialRequest,
};

use crate::support::{World, write};

/// A world with a second clone-like worktree in which branches are made, so that the user's checkout
/// is never touched by the test itself.
pub(crate) struct Bench {
    pub(crate) world: World,
    pub(crate) repo: Repo,
    pub(crate) side: PathBuf,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::within(World::new())
    }

    pub(crate) fn within(world: World) -> Self {
        let side = world.root.join("side");
        world.git(
            &world.repo_path(),
            &["worktree", "add", "-q", "--detach", side.to_str().unwrap()],
        );
        let repo = world.repo();
        Self { world, repo, side }
    }

    pub(crate) fn at(&self, revision: &str) -> Oid {
        let text = self
            .world
            .git(&self.world.repo_path(), &["rev-parse", revision]);
        text.parse().unwrap()
    }

    pub(crate) fn tree(&self, revision: &str) -> Oid {
        self.at(&format!("{revision}^{{tree}}"))
    }

    /// A commit from `from` with these files written.
    pub(crate) fn branch(&self, from: &str, files: &[(&str, &str)]) -> Oid {
        self.world
            .git(&self.side, &["checkout", "-q", "--detach", from]);
        self.more(files)
    }

    /// One more commit on what was made last.
    pub(crate) fn more(&self, files: &[(&str, &str)]) -> Oid {
        for (name, content) in files {
            write(&self.side, name, content);
        }
        let name = files.first().map_or("nothing", |f| f.0);
        self.world.commit(&self.side, &format!("Change {name}"))
    }

    pub(crate) fn show(&self, commit: &Oid, path: &str) -> String {
        let object = format!("{commit}:{path}");
        self.world.git(&self.world.repo_path(), &["show", &object])
    }

    pub(crate) fn log(&self, commit: &Oid, format: &str) -> String {
        let format = format!("--format={format}");
        self.world.git(
            &self.world.repo_path(),
            &["show", "-s", &format, commit.as_str()],
        )
    }

    pub(crate) fn trial(&self, entries: &[TrialEntry]) -> Trial {
        let message = |at: &[usize]| format!("Land {at:?}");
        let request = TrialRequest {
            pin: "test".to_owned(),
            entries: entries.to_vec(),
            date: 1_700_000_000,
            sign: false,
            message: &message,
        };
        self.repo.queue("main").trial(&request).unwrap()
    }

    /// Lands what merges of these and gives the candidate.
    pub(crate) fn land(&self, entries: &[TrialEntry]) -> (Position, CandidateCommit) {
        let trial = self.trial(entries);
        let candidate = trial.candidate.expect("something merges");
        let end = self
            .repo
            .queue("main")
            .land(&candidate.at, &trial.tip.commit);
        assert_eq!(end.unwrap(), LandEnd::Landed);
        (trial.tip, candidate)
    }
}

pub(crate) fn entry(commit: &Oid) -> TrialEntry {
    styled(commit, MergeStyle::Merge)
}

pub(crate) fn styled(commit: &Oid, style: MergeStyle) -> TrialEntry {
    TrialEntry {
        commit: commit.clone(),
        style,
        task: Some(format!("task-{}", commit.short())),
        unlanded: Vec::new(),
    }
}

pub(crate) fn conflict(end: &EntryEnd) -> &longhaul_core::queue::ConflictReport {
    match end {
        EntryEnd::Conflict(report) => report,
        other => panic!("{other:?}"),
    }
}
