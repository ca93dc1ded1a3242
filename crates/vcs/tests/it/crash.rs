//! A SIGKILL at every point of every effect, then the same effect again: the end must be the same as
//! without the crash (I3, I4). The effects run in a child process, which is this test program.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use longhaul_vcs::{
    FileRules, GcCandidate, IncludeLimits, KeptBecause, RemoveError, Repo, RepoPath, RestoreScope,
    Worktree,
};

use crate::support::{World, seal_request, snapshot_request, write};

const ROOT: &str = "LONGHAUL_VCS_CRASH_ROOT";
const STEP: &str = "LONGHAUL_VCS_CRASH_STEP";

/// The child: does one effect in its parent's world. On its own it does nothing.
#[test]
fn child() {
    let Some(root) = std::env::var_os(ROOT) else {
        return;
    };
    let world = World::at(PathBuf::from(root));
    assert!(!world.is_owner());
    let step = std::env::var(STEP).unwrap();
    let repo = world.repo();
    if let Some(step) = step.strip_prefix("queue-") {
        crate::queue::crashes::step(&world, &repo, step);
        return;
    }
    let base = repo.resolve("main").unwrap();
    let plan = world.plan(&repo, "crash");
    if step == "make" {
        let tree = repo.ensure_worktree(&plan).unwrap().worktree;
        let placed = repo
            .place_included(&tree, &base, IncludeLimits::default())
            .unwrap();
        assert_eq!(placed.files.len(), 2);
        return;
    }
    let tree = repo.worktree_at(&plan.path).unwrap().unwrap();
    match step.as_str() {
        "seal" => {
            let mut request = seal_request(&base, &base, 1);
            request.snapshot.files = rules();
            drop(repo.seal(&tree, &request).unwrap());
        }
        "undo" => {
            let mut before = snapshot_request(2);
            before.files = rules();
            let first = repo.resolve("refs/longhaul/snap/task1/0").unwrap();
            repo.restore(&tree, &first, &before, RestoreScope::FilesAndBranch)
                .unwrap();
        }
        "remove" => {
            let asked = candidate(tree);
            repo.remove_workspace(&asked, &snapshot_request(3), true)
                .unwrap();
        }
        other => panic!("no step {other}"),
    }
}

fn rules() -> FileRules {
    FileRules {
        placed: [
            RepoPath::from_bytes(".env"),
            RepoPath::from_bytes("local/x"),
        ]
        .into(),
        ..FileRules::default()
    }
}

fn candidate(worktree: Worktree) -> GcCandidate {
    GcCandidate {
        worktree,
        open_attempt: false,
        released: true,
        forced: false,
        landed_in: vec!["refs/heads/main".to_owned()],
        files: rules(),
    }
}

pub(crate) fn run(world: &World, step: &str, crash_at: Option<u32>) -> ExitStatus {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "crash::child", "--test-threads=1"])
        .env(ROOT, &world.root)
        .env(STEP, step);
    if let Some(n) = crash_at {
        command.env("LONGHAUL_CRASH_POINT", format!("any:{n}"));
    }
    let output = command.output().unwrap();
    let status = output.status;
    assert!(
        status.success() || status.signal() == Some(9),
        "{step} {crash_at:?}: {}",
        String::from_utf8_lossy(&output.stdout)
    );
    status
}

fn prepare() -> World {
    let world = World::new();
    write(&world.repo_path(), ".worktreeinclude", ".env\nlocal/\n");
    world.commit(&world.repo_path(), "Name files");
    write(&world.repo_path(), "local/x", "x");
    world
}

/// Crashes a step at each of its points in turn, each in a world of its own, and repeats it.
fn at_every_point(step: &str, prepare: impl Fn(&World), check: impl Fn(&World, &Repo, &str)) {
    let mut points = 0;
    loop {
        points += 1;
        let world = self::prepare();
        prepare(&world);
        let before = world.fingerprint();
        let crashed = run(&world, step, Some(points)).signal() == Some(9);
        assert!(run(&world, step, None).success());
        assert!(run(&world, step, None).success(), "again");
        check(
            &world,
            &world.repo(),
            &format!("{step} crashed at {points}"),
        );
        assert_eq!(world.fingerprint(), before, "{step} crashed at {points}");
        world.fsck();
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

fn make(world: &World) -> (Repo, Worktree) {
    assert!(run(world, "make", None).success());
    let repo = world.repo();
    let tree = repo
        .worktree_at(&world.plan(&repo, "crash").path)
        .unwrap()
        .unwrap();
    (repo, tree)
}

fn status(world: &World) -> String {
    world.git(&world.root.join("trees/crash"), &["status", "--porcelain"])
}

#[test]
fn i4_making_a_worktree_survives_a_crash_anywhere() {
    at_every_point(
        "make",
        |_| {},
        |world, repo, when| {
            assert_eq!(status(world), "?? local/", "{when}");
            let tip = repo.resolve("longhaul/crash").unwrap();
            assert_eq!(tip, repo.resolve("main").unwrap(), "{when}");
            assert_eq!(
                fs::read(world.root.join("trees/crash/local/x")).unwrap(),
                b"x"
            );
            assert_eq!(
                world
                    .git(&world.repo_path(), &["worktree", "list"])
                    .lines()
                    .count(),
                2
            );
        },
    );
}

#[test]
fn i4_sealing_a_turn_survives_a_crash_anywhere() {
    at_every_point(
        "seal",
        |world| {
            let (_, tree) = make(world);
            world.git(&tree.path, &["checkout", "-q", "--detach"]);
            write(&tree.path, "mine.txt", "agent\n");
            world.git(&tree.path, &["add", "mine.txt"]);
            world.git(&tree.path, &["commit", "-qm", "Agent's"]);
            write(&tree.path, "src/lib.rs", "left over\n");
        },
        |world, repo, when| {
            assert_eq!(status(world), "?? local/", "{when}");
            let tree = world.root.join("trees/crash");
            let log = world.git(&tree, &["log", "--format=%s", "main..longhaul/crash"]);
            assert_eq!(log, "Finish the task\nAgent's", "{when}");
            let file = RepoPath::from_bytes("src/lib.rs");
            let tip = repo.resolve("longhaul/crash").unwrap();
            assert_eq!(
                repo.file_at(&tip, &file, 99).unwrap().unwrap(),
                b"left over\n"
            );
        },
    );
}

#[test]
fn i4_undo_survives_a_crash_anywhere() {
    at_every_point(
        "undo",
        |world| {
            let (repo, tree) = make(world);
            write(&tree.path, "one", "1\n");
            let mut first = snapshot_request(0);
            first.files = rules();
            drop(repo.snapshot(&tree, &first).unwrap());
            write(&tree.path, "two", "2\n");
            world.git(&tree.path, &["add", "two"]);
            world.git(&tree.path, &["commit", "-qm", "Two"]);
            write(&tree.path, "three", "3\n");
        },
        |world, repo, when| {
            assert_eq!(status(world), "?? local/\n?? one", "{when}");
            assert_eq!(
                repo.resolve("longhaul/crash").unwrap(),
                repo.resolve("main").unwrap()
            );
            // Everything that was there is reachable from the snapshot made before.
            let log = world.git(
                &world.repo_path(),
                &["log", "--format=%H", "refs/longhaul/snap/task1/2"],
            );
            let holds = |name: &str| {
                log.lines().any(|commit| {
                    let path = RepoPath::from_bytes(name);
                    repo.file_at(&commit.parse().unwrap(), &path, 9)
                        .unwrap()
                        .is_some()
                })
            };
            assert!(holds("two") && holds("three"), "{when}");
        },
    );
}

#[test]
fn i4_removing_a_workspace_survives_a_crash_anywhere() {
    let world = prepare();
    let (_, tree) = make(&world);
    write(&tree.path, "dirty", "x");
    assert!(
        world
            .repo()
            .remove_workspace(&candidate(tree), &snapshot_request(3), true)
            .is_err()
    );

    let mut points = 0;
    loop {
        points += 1;
        let world = prepare();
        let (repo, tree) = make(&world);
        let before = world.fingerprint();
        let crashed = run(&world, "remove", Some(points)).signal() == Some(9);
        let asked = candidate(tree.clone());
        // A git that outlived its dead caller works in the folder for a moment, and that is said.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        loop {
            match repo.remove_workspace(&asked, &snapshot_request(3), true) {
                Err(RemoveError::Kept {
                    because: KeptBecause::InUse { .. },
                }) if std::time::Instant::now() < deadline => {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
                removed => {
                    removed.unwrap();
                    break;
                }
            }
        }
        assert!(
            !tree.path.exists() && !tree.git_dir.exists(),
            "crashed at {points}"
        );
        assert!(
            repo.resolve("longhaul/crash").is_err(),
            "crashed at {points}"
        );
        assert_eq!(world.fingerprint(), before, "crashed at {points}");
        if !crashed {
            break;
        }
    }
    assert!(points > 3);
}

/// The second crash falls where a half-made worktree is linked again: nothing of ours may stay among
/// the agent's files.
#[test]
fn i4_linking_a_half_made_worktree_again_leaves_nothing_in_it() {
    for point in ["vcs.file.flush.before:1", "vcs.file.rename.before:1"] {
        let world = prepare();
        drop(make(&world));
        let tree = world.root.join("trees/crash");
        fs::remove_file(tree.join(".git")).unwrap();
        let mut relink = Command::new(std::env::current_exe().unwrap());
        relink
            .args(["--exact", "crash::child", "--test-threads=1"])
            .env(ROOT, &world.root)
            .env(STEP, "make")
            .env("LONGHAUL_CRASH_POINT", point);
        assert_eq!(relink.output().unwrap().status.signal(), Some(9), "{point}");
        assert!(run(&world, "make", None).success());
        assert_eq!(status(&world), "?? local/", "{point}");
    }
}
