//! Slots: exactly the tree, again and again, with warm caches and without believing what was there.

use std::fs;
use std::path::PathBuf;

use longhaul_vcs::{Position, SlotError, SlotPlan};

use super::Bench;
use crate::support::write;

fn plan(bench: &Bench, revision: &str, keep: Option<&[&str]>) -> SlotPlan {
    SlotPlan {
        path: path(bench),
        at: Position {
            commit: bench.at(revision),
            tree: bench.tree(revision),
        },
        keep: keep.map(|k| k.iter().map(ToString::to_string).collect()),
        lock_reason: "longhaul".to_owned(),
    }
}

fn path(bench: &Bench) -> PathBuf {
    bench.world.root.join("slots/0")
}

fn ready(bench: &Bench) {
    fs::create_dir_all(bench.world.root.join("slots")).unwrap();
}

#[test]
fn l9_a_slot_holds_exactly_the_tree_and_keeps_what_stays() {
    let bench = Bench::new();
    ready(&bench);
    let next = bench.branch("main", &[("README", "next\n"), ("added", "a\n")]);
    let slot = bench
        .repo
        .prepare_slot(&plan(&bench, "main", None))
        .unwrap();
    let before = bench.world.fingerprint();
    let time = |name: &str| {
        fs::metadata(path(&bench).join(name))
            .unwrap()
            .modified()
            .unwrap()
    };
    let first = time("src/lib.rs");
    assert!(bench.repo.slot_changes(&slot).unwrap().paths.is_empty());
    // A check leaves everything that a check can leave.
    write(&path(&bench), "target/cache", "warm\n");
    write(&path(&bench), ".env", "ignored\n");
    write(&path(&bench), "README", "changed\n");
    write(&path(&bench), "new/file", "new\n");
    fs::remove_file(path(&bench).join(".gitignore")).unwrap();
    let changed = bench.repo.slot_changes(&slot).unwrap();
    assert!(changed.paths.iter().any(|c| c.path.to_string() == "README"));
    let git = |args: &[&str]| bench.world.git(&path(&bench), args);
    git(&["update-index", "--skip-worktree", "README"]);
    git(&["checkout", "-q", "-b", "of-the-check"]);
    bench.world.git(&path(&bench), &["init", "-q", "nested"]);
    let slot = bench
        .repo
        .prepare_slot(&plan(&bench, next.as_str(), None))
        .unwrap();
    assert_eq!(git(&["rev-parse", "HEAD"]), next.to_string());
    assert_eq!(git(&["status", "--porcelain"]), "");
    assert_eq!(
        fs::read_to_string(path(&bench).join("README")).unwrap(),
        "next\n"
    );
    assert_eq!(
        fs::read_to_string(path(&bench).join("target/cache")).unwrap(),
        "warm\n"
    );
    assert!(!path(&bench).join("nested").exists() && !path(&bench).join("new").exists());
    assert_eq!(
        time("src/lib.rs"),
        first,
        "what stays the same keeps its time"
    );
    // HEAD of the check's branch did not move with ours.
    assert_eq!(bench.at("of-the-check"), bench.at("main"));
    bench
        .world
        .git(&bench.side, &["branch", "-qD", "of-the-check"]);
    // Of the ignored files only those on the list stay.
    let listed = plan(&bench, next.as_str(), Some(&["target/"]));
    let again = bench.repo.prepare_slot(&listed).unwrap();
    assert_eq!(again, slot);
    assert!(path(&bench).join("target/cache").exists() && !path(&bench).join(".env").exists());
    assert_eq!(bench.world.fingerprint(), before);
    // It survives a prune, and goes with its registration.
    bench.world.git(&bench.side, &["worktree", "prune"]);
    bench.repo.discard_slot(&path(&bench)).unwrap();
    bench.repo.discard_slot(&path(&bench)).unwrap();
    assert!(!path(&bench).exists());
    assert!(
        !bench
            .world
            .git(&bench.side, &["worktree", "list"])
            .contains("slots/0")
    );
}

#[test]
fn l9_a_broken_slot_is_made_anew() {
    let bench = Bench::new();
    ready(&bench);
    let wanted = plan(&bench, "main", None);
    type Break = fn(&Bench, &std::path::Path);
    let cases: [Break; 6] = [
        |_, slot| fs::remove_dir_all(slot).unwrap(),
        |_, slot| fs::remove_file(slot.join(".git")).unwrap(),
        |_, slot| {
            fs::remove_file(slot.join(".git")).unwrap();
            fs::create_dir_all(slot.join(".git/objects")).unwrap();
        },
        |bench, _| fs::write(bench.world.repo_path().join(".git/worktrees/0/index"), "x").unwrap(),
        |bench, _| fs::remove_dir_all(bench.world.repo_path().join(".git/worktrees/0")).unwrap(),
        |bench, _| fs::write(bench.world.repo_path().join(".git/worktrees/0/HEAD"), "?").unwrap(),
    ];
    for (n, broken) in cases.iter().enumerate() {
        bench.repo.prepare_slot(&wanted).unwrap();
        broken(&bench, &wanted.path);
        let slot = bench
            .repo
            .prepare_slot(&wanted)
            .unwrap_or_else(|e| panic!("{n}: {e}"));
        assert!(bench.repo.slot_changes(&slot).unwrap().paths.is_empty());
        assert_eq!(
            bench.world.git(&wanted.path, &["status", "--porcelain"]),
            ""
        );
    }
}

#[test]
fn i5_a_folder_that_is_no_slot_is_left_alone() {
    let bench = Bench::new();
    let mut wanted = plan(&bench, "main", None);
    write(&bench.world.root, "slots/0/precious", "p\n");
    let error = bench.repo.prepare_slot(&wanted).unwrap_err();
    assert!(matches!(error, SlotError::ForeignFolder { .. }), "{error}");
    assert!(wanted.path.join("precious").exists());
    let work = bench.world.worktree(&bench.repo, "work");
    wanted.path = work.path.clone();
    let error = bench.repo.prepare_slot(&wanted).unwrap_err();
    assert!(matches!(error, SlotError::ForeignFolder { .. }), "{error}");
    assert!(bench.repo.discard_slot(&work.path).is_err() && work.path.exists());
}

#[test]
fn i9_a_checkout_that_is_not_the_tree_is_refused() {
    let bench = Bench::new();
    ready(&bench);
    let mut wanted = plan(&bench, "main", None);
    wanted.at.tree = bench.tree("main~1");
    let error = bench.repo.prepare_slot(&wanted).unwrap_err();
    assert!(matches!(error, SlotError::NotTheTree { .. }), "{error}");
}
