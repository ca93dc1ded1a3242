//! Making worktrees, and making them again (L1, I4, T30).

use std::fs;

use longhaul_vcs::{EnsureError, Made, Note};

use crate::support::{World, seal_request, snapshot_request, write};

#[test]
fn l1_a_worktree_is_made_once_and_found_again() {
    let world = World::new();
    let before = world.fingerprint();
    let repo = world.repo();
    let plan = world.plan(&repo, "fix-1");
    let first = repo.ensure_worktree(&plan).unwrap();
    assert_eq!(first.made, Made::New);
    assert_eq!(first.notes, []);
    assert_eq!(fs::read(plan.path.join("README")).unwrap(), b"hello\n");
    assert!(!plan.path.join(".env").exists());
    assert_eq!(world.git(&plan.path, &["status", "--porcelain"]), "");
    assert_eq!(
        world.git(&plan.path, &["branch", "--show-current"]),
        "longhaul/fix-1"
    );
    let second = repo.ensure_worktree(&plan).unwrap();
    assert_eq!(
        (second.made, &second.worktree),
        (Made::Existing, &first.worktree)
    );
    assert!(first.worktree.git_dir.join("locked").exists());
    assert_eq!(world.fingerprint(), before);
    world.fsck();
}

/// What a power cut leaves of a registration that git has just written: git flushes none.
#[test]
fn i3_a_torn_registration_of_one_worktree_keeps_no_other_from_being_made() {
    let world = World::new();
    let repo = world.repo();
    let torn = repo.ensure_worktree(&world.plan(&repo, "torn")).unwrap();
    let file = torn.worktree.git_dir.join("commondir");
    for (n, left) in [&b""[..], &[0; 6]].into_iter().enumerate() {
        fs::write(&file, left).unwrap();
        let made = repo.ensure_worktree(&world.plan(&repo, &format!("made-{n}")));
        assert_eq!(made.unwrap().made, Made::New);
        assert_eq!(fs::read(&file).unwrap(), b"../..\n");
    }
    // And of its own: where it is was not on the disk yet.
    for left in [&b""[..], &[0; 40]] {
        let plan = world.plan(&repo, "torn");
        forge_unfinished(&world, &plan.path);
        fs::write(torn.worktree.git_dir.join("gitdir"), left).unwrap();
        assert_eq!(repo.ensure_worktree(&plan).unwrap().made, Made::New);
        fs::write(torn.worktree.git_dir.join("gitdir"), left).unwrap();
        let again = repo.ensure_worktree(&plan).unwrap();
        assert_eq!(
            (again.made, again.worktree),
            (Made::Existing, torn.worktree.clone())
        );
    }
    world.fsck();
}

#[test]
fn i4_every_half_made_worktree_is_finished() {
    let world = World::new();
    let repo = world.repo();
    // A branch only; a branch and an empty folder; registered without a HEAD; registered without
    // files; files half written with a dead index lock.
    for step in 0..5 {
        let plan = world.plan(&repo, &format!("half-{step}"));
        let made = repo.ensure_worktree(&plan).unwrap().worktree;
        forge_unfinished(&world, &plan.path);
        match step {
            0 | 1 => {
                fs::remove_dir_all(&plan.path).unwrap();
                fs::remove_dir_all(&made.git_dir).unwrap();
                if step == 1 {
                    fs::create_dir(&plan.path).unwrap();
                }
            }
            2 => {
                fs::remove_file(made.git_dir.join("HEAD")).unwrap();
                for name in ["README", ".gitignore", "src/lib.rs"] {
                    fs::remove_file(plan.path.join(name)).unwrap();
                }
                fs::remove_dir(plan.path.join("src")).unwrap();
            }
            3 => {
                fs::remove_file(made.git_dir.join("index")).unwrap();
                fs::remove_dir_all(&plan.path).unwrap();
            }
            _ => {
                fs::rename(made.git_dir.join("index"), made.git_dir.join("index.lock")).unwrap();
                write(&plan.path, "src/lib.rs", "one\ntw");
            }
        }
        let again = repo.ensure_worktree(&plan).unwrap();
        assert_eq!(again.made, Made::New, "step {step}");
        assert_eq!(
            world.git(&plan.path, &["status", "--porcelain"]),
            "",
            "step {step}"
        );
        assert_eq!(
            fs::read(plan.path.join("src/lib.rs")).unwrap(),
            b"one\ntwo\nthree\nfour\n"
        );
        assert_eq!(
            repo.ensure_worktree(&plan).unwrap().made,
            Made::Existing,
            "step {step}"
        );
    }
    world.fsck();
}

/// Makes our record say that the making was not finished.
fn forge_unfinished(world: &World, path: &std::path::Path) {
    let branch = path.file_name().unwrap().to_str().unwrap();
    let mut found = 0;
    for repo in fs::read_dir(world.state()).unwrap() {
        for record in fs::read_dir(repo.unwrap().path().join("worktrees")).unwrap() {
            let file = record.unwrap().path();
            let text = fs::read_to_string(&file).unwrap();
            if text.contains(branch) {
                fs::write(&file, text.replace("\"ready\":true", "\"ready\":false")).unwrap();
                found += 1;
            }
        }
    }
    assert_eq!(found, 1);
}

#[test]
fn t30_a_missing_folder_is_made_again_at_its_path_from_its_snapshot() {
    let world = World::new();
    let repo = world.repo();
    let mut plan = world.plan(&repo, "gone");
    let tree = repo.ensure_worktree(&plan).unwrap().worktree;
    write(&tree.path, "src/lib.rs", "changed\n");
    write(&tree.path, "new.txt", "new\n");
    let snapshot = repo.snapshot(&tree, &snapshot_request(1)).unwrap();
    fs::remove_dir_all(&tree.path).unwrap();
    plan.restore = Some(snapshot.commit);
    for _ in 0..2 {
        let again = repo.ensure_worktree(&plan).unwrap();
        assert_eq!(again.worktree, tree);
        assert_eq!(fs::read(tree.path.join("new.txt")).unwrap(), b"new\n");
        assert_eq!(
            world.git(&tree.path, &["status", "--porcelain"]),
            " M src/lib.rs\n?? new.txt"
        );
    }
    // Only the registration is gone: the files stay as they are.
    write(&tree.path, "newer.txt", "newer\n");
    fs::remove_dir_all(&tree.git_dir).unwrap();
    let again = repo.ensure_worktree(&plan).unwrap();
    assert_eq!(
        (again.made, &again.worktree.path),
        (Made::Existing, &tree.path)
    );
    assert_eq!(
        world.git(&tree.path, &["status", "--porcelain"]),
        " M src/lib.rs\n?? new.txt\n?? newer.txt"
    );
    assert_eq!(
        repo.ensure_worktree(&plan).unwrap().worktree,
        again.worktree
    );
    assert_eq!(
        fs::read_dir(tree.path.parent().unwrap()).unwrap().count(),
        1
    );
    let tree = again.worktree;
    // The admin folder is gone as well.
    fs::remove_dir_all(&tree.path).unwrap();
    fs::remove_dir_all(&tree.git_dir).unwrap();
    let again = repo.ensure_worktree(&plan).unwrap();
    assert_eq!(again.made, Made::Recreated);
    assert_eq!(fs::read(tree.path.join("new.txt")).unwrap(), b"new\n");
    assert_eq!(
        fs::read(tree.path.join("src/lib.rs")).unwrap(),
        b"changed\n"
    );
}

#[test]
fn l1_foreign_branches_and_folders_are_never_taken() {
    let world = World::new();
    let repo = world.repo();
    let plan = world.plan(&repo, "mine");
    world.git(&world.repo_path(), &["branch", "longhaul/mine", "main~1"]);
    let error = repo.ensure_worktree(&plan).unwrap_err();
    assert!(
        matches!(error, EnsureError::ForeignBranch { .. }),
        "{error}"
    );
    world.git(&world.repo_path(), &["branch", "-D", "longhaul/mine"]);
    let elsewhere = world.root.join("elsewhere").display().to_string();
    world.git(
        &world.repo_path(),
        &["worktree", "add", "-q", "-b", "longhaul/mine", &elsewhere],
    );
    let error = repo.ensure_worktree(&plan).unwrap_err();
    assert!(
        matches!(error, EnsureError::ForeignBranch { .. }),
        "{error}"
    );
    world.git(&world.repo_path(), &["worktree", "remove", &elsewhere]);
    world.git(&world.repo_path(), &["branch", "-D", "longhaul/mine"]);
    write(&plan.path, "precious", "x");
    let error = repo.ensure_worktree(&plan).unwrap_err();
    assert!(
        matches!(error, EnsureError::ForeignFolder { .. }),
        "{error}"
    );
    assert_eq!(fs::read(plan.path.join("precious")).unwrap(), b"x");
    fs::remove_file(plan.path.join("precious")).unwrap();
    repo.ensure_worktree(&plan).unwrap();
    let mut other = plan.clone();
    other.branch = "longhaul/other".to_owned();
    let error = repo.ensure_worktree(&other).unwrap_err();
    assert!(matches!(error, EnsureError::OtherBranch { .. }), "{error}");
}

#[test]
fn t30_a_branch_named_longhaul_is_a_named_error() {
    let world = World::new();
    world.git(&world.repo_path(), &["branch", "longhaul"]);
    let repo = world.repo();
    let error = repo.ensure_worktree(&world.plan(&repo, "x")).unwrap_err();
    assert!(
        matches!(&error, EnsureError::BranchBlocksPrefix { existing, .. } if existing == "longhaul")
    );
    assert!(error.remedy().contains("git branch -m longhaul"));
    let mut bad = world.plan(&repo, "x");
    for name in ["a b", "-x", "a..b", "", "x.lock"] {
        bad.branch = name.to_owned();
        let error = repo.ensure_worktree(&bad).unwrap_err();
        assert!(
            matches!(error, EnsureError::BadBranchName { .. }),
            "{name}: {error}"
        );
    }
}

#[test]
fn l1_twenty_four_worktrees_are_made_at_once() {
    let world = World::new();
    let before = world.fingerprint();
    let repo = world.repo();
    std::thread::scope(|scope| {
        for n in 0..24 {
            let (world, repo) = (&world, &repo);
            scope.spawn(move || {
                let plan = world.plan(repo, &format!("p{n}"));
                assert_eq!(repo.ensure_worktree(&plan).unwrap().made, Made::New);
            });
        }
    });
    let list = world.git(&world.repo_path(), &["worktree", "list", "--porcelain"]);
    assert_eq!(list.matches("branch refs/heads/longhaul/p").count(), 24);
    assert_eq!(world.fingerprint(), before);
    world.fsck();
}

#[test]
fn l20_a_broken_link_is_repaired_and_a_replaced_one_is_left() {
    let world = World::new();
    let repo = world.repo();
    let plan = world.plan(&repo, "link");
    let tree = repo.ensure_worktree(&plan).unwrap().worktree;
    fs::write(tree.path.join(".git"), "gitdir: /somewhere/else\n").unwrap();
    assert_eq!(
        repo.ensure_worktree(&plan).unwrap().notes,
        [Note::LinkRepaired]
    );
    assert_eq!(world.git(&tree.path, &["status", "--porcelain"]), "");
    fs::remove_file(tree.path.join(".git")).unwrap();
    world.git(&tree.path, &["init", "-q"]);
    assert_eq!(
        repo.ensure_worktree(&plan).unwrap().notes,
        [Note::LinkReplaced]
    );
}

/// Every lock that moving a branch takes may be what a killed git left.
#[test]
fn l1_a_dead_lock_of_a_ref_is_removed() {
    let world = World::new();
    let repo = world.repo();
    let base = repo.resolve("main").unwrap();
    for (n, name) in ["head", "own", "packed"].into_iter().enumerate() {
        let tree = world.worktree(&repo, name);
        let lock = match n {
            0 => tree.git_dir.join("HEAD.lock"),
            1 => world
                .repo_path()
                .join(format!(".git/refs/heads/longhaul/{name}.lock")),
            _ => world.repo_path().join(".git/packed-refs.lock"),
        };
        fs::write(&lock, "").unwrap();
        write(&tree.path, "x", "x");
        let sealed = repo.seal(&tree, &seal_request(&base, &base, 1)).unwrap();
        assert!(sealed.committed_leftovers, "{name}");
        assert_ne!(repo.resolve(&format!("longhaul/{name}")).unwrap(), base);
        // Moving a branch that exists does not need this one.
        assert!(n == 2 || !lock.exists(), "{name}");
        if n == 2 {
            fs::remove_file(&lock).unwrap();
        }
    }
    world.fsck();
}

#[test]
fn l1_a_lock_that_is_held_is_waited_for_and_a_dead_one_is_removed() {
    let world = World::new();
    let repo = world.repo();
    let base = repo.resolve("main").unwrap();
    let tree = world.worktree(&repo, "locked");
    let lock = tree.git_dir.join("index.lock");
    let held = fs::File::create(&lock).unwrap();
    // This process holds it open, but does not count itself; a child does.
    let mut child = std::process::Command::new("sleep")
        .arg("60")
        .stdin(held.try_clone().unwrap())
        .spawn()
        .unwrap();
    drop(held);
    write(&tree.path, "x", "x");
    let waited = std::thread::scope(|scope| {
        let sealing = scope.spawn(|| {
            let started = std::time::Instant::now();
            let sealed = repo.seal(&tree, &seal_request(&base, &base, 1)).unwrap();
            assert!(sealed.committed_leftovers);
            started.elapsed()
        });
        // The commit is made before the index is needed; then the seal must be waiting.
        while repo.resolve("longhaul/locked").unwrap() == base {
            assert!(!sealing.is_finished());
        }
        std::thread::sleep(std::time::Duration::from_millis(1800));
        assert!(
            !sealing.is_finished() && lock.exists(),
            "a live lock was not respected"
        );
        child.kill().unwrap();
        child.wait().unwrap();
        sealing.join().unwrap()
    });
    assert!(waited.as_millis() > 1500);
    assert!(!lock.exists());
    assert_eq!(world.git(&tree.path, &["status", "--porcelain"]), "");
}
