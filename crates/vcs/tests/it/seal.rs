//! The end of a turn: snapshot, commit of leftovers, changes, branches left behind (T8, L5, L7).

use std::fs;

use longhaul_core::spec::CommitMode;
use longhaul_vcs::{
    BranchRepair, BranchState, ChangeKind, FileRules, RepoPath, SkipReason, Unfinished,
};

use crate::support::{World, seal_request, snapshot_request, write};

#[test]
fn l5_a_snapshot_holds_untracked_files_and_touches_nothing() {
    let world = World::new();
    let repo = world.repo();
    let tree = world.worktree(&repo, "snap");
    write(&tree.path, "src/lib.rs", "changed\n");
    write(&tree.path, "staged.txt", "v1\n");
    world.git(&tree.path, &["add", "staged.txt"]);
    write(&tree.path, "new dir/a\nb", "odd\n");
    write(&tree.path, "target/out.o", "ignored\n");
    write(&tree.path, ".env", "placed\n");
    fs::remove_file(tree.path.join("README")).unwrap();
    let status = world.git(&tree.path, &["status", "--porcelain=v2", "-z"]);
    let index = fs::read(tree.git_dir.join("index")).unwrap();
    let before = world.fingerprint();
    let mut request = snapshot_request(1);
    request.files.keep = vec!["target/*.o".to_owned()];
    let snapshot = repo.snapshot(&tree, &request).unwrap();
    assert_eq!(fs::read(tree.git_dir.join("index")).unwrap(), index);
    assert_eq!(
        world.git(&tree.path, &["status", "--porcelain=v2", "-z"]),
        status
    );
    assert_eq!(world.fingerprint(), before);
    let names = world.git(
        &world.repo_path(),
        &["ls-tree", "-r", "-z", "--name-only", &snapshot.reference],
    );
    assert_eq!(
        names,
        ".gitignore\0new dir/a\nb\0src/lib.rs\0staged.txt\0target/out.o\0"
    );
    let again = repo.snapshot(&tree, &request).unwrap();
    assert_eq!(again.commit, snapshot.commit);
    write(&tree.path, "later", "x");
    let third = repo.snapshot(&tree, &request).unwrap();
    assert_ne!(third.commit, snapshot.commit);
    let parent = format!("{}^2", third.commit);
    assert_eq!(repo.resolve(&parent).unwrap(), snapshot.commit);
    world.fsck();
}

#[test]
fn i5_hidden_changes_and_large_files_are_seen() {
    let world = World::new();
    let repo = world.repo();
    let tree = world.worktree(&repo, "hidden");
    write(&tree.path, "src/lib.rs", "sneaky\n");
    world.git(
        &tree.path,
        &["update-index", "--assume-unchanged", "src/lib.rs"],
    );
    world.git(&tree.path, &["update-index", "--skip-worktree", "README"]);
    write(&tree.path, "README", "sneaky too\n");
    // Same length and time as before, after we have looked once.
    write(&tree.path, "forged", "aaaa");
    assert!(!repo.is_clean(&tree, &FileRules::default()).unwrap());
    let forged = tree.path.join("forged");
    let time = fs::metadata(&forged).unwrap().modified().unwrap();
    write(&tree.path, "forged", "bbbb");
    fs::File::options()
        .write(true)
        .open(&forged)
        .unwrap()
        .set_modified(time)
        .unwrap();
    write(&tree.path, "huge", vec![7_u8; 5000]);
    let mut request = snapshot_request(1);
    request.files.max_file_bytes = 4000;
    let snapshot = repo.snapshot(&tree, &request).unwrap();
    let at = |path: &str| {
        repo.file_at(&snapshot.commit, &RepoPath::from_bytes(path), 1 << 20)
            .unwrap()
    };
    assert_eq!(at("src/lib.rs").unwrap(), b"sneaky\n");
    assert_eq!(at("README").unwrap(), b"sneaky too\n");
    assert_eq!(at("forged").unwrap(), b"bbbb");
    assert_eq!(at("huge"), None);
    assert_eq!(snapshot.skipped.len(), 1);
    assert_eq!(snapshot.skipped[0].reason, SkipReason::TooLarge);
}

#[test]
fn i5_a_destroyed_worktree_is_still_snapshotted() {
    let world = World::new();
    let repo = world.repo();
    world.git(
        &world.repo_path(),
        &["config", "extensions.worktreeConfig", "true"],
    );
    for damage in 0..6 {
        let tree = world.worktree(&repo, &format!("broken{damage}"));
        write(&tree.path, "work.txt", "dear\n");
        match damage {
            0 => fs::write(tree.git_dir.join("index"), "garbage").unwrap(),
            1 => fs::remove_file(tree.path.join(".git")).unwrap(),
            2 => fs::write(tree.path.join(".git"), "gitdir: /nowhere\n").unwrap(),
            3 => fs::write(tree.git_dir.join("HEAD"), "garbage").unwrap(),
            4 => fs::write(tree.git_dir.join("config.worktree"), "[broken").unwrap(),
            _ => fs::remove_dir_all(&tree.git_dir).unwrap(),
        }
        let mut request = snapshot_request(damage);
        request.reference = format!("refs/longhaul/snap/broken/{damage}");
        let snapshot = repo.snapshot(&tree, &request).unwrap();
        let content = repo
            .file_at(&snapshot.commit, &RepoPath::from_bytes("work.txt"), 100)
            .unwrap();
        assert_eq!(content.unwrap(), b"dear\n", "damage {damage}");
        assert_eq!(
            snapshot.head,
            Some(repo.resolve("main").unwrap()),
            "damage {damage}"
        );
    }
}

/// After a power cut the worktree's index is torn, and ours beside it never came to the disk.
#[test]
fn i3_a_turn_is_sealed_beside_a_torn_index() {
    let world = World::new();
    let repo = world.repo();
    let base = repo.resolve("main").unwrap();
    for (name, mode) in [("auto", CommitMode::Auto), ("agent", CommitMode::Agent)] {
        let tree = world.worktree(&repo, name);
        write(&tree.path, "work.txt", "dear\n");
        fs::write(tree.git_dir.join("index"), [0; 20]).unwrap();
        for state in fs::read_dir(world.state()).unwrap() {
            let index = state.unwrap().path().join("index");
            fs::remove_dir_all(&index).unwrap();
            fs::create_dir(&index).unwrap();
        }
        let mut request = seal_request(&base, &base, 1);
        request.snapshot.reference = format!("refs/longhaul/snap/torn-{name}/1");
        request.commit = mode;
        let sealed = repo.seal(&tree, &request).unwrap();
        assert_eq!(sealed.changed.paths.len(), 1, "{name}");
    }
}

#[test]
fn t8_ignored_files_that_are_kept_are_snapshotted_and_never_committed() {
    let world = World::new();
    let repo = world.repo();
    let base = repo.resolve("main").unwrap();
    for (name, mode, commit) in [
        ("auto", CommitMode::Auto, true),
        ("agent", CommitMode::Agent, false),
    ] {
        let tree = world.worktree(&repo, name);
        write(&tree.path, "target/report.o", "worth a snapshot\n");
        let mut request = seal_request(&base, &base, 1);
        request.snapshot.reference = format!("refs/longhaul/snap/{name}/1");
        request.snapshot.files.keep = vec!["target/*.o".to_owned()];
        request.commit = mode;
        let kept = RepoPath::from_bytes("target/report.o");
        let sealed = repo.seal(&tree, &request).unwrap();
        assert!(!sealed.committed_leftovers && sealed.changed.paths.is_empty());
        assert!(
            sealed.leftovers.paths.is_empty(),
            "{name}: a kept file is no leftover"
        );
        write(&tree.path, "work.txt", "work\n");
        let sealed = repo.seal(&tree, &request).unwrap();
        assert_eq!(sealed.committed_leftovers, commit);
        assert_eq!(sealed.changed.paths.len(), 1);
        let at = |commit| repo.file_at(commit, &kept, 100).unwrap();
        assert_eq!(at(&sealed.snapshot.commit).unwrap(), b"worth a snapshot\n");
        assert_eq!(at(sealed.end_commit.as_ref().unwrap()), None);
        assert_eq!(
            sealed.end_tree,
            repo.tree_of(&tree, &request.snapshot.files).unwrap()
        );
        let status = world.git(&tree.path, &["status", "--porcelain"]);
        assert_eq!(status.is_empty(), commit, "{status}");
    }
    world.fsck();
}

#[test]
fn t8_leftovers_are_committed_and_the_status_is_clean() {
    let world = World::new();
    let before = world.fingerprint();
    let repo = world.repo();
    let tree = world.worktree(&repo, "seal");
    let base = repo.resolve("main").unwrap();
    write(&tree.path, "src/own.rs", "committed by the agent\n");
    world.commit(&tree.path, "Agent's own");
    write(&tree.path, "src/lib.rs", "one\n2\nthree\nfour\n");
    write(&tree.path, "tests/t.rs", "protected\n");
    write(&tree.path, "local.db", "placed by Longhaul\n");
    world.git(&tree.path, &["mv", "README", "READ.md"]);
    let mut request = seal_request(&base, &base, 1);
    request
        .snapshot
        .files
        .placed
        .insert(RepoPath::from_bytes("local.db"));
    let sealed = repo.seal(&tree, &request).unwrap();
    assert!(sealed.committed_leftovers && sealed.differs_from_base);
    assert_eq!(
        (sealed.branch, sealed.repair),
        (BranchState::Ok, BranchRepair::None)
    );
    let end = sealed.end_commit.clone().unwrap();
    assert_eq!(repo.resolve("longhaul/seal").unwrap(), end);
    assert_eq!(
        world.git(&tree.path, &["status", "--porcelain"]),
        "?? local.db"
    );
    let message = world.git(
        &tree.path,
        &[
            "log",
            "-1",
            "--format=%an|%s|%(trailers:key=Longhaul-Task,valueonly)",
        ],
    );
    assert_eq!(message, "Ada|Finish the task|task1");
    assert_eq!(
        sealed.protected_touched,
        [RepoPath::from_bytes("tests/t.rs")]
    );
    let kinds: Vec<_> = sealed
        .changed
        .paths
        .iter()
        .map(|c| (c.path.to_string(), c.kind))
        .collect();
    assert_eq!(
        kinds,
        [
            ("READ.md".to_owned(), ChangeKind::Added),
            ("README".to_owned(), ChangeKind::Deleted),
            ("src/lib.rs".to_owned(), ChangeKind::Modified),
            ("src/own.rs".to_owned(), ChangeKind::Added),
            ("tests/t.rs".to_owned(), ChangeKind::Added),
        ]
    );
    assert!(sealed.diff.text.contains("+2\n"));
    let again = repo.seal(&tree, &request).unwrap();
    assert_eq!(again.end_commit.as_ref(), Some(&end));
    assert_eq!(again.leftovers.paths, []);
    assert_eq!(world.fingerprint(), before);
    world.fsck();
}

#[test]
fn t8_a_commit_and_its_revert_are_no_change() {
    let world = World::new();
    let repo = world.repo();
    let tree = world.worktree(&repo, "revert");
    let base = repo.resolve("main").unwrap();
    write(&tree.path, "x", "x");
    world.commit(&tree.path, "Add");
    world.git(&tree.path, &["revert", "--no-edit", "HEAD"]);
    let sealed = repo.seal(&tree, &seal_request(&base, &base, 1)).unwrap();
    assert_eq!(sealed.changed.paths, []);
    assert!(!sealed.differs_from_base && !sealed.committed_leftovers);
    assert_ne!(sealed.end_commit, Some(base));
}

#[test]
fn t8_in_agent_mode_leftovers_are_only_reported() {
    let world = World::new();
    let repo = world.repo();
    let tree = world.worktree(&repo, "agent");
    let base = repo.resolve("main").unwrap();
    write(&tree.path, "x", "x");
    let mut request = seal_request(&base, &base, 1);
    request.commit = CommitMode::Agent;
    let sealed = repo.seal(&tree, &request).unwrap();
    assert!(!sealed.committed_leftovers);
    assert_eq!(sealed.leftovers.paths.len(), 1);
    assert_eq!(sealed.end_commit, Some(base));
    assert_eq!(world.git(&tree.path, &["status", "--porcelain"]), "?? x");
}

#[test]
fn t8_without_an_identity_longhaul_is_the_author() {
    let world = World::new();
    world.global("[init]\n\tdefaultBranch = main\n");
    let repo = world.repo();
    let tree = world.worktree(&repo, "anon");
    let base = repo.resolve("main").unwrap();
    write(&tree.path, "x", "x");
    let sealed = repo.seal(&tree, &seal_request(&base, &base, 1)).unwrap();
    assert!(sealed.committed_leftovers);
    let author = world.git(&tree.path, &["log", "-1", "--format=%an <%ae>"]);
    assert_eq!(author, "Longhaul <longhaul@localhost>");
}

#[test]
fn l7_branches_that_the_agent_left_have_outcomes() {
    let world = World::new();
    let repo = world.repo();
    let base = repo.resolve("main").unwrap();
    let seal = |name: &str, commands: &[&[&str]]| {
        let tree = world.worktree(&repo, name);
        for command in commands {
            world.git(&tree.path, command);
        }
        write(&tree.path, "left", name);
        let mut request = seal_request(&base, &base, 1);
        request.snapshot.reference = format!("refs/longhaul/snap/{name}/1");
        let sealed = repo.seal(&tree, &request).unwrap();
        (tree, sealed)
    };
    let on_branch = |name: &str| repo.resolve(&format!("longhaul/{name}")).unwrap();
    let commit: &[&str] = &["commit", "-q", "--allow-empty", "-m", "work"];

    let (tree, sealed) = seal("detached", &[&["checkout", "-q", "--detach"], commit]);
    assert_eq!(
        (sealed.branch, sealed.repair),
        (BranchState::Detached, BranchRepair::Followed)
    );
    assert_eq!(sealed.end_commit, Some(on_branch("detached")));
    assert_eq!(
        world.git(&tree.path, &["branch", "--show-current"]),
        "longhaul/detached"
    );
    assert_eq!(world.git(&tree.path, &["status", "--porcelain"]), "");

    let (tree, sealed) = seal("switched", &[&["switch", "-q", "-c", "feature"], commit]);
    assert_eq!(
        sealed.branch,
        BranchState::Switched {
            to: "feature".to_owned()
        }
    );
    assert_eq!(sealed.repair, BranchRepair::Followed);
    assert_eq!(
        world.git(&tree.path, &["log", "--format=%s", "-2"]),
        "Finish the task\nwork"
    );
    assert_eq!(
        world.git(&tree.path, &["log", "--format=%s", "-1", "feature"]),
        "work"
    );

    let (tree, sealed) = seal("renamed", &[&["branch", "-m", "better-name"], commit]);
    assert_eq!(
        sealed.branch,
        BranchState::Renamed {
            to: "better-name".to_owned()
        }
    );
    assert_eq!(sealed.repair, BranchRepair::Followed);
    assert_eq!(
        world.git(&tree.path, &["branch", "--show-current"]),
        "longhaul/renamed"
    );

    let deleted: &[&[&str]] = &[
        &["checkout", "-q", "--detach"],
        commit,
        &["branch", "-qD", "longhaul/deleted"],
    ];
    let (_, sealed) = seal("deleted", deleted);
    assert_eq!(
        (sealed.branch, sealed.repair),
        (BranchState::Deleted, BranchRepair::Followed)
    );
    assert_eq!(sealed.end_commit, Some(on_branch("deleted")));

    // The branch has a commit that the detached HEAD lacks: nothing is moved, all is kept.
    let other: &[&str] = &["commit", "-q", "--allow-empty", "-m", "other"];
    let diverged: &[&[&str]] = &[commit, &["checkout", "-q", "--detach", "HEAD~1"], other];
    let (tree, sealed) = seal("diverged", diverged);
    assert_eq!(
        (sealed.branch, sealed.repair),
        (BranchState::Detached, BranchRepair::Diverged)
    );
    assert_eq!(world.git(&tree.path, &["branch", "--show-current"]), "");
    assert_eq!(sealed.snapshot.head, sealed.end_commit);
    assert!(!sealed.committed_leftovers);
    assert_eq!(sealed.leftovers.paths.len(), 1);
    world.fsck();
}

#[test]
fn l7_unfinished_merges_and_rebases_are_kept_and_reported() {
    let world = World::new();
    let repo = world.repo();
    let base = repo.resolve("main").unwrap();
    for (name, command, what) in [
        ("merge", ["merge", "side-merge"], Unfinished::Merge),
        ("rebase", ["rebase", "side-rebase"], Unfinished::Rebase),
        ("pick", ["cherry-pick", "side-pick"], Unfinished::CherryPick),
    ] {
        let tree = world.worktree(&repo, name);
        let side = format!("side-{name}");
        world.git(&tree.path, &["switch", "-q", "-c", &side]);
        write(&tree.path, "src/lib.rs", "theirs\n");
        world.commit(&tree.path, "Theirs");
        world.git(&tree.path, &["switch", "-q", &format!("longhaul/{name}")]);
        write(&tree.path, "src/lib.rs", "ours\n");
        let ours = world.commit(&tree.path, "Ours");
        assert!(!world.git_raw(&tree.path, &command).status.success());
        let index = fs::read(tree.git_dir.join("index")).unwrap();
        let mut request = seal_request(&base, &base, 1);
        request.snapshot.reference = format!("refs/longhaul/snap/{name}/1");
        let sealed = repo.seal(&tree, &request).unwrap();
        assert_eq!(sealed.unfinished, Some(what), "{name}");
        assert!(!sealed.committed_leftovers);
        assert_eq!(repo.resolve(&format!("longhaul/{name}")).unwrap(), ours);
        assert_eq!(fs::read(tree.git_dir.join("index")).unwrap(), index);
    }
}
