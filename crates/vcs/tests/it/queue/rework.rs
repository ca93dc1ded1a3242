//! A conflict in its task's own workspace: begun as a merge, resolved by the agent in any way, and
//! sealed with both parents; never with our markers left.

use std::fs;

use longhaul_core::queue::ConflictKind;
use longhaul_vcs::{EntryEnd, MergeBegun, Oid, Repo, RepoPath, Sealed, Unfinished, Worktree};

use super::{Bench, entry};
use crate::support::{seal_request, write};

struct Rework {
    bench: Bench,
    base: Oid,
    /// The task's sealed commit.
    ours: Oid,
    /// What has landed.
    tip: Oid,
    tree: Worktree,
}

impl Rework {
    /// A task and a landing that both changed `src/lib.rs`; the landing also deleted what the task
    /// changed, and added a protected file.
    fn new() -> Self {
        let bench = Bench::new();
        let repo = bench.world.repo_path();
        write(&repo, "gone", "gone\n");
        let base = bench.world.commit(&repo, "Base");
        let tree = bench.world.worktree(&bench.repo, "work");
        write(&tree.path, "src/lib.rs", "one\ntwo\nthree\nour four\n");
        write(&tree.path, "gone", "changed\n");
        let ours = seal(&bench.repo, &tree, &base, 1).end_commit.unwrap();
        bench
            .world
            .git(&bench.side, &["checkout", "-q", "--detach", "main"]);
        fs::remove_file(bench.side.join("gone")).unwrap();
        let theirs = bench.more(&[
            ("src/lib.rs", "one\ntwo\nthree\ntheir four\n"),
            ("tests/protected", "landed\n"),
        ]);
        let (_, made) = bench.land(&[entry(&theirs)]);
        let tip = made.at.commit;
        Self {
            bench,
            base,
            ours,
            tip,
            tree,
        }
    }

    fn begin(&self) -> MergeBegun {
        self.bench.repo.begin_merge(&self.tree, &self.tip).unwrap()
    }

    fn seal(&self, n: u32) -> Sealed {
        seal(&self.bench.repo, &self.tree, &self.base, n)
    }

    fn git(&self, args: &[&str]) -> String {
        self.bench.world.git(&self.tree.path, args)
    }

    fn landed_after(&self, commit: &Oid) {
        let trial = self.bench.trial(&[entry(commit)]);
        assert_eq!(trial.ends, [EntryEnd::Merged]);
        assert_eq!(
            self.bench.log(commit, "%P"),
            format!("{} {}", self.ours, self.tip)
        );
        assert_eq!(self.git(&["status", "--porcelain"]), "");
        assert!(!self.tree.git_dir.join("MERGE_HEAD").exists());
        self.bench.world.fsck();
    }
}

fn seal(repo: &Repo, tree: &Worktree, base: &Oid, n: u32) -> Sealed {
    repo.seal(tree, &seal_request(base, base, n)).unwrap()
}

#[test]
fn l12_a_conflict_is_left_in_progress_and_sealed_with_both_parents() {
    let rework = Rework::new();
    let MergeBegun::Begun { report } = rework.begin() else {
        panic!("not begun")
    };
    let kinds: Vec<_> = report
        .paths
        .iter()
        .map(|p| (p.path.as_str(), p.kind))
        .collect();
    assert_eq!(
        kinds,
        [
            ("gone", ConflictKind::ModifyDelete),
            ("src/lib.rs", ConflictKind::Content)
        ]
    );
    let file = rework.tree.path.join("src/lib.rs");
    let marked = fs::read_to_string(&file).unwrap();
    for part in ["<<<<<<< ", "our four", "||||||| ", "their four", ">>>>>>> "] {
        assert!(marked.contains(part), "{part} in {marked}");
    }
    assert_eq!(
        rework.git(&["status", "--porcelain"]),
        "UD gone\nUU src/lib.rs\nA  tests/protected"
    );
    // Begun once more: nothing is written, whatever the agent has done since.
    fs::write(&file, marked.replace("our four", "our own four")).unwrap();
    assert!(matches!(rework.begin(), MergeBegun::Begun { .. }));
    assert!(fs::read_to_string(&file).unwrap().contains("our own four"));
    // Markers are left, and nobody looked at `gone`: nothing is committed.
    let sealed = rework.seal(2);
    assert_eq!(sealed.unfinished, Some(Unfinished::Merge));
    let unresolved: Vec<_> = sealed.unresolved.iter().map(ToString::to_string).collect();
    assert_eq!(unresolved, ["gone", "src/lib.rs"]);
    assert_eq!(sealed.end_commit, Some(rework.ours.clone()));
    // The agent edits and does not commit.
    fs::write(&file, "one\ntwo\nthree\nboth fours\n").unwrap();
    fs::remove_file(rework.tree.path.join("gone")).unwrap();
    let sealed = rework.seal(3);
    assert_eq!(sealed.unfinished, None);
    assert!(sealed.unresolved.is_empty() && sealed.committed_leftovers);
    // What came from the queue is not what the task touched.
    assert!(sealed.protected_touched.is_empty() && sealed.differs_from_base);
    let end = sealed.end_commit.unwrap();
    rework.landed_after(&end);
    let again = rework.seal(4);
    assert_eq!(again.end_commit, Some(end));
    assert!(!again.committed_leftovers && again.protected_touched.is_empty());
    assert_eq!(rework.begin(), MergeBegun::Contained);
}

#[test]
fn l12_what_the_agent_commits_or_adds_itself_counts() {
    let rework = Rework::new();
    assert!(matches!(rework.begin(), MergeBegun::Begun { .. }));
    write(&rework.tree.path, "src/lib.rs", "both\n");
    rework.git(&["add", "-A"]);
    rework.git(&["commit", "-q", "--no-edit"]);
    let sealed = rework.seal(2);
    assert!(!sealed.committed_leftovers && sealed.unfinished.is_none());
    rework.landed_after(&sealed.end_commit.unwrap());

    // Added as it is: our side of `gone` was looked at and is wanted.
    let rework = Rework::new();
    assert!(matches!(rework.begin(), MergeBegun::Begun { .. }));
    write(&rework.tree.path, "src/lib.rs", "both\n");
    rework.git(&["add", "gone"]);
    let sealed = rework.seal(2);
    assert!(sealed.committed_leftovers);
    rework.landed_after(&sealed.end_commit.unwrap());
}

#[test]
fn l12_a_merge_that_is_not_ours_is_left_alone() {
    let rework = Rework::new();
    let tip = rework.tip.as_str();
    rework
        .bench
        .world
        .git_raw(&rework.tree.path, &["merge", "-q", tip]);
    assert_eq!(rework.begin(), MergeBegun::Busy(Unfinished::Merge));
    write(&rework.tree.path, "src/lib.rs", "both\n");
    rework.git(&["rm", "-q", "gone"]);
    let sealed = rework.seal(2);
    assert_eq!(sealed.unfinished, Some(Unfinished::Merge));
    assert_eq!(sealed.end_commit, Some(rework.ours.clone()));
    // An aborted one of ours is no merge any more.
    rework.git(&["merge", "--abort"]);
    assert!(matches!(rework.begin(), MergeBegun::Begun { .. }));
    rework.git(&["merge", "--abort"]);
    write(&rework.tree.path, "more", "more\n");
    assert_eq!(rework.begin(), MergeBegun::Dirty);
    let sealed = rework.seal(3);
    assert_eq!(
        rework.bench.log(&sealed.end_commit.unwrap(), "%P"),
        rework.ours.to_string()
    );
}

#[test]
fn i5_a_merge_is_not_begun_over_anything() {
    let rework = Rework::new();
    write(&rework.tree.path, "tests/protected", "ignored\n");
    write(&rework.tree.path, "src/new", "work\n");
    assert_eq!(rework.begin(), MergeBegun::Dirty);
    let exclude = rework.bench.world.repo_path().join(".git/info/exclude");
    fs::write(exclude, "protected\nnew\n").unwrap();
    assert_eq!(rework.begin(), MergeBegun::Dirty);
    let kept = fs::read_to_string(rework.tree.path.join("tests/protected")).unwrap();
    assert_eq!(kept, "ignored\n");
    rework.git(&["checkout", "-q", "--detach"]);
    assert_eq!(rework.begin(), MergeBegun::Elsewhere);
}

#[test]
fn l12_a_merge_that_was_cut_short_is_begun_again() {
    let rework = Rework::new();
    let MergeBegun::Begun { report } = rework.begin() else {
        panic!("not begun")
    };
    let status = rework.git(&["status", "--porcelain"]);
    // As if we had died in the middle: half of the files, none of git's notes.
    let state = rework.bench.world.state();
    let records = fs::read_dir(state)
        .unwrap()
        .flatten()
        .next()
        .unwrap()
        .path();
    let record = fs::read_dir(records.join("worktrees"))
        .unwrap()
        .flatten()
        .map(|e| e.path())
        .find(|p| p.extension().is_some_and(|e| e == "merge"))
        .unwrap();
    let text = fs::read_to_string(&record).unwrap();
    fs::write(&record, text.replace("\"ready\":true", "\"ready\":false")).unwrap();
    rework.git(&["merge", "--abort"]);
    write(&rework.tree.path, "tests/protected", "half\n");
    let MergeBegun::Begun { report: again } = rework.begin() else {
        panic!("not begun")
    };
    assert_eq!(again, report);
    assert_eq!(rework.git(&["status", "--porcelain"]), status);
    let paths: Vec<RepoPath> = rework.seal(2).unresolved;
    assert_eq!(paths.len(), 2);
}
