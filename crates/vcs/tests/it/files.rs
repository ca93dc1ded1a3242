//! `.worktreeinclude`, starts from several branches, undo, removal, what a session may write.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use longhaul_vcs::{
    ConflictKind, FileRules, GcCandidate, IncludeLimits, KeptBecause, NotPlaced, Oid, RemoveError,
    Repo, RepoPath, RestoreError, RestoreScope, SafeBecause, StartPoint, Verdict, Worktree,
    disk_usage,
};

use crate::support::{World, seal_request, snapshot_request, write};

fn path(name: &str) -> RepoPath {
    RepoPath::from_bytes(name)
}

#[test]
fn l2_included_files_are_copied_and_never_committed() {
    let world = World::new();
    let checkout = world.repo_path();
    write(
        &checkout,
        ".worktreeinclude",
        ".env\ncache/*\n!cache/skip\nlinks/\nREADME\n*.key\n",
    );
    world.commit(&checkout, "Name the files");
    let base = world.repo().resolve("main").unwrap();
    write(&checkout, ".worktreeinclude", "scratch.txt\n");
    write(&checkout, "cache/deep/a b\n", "1");
    write(&checkout, "cache/skip", "2");
    write(&checkout, "links/target", "3");
    write(&checkout, "private.key", "4");
    symlink("target", checkout.join("links/inside")).unwrap();
    symlink("../../outside", checkout.join("links/outside")).unwrap();
    symlink(checkout.join(".env"), checkout.join("links/absolute")).unwrap();
    let before = world.fingerprint();
    let repo = world.repo();
    let tree = world.worktree(&repo, "include");
    let placed = repo
        .place_included(&tree, &base, IncludeLimits::default())
        .unwrap();
    let names: Vec<String> = placed.files.iter().map(ToString::to_string).collect();
    let expected = [
        ".env",
        "cache/deep/a b\\x0a",
        "links/inside",
        "links/target",
        "private.key",
    ];
    assert_eq!(names, expected);
    assert_eq!(
        placed.not_placed,
        [
            (path("links/absolute"), NotPlaced::LeadsOutside),
            (path("links/outside"), NotPlaced::LeadsOutside)
        ]
    );
    assert_eq!(fs::read(tree.path.join(".env")).unwrap(), b"SECRET=1\n");
    assert_eq!(
        fs::read_link(tree.path.join("links/inside"))
            .unwrap()
            .to_str(),
        Some("target")
    );
    // The session's own version of a placed file stays, and a repeat names the same files.
    fs::write(tree.path.join(".env"), "CHANGED").unwrap();
    let again = repo
        .place_included(&tree, &base, IncludeLimits::default())
        .unwrap();
    assert_eq!((again.files, again.copied_bytes), (placed.files.clone(), 0));
    assert_eq!(fs::read(tree.path.join(".env")).unwrap(), b"CHANGED");
    assert_eq!(world.fingerprint(), before);

    let mut request = seal_request(&base, &base, 1);
    request.snapshot.files.placed = placed.files.clone();
    let sealed = repo.seal(&tree, &request).unwrap();
    assert_eq!(sealed.changed.paths, []);
    // Committed by force, it is at least named.
    world.git(&tree.path, &["add", "-f", "private.key"]);
    world.git(&tree.path, &["commit", "-qm", "Leak"]);
    let sealed = repo.seal(&tree, &request).unwrap();
    assert_eq!(sealed.placed_committed, [path("private.key")]);
}

#[test]
fn l2_ten_thousand_files_are_placed_within_limits() {
    let world = World::new();
    let checkout = world.repo_path();
    write(&checkout, ".worktreeinclude", "deps/\n");
    for n in 0..10_000 {
        write(&checkout, &format!("deps/{}/f{n}", n % 100), "x");
    }
    let repo = world.repo();
    let base = repo.resolve("main").unwrap();
    let tree = world.worktree(&repo, "many");
    let limits = IncludeLimits {
        max_files: 50,
        max_bytes: 1 << 30,
    };
    let some = repo.place_included(&tree, &base, limits).unwrap();
    assert!(some.over_limit && some.files.len() == 50);
    let all = repo
        .place_included(&tree, &base, IncludeLimits::default())
        .unwrap();
    assert_eq!((all.files.len(), all.over_limit), (10_000, false));
    assert_eq!(all.copied_bytes, 9950);
}

#[test]
fn t3_several_dependencies_are_merged_on_objects() {
    let world = World::new();
    let before = world.fingerprint();
    let repo = world.repo();
    let base = repo.resolve("main").unwrap();
    let work = |name: &str, file: &str, content: &str| -> Oid {
        let tree = world.worktree(&repo, name);
        write(&tree.path, file, content);
        world.commit(&tree.path, name)
    };
    let a = work("a", "a.txt", "a\n");
    let b = work("b", "b.txt", "b\n");
    let c = work("c", "src/lib.rs", "1\ntwo\nthree\nfour\n");
    let d = work("d", "src/lib.rs", "one!\ntwo\nthree\nfour\n");
    let start = |deps: &[&Oid]| {
        let deps: Vec<Oid> = deps.iter().map(|d| (*d).clone()).collect();
        repo.merge_bases_for_start(&base, &deps).unwrap()
    };
    assert_eq!(start(&[]), StartPoint::Commit(base.clone()));
    assert_eq!(start(&[&a]), StartPoint::Commit(a.clone()));
    let merged = start(&[&a, &b, &c, &a]);
    assert_eq!(
        merged,
        start(&[&a, &b, &c, &a]),
        "the same input gives the same commit"
    );
    let StartPoint::Commit(merged) = merged else {
        panic!("{merged:?}")
    };
    let changes = repo.changes(&base, &merged).unwrap();
    let names: Vec<String> = changes.paths.iter().map(|c| c.path.to_string()).collect();
    assert_eq!(names, ["a.txt", "b.txt", "src/lib.rs"]);
    let StartPoint::Conflict {
        merged,
        with,
        paths,
        report,
    } = start(&[&c, &d])
    else {
        panic!("must conflict")
    };
    assert_eq!((merged, with), (c, d));
    assert_eq!(paths.len(), 1);
    assert_eq!(paths[0].kind, ConflictKind::Content);
    assert!(
        report.contains("src/lib.rs: changed on both sides"),
        "{report}"
    );
    assert!(
        report.contains("|||||||") && report.contains("one!"),
        "{report}"
    );
    assert_eq!(world.fingerprint(), before);
    world.fsck();
}

#[test]
fn i5_undo_brings_any_state_back_and_loses_none() {
    let world = World::new();
    let repo = world.repo();
    let tree = world.worktree(&repo, "undo");
    let base = repo.resolve("main").unwrap();
    write(&tree.path, "one.txt", "1\n");
    write(&tree.path, ".env", "ignored\n");
    let first = repo.snapshot(&tree, &snapshot_request(1)).unwrap();
    write(&tree.path, "two.txt", "2\n");
    fs::remove_file(tree.path.join("README")).unwrap();
    let work = world.commit(&tree.path, "Work");
    write(&tree.path, "one.txt", "changed\n");
    write(&tree.path, "three.txt", "3\n");

    for _ in 0..2 {
        let restored = repo
            .restore(
                &tree,
                &first.commit,
                &snapshot_request(2),
                RestoreScope::Files,
            )
            .unwrap();
        assert!(!restored.branch_moved);
        assert_eq!(repo.resolve("longhaul/undo").unwrap(), work);
        let rules = FileRules::default();
        assert_eq!(repo.tree_of(&tree, &rules).unwrap(), first.tree);
        assert!(tree.path.join("README").exists() && !tree.path.join("three.txt").exists());
        assert_eq!(fs::read(tree.path.join(".env")).unwrap(), b"ignored\n");
    }
    let restored = repo
        .restore(
            &tree,
            &first.commit,
            &snapshot_request(3),
            RestoreScope::FilesAndBranch,
        )
        .unwrap();
    assert!(restored.branch_moved);
    assert_eq!(repo.resolve("longhaul/undo").unwrap(), base);
    assert_eq!(
        world.git(&tree.path, &["status", "--porcelain"]),
        "?? one.txt"
    );

    let all = repo.snapshots("refs/longhaul/snap/task1").unwrap();
    assert_eq!(
        all.iter().filter_map(|s| s.number).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    assert_eq!(all[0].reason, "end of turn");
    // Ref 2 was written twice; the first state, with all the work, is its second parent's.
    let lost = repo.resolve(&format!("{}^2", all[1].commit)).unwrap();
    repo.restore(
        &tree,
        &lost,
        &snapshot_request(4),
        RestoreScope::FilesAndBranch,
    )
    .unwrap();
    assert_eq!(fs::read(tree.path.join("three.txt")).unwrap(), b"3\n");
    assert_eq!(repo.resolve("longhaul/undo").unwrap(), work);
    world.fsck();
}

#[test]
fn i5_undo_refuses_to_overwrite_what_no_snapshot_holds() {
    let world = World::new();
    let repo = world.repo();
    let tree = world.worktree(&repo, "large");
    write(&tree.path, "data", "small");
    let first = repo.snapshot(&tree, &snapshot_request(1)).unwrap();
    write(&tree.path, "data", vec![0_u8; 100]);
    let mut request = snapshot_request(2);
    request.files.max_file_bytes = 50;
    let error = repo
        .restore(&tree, &first.commit, &request, RestoreScope::Files)
        .unwrap_err();
    assert!(matches!(&error, RestoreError::WouldLose { paths } if *paths == [path("data")]));
    assert_eq!(fs::read(tree.path.join("data")).unwrap().len(), 100);
}

fn candidate(worktree: &Worktree) -> GcCandidate {
    GcCandidate {
        worktree: worktree.clone(),
        open_attempt: false,
        released: false,
        forced: false,
        landed_in: vec!["refs/heads/main".to_owned()],
        files: FileRules::default(),
    }
}

fn why_kept(repo: &Repo, candidate: &GcCandidate) -> KeptBecause {
    match repo
        .gc_plan(std::slice::from_ref(candidate))
        .remove(0)
        .verdict
    {
        Verdict::Kept { because } => because,
        Verdict::Safe { because } => panic!("not kept: {because}"),
    }
}

#[test]
fn l6_only_trees_without_own_work_are_safe() {
    let world = World::new();
    let repo = world.repo();
    let tree = world.worktree(&repo, "gc");
    let mut asked = candidate(&tree);
    asked.open_attempt = true;
    assert_eq!(why_kept(&repo, &asked), KeptBecause::OpenAttempt);
    asked.open_attempt = false;
    write(&tree.path, "new", "x");
    assert_eq!(why_kept(&repo, &asked), KeptBecause::Uncommitted);
    let head = world.commit(&tree.path, "Work");
    assert_eq!(why_kept(&repo, &asked), KeptBecause::NotLanded);
    world.git(&tree.path, &["checkout", "-q", "--detach"]);
    world.git(&tree.path, &["commit", "-q", "--allow-empty", "-m", "Off"]);
    asked.released = true;
    assert_eq!(why_kept(&repo, &asked), KeptBecause::OffBranch);
    world.git(&tree.path, &["switch", "-q", "longhaul/gc"]);
    // A process that works in it.
    let mut child = Command::new("sleep")
        .arg("60")
        .current_dir(&tree.path)
        .spawn()
        .unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    let kept = why_kept(&repo, &asked);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(kept, KeptBecause::InUse { pids: vec![pid] });
    // A broken index is never clean.
    let index = fs::read(tree.git_dir.join("index")).unwrap();
    fs::write(tree.git_dir.join("index"), "garbage").unwrap();
    assert_eq!(why_kept(&repo, &asked), KeptBecause::Unreadable);
    fs::write(tree.git_dir.join("index"), index).unwrap();
    fs::create_dir(tree.path.join("inner")).unwrap();
    world.git(&tree.path.join("inner"), &["init", "-q"]);
    assert!(matches!(
        why_kept(&repo, &asked),
        KeptBecause::NestedRepository { .. }
    ));
    fs::remove_dir_all(tree.path.join("inner")).unwrap();

    let plan = repo.gc_plan(std::slice::from_ref(&asked)).remove(0);
    assert!(matches!(
        &plan.verdict,
        Verdict::Safe {
            because: SafeBecause::OnBranch { .. }
        }
    ));
    assert!(plan.disk_bytes > 0);
    fs::create_dir(tree.path.join("target")).unwrap();
    write(&tree.path, "target/locked/x", "ignored");
    let removed = repo
        .remove_workspace(&asked, &snapshot_request(1), true)
        .unwrap();
    assert!(removed.snapshot.is_some() && !removed.branch_deleted);
    assert!(!tree.path.exists() && !tree.git_dir.exists());
    assert_eq!(repo.resolve("longhaul/gc").unwrap(), head);
    // Again, and after a crash that left only the registration.
    repo.remove_workspace(&asked, &snapshot_request(1), true)
        .unwrap();
    let tree = repo
        .ensure_worktree(&longhaul_vcs::WorkspacePlan {
            base: head.clone(),
            ..world.plan(&repo, "gc")
        })
        .unwrap()
        .worktree;
    fs::remove_dir_all(&tree.path).unwrap();
    world.git(&world.repo_path(), &["merge", "-q", "longhaul/gc"]);
    let removed = repo
        .remove_workspace(&asked, &snapshot_request(2), true)
        .unwrap();
    assert!(removed.snapshot.is_none() && removed.branch_deleted);
    assert!(repo.resolve("longhaul/gc").is_err());
    assert_eq!(disk_usage(&tree.path), 0);
    world.fsck();
}

#[test]
fn l5_snapshots_are_pruned_but_never_the_last_hold_of_commits() {
    let world = World::new();
    let repo = world.repo();
    let tree = world.worktree(&repo, "prune");
    let kept = repo.snapshot(&tree, &snapshot_request(1)).unwrap();
    world.commit(&tree.path, "Only here");
    let only = repo.snapshot(&tree, &snapshot_request(2)).unwrap();
    world.git(&tree.path, &["reset", "-q", "--hard", "main"]);
    let prefix = "refs/longhaul/snap/task1";
    assert_eq!(
        repo.prune_snapshots(prefix, |_| false).unwrap(),
        Vec::<String>::new()
    );
    assert_eq!(
        repo.prune_snapshots(prefix, |_| true).unwrap(),
        [kept.reference]
    );
    assert_eq!(repo.snapshots(prefix).unwrap()[0].reference, only.reference);
}

#[test]
fn l6_an_open_attempt_is_refused_at_the_removal_too() {
    let world = World::new();
    let repo = world.repo();
    let tree = world.worktree(&repo, "open");
    let mut asked = candidate(&tree);
    asked.open_attempt = true;
    let error = repo
        .remove_workspace(&asked, &snapshot_request(1), true)
        .unwrap_err();
    assert!(matches!(
        error,
        RemoveError::Kept {
            because: KeptBecause::OpenAttempt
        }
    ));
    assert!(tree.path.exists());
}

/// Runs a shell line with only the given folders writable; true if it succeeded.
#[cfg(target_os = "linux")]
fn confined(world: &World, tree: &Worktree, writable: &[std::path::PathBuf], line: &str) -> bool {
    use landlock::{
        ABI, Access, AccessFs, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus,
        path_beneath_rules,
    };
    let (environment, path, line) = (world.environment(), tree.path.clone(), line.to_owned());
    let writable = writable.to_vec();
    std::thread::spawn(move || {
        let abi = ABI::V3;
        let status = Ruleset::default()
            .handle_access(AccessFs::from_all(abi))
            .unwrap()
            .create()
            .unwrap()
            .add_rules(path_beneath_rules(["/"], AccessFs::from_read(abi)))
            .unwrap()
            .add_rules(path_beneath_rules(["/dev/null"], AccessFs::from_all(abi)))
            .unwrap()
            .add_rules(path_beneath_rules(&writable, AccessFs::from_all(abi)))
            .unwrap()
            .restrict_self()
            .unwrap();
        assert_ne!(status.ruleset, RulesetStatus::NotEnforced);
        let output = Command::new("sh")
            .args(["-c", &line])
            .current_dir(path)
            .env_clear()
            .envs(environment)
            .output()
            .unwrap();
        if !output.status.success() {
            eprintln!("{line}: {}", String::from_utf8_lossy(&output.stderr));
        }
        output.status.success()
    })
    .join()
    .unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn t25_a_confined_session_can_commit_and_no_more() {
    use landlock::{ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr};
    let supported = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V3))
        .and_then(|r| r.create())
        .is_ok();
    if !supported {
        eprintln!("SKIPPED: this kernel has no Landlock");
        assert!(std::env::var_os("CI").is_none(), "CI must have Landlock");
        return;
    }
    let world = World::new();
    let repo = world.repo();
    let tree = world.worktree(&repo, "confined");
    let other = world.worktree(&repo, "neighbour");
    let writable = repo.session_write_paths(&tree).unwrap();
    let run = |line: &str| confined(&world, &tree, &writable, line);
    assert!(run("echo x > new && git add new && git commit -qm One"));
    assert!(run(
        "git commit -q --amend -m Two && git reset -q --soft HEAD~1 && git commit -qm Three"
    ));
    assert!(run(
        "git switch -q -c longhaul/helper && git commit -q --allow-empty -m H && git switch -q longhaul/confined && git merge -q longhaul/helper && git rebase -q main"
    ));
    // The user packs refs, which removes empty ref folders.
    world.git(&world.repo_path(), &["pack-refs", "--all", "--prune"]);
    assert!(run("git commit -q --allow-empty -m Four"));
    let git = world.repo_path().join(".git");
    for refused in [
        format!("echo x >> {}/config", git.display()),
        format!("echo x > {}/hooks/pre-commit", git.display()),
        format!("echo x >> {}/info/exclude", git.display()),
        format!("echo x > {}/HEAD", other.git_dir.display()),
        format!("echo x > {}/evil", other.path.display()),
        format!("echo x > {}/README", world.repo_path().display()),
        "git config user.name evil".to_owned(),
        "git branch elsewhere".to_owned(),
        "git branch -f main HEAD".to_owned(),
        "echo y > new && git stash".to_owned(),
    ] {
        assert!(!run(&refused), "{refused}");
    }
    // A `git gc` of the user's does not take the folders of objects away, nor can the session take the
    // user's packs.
    world.git(&world.repo_path(), &["gc", "-q"]);
    assert!(run(
        "for i in 1 2 3 4 5 6 7 8 9; do echo $i > f$i; done; git add . && git commit -qm Five"
    ));
    for refused in [
        "rm $(git rev-parse --git-common-dir)/objects/pack/*.pack",
        "echo /tmp > $(git rev-parse --git-common-dir)/objects/info/alternates",
    ] {
        assert!(!run(refused), "{refused}");
    }
    world.fsck();
}

#[test]
fn l6_what_changes_between_the_halves_of_a_removal_is_kept_as_well() {
    let world = World::new();
    let repo = world.repo();
    let tree = world.worktree(&repo, "halves");
    let mut asked = candidate(&tree);
    asked.released = true;
    let first = repo
        .secure_for_removal(&asked, &snapshot_request(1))
        .unwrap();
    write(&tree.path, "late.txt", "late");
    let removed = repo
        .remove_secured(&asked, first, &snapshot_request(2), false)
        .unwrap();
    assert!(!tree.path.exists());
    let last = removed.snapshot.unwrap();
    assert!(last.reference.ends_with("/2"), "{}", last.reference);
    let late = RepoPath::from_bytes("late.txt");
    assert!(repo.file_at(&last.commit, &late, 9).unwrap().is_some());
}

#[test]
fn l1_a_removed_workspace_is_made_again_on_its_branch_with_its_files() {
    let world = World::new();
    let repo = world.repo();
    let tree = world.worktree(&repo, "anew");
    world.commit(&tree.path, "Work");
    let head = repo.resolve("longhaul/anew").unwrap();
    write(&tree.path, "half.txt", "half");
    let mut asked = candidate(&tree);
    asked.released = true;
    asked.forced = true;
    let removed = repo
        .remove_workspace(&asked, &snapshot_request(1), false)
        .unwrap();
    let plan = longhaul_vcs::WorkspacePlan {
        restore: Some(removed.snapshot.unwrap().commit),
        ..world.plan(&repo, "anew")
    };
    let again = repo.ensure_worktree(&plan).unwrap();
    assert_eq!(again.made, longhaul_vcs::Made::Recreated);
    assert_eq!(repo.resolve("longhaul/anew").unwrap(), head);
    assert_eq!(
        fs::read_to_string(tree.path.join("half.txt")).unwrap(),
        "half"
    );
    world.fsck();
}

#[test]
fn l6_force_takes_uncommitted_work_into_the_snapshot_but_never_a_repository_of_its_own() {
    let world = World::new();
    let repo = world.repo();
    let tree = world.worktree(&repo, "forced");
    write(&tree.path, "mine.txt", "mine");
    let mut asked = candidate(&tree);
    asked.released = true;
    assert!(
        repo.remove_workspace(&asked, &snapshot_request(1), false)
            .is_err()
    );
    asked.forced = true;
    world.git(&tree.path, &["init", "-q", "inner"]);
    let error = repo
        .remove_workspace(&asked, &snapshot_request(1), false)
        .unwrap_err();
    let RemoveError::Kept { because } = error else {
        panic!("{error}");
    };
    assert!(matches!(because, KeptBecause::NestedRepository { .. }));
    fs::remove_dir_all(tree.path.join("inner")).unwrap();
    let removed = repo
        .remove_workspace(&asked, &snapshot_request(1), false)
        .unwrap();
    let mine = RepoPath::from_bytes("mine.txt");
    let commit = removed.snapshot.unwrap().commit;
    assert!(repo.file_at(&commit, &mine, 9).unwrap().is_some());
    assert!(!tree.path.exists());
}
