//! The base branch follows: moved alone where it is checked out nowhere; with its checkout only if not
//! one byte of the user's is in the way; put right after a kill in the middle.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use longhaul_core::queue::FollowEnd;
use longhaul_vcs::{AdvanceCheckout, FollowIntent, FollowPlan, FollowRecovery};

use super::{Bench, entry};
use crate::support::write;

impl Bench {
    fn plan(&self, advance: AdvanceCheckout) -> FollowPlan {
        self.repo.queue("main").plan_follow(advance).unwrap()
    }

    fn go(&self) -> FollowIntent {
        match self.plan(AdvanceCheckout::Clean) {
            FollowPlan::Go(intent) => intent,
            FollowPlan::End(end) => panic!("{end:?}"),
        }
    }

    fn why(&self) -> String {
        match self.plan(AdvanceCheckout::Clean) {
            FollowPlan::End(FollowEnd::Waits { why }) => why,
            other => panic!("{other:?}"),
        }
    }

    fn follow(&self) -> FollowEnd {
        self.repo.queue("main").follow(&self.go()).unwrap()
    }
}

/// The landed change: two files modified, one deleted, some added.
fn landed() -> Bench {
    let bench = Bench::new();
    let repo = bench.world.repo_path();
    write(&repo, "deleted", "d\n");
    write(&repo, "other", "o\n");
    bench.world.commit(&repo, "More");
    bench
        .world
        .git(&bench.side, &["checkout", "-q", "--detach", "main"]);
    fs::remove_file(bench.side.join("deleted")).unwrap();
    let change = bench.more(&[
        ("README", "landed\n"),
        ("src/lib.rs", "landed\n"),
        ("new/file", "new\n"),
        ("target/kept", "forced\n"),
    ]);
    assert_eq!(bench.world.git(&bench.side, &["ls-files", "target"]), "");
    bench.world.git(&bench.side, &["add", "-f", "target/kept"]);
    bench
        .world
        .git(&bench.side, &["commit", "-q", "--amend", "-m", "All"]);
    let all = bench.at(&bench.world.git(&bench.side, &["rev-parse", "HEAD"]));
    bench.world.git(
        &bench.side,
        &["checkout", "-q", "--detach", change.as_str()],
    );
    bench.land(&[entry(&all)]);
    bench
}

#[test]
fn l14_a_branch_that_is_checked_out_nowhere_just_moves() {
    let bench = landed();
    let repo = bench.world.repo_path();
    bench.world.git(&repo, &["checkout", "-q", "-b", "mine"]);
    let before = bench.world.git(&repo, &["status", "--porcelain"]);
    let FollowPlan::Go(intent) = bench.plan(AdvanceCheckout::Never) else {
        panic!("it waits")
    };
    assert_eq!(intent.checkout, None);
    let text = serde_json::to_string(&intent).unwrap();
    let intent: FollowIntent = serde_json::from_str(&text).unwrap();
    let queue = bench.repo.queue("main");
    assert_eq!(queue.follow(&intent).unwrap(), FollowEnd::There);
    assert_eq!(queue.follow(&intent).unwrap(), FollowEnd::There);
    assert_eq!(
        queue.recover_follow(&intent).unwrap(),
        FollowRecovery::Settled
    );
    assert_eq!(bench.at("main"), bench.at("refs/longhaul/integration/main"));
    assert_eq!(bench.world.git(&repo, &["status", "--porcelain"]), before);
    assert_eq!(
        bench.plan(AdvanceCheckout::Never),
        FollowPlan::End(FollowEnd::There)
    );
}

#[test]
fn l14_a_checkout_waits_unless_it_was_allowed() {
    let bench = landed();
    let before = bench.world.fingerprint();
    let FollowPlan::End(FollowEnd::Waits { why }) = bench.plan(AdvanceCheckout::Never) else {
        panic!("it does not wait")
    };
    assert!(why.contains("is checked out in"), "{why}");
    assert_eq!(bench.world.fingerprint(), before);
}

#[test]
fn l14_a_clean_advance_keeps_everything_else_of_the_user() {
    let bench = landed();
    let repo = bench.world.repo_path();
    write(&repo, "other", "being edited\n");
    write(&repo, "staged", "staged\n");
    bench.world.git(&repo, &["add", "staged"]);
    write(&repo, "target/mine", "ignored\n");
    write(&repo, "mine.txt", "untracked\n");
    assert_eq!(bench.follow(), FollowEnd::There);
    assert_eq!(bench.at("main"), bench.at("refs/longhaul/integration/main"));
    let status = bench.world.git(&repo, &["status", "--porcelain"]);
    assert_eq!(status, " M other\nA  staged\n?? mine.txt");
    for (file, content) in [
        ("README", "landed\n"),
        ("other", "being edited\n"),
        ("target/mine", "ignored\n"),
        ("mine.txt", "untracked\n"),
        ("target/kept", "forced\n"),
        (".env", "SECRET=1\n"),
    ] {
        assert_eq!(
            fs::read_to_string(repo.join(file)).unwrap(),
            content,
            "{file}"
        );
    }
    assert!(!repo.join("deleted").exists());
    bench.world.fsck();
}

#[test]
fn l14_a_commit_in_the_moment_of_an_advance_is_not_stood_in_the_way_of() {
    let bench = landed();
    let repo = bench.world.repo_path();
    let git = |args: &[&str]| bench.world.git(&repo, args);
    // The advance has written the files and the index; before it moves the branch, the user commits.
    let tip = "refs/longhaul/integration/main";
    git(&["read-tree", "-u", "-m", "HEAD", tip]);
    write(&repo, "other", "mine\n");
    git(&["commit", "-qm", "Mine", "--", "other"]);
    assert!(git(&["status", "--porcelain"]).contains("A  new/file"));
    // What the user has staged beside it stays in the way.
    write(&repo, "README", "mine\n");
    git(&["add", "README"]);
    bench.land(&[]);
    assert_eq!(bench.why(), "README has staged changes");
    write(&repo, "README", "landed\n");
    git(&["add", "README"]);
    assert_eq!(bench.follow(), FollowEnd::There);
    assert_eq!(git(&["status", "--porcelain", "-uno"]), "");
    assert_eq!(bench.at("main"), bench.at(tip));
    assert_eq!(fs::read_to_string(repo.join("other")).unwrap(), "mine\n");
    assert!(!repo.join("deleted").exists());
    bench.world.fsck();
}

#[test]
fn l14_whatever_is_in_the_way_is_named_and_not_touched() {
    type Make = fn(&Bench, &Path);
    let git = |bench: &Bench, args: &[&str]| {
        bench.world.git(&bench.world.repo_path(), args);
    };
    let cases: [(&str, Make); 13] = [
        ("README is modified", |_, repo| {
            write(repo, "README", "mine\n")
        }),
        ("deleted is modified", |_, repo| {
            write(repo, "deleted", "mine\n")
        }),
        ("src/lib.rs is modified", |_, repo| {
            fs::remove_file(repo.join("src/lib.rs")).unwrap();
        }),
        ("README has staged changes", |bench, repo| {
            write(repo, "README", "mine\n");
            bench.world.git(repo, &["add", "README"]);
            write(repo, "README", "hello\n");
        }),
        ("new/file is there", |_, repo| {
            write(repo, "new/file", "mine\n")
        }),
        ("target/kept is there", |_, repo| {
            write(repo, "target/kept", "ignored\n")
        }),
        ("new is there", |_, repo| write(repo, "new", "a file\n")),
        ("new is there", |_, repo| {
            std::os::unix::fs::symlink("src", repo.join("new")).unwrap();
        }),
        ("new/file/x is there", |_, repo| {
            write(repo, "new/file/x", "mine\n")
        }),
        ("README is marked", |bench, repo| {
            bench
                .world
                .git(repo, &["update-index", "--assume-unchanged", "README"]);
            write(repo, "README", "hidden\n");
        }),
        ("middle of a merge", |bench, repo| {
            bench
                .world
                .git(repo, &["merge", "-q", "--no-commit", "--no-ff", "side"]);
        }),
        ("is a sparse checkout", |bench, repo| {
            bench
                .world
                .git(repo, &["config", "core.sparseCheckout", "true"]);
        }),
        ("a rebase of `main` is open", |bench, repo| {
            let edit = "-c sequence.editor=sed -i s/^pick/edit/";
            let (c, value) = edit.split_once(' ').unwrap();
            bench
                .world
                .git(repo, &[c, value, "rebase", "-q", "-i", "HEAD~1"]);
        }),
    ];
    for (expected, make) in cases {
        let bench = landed();
        let repo = bench.world.repo_path();
        git(&bench, &["branch", "side", "main"]);
        bench.branch("side", &[("beside", "b\n")]);
        git(&bench, &["branch", "-f", "side", "main"]);
        let side = bench.world.git(&bench.side, &["rev-parse", "HEAD"]);
        git(&bench, &["branch", "-f", "side", &side]);
        let intent = bench.go();
        make(&bench, &repo);
        let before = bench.world.fingerprint();
        let why = bench.why();
        assert!(why.contains(expected), "{why}: {expected}");
        // Also if it came between the plan and the act, and after a crash that had done nothing.
        let queue = bench.repo.queue("main");
        let end = queue.follow(&intent).unwrap();
        assert!(
            matches!(&end, FollowEnd::Waits { why } if why.contains(expected)),
            "{end:?}"
        );
        assert_eq!(bench.world.fingerprint(), before, "{expected}");
        if !expected.starts_with("src/lib.rs") {
            let _settled_or_stuck = queue.recover_follow(&intent).unwrap();
            assert_eq!(bench.world.fingerprint(), before, "{expected}");
        }
    }
}

#[test]
fn l14_a_linked_worktree_with_base_counts() {
    let bench = landed();
    let repo = bench.world.repo_path();
    bench.world.git(&repo, &["checkout", "-q", "-b", "mine"]);
    bench.world.git(&bench.side, &["checkout", "-q", "main"]);
    write(&bench.side, "README", "mine\n");
    assert_eq!(bench.why(), "README is modified");
    bench.world.git(&bench.side, &["checkout", "-q", "README"]);
    assert_eq!(bench.follow(), FollowEnd::There);
    assert_eq!(bench.world.git(&bench.side, &["status", "--porcelain"]), "");
    assert_eq!(
        fs::read_to_string(bench.side.join("README")).unwrap(),
        "landed\n"
    );
}

#[test]
fn l14_a_held_index_is_waited_for() {
    let bench = landed();
    let repo = bench.world.repo_path();
    let lock = repo.join(".git/index.lock");
    let intent = bench.go();
    // A live process holds it.
    let mut holder = Command::new("sleep")
        .arg("60")
        .stdin(fs::File::create(&lock).unwrap())
        .spawn()
        .unwrap();
    let waiting = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| bench.repo.queue("main").follow(&intent).unwrap());
        std::thread::sleep(Duration::from_millis(150));
        fs::remove_file(&lock).unwrap();
        waiting.join().unwrap()
    });
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(waiting, FollowEnd::There);
}

#[test]
fn l14_a_lock_that_is_not_ours_stays() {
    let bench = landed();
    let lock = bench.world.repo_path().join(".git/index.lock");
    let file = fs::File::create(&lock).unwrap();
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(600);
    file.set_modified(long_ago).unwrap();
    drop(file);
    let intent = bench.go();
    let end = bench.repo.queue("main").recover_follow(&intent).unwrap();
    assert!(
        matches!(&end, FollowRecovery::Stuck { why } if why.contains("older")),
        "{end:?}"
    );
    assert!(lock.exists());
}

/// git is killed at random moments of a fast-forward; what it leaves is put right and the next one goes
/// through. A file of the user's that came in between stops it, untouched.
#[test]
fn l14_a_fast_forward_that_was_killed_is_put_right() {
    let bench = Bench::new();
    let repo = bench.world.repo_path();
    let many = |word: &str| -> Vec<(String, String)> {
        (0..150)
            .map(|n| {
                (
                    format!("d{}/f{n}", n % 7),
                    format!("{word} {n}\n").repeat(200),
                )
            })
            .collect()
    };
    for (name, content) in many("old") {
        write(&repo, &name, content);
    }
    let old = bench.world.commit(&repo, "Many");
    bench
        .world
        .git(&bench.side, &["checkout", "-q", "--detach", "main"]);
    for (n, (name, content)) in many("new").into_iter().enumerate() {
        match n % 5 {
            0 => fs::remove_file(bench.side.join(name)).unwrap(),
            1 => write(&bench.side, &format!("{name}-added/x"), content),
            _ => write(&bench.side, &name, content),
        }
    }
    let new = bench.world.commit(&bench.side, "New");
    let (_, made) = bench.land(&[entry(&new)]);
    let queue = bench.repo.queue("main");
    let (mut half, mut stopped) = (0, 0);
    for round in 0..9_usize {
        write(&repo, "mine.txt", format!("round {round}\n"));
        let intent = bench.go();
        // As an advance does it: an index of its own, and the user's locked by who died.
        let index = bench.world.root.join("next-index");
        fs::copy(repo.join(".git/index"), &index).unwrap();
        fs::File::create_new(repo.join(".git/index.lock")).unwrap();
        let mut child = Command::new("git")
            .args(["read-tree", "-m", "-u", old.as_str()])
            .arg(made.at.commit.as_str())
            .current_dir(&repo)
            .env_clear()
            .envs(bench.world.environment())
            .env("GIT_INDEX_FILE", &index)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // At a place of its own in each round: when git has come to this file.
        let reached = match round % 3 {
            0 => repo.join("d0/f0"),
            n => repo.join(format!("d{}/f{}-added/x", 3 * n, [8, 41, 83, 146][n])),
        };
        while child.try_wait().unwrap().is_none() && reached.exists() == (round % 3 == 0) {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        drop(fs::remove_file(bench.world.root.join("next-index.lock")));
        let status = bench.world.git(&repo, &["status", "--porcelain", "-uall"]);
        let dirty = status.lines().filter(|l| !l.ends_with("mine.txt")).count();
        half += u32::from(dirty > 0 && bench.at("main") == old);
        let mine = repo.join("d2/f2");
        if round % 3 == 0 && dirty > 0 && bench.at("main") == old {
            write(&repo, "d2/f2", "the user's\n");
            let end = queue.recover_follow(&intent).unwrap();
            let named = matches!(&end, FollowRecovery::Stuck { why } if why.starts_with("d2/f2 "));
            assert!(named, "{end:?}");
            assert_eq!(fs::read_to_string(&mine).unwrap(), "the user's\n");
            let again = bench.world.git(&repo, &["status", "--porcelain", "-uall"]);
            let others = |text: &str| -> Vec<String> {
                let lines = text.lines().filter(|l| !l.ends_with("d2/f2"));
                lines.map(ToOwned::to_owned).collect()
            };
            assert_eq!(others(&again), others(&status), "nothing else was touched");
            fs::remove_file(&mine).unwrap();
            stopped += 1;
        }
        assert_eq!(
            queue.recover_follow(&intent).unwrap(),
            FollowRecovery::Settled
        );
        assert!(!repo.join(".git/index.lock").exists());
        if bench.at("main") == old {
            let status = bench.world.git(&repo, &["status", "--porcelain"]);
            assert_eq!(status, "?? mine.txt", "round {round}");
            assert_eq!(bench.follow(), FollowEnd::There);
        }
        assert_eq!(bench.at("main"), made.at.commit);
        assert_eq!(
            bench.world.git(&repo, &["status", "--porcelain"]),
            "?? mine.txt"
        );
        bench
            .world
            .git(&repo, &["reset", "-q", "--hard", old.as_str()]);
    }
    println!("{half} of 9 were left half-written, {stopped} stopped at a user's file");
    assert!(half > 2, "the kills never fell into a checkout: {half}");
    bench.world.fsck();
}

/// What the user stages while the checkout is advanced stays staged: git's own fast-forward reads the
/// index before it locks it, and forgets what came in between.
#[test]
fn l14_what_is_staged_in_the_moment_of_an_advance_stays_staged() {
    let bench = Bench::new();
    let repo = bench.world.repo_path();
    write(&repo, "own.txt", "0\n");
    bench.world.commit(&repo, "Own");
    let over = AtomicBool::new(false);
    let (staged, lands) = std::thread::scope(|scope| {
        let user = scope.spawn(|| {
            let (mut staged, began) = (0, Instant::now());
            while !over.load(Ordering::Relaxed) && began.elapsed() < Duration::from_secs(200) {
                let text = format!("{staged}, staged\n");
                write(&repo, "own.txt", &text);
                let added = bench.world.git_raw(&repo, &["add", "own.txt"]);
                if added.status.success() {
                    staged += 1;
                    // As long as an advance may take from its copy of the index to its end.
                    std::thread::sleep(Duration::from_millis(20));
                    let kept = bench.world.git_raw(&repo, &["show", ":own.txt"]);
                    let kept = String::from_utf8_lossy(&kept.stdout).into_owned();
                    assert_eq!(kept, text, "{staged} were staged before");
                }
            }
            staged
        });
        let mut lands = 0;
        for _ in 0..25 {
            let file = format!("landed/{lands}");
            let change = bench.branch("main", &[(&file, "l\n")]);
            bench.land(&[entry(&change)]);
            let followed = || bench.follow() == FollowEnd::There;
            let mut tries = (0..40).take_while(|_| !user.is_finished());
            lands += u32::from(tries.any(|_| followed()));
        }
        over.store(true, Ordering::Relaxed);
        (user.join().expect("what was staged is gone"), lands)
    });
    assert!(
        staged > 10 && lands == 25,
        "{staged} staged, {lands} landed"
    );
    bench.world.fsck();
}
