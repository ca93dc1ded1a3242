//! A SIGKILL at every point of every step of the queue, then the same step again: it ends as without the
//! crash, lands once, and leaves nothing half-done (L18).

use std::fs;
use std::os::unix::process::ExitStatusExt;

use longhaul_core::queue::FollowEnd;
use longhaul_vcs::{
    AdvanceCheckout, CatchUp, CatchUpStyle, CaughtUp, FollowIntent, FollowPlan, FollowRecovery,
    LandEnd, MergeBegun, Position, Repo, SlotPlan, TrialRequest, Unfinished,
};

use super::{Bench, entry};
use crate::crash::run;
use crate::support::{World, seal_request, snapshot_request, write};

/// What the child does; each step is what an engine repeats after a crash.
pub(crate) fn step(world: &World, repo: &Repo, step: &str) {
    let queue = repo.queue("main");
    match step {
        "land" => {
            let commit = |name: &str| repo.resolve(name).unwrap();
            let request = TrialRequest {
                pin: "line/1".to_owned(),
                entries: vec![entry(&commit("a")), entry(&commit("b"))],
                date: 1_700_000_000,
                sign: false,
                message: &|_| "Land".to_owned(),
            };
            let trial = queue.trial(&request).unwrap();
            if let Some(made) = trial.candidate {
                let end = queue.land(&made.at, &trial.tip.commit).unwrap();
                assert_eq!(end, LandEnd::Landed);
            }
            queue.unpin("line/1").unwrap();
        }
        "advance" => {
            let journal = world.root.join("intent");
            if let Ok(text) = fs::read_to_string(&journal) {
                let intent: FollowIntent = serde_json::from_str(&text).unwrap();
                let end = queue.recover_follow(&intent).unwrap();
                assert_eq!(end, FollowRecovery::Settled);
                fs::remove_file(&journal).unwrap();
            }
            if let FollowPlan::Go(intent) = queue.plan_follow(AdvanceCheckout::Clean).unwrap() {
                fs::write(&journal, serde_json::to_string(&intent).unwrap()).unwrap();
                assert_eq!(queue.follow(&intent).unwrap(), FollowEnd::There);
                fs::remove_file(&journal).unwrap();
            }
        }
        "rework" => {
            let tree = repo
                .worktree_at(&world.plan(repo, "crash").path)
                .unwrap()
                .unwrap();
            let base = repo.resolve("main").unwrap();
            let seal = |n| repo.seal(&tree, &seal_request(&base, &base, n)).unwrap();
            match repo
                .begin_merge(&tree, &repo.resolve("a").unwrap())
                .unwrap()
            {
                MergeBegun::Begun { .. } => {
                    write(&tree.path, "README", "both\n");
                    assert_eq!(seal(2).unfinished, None);
                }
                // The seal died: it is sealed again.
                MergeBegun::Busy(Unfinished::Merge) => assert_eq!(seal(2).unfinished, None),
                MergeBegun::Contained => {
                    let _again = seal(2);
                }
                other => panic!("{other:?}"),
            }
        }
        "merge" | "rebase" => {
            let tree = repo
                .worktree_at(&world.plan(repo, "crash").path)
                .unwrap()
                .unwrap();
            let order = CatchUp {
                to: &repo.resolve("b").unwrap(),
                style: if step == "merge" {
                    CatchUpStyle::Merge {
                        leave_conflicts: false,
                    }
                } else {
                    CatchUpStyle::Rebase
                },
                before: &snapshot_request(5),
                message: "Merge b",
                sign: false,
            };
            let end = repo.catch_up(&tree, &order).unwrap();
            let there = matches!(end, CaughtUp::Done { .. } | CaughtUp::Contained);
            assert!(there, "{end:?}");
        }
        "slot" => {
            let slot = repo.prepare_slot(&slot_plan(world, repo, "a")).unwrap();
            assert!(repo.slot_changes(&slot).unwrap().paths.is_empty());
        }
        other => panic!("no step {other}"),
    }
}

fn slot_plan(world: &World, repo: &Repo, revision: &str) -> SlotPlan {
    let commit = repo.resolve(revision).unwrap();
    let tree = world.git(
        &world.repo_path(),
        &["rev-parse", &format!("{commit}^{{tree}}")],
    );
    SlotPlan {
        path: world.root.join("slots/0"),
        at: Position {
            commit,
            tree: tree.parse().unwrap(),
        },
        keep: None,
        lock_reason: "longhaul".to_owned(),
    }
}

/// A repository with two branches to land.
fn prepare() -> Bench {
    let bench = Bench::within(World::in_memory().with_commits());
    for (name, file) in [("a", "README"), ("b", "new/b")] {
        let commit = bench.branch("main", &[(file, "theirs\n")]);
        bench
            .world
            .git(&bench.side, &["branch", name, commit.as_str()]);
    }
    fs::create_dir_all(bench.world.root.join("slots")).unwrap();
    bench
}

fn at_every_point(step: &str, prepare: impl Fn() -> Bench, check: impl Fn(&Bench, &str)) {
    let step = format!("queue-{step}");
    let mut points = 0;
    loop {
        points += 1;
        let bench = prepare();
        let crashed = run(&bench.world, &step, Some(points)).signal() == Some(9);
        assert!(run(&bench.world, &step, None).success());
        if points % 3 == 0 {
            assert!(run(&bench.world, &step, None).success(), "again");
        }
        check(&bench, &format!("{step} crashed at {points}"));
        bench.world.fsck();
        if !crashed {
            break;
        }
        assert!(points < 200, "{step} has no end");
    }
    assert!(
        points > 3,
        "{step} passed only {points} points: are crash points compiled in?"
    );
}

#[test]
fn l18_a_landing_survives_a_crash_anywhere() {
    let expected = prepare();
    let before = expected.world.fingerprint();
    assert!(run(&expected.world, "queue-land", None).success());
    let landed = expected.tree("refs/longhaul/integration/main");
    at_every_point("land", prepare, |bench, at| {
        let tip = bench.at("refs/longhaul/integration/main");
        assert_eq!(bench.tree(tip.as_str()), landed, "{at}");
        let parents = ["main", "a", "b"]
            .map(|name| bench.at(name).to_string())
            .join(" ");
        assert_eq!(bench.log(&tip, "%P"), parents, "{at}");
        let mine = |bench: &Bench| -> Vec<_> {
            let files = bench.world.fingerprint().into_iter();
            files
                .filter(|(name, _)| !name.starts_with(".git/"))
                .collect()
        };
        let user: Vec<_> = before
            .iter()
            .filter(|(n, _)| !n.starts_with(".git/"))
            .cloned()
            .collect();
        assert_eq!(mine(bench), user, "{at}");
        let pins = bench
            .world
            .git(&bench.side, &["for-each-ref", "refs/longhaul/queue"]);
        assert_eq!(pins, "", "{at}");
    });
}

#[test]
fn l18_an_advance_survives_a_crash_anywhere() {
    let landed = || {
        let bench = prepare();
        assert!(run(&bench.world, "queue-land", None).success());
        write(&bench.world.repo_path(), "src/lib.rs", "being edited\n");
        bench
    };
    at_every_point("advance", landed, |bench, at| {
        assert_eq!(
            bench.at("main"),
            bench.at("refs/longhaul/integration/main"),
            "{at}"
        );
        let repo = bench.world.repo_path();
        let status = bench.world.git(&repo, &["status", "--porcelain"]);
        assert_eq!(status, " M src/lib.rs\n?? scratch.txt", "{at}");
        assert_eq!(
            fs::read_to_string(repo.join("README")).unwrap(),
            "theirs\n",
            "{at}"
        );
        assert!(!repo.join(".git/index.lock").exists(), "{at}");
    });
}

#[test]
fn l18_a_conflict_in_its_workspace_survives_a_crash_anywhere() {
    let conflicting = || {
        let bench = prepare();
        let tree = bench.world.worktree(&bench.repo, "crash");
        write(&tree.path, "README", "ours\n");
        let base = bench.at("main");
        let sealed = bench
            .repo
            .seal(&tree, &seal_request(&base, &base, 1))
            .unwrap();
        assert!(sealed.committed_leftovers);
        bench
    };
    at_every_point("rework", conflicting, |bench, at| {
        let tip = bench.at("longhaul/crash");
        assert_eq!(bench.show(&tip, "README"), "both", "{at}");
        let parents = bench.log(&tip, "%P");
        assert!(parents.ends_with(bench.at("a").as_str()), "{at}: {parents}");
        let tree = bench.world.root.join("trees/crash");
        assert_eq!(
            bench.world.git(&tree, &["status", "--porcelain"]),
            "",
            "{at}"
        );
        let merging = bench
            .world
            .git_raw(&tree, &["rev-parse", "-q", "--verify", "MERGE_HEAD"]);
        assert!(!merging.status.success(), "{at}");
    });
}

#[test]
fn l21_a_workspace_brought_up_to_date_survives_a_crash_anywhere() {
    let behind = || {
        let bench = prepare();
        let tree = bench.world.worktree(&bench.repo, "crash");
        write(&tree.path, "README", "ours\n");
        bench.world.git(&tree.path, &["commit", "-aqm", "Ours"]);
        bench
    };
    for step in ["merge", "rebase"] {
        at_every_point(step, behind, |bench, at| {
            let tip = bench.at("longhaul/crash");
            assert_eq!(bench.show(&tip, "README"), "ours", "{at}");
            assert_eq!(bench.show(&tip, "new/b"), "theirs", "{at}");
            let second = format!(" {}", bench.at("b"));
            assert_eq!(
                bench.log(&tip, "%P").ends_with(&second),
                step == "merge",
                "{at}"
            );
            let tree = bench.world.root.join("trees/crash");
            let status = bench.world.git(&tree, &["status", "--porcelain"]);
            assert_eq!(status, "", "{at}");
            let merging = bench
                .world
                .git_raw(&tree, &["rev-parse", "-q", "--verify", "MERGE_HEAD"]);
            assert!(!merging.status.success(), "{at}");
        });
    }
}

#[test]
fn l18_a_slot_survives_a_crash_anywhere() {
    at_every_point("slot", prepare, |bench, at| {
        let slot = bench.world.root.join("slots/0");
        assert_eq!(
            bench.world.git(&slot, &["status", "--porcelain"]),
            "",
            "{at}"
        );
        assert_eq!(
            bench.world.git(&slot, &["rev-parse", "HEAD"]),
            bench.at("a").to_string()
        );
        let list = bench.world.git(&bench.side, &["worktree", "list"]);
        assert_eq!(list.lines().count(), 3, "{at}: {list}");
    });
}
