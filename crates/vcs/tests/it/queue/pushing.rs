//! Pushing what has landed, to a bare repository beside it (L16).

use std::path::PathBuf;

use longhaul_vcs::{BaseStand, Oid, PublishEnd, PushEnd, QueueError};

use super::{Bench, entry};
use crate::support::write;

/// A bare remote that holds base, and a clone in which others work.
struct Remote {
    bench: Bench,
    bare: PathBuf,
    others: PathBuf,
}

impl Remote {
    fn new() -> Self {
        let bench = Bench::new();
        let (bare, others) = (
            bench.world.root.join("bare"),
            bench.world.root.join("others"),
        );
        let git = |args: &[&str]| bench.world.git(&bench.world.root, args);
        git(&[
            "clone",
            "-q",
            "--bare",
            bench.world.repo_path().to_str().unwrap(),
            "bare",
        ]);
        git(&["clone", "-q", "bare", "others"]);
        let remote = Self {
            bench,
            bare,
            others,
        };
        let url = remote.bare.display().to_string();
        remote.git(&["remote", "add", "origin", &url]);
        remote
    }

    fn git(&self, args: &[&str]) -> String {
        self.bench.world.git(&self.bench.world.repo_path(), args)
    }

    fn push(&self) -> Result<PushEnd, QueueError> {
        self.bench.repo.queue("main").push()
    }

    fn land(&self, file: &str) -> Oid {
        let tip = self.bench.repo.queue("main").tip().unwrap();
        let from = tip.map_or_else(|| "main".to_owned(), |t| t.commit.to_string());
        let work = self.bench.branch(&from, &[(file, "x\n")]);
        self.bench.land(&[entry(&work)]).1.at.commit
    }

    /// Others push a commit of theirs.
    fn others_push(&self, file: &str) {
        let git = |args: &[&str]| self.bench.world.git(&self.others, args);
        git(&["pull", "-q", "--rebase", "origin", "main"]);
        write(&self.others, file, "theirs\n");
        self.bench.world.commit(&self.others, "Theirs");
        git(&["push", "-q", "origin", "HEAD:main"]);
    }

    fn there(&self) -> String {
        self.bench.world.git(&self.bare, &["rev-parse", "main"])
    }
}

/// It is there, and this push moved that branch.
fn there(pushed: Option<&str>) -> PushEnd {
    PushEnd::There {
        pushed: pushed.map(str::to_owned),
    }
}

#[test]
fn l16_what_has_landed_is_pushed_forwards_only_and_once() {
    let remote = Remote::new();
    assert_eq!(remote.push().unwrap(), there(None), "nothing has landed");
    let before = remote.git(&["for-each-ref", "refs/heads", "refs/tags"]);
    let first = remote.land("a");
    assert_eq!(remote.push().unwrap(), there(Some("origin/main")));
    assert_eq!(remote.there(), first.as_str());
    assert_eq!(remote.push().unwrap(), there(None), "again is harmless");
    // Killed before it was noted: the remote holds it, and that is found out.
    let second = remote.land("b");
    remote.git(&["push", "-q", "origin", &format!("{second}:main")]);
    assert_eq!(remote.push().unwrap(), there(Some("origin/main")));
    assert_eq!(remote.there(), second.as_str());
    assert_eq!(
        remote.git(&["for-each-ref", "refs/heads", "refs/tags"]),
        before
    );
    remote.bench.world.fsck();
}

#[test]
fn l16_what_others_pushed_is_fetched_merged_and_then_pushed_with_the_rest() {
    let remote = Remote::new();
    remote.land("a");
    remote.push().unwrap();
    remote.others_push("theirs");
    let theirs = remote.there();
    let ours = remote.land("b");
    assert_eq!(remote.push().unwrap(), PushEnd::Rejected);
    assert_eq!(remote.there(), theirs, "nothing of theirs was overwritten");
    let queue = remote.bench.repo.queue("main");
    let (_, stand) = queue.bring_up().unwrap();
    assert!(
        matches!(stand, BaseStand::Diverged { pushed: true, .. }),
        "{stand:?}"
    );
    // The next trial merges theirs, in a round of its own; then all of it goes forwards.
    let (onto, candidate) = remote.bench.land(&[]);
    assert_eq!(onto.commit, ours);
    assert_eq!(candidate.entries, Vec::<usize>::new());
    assert_eq!(remote.push().unwrap(), there(Some("origin/main")));
    assert_eq!(remote.there(), candidate.at.commit.as_str());
    assert_eq!(remote.bench.show(&candidate.at.commit, "theirs"), "theirs");
    assert_eq!(remote.bench.show(&candidate.at.commit, "b"), "x");
}

#[test]
fn l16_a_branch_that_nobody_else_moved_beside_is_taken_over() {
    let remote = Remote::new();
    remote.land("a");
    remote.push().unwrap();
    remote.others_push("theirs");
    let theirs = remote.there();
    remote.git(&["fetch", "-q", "origin", "+main:refs/longhaul/upstream/main"]);
    let (tip, _) = remote.bench.repo.queue("main").bring_up().unwrap();
    assert_eq!(tip.commit.as_str(), theirs);
    assert_eq!(remote.push().unwrap(), there(None));
}

#[test]
fn l16_a_conflict_with_what_others_pushed_names_its_files_and_what_to_do() {
    let remote = Remote::new();
    remote.land("same");
    remote.others_push("same");
    assert_eq!(remote.push().unwrap(), PushEnd::Rejected);
    let message = |_: &[usize]| String::new();
    let request = longhaul_vcs::TrialRequest {
        pin: "test".to_owned(),
        entries: Vec::new(),
        date: 1,
        sign: false,
        message: &message,
    };
    let error = remote.bench.repo.queue("main").trial(&request).unwrap_err();
    let (text, remedy) = (error.to_string(), error.remedy().unwrap());
    assert!(
        text.contains("pushed to `main`") && text.contains("same"),
        "{text}"
    );
    assert!(remedy.contains("refs/longhaul/upstream/main"), "{remedy}");
}

#[test]
fn l16_a_remote_that_refuses_or_is_not_there_is_told() {
    let remote = Remote::new();
    remote.land("a");
    write(&remote.bare, "hooks/pre-receive", "#!/bin/sh\nexit 1\n");
    let hook = remote.bare.join("hooks/pre-receive");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&hook, mode).unwrap();
    let before = remote.there();
    let end = remote.push().unwrap();
    assert!(
        matches!(&end, PushEnd::Refused { why } if why.contains("declined")),
        "{end:?}"
    );
    assert_eq!(remote.there(), before);
    std::fs::remove_file(hook).unwrap();
    std::fs::rename(&remote.bare, remote.bare.with_extension("away")).unwrap();
    assert!(remote.push().is_err(), "nobody can be reached");
    remote.git(&["remote", "remove", "origin"]);
    assert_eq!(remote.push().unwrap(), PushEnd::NoRemote);
}

#[test]
fn l16_the_branch_that_base_tracks_is_where_it_goes() {
    let remote = Remote::new();
    remote.git(&["config", "branch.main.remote", "origin"]);
    remote.git(&["config", "branch.main.merge", "refs/heads/trunk"]);
    let before = remote.there();
    let landed = remote.land("a");
    assert_eq!(
        remote.push().unwrap(),
        there(Some("origin/trunk")),
        "made where it is missing"
    );
    let trunk = remote
        .bench
        .world
        .git(&remote.bare, &["rev-parse", "trunk"]);
    assert_eq!(trunk, landed.as_str());
    assert_eq!(remote.there(), before);
}

#[test]
fn l16_a_tasks_branch_goes_there_under_its_own_name_and_replaces_only_what_is_ours() {
    let remote = Remote::new();
    let publish = |commit: &Oid| {
        remote
            .bench
            .repo
            .queue("main")
            .publish("longhaul/a", commit)
    };
    let there = || {
        remote
            .bench
            .world
            .git(&remote.bare, &["rev-parse", "longhaul/a"])
    };
    let held = PublishEnd::There {
        base: "main".to_owned(),
    };
    let first = remote.bench.branch("main", &[("a", "1\n")]);
    assert_eq!(publish(&first).unwrap(), held);
    assert_eq!(publish(&first).unwrap(), held, "again");
    assert_eq!(there(), first.to_string());
    // Killed before it was noted, and the task went on.
    let second = remote.bench.more(&[("a", "2\n")]);
    remote.git(&["update-ref", "-d", "refs/longhaul/upstream/longhaul/a"]);
    assert_eq!(publish(&second).unwrap(), held);
    // Begun anew: not forwards, and all of it ours.
    let anew = remote.bench.branch("main", &[("a", "3\n")]);
    assert_eq!(publish(&anew).unwrap(), held);
    assert_eq!(there(), anew.to_string());
    // A reviewer adds a commit: it stays, however often this is tried.
    let others = |args: &[&str]| remote.bench.world.git(&remote.others, args);
    others(&["fetch", "-q", "origin", "longhaul/a"]);
    others(&["checkout", "-q", "--detach", "FETCH_HEAD"]);
    write(&remote.others, "review", "theirs\n");
    remote.bench.world.commit(&remote.others, "A remark");
    others(&["push", "-q", "origin", "HEAD:longhaul/a"]);
    let theirs = there();
    let other = remote.bench.branch("main", &[("a", "4\n")]);
    for _ in 0..2 {
        let end = publish(&other).unwrap();
        assert!(matches!(end, PublishEnd::Refused { .. }), "{end:?}");
        assert_eq!(there(), theirs);
    }
    remote.git(&["remote", "remove", "origin"]);
    assert_eq!(publish(&other).unwrap(), PublishEnd::NoRemote);
}
