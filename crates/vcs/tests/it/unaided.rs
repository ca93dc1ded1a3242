//! Snapshots that are written without git: the same in every way as those that git writes, and left to it
//! wherever something is out of the ordinary.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use longhaul_vcs::{Git, Repo, Snapshot};

use crate::remembered::{counted, open, runs, settle};
use crate::support::{World, snapshot_request, write};

/// Makes a repository unusual.
type Oddity<'t> = &'t dyn Fn(&World, &Path);

const WRITERS: [&str; 2] = ["commit-tree", "update-ref"];

/// A snapshot under a new ref, and the writers of git that ran for it.
fn snapshot(git: &Git, world: &World, folder: &Path, n: u32) -> (Snapshot, Vec<String>) {
    let repo = open(git, world, folder);
    runs(world);
    let request = snapshot_request(n);
    let kept = repo.snapshot_now(&repo.in_place(), &request).unwrap();
    let mut ran = runs(world);
    ran.retain(|run| WRITERS.contains(&run.as_str()));
    (kept, ran)
}

#[test]
fn l5_a_new_snapshot_takes_no_git_and_is_what_git_would_have_made() {
    let world = World::new();
    let plain = world.root.join("plain");
    fs::create_dir(&plain).unwrap();
    write(&plain, "a.txt", "one\n");
    let git = counted(&world);
    settle();
    for folder in [plain, world.repo_path()] {
        let before = world.fingerprint();
        let (kept, ran) = snapshot(&git, &world, &folder, 1);
        assert_eq!(ran, [""; 0], "{}", folder.display());
        let repo = open(&git, &world, &folder);
        let ours = |args: &[&str]| {
            let git_dir = repo.common_dir().to_str().unwrap();
            world.git(&folder, &[&["--git-dir", git_dir], args].concat())
        };
        ours(&["fsck", "--full", "--strict", "--no-dangling"]);
        assert_eq!(ours(&["rev-parse", &kept.reference]), kept.commit.as_str());
        let tree = format!("{}^{{tree}}", kept.commit);
        assert_eq!(ours(&["rev-parse", &tree]), kept.tree.as_str());
        let told = ours(&["log", "-1", "--format=%P|%an|%ce|%B", kept.commit.as_str()]);
        let head = kept.head.as_ref().map_or("", |head| head.as_str());
        let expected = format!("{head}|Longhaul|longhaul@localhost|longhaul snapshot: end of turn");
        assert_eq!(told, expected);
        // As git leaves its own, to the bits of access.
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let (first, rest) = kept.commit.as_str().split_at(2);
        let object = repo.common_dir().join("objects").join(first).join(rest);
        assert_eq!(mode(&object), 0o444);
        ours(&[
            "update-ref",
            "refs/longhaul/snap/task1/by-git",
            kept.commit.as_str(),
        ]);
        let file = |name: &str| repo.common_dir().join(name);
        let by_git = file("refs/longhaul/snap/task1/by-git");
        assert_eq!(mode(&file(&kept.reference)), mode(&by_git));
        let text = |path: &Path| fs::read_to_string(path).unwrap();
        assert_eq!(text(&file(&kept.reference)), text(&by_git));
        assert!(!file(&format!("{}.lock", kept.reference)).exists());
        assert_eq!(world.fingerprint(), before);
        // git packs and prunes it like any other.
        ours(&["gc", "-q", "--prune=now"]);
        assert_eq!(ours(&["rev-parse", &tree]), kept.tree.as_str());
        // A repetition finds it, and a change goes on from it.
        let (again, _) = snapshot(&git, &world, &folder, 1);
        assert_eq!(again.commit, kept.commit);
        write(&folder, "more.txt", "two\n");
        let (next, ran) = snapshot(&git, &world, &folder, 1);
        assert_eq!(ran, WRITERS, "a ref that is there is moved by git");
        ours(&[
            "merge-base",
            "--is-ancestor",
            kept.commit.as_str(),
            next.commit.as_str(),
        ]);
    }
}

#[test]
fn what_is_out_of_the_ordinary_is_left_to_git() {
    let odd: [(&str, Oddity<'_>); 5] = [
        ("logs of all refs", &|world, repo| {
            world.git(repo, &["config", "core.logAllRefUpdates", "always"]);
        }),
        ("shared with a group", &|world, repo| {
            world.git(repo, &["config", "core.sharedRepository", "group"]);
        }),
        ("messages of another encoding", &|world, repo| {
            world.git(repo, &["config", "i18n.commitEncoding", "latin1"]);
        }),
        ("an extension", &|world, repo| {
            world.git(repo, &["config", "core.repositoryFormatVersion", "1"]);
            world.git(repo, &["config", "extensions.noop", "true"]);
        }),
        ("a folder in the place of the ref", &|_, repo| {
            fs::create_dir_all(repo.join(".git/refs/longhaul/snap/task1/1/left")).unwrap();
        }),
    ];
    for (what, make) in odd {
        let world = World::new();
        let git = counted(&world);
        make(&world, &world.repo_path());
        let (kept, ran) = snapshot(&git, &world, &world.repo_path(), 1);
        assert_eq!(ran, WRITERS, "{what}");
        let repo = world.repo();
        assert_eq!(stands(&repo, &kept), Some(true), "{what}");
        world.fsck();
    }
    let world = World::new();
    let log = world
        .repo_path()
        .join(".git/logs/refs/longhaul/snap/task1/1");
    world.git(
        &world.repo_path(),
        &["config", "core.logAllRefUpdates", "always"],
    );
    drop(snapshot(&counted(&world), &world, &world.repo_path(), 1));
    assert!(log.exists());
}

#[test]
fn a_ref_in_the_way_stays_and_is_said() {
    for packed in [false, true] {
        for other in [
            "refs/longhaul/snap/task1",
            "refs/longhaul/snap/task1/1/below",
        ] {
            let world = World::new();
            let path = world.repo_path();
            world.git(&path, &["update-ref", other, "HEAD"]);
            if packed {
                world.git(&path, &["pack-refs", "--all", "--prune"]);
            }
            let git = counted(&world);
            let repo = open(&git, &world, &path);
            let kept = repo.snapshot_now(&repo.in_place(), &snapshot_request(1));
            assert!(kept.is_err(), "{other}, {packed}");
            world.git(&path, &["rev-parse", "--verify", other]);
            let ours = path.join(".git/refs/longhaul/snap/task1/1");
            assert!(!ours.is_file(), "{other}, {packed}");
        }
    }
}

#[test]
fn i4_a_lock_that_a_killed_daemon_left_is_taken_away() {
    let world = World::new();
    let path = world.repo_path();
    let lock = path.join(".git/refs/longhaul/snap/task1/1.lock");
    write(&path, ".git/refs/longhaul/snap/task1/1.lock", "");
    let (kept, ran) = snapshot(&counted(&world), &world, &path, 1);
    assert_eq!(ran, [""; 0]);
    assert_eq!(stands(&world.repo(), &kept), Some(true));
    assert!(!lock.exists());
}

fn stands(repo: &Repo, kept: &Snapshot) -> Option<bool> {
    let at = repo.ref_commit(&kept.reference).unwrap();
    at.map(|at| at == kept.commit)
}
