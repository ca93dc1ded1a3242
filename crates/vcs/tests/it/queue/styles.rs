//! Squash and rebase, and that what lands depends on commits alone: not on settings or attributes that
//! lie about, nor on programs that a repository names.

use longhaul_core::queue::{ConflictKind, MergeStyle};
use longhaul_vcs::EntryEnd;

use super::{Bench, conflict, entry, styled};
use crate::support::write;

#[test]
fn l15_a_squash_is_one_commit_by_the_agent() {
    let bench = Bench::new();
    bench.branch("main", &[("a", "a\n")]);
    write(&bench.side, "b", "b\n");
    bench.world.git(&bench.side, &["add", "-A"]);
    let author = "--author=Jörg Agent <j@agent>";
    bench.world.git(
        &bench.side,
        &["commit", "-qm", "Two", author, "--date=@1600000000 +0100"],
    );
    let two = bench.at(&bench.world.git(&bench.side, &["rev-parse", "HEAD"]));
    let other = bench.branch("main", &[("o", "o\n")]);
    let trial = bench.trial(&[styled(&two, MergeStyle::Squash), entry(&other)]);
    assert_eq!(trial.ends, [EntryEnd::Merged, EntryEnd::Left]);
    let (tip, made) = bench.land(&[styled(&two, MergeStyle::Squash), entry(&other)]);
    let commit = &made.at.commit;
    assert_eq!(bench.log(commit, "%P"), tip.commit.to_string());
    let author = bench.log(commit, "%an|%ae|%at|%ai|%cn");
    assert!(
        author.starts_with("Jörg Agent|j@agent|1600000000|"),
        "{author}"
    );
    assert!(author.ends_with("+0100|Ada"), "{author}");
    let task = format!("task-{}", two.short());
    let trailer = bench.log(commit, "%(trailers:key=Longhaul-Task,valueonly)");
    assert_eq!(trailer.trim(), task);
    assert_eq!(bench.show(commit, "b"), "b");
    // Squashed before and unchanged: nothing of it is left to land.
    let again = bench.trial(&[styled(&two, MergeStyle::Squash)]);
    assert_eq!(again.ends, [EntryEnd::Contained]);
}

#[test]
fn l15_a_rebase_replays_commits_beside_the_checked_line() {
    let bench = Bench::new();
    let old = bench.branch("main~1", &[("x", "x\n")]);
    bench.more(&[("y", "y\n")]);
    let last = bench.more(&[("z", "z\n")]);
    let other = bench.branch("main", &[("x", "x\n")]);
    bench.land(&[entry(&other)]);
    let (tip, made) = bench.land(&[styled(&last, MergeStyle::Rebase)]);
    let commit = &made.at.commit;
    // `x` is there already; the two others are made anew, and one merge commit has the checked tree.
    let git = |args: &[&str]| bench.world.git(&bench.side, args);
    let range = format!("{}..{commit}", tip.commit);
    assert_eq!(git(&["rev-list", "--first-parent", "--count", &range]), "1");
    let subjects = git(&["log", "--format=%s", "--no-merges", &range]);
    assert_eq!(subjects, "Change z\nChange y");
    let side = bench.at(&format!("{commit}^2"));
    assert_eq!(bench.tree(side.as_str()), made.at.tree);
    assert!(bench.log(&side, "%B").contains("Longhaul-Task: task-"));
    assert_ne!(side, last);
    assert_eq!(bench.show(commit, "x"), "x");
    // One commit lands as itself.
    let one = bench.branch(old.as_str(), &[("one", "1\n")]);
    let (tip, made) = bench.land(&[styled(&one, MergeStyle::Rebase)]);
    let log = bench.log(&made.at.commit, "%P|%s");
    assert_eq!(log, format!("{}|Change one", tip.commit));
    bench.world.fsck();
}

#[test]
fn l15_a_rebase_of_a_branch_with_merges_is_one_commit() {
    let bench = Bench::new();
    let conflicting = bench.branch("main", &[("f", "theirs\n")]);
    bench.land(&[entry(&conflicting)]);
    bench.branch("main", &[("f", "mine\n")]);
    let integration = "refs/longhaul/integration/main";
    bench
        .world
        .git_raw(&bench.side, &["merge", "-q", integration]);
    write(&bench.side, "f", "both\n");
    let merged = bench.world.commit(&bench.side, "Merge");
    let (tip, made) = bench.land(&[styled(&merged, MergeStyle::Rebase)]);
    assert_eq!(bench.log(&made.at.commit, "%P"), tip.commit.to_string());
    assert_eq!(bench.show(&made.at.commit, "f"), "both");
}

#[test]
fn l20_drivers_and_loose_attributes_do_not_decide_what_lands() {
    let bench = Bench::new();
    let repo = bench.world.repo_path();
    let marker = bench.world.root.join("ran");
    let driver = format!("touch {} && true", marker.display());
    bench
        .world
        .git(&repo, &["config", "merge.evil.driver", &driver]);
    let base = bench.branch(
        "main",
        &[(".gitattributes", "f merge=evil\nu merge=union\n")],
    );
    bench
        .world
        .git(&repo, &["merge", "-q", "--ff-only", base.as_str()]);
    let a = bench.branch("main", &[("f", "a\n"), ("u", "a\n"), ("n", "a\n")]);
    let b = bench.branch("main", &[("f", "b\n"), ("u", "b\n"), ("n", "b\n")]);
    bench.land(&[entry(&a)]);
    // Not committed, so it says nothing.
    write(&repo, ".gitattributes", "* merge=ours\nn merge=union\n");
    for setting in ["merge.renames", "merge.directoryRenames", "diff.renames"] {
        bench.world.git(&repo, &["config", setting, "false"]);
    }
    let trial = bench.trial(&[entry(&b)]);
    let report = conflict(&trial.ends[0]);
    let paths: Vec<_> = report.paths.iter().map(|p| p.path.as_str()).collect();
    assert_eq!(
        paths,
        ["f", "n"],
        "the committed attributes count: `u` is a union"
    );
    assert!(!marker.exists());
    // After `trust` the repository's driver decides.
    let trusted = bench.world.repo().trusted(true);
    let request = longhaul_vcs::TrialRequest {
        pin: "t".to_owned(),
        entries: vec![entry(&b)],
        date: 1,
        sign: false,
        message: &|_| "x".to_owned(),
    };
    let trial = trusted.queue("main").trial(&request).unwrap();
    assert!(marker.exists());
    assert_eq!(conflict(&trial.ends[0]).paths.len(), 1);
}

#[test]
fn l10_every_kind_of_conflict_has_its_name() {
    let bench = Bench::new();
    let side = bench.side.clone();
    let git = |args: &[&str]| bench.world.git(&side, args);
    let long = |word: &str| (0..40).map(|n| format!("{word} {n}\n")).collect::<String>();
    let base = bench.branch(
        "main",
        &[
            ("deleted", "d\n"),
            ("renamed", &long("r")),
            ("binary", "a\0b"),
            ("folder/x", "x\n"),
            ("type", "t\n"),
        ],
    );
    bench.world.git(
        &bench.world.repo_path(),
        &["merge", "-q", "--ff-only", base.as_str()],
    );
    let module = |id: &str| {
        git(&[
            "update-index",
            "--add",
            "--cacheinfo",
            &format!("160000,{id},m"),
        ])
    };
    git(&["rm", "-rqf", "deleted", "folder"]);
    git(&["mv", "renamed", "renamed-a"]);
    write(&side, "folder", "now a file\n");
    write(&side, "binary", "a\0a");
    write(&side, "new mode", "same\n");
    std::fs::remove_file(side.join("type")).unwrap();
    std::os::unix::fs::symlink("elsewhere", side.join("type")).unwrap();
    git(&["add", "-A"]);
    module(base.as_str());
    git(&["commit", "-qm", "a"]);
    let a = bench.at(&git(&["rev-parse", "HEAD"]));
    git(&["checkout", "-q", "--force", "--detach", base.as_str()]);
    git(&["clean", "-fdq"]);
    git(&["mv", "renamed", "renamed-b"]);
    for (name, content) in [
        ("deleted", "d2\n"),
        ("binary", "a\0c"),
        ("folder/y", "y\n"),
        ("new mode", "same\n"),
        ("type", "t2\n"),
    ] {
        write(&side, name, content);
    }
    git(&["add", "-A"]);
    git(&["update-index", "--chmod=+x", "new mode"]);
    module(a.as_str());
    git(&["commit", "-qm", "b"]);
    let b = bench.at(&git(&["rev-parse", "HEAD"]));
    git(&["checkout", "-q", "--force", "--detach", base.as_str()]);
    bench.land(&[entry(&a)]);
    let trial = bench.trial(&[entry(&b)]);
    let kinds: Vec<_> = conflict(&trial.ends[0])
        .paths
        .iter()
        .map(|p| (p.path.as_str(), p.kind))
        .collect();
    for expected in [
        ("binary", ConflictKind::Binary),
        ("deleted", ConflictKind::ModifyDelete),
        ("folder", ConflictKind::DirectoryFile),
        ("m", ConflictKind::Submodule),
        ("new mode", ConflictKind::Mode),
        ("renamed", ConflictKind::Rename),
    ] {
        assert!(kinds.contains(&expected), "{expected:?} in {kinds:?}");
    }
    assert!(
        kinds
            .iter()
            .any(|(p, k)| p.starts_with("type") && *k == ConflictKind::Mode),
        "{kinds:?}"
    );
}
