//! Batches, conflicts, what the user commits meanwhile, landing by compare-and-swap, and undo.

use longhaul_core::queue::ConflictKind;
use longhaul_vcs::{BaseStand, EntryEnd, LandEnd, Position, QueueError, UndoEnd, UndoRequest};

use super::{Bench, conflict, entry};
use crate::support::write;

#[test]
fn i9_a_batch_lands_as_one_commit_with_every_entry_as_a_parent() {
    let bench = Bench::new();
    let before = bench.world.fingerprint();
    let a = bench.branch("main", &[("a", "a\n")]);
    let b = bench.branch("main", &[("b", "b\n")]);
    let c = bench.branch("main~1", &[("c", "c\n")]);
    let entries = [entry(&a), entry(&b), entry(&c)];
    let (tip, made) = bench.land(&entries);
    assert_eq!(tip.commit, bench.at("main"));
    assert_eq!(made.entries, [0, 1, 2]);
    let parents = [&tip.commit, &a, &b, &c].map(ToString::to_string).join(" ");
    assert_eq!(bench.log(&made.at.commit, "%P"), parents);
    assert_eq!(bench.tree(made.at.commit.as_str()), made.at.tree);
    for file in ["a", "b", "c"] {
        assert_eq!(bench.show(&made.at.commit, file), file);
    }
    let message = bench.log(&made.at.commit, "%B");
    assert!(message.starts_with("Land [0, 1, 2]\n\nLonghaul-Task: task-"));
    assert_eq!(message.matches("Longhaul-Task: ").count(), 3);
    assert_eq!(bench.at("refs/longhaul/integration/main"), made.at.commit);
    assert_eq!(bench.at("refs/longhaul/queue/test"), made.at.commit);
    // Base has not moved and nothing of the checkout has changed (L8).
    assert_eq!(bench.at("main"), tip.commit);
    assert_eq!(bench.world.fingerprint(), before);
    bench.world.fsck();
    // Again: the same, and everything is contained.
    let again = bench.trial(&entries);
    assert_eq!(again.ends, [const { EntryEnd::Contained }; 3]);
    assert!(again.candidate.is_none());
    bench.repo.queue("main").unpin("test").unwrap();
    bench.repo.queue("main").unpin("test").unwrap();
}

#[test]
fn i9_what_an_entry_before_it_holds_has_not_landed_with_that_ones_trial() {
    let bench = Bench::new();
    let below = bench.branch("main", &[("a", "a\n")]);
    let above = bench.branch(below.as_str(), &[("b", "b\n")]);
    let same = bench.branch("main", &[("a", "a\n")]);
    let c = bench.branch("main", &[("c", "c\n")]);
    let entries = [entry(&above), entry(&below), entry(&same), entry(&c)];
    let trial = bench.trial(&entries);
    // The first of them may turn out red: then the others are tried without it.
    let [merged, left] = [EntryEnd::Merged, EntryEnd::Left];
    assert_eq!(trial.ends, [merged.clone(), left.clone(), left, merged]);
    assert_eq!(trial.candidate.unwrap().entries, [0, 3]);
    let (_, made) = bench.land(&entries);
    assert_eq!(made.entries, [0, 3]);
    assert_eq!(
        bench.trial(&entries).ends,
        [const { EntryEnd::Contained }; 4]
    );
}

#[test]
fn l18_the_same_trial_makes_the_same_commit_and_lands_once() {
    let bench = Bench::new();
    let a = bench.branch("main", &[("a", "a\n")]);
    let b = bench.branch("main", &[("b", "b\n")]);
    let first = bench.trial(&[entry(&a), entry(&b)]);
    let second = bench.trial(&[entry(&a), entry(&b)]);
    assert_eq!(first.candidate, second.candidate);
    let queue = bench.repo.queue("main");
    let made = first.candidate.unwrap().at;
    for _ in 0..2 {
        assert_eq!(
            queue.land(&made, &first.tip.commit).unwrap(),
            LandEnd::Landed
        );
    }
    // The user went on from what has landed: still landed, and not moved back.
    bench.branch(made.commit.as_str(), &[("u", "u\n")]);
    bench.world.git(&bench.side, &["branch", "-f", "elsewhere"]);
    bench.world.git(
        &bench.side,
        &["update-ref", "refs/longhaul/integration/main", "elsewhere"],
    );
    assert_eq!(
        queue.land(&made, &first.tip.commit).unwrap(),
        LandEnd::Landed
    );
    assert_eq!(queue.tip().unwrap().unwrap().commit, bench.at("elsewhere"));
}

#[test]
fn l8_a_moved_ref_refuses_the_landing() {
    let bench = Bench::new();
    let a = bench.branch("main", &[("a", "a\n")]);
    let b = bench.branch("main", &[("b", "b\n")]);
    let first = bench.trial(&[entry(&a)]);
    let (_, other) = bench.land(&[entry(&b)]);
    let end = bench
        .repo
        .queue("main")
        .land(&first.candidate.unwrap().at, &first.tip.commit)
        .unwrap();
    assert_eq!(
        end,
        LandEnd::Moved {
            now: Some(other.at)
        }
    );
}

#[test]
fn i9_only_what_was_checked_lands() {
    let bench = Bench::new();
    let a = bench.branch("main", &[("a", "a\n")]);
    let trial = bench.trial(&[entry(&a)]);
    let made = trial.candidate.unwrap().at;
    let queue = bench.repo.queue("main");
    let lie = Position {
        tree: trial.tip.tree.clone(),
        ..made.clone()
    };
    for (candidate, onto) in [(&lie, &trial.tip.commit), (&made, &a)] {
        let error = queue.land(candidate, onto).unwrap_err();
        assert!(
            matches!(error, QueueError::NotTheCandidate { .. }),
            "{error}"
        );
    }
    assert_eq!(queue.tip().unwrap().unwrap(), trial.tip);
}

#[test]
fn l10_a_conflict_is_told_with_kinds_hunks_and_a_command() {
    let bench = Bench::new();
    let lines = |third: &str| format!("one\ntwo\n{third}\nfour\n");
    let a = bench.branch("main", &[("src/lib.rs", &lines("of a")), ("n", "a\n")]);
    let b = bench.branch("main", &[("src/lib.rs", &lines("of b")), ("n", "b\n")]);
    let c = bench.branch("main", &[("c", "c\n")]);
    let trial = bench.trial(&[entry(&a), entry(&b), entry(&c)]);
    let EntryEnd::Overlaps { with: 0, report } = &trial.ends[1] else {
        panic!("{:?}", trial.ends)
    };
    let kinds: Vec<_> = report
        .paths
        .iter()
        .map(|p| (p.path.as_str(), p.kind))
        .collect();
    assert_eq!(
        kinds,
        [
            ("n", ConflictKind::Content),
            ("src/lib.rs", ConflictKind::Content)
        ]
    );
    for part in ["<<<<<<< ", "of a", "||||||| ", "three", "of b"] {
        assert!(report.hunks.contains(part), "{part} in {}", report.hunks);
    }
    let mut words = report.reproduce.split(' ').skip(1);
    let words: Vec<&str> = words.by_ref().collect();
    let again = bench.world.git_raw(&bench.side, &words);
    assert_eq!(again.status.code(), Some(1));
    // The others land together, and then it conflicts with what has landed.
    assert_eq!(trial.candidate.unwrap().entries, [0, 2]);
    bench.land(&[entry(&a), entry(&c)]);
    let trial = bench.trial(&[entry(&b)]);
    assert!(trial.candidate.is_none());
    assert_eq!(conflict(&trial.ends[0]).paths, report.paths);
}

#[test]
fn l14_what_the_user_commits_on_base_is_taken_over() {
    let bench = Bench::new();
    let queue = bench.repo.queue("main");
    let a = bench.branch("main", &[("a", "a\n")]);
    assert!(bench.trial(&[entry(&a)]).candidate.is_some());
    let repo = bench.world.repo_path();
    write(&repo, "u", "u\n");
    let user = bench.world.commit(&repo, "The user's");
    // Nothing has landed: the integration ref goes along.
    assert_eq!(queue.bring_up().unwrap().1, BaseStand::Even);
    assert_eq!(queue.tip().unwrap().unwrap().commit, user);
    let (_, landed) = bench.land(&[entry(&a)]);
    assert_eq!(
        queue.bring_up().unwrap().1,
        BaseStand::Behind { base: user }
    );
    // Now both went on: they are merged in a round of their own, and the entries wait.
    write(&repo, "u", "u2\n");
    let user = bench.world.commit(&repo, "The user's second");
    let b = bench.branch("main", &[("b", "b\n")]);
    let trial = bench.trial(&[entry(&b)]);
    assert_eq!(trial.ends, [EntryEnd::Left]);
    let made = trial.candidate.unwrap();
    assert!(made.entries.is_empty());
    let parents = format!("{} {user}", landed.at.commit);
    assert_eq!(bench.log(&made.at.commit, "%P"), parents);
    queue.land(&made.at, &trial.tip.commit).unwrap();
    assert_eq!(bench.show(&made.at.commit, "a"), "a");
    assert_eq!(bench.show(&made.at.commit, "u"), "u2");
    assert_eq!(
        queue.bring_up().unwrap().1,
        BaseStand::Behind { base: user }
    );
}

#[test]
fn l14_a_user_commit_that_conflicts_stops_the_line_by_name() {
    let bench = Bench::new();
    let a = bench.branch("main", &[("f", "a\n")]);
    bench.land(&[entry(&a)]);
    let repo = bench.world.repo_path();
    write(&repo, "f", "user\n");
    bench.world.commit(&repo, "The user's");
    let queue = bench.repo.queue("main");
    let request = longhaul_vcs::TrialRequest {
        pin: "x".to_owned(),
        entries: Vec::new(),
        date: 1,
        sign: false,
        message: &|_| String::new(),
    };
    let error = queue.trial(&request).unwrap_err();
    assert!(error.to_string().contains(": f"), "{error}");
    let remedy = error.remedy().unwrap();
    assert!(
        remedy.contains("refs/longhaul/integration/main"),
        "{remedy}"
    );
    // The remedy works.
    bench
        .world
        .git_raw(&repo, &["merge", "refs/longhaul/integration/main"]);
    write(&repo, "f", "both\n");
    let merged = bench.world.commit(&repo, "Merge");
    assert_eq!(queue.bring_up().unwrap().1, BaseStand::Even);
    assert_eq!(queue.tip().unwrap().unwrap().commit, merged);
}

#[test]
fn an_entry_that_cannot_be_merged_hurts_nobody_else() {
    let bench = Bench::new();
    let a = bench.branch("main", &[("a", "a\n")]);
    bench
        .world
        .git(&bench.side, &["checkout", "-q", "--orphan", "alien"]);
    let alien = bench.world.commit(&bench.side, "Alien");
    bench
        .world
        .git(&bench.side, &["checkout", "-q", "--detach", "main"]);
    let gone = "89e6c98d92887913cadf06b2adb97f26cde4849b".parse().unwrap();
    let holed = bench.branch("main", &[("README", "holed\n")]);
    let blob = bench.at(&format!("{holed}:README"));
    let file = format!(
        ".git/objects/{}/{}",
        &blob.as_str()[..2],
        &blob.as_str()[2..]
    );
    std::fs::remove_file(bench.world.repo_path().join(file)).unwrap();
    // Both sides changed the file, so that its content is needed.
    let own = bench.branch("main", &[("README", "hello\nyou\n")]);
    let dependent = bench.branch(a.as_str(), &[("d", "d\n")]);
    let mut dependent = entry(&dependent);
    dependent.unlanded = vec![a.clone()];
    let mut entries = vec![entry(&alien), entry(&gone), dependent.clone()];
    let trial = bench.trial(&entries);
    assert!(matches!(&trial.ends[0], EntryEnd::Refused { detail } if detail.contains("history")));
    assert_eq!(trial.ends[1], EntryEnd::Gone);
    assert_eq!(trial.ends[2], EntryEnd::Unlanded { dependency: 0 });
    assert!(trial.candidate.is_none());
    entries.extend([entry(&own), entry(&holed), entry(&a), dependent]);
    let trial = bench.trial(&entries);
    assert!(matches!(&trial.ends[4], EntryEnd::Refused { detail } if detail.contains("missing")));
    // What it depends on lands with it.
    assert_eq!(trial.ends[5..], [EntryEnd::Merged, EntryEnd::Merged]);
    assert_eq!(trial.candidate.unwrap().entries, [3, 5, 6]);
}

#[test]
fn a_landing_is_taken_back_alone() {
    let bench = Bench::new();
    let a = bench.branch("main", &[("a", "a\n")]);
    let b = bench.branch("main", &[("b", "b\n"), ("README", "hello\nb\n")]);
    let c = bench.branch("main", &[("c", "c\n")]);
    let (_, landed) = bench.land(&[entry(&a), entry(&b), entry(&c)]);
    let d = bench.branch(landed.at.commit.as_str(), &[("d", "d\n")]);
    bench.land(&[entry(&d)]);
    let request = UndoRequest {
        landed: landed.at.commit.clone(),
        commit: b.clone(),
        message: "Take b back\n".to_owned(),
        date: 1_700_000_100,
        sign: false,
    };
    let queue = bench.repo.queue("main");
    let UndoEnd::Made(undo) = queue.undo(&request).unwrap() else {
        panic!("it conflicts")
    };
    assert_eq!(queue.undo(&request).unwrap(), UndoEnd::Made(undo.clone()));
    let (_, made) = bench.land(&[entry(&undo)]);
    let files = bench.world.git(
        &bench.side,
        &["ls-tree", "--name-only", "-r", made.at.commit.as_str()],
    );
    assert_eq!(files, ".gitignore\nREADME\na\nc\nd\nsrc/lib.rs");
    assert_eq!(bench.show(&made.at.commit, "README"), "hello");
    bench.world.fsck();
}

#[test]
fn an_undo_that_another_entry_builds_on_is_told() {
    let bench = Bench::new();
    let a = bench.branch("main", &[("f", "one\n")]);
    let b = bench.branch(a.as_str(), &[("f", "two\n")]);
    let (_, landed) = bench.land(&[entry(&a), entry(&b)]);
    let request = UndoRequest {
        landed: landed.at.commit,
        commit: a,
        message: "Undo\n".to_owned(),
        date: 1,
        sign: false,
    };
    let end = bench.repo.queue("main").undo(&request).unwrap();
    let UndoEnd::Conflict(report) = end else {
        panic!("{end:?}")
    };
    assert_eq!(report.paths[0].path, "f");
}

#[test]
fn an_undo_that_later_work_builds_on_is_told_with_its_files() {
    let bench = Bench::new();
    let a = bench.branch("main", &[("f", "one\n"), ("g", "g\n")]);
    let (_, landed) = bench.land(&[entry(&a)]);
    let b = bench.branch(landed.at.commit.as_str(), &[("f", "two\n")]);
    bench.land(&[entry(&b)]);
    let request = UndoRequest {
        landed: landed.at.commit,
        commit: a,
        message: "Undo\n".to_owned(),
        date: 1,
        sign: false,
    };
    let end = bench.repo.queue("main").undo(&request).unwrap();
    let UndoEnd::BuiltOn(report) = end else {
        panic!("{end:?}")
    };
    let paths: Vec<&str> = report.paths.iter().map(|p| p.path.as_str()).collect();
    assert_eq!(paths, ["f"]);
}
