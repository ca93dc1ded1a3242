//! A workspace brought up to what has landed by a person's order: merged or made anew, secured before, and
//! untouched where that is refused (L21).

use std::fs;

use longhaul_vcs::{
    CatchUp, CatchUpStyle, CaughtUp, Oid, RestoreScope, SnapshotRequest, Unfinished, Worktree,
};

use super::Bench;
use crate::support::{seal_request, snapshot_request, write};

const MERGE: CatchUpStyle = CatchUpStyle::Merge {
    leave_conflicts: false,
};
const LEAVE: CatchUpStyle = CatchUpStyle::Merge {
    leave_conflicts: true,
};

struct Lag {
    bench: Bench,
    base: Oid,
    tree: Worktree,
    ours: Oid,
}

impl Lag {
    /// A task with two commits, on a base that has moved on by `theirs`.
    fn behind(theirs: &[(&str, &str)]) -> Self {
        let bench = Bench::new();
        let base = bench.at("main");
        let tree = bench.world.worktree(&bench.repo, "work");
        write(&tree.path, "src/lib.rs", "one\ntwo\nthree\nour four\n");
        bench
            .world
            .git(&tree.path, &["commit", "-aqm", "Our first"]);
        write(&tree.path, "ours", "two\n");
        bench.world.git(&tree.path, &["add", "ours"]);
        bench
            .world
            .git(&tree.path, &["commit", "-qm", "Our second"]);
        let ours = bench.at("longhaul/work");
        let tip = bench.branch("main", theirs);
        bench
            .world
            .git(&bench.side, &["branch", "tip", tip.as_str()]);
        Self {
            bench,
            base,
            tree,
            ours,
        }
    }

    fn tip(&self) -> Oid {
        self.bench.at("tip")
    }

    fn catch_up(&self, style: CatchUpStyle) -> CaughtUp {
        let before = SnapshotRequest {
            reason: "before tip was brought in".to_owned(),
            ..snapshot_request(7)
        };
        let order = CatchUp {
            to: &self.tip(),
            style,
            before: &before,
            message: "Merge tip",
            sign: false,
        };
        self.bench.repo.catch_up(&self.tree, &order).unwrap()
    }

    fn git(&self, args: &[&str]) -> String {
        self.bench.world.git(&self.tree.path, args)
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.tree.path.join(name)).unwrap()
    }

    /// Nothing of the workspace is another than before.
    #[track_caller]
    fn untouched(&self, status: &str) {
        assert_eq!(self.bench.at("longhaul/work"), self.ours);
        assert_eq!(self.git(&["status", "--porcelain"]), status);
        let merging = self.bench.world.git_raw(
            &self.tree.path,
            &["rev-parse", "-q", "--verify", "MERGE_HEAD"],
        );
        assert!(!merging.status.success());
    }

    /// The task's own changes are told from what was brought in.
    #[track_caller]
    fn own_changes(&self) -> Vec<String> {
        let repo = &self.bench.repo;
        let from = repo.compared_with(&self.tree, &self.base).unwrap();
        assert_eq!(from, self.tip());
        let now = self.bench.at("longhaul/work");
        let changes = repo.changes(&from, &now).unwrap();
        changes.paths.iter().map(|c| c.path.to_string()).collect()
    }
}

#[test]
fn l21_a_merge_brings_in_what_has_landed() {
    let lag = Lag::behind(&[("theirs", "landed\n"), ("tests/protected", "landed\n")]);
    let CaughtUp::Done { commit, replayed } = lag.catch_up(MERGE) else {
        panic!("not done")
    };
    assert_eq!(replayed, None);
    assert_eq!(lag.bench.at("longhaul/work"), commit);
    let parents = format!("{} {}", lag.ours, lag.tip());
    assert_eq!(lag.bench.log(&commit, "%P"), parents);
    assert_eq!(lag.bench.log(&commit, "%an %s"), "Ada Merge tip");
    assert_eq!(lag.git(&["status", "--porcelain"]), "");
    assert_eq!(
        (lag.file("theirs"), lag.file("ours")),
        ("landed\n".into(), "two\n".into())
    );
    assert_eq!(lag.own_changes(), ["ours", "src/lib.rs"]);
    assert_eq!(lag.catch_up(MERGE), CaughtUp::Contained);
    // A later turn is not blamed for the protected file that was brought in.
    let sealed = lag
        .bench
        .repo
        .seal(&lag.tree, &seal_request(&lag.base, &lag.base, 8))
        .unwrap();
    assert!(sealed.protected_touched.is_empty(), "{sealed:?}");
    assert_eq!(sealed.unfinished, None);
    lag.bench.world.fsck();
}

#[test]
fn l21_a_rebase_makes_the_commits_anew_and_the_snapshot_keeps_the_old_ones() {
    let lag = Lag::behind(&[("theirs", "landed\n"), ("tests/protected", "landed\n")]);
    let before = lag.bench.log(&lag.ours, "%an %ae %ad");
    let CaughtUp::Done { commit, replayed } = lag.catch_up(CatchUpStyle::Rebase) else {
        panic!("not done")
    };
    assert_eq!(replayed, Some(2));
    let line = lag.git(&["log", "--format=%s", "--first-parent", "-4"]);
    assert_eq!(line, "Our second\nOur first\nChange theirs\nSecond");
    assert_eq!(lag.bench.log(&commit, "%an %ae %ad"), before);
    assert_eq!(lag.git(&["status", "--porcelain"]), "");
    assert_eq!(lag.file("theirs"), "landed\n");
    assert_eq!(lag.own_changes(), ["ours", "src/lib.rs"]);
    let sealed = lag
        .bench
        .repo
        .seal(&lag.tree, &seal_request(&lag.base, &lag.base, 8))
        .unwrap();
    assert!(sealed.protected_touched.is_empty(), "{sealed:?}");
    // The way back.
    let known = lag
        .bench
        .repo
        .snapshots("refs/longhaul/snap/task1")
        .unwrap();
    let kept = known.iter().find(|s| s.name == "7").unwrap();
    assert_eq!(lag.bench.at(&format!("{}^1", kept.commit)), lag.ours);
    let scope = RestoreScope::FilesAndBranch;
    let request = snapshot_request(9);
    let restored = lag
        .bench
        .repo
        .restore(&lag.tree, &kept.commit, &request, scope);
    assert!(restored.unwrap().branch_moved);
    lag.untouched("");
    lag.bench.world.fsck();
}

#[test]
fn l21_a_conflict_changes_nothing_unless_it_is_wanted() {
    let lag = Lag::behind(&[("src/lib.rs", "one\ntwo\nthree\ntheir four\n")]);
    for style in [MERGE, CatchUpStyle::Rebase] {
        let CaughtUp::Conflicts { commit, report } = lag.catch_up(style) else {
            panic!("no conflict")
        };
        let first = lag.bench.at("longhaul/work~1");
        assert_eq!(commit, (style == CatchUpStyle::Rebase).then_some(first));
        assert_eq!(report.paths[0].path, "src/lib.rs");
        lag.untouched("");
    }
    assert!(matches!(lag.catch_up(LEAVE), CaughtUp::Begun(_)));
    assert_eq!(lag.git(&["status", "--porcelain"]), "UU src/lib.rs");
    let CaughtUp::Unresolved(paths) = lag.catch_up(LEAVE) else {
        panic!("resolved")
    };
    assert_eq!(paths[0].to_string(), "src/lib.rs");
    write(
        &lag.tree.path,
        "src/lib.rs",
        "one\ntwo\nthree\nboth fours\n",
    );
    let CaughtUp::Done { commit, .. } = lag.catch_up(MERGE) else {
        panic!("not done")
    };
    let parents = format!("{} {}", lag.ours, lag.tip());
    assert_eq!(lag.bench.log(&commit, "%P"), parents);
    assert_eq!(lag.git(&["status", "--porcelain"]), "");
    lag.bench.world.fsck();
}

#[test]
fn l21_nothing_is_brought_into_a_workspace_that_is_not_fit_for_it() {
    let lag = Lag::behind(&[("theirs", "landed\n"), (".env", "landed\n")]);
    lag.bench.world.git(&lag.bench.side, &["add", "-f", ".env"]);
    lag.bench
        .world
        .git(&lag.bench.side, &["commit", "-qm", "Env"]);
    lag.bench
        .world
        .git(&lag.bench.side, &["branch", "-f", "tip", "HEAD"]);
    let both = [MERGE, CatchUpStyle::Rebase];
    // An ignored file that no snapshot holds is in the way.
    write(&lag.tree.path, ".env", "MINE=1\n");
    for style in both {
        assert_eq!(lag.catch_up(style), CaughtUp::Dirty);
        assert_eq!(lag.file(".env"), "MINE=1\n");
        lag.untouched("");
    }
    fs::remove_file(lag.tree.path.join(".env")).unwrap();
    write(&lag.tree.path, "new", "not committed\n");
    for style in both {
        assert_eq!(lag.catch_up(style), CaughtUp::Dirty);
        lag.untouched("?? new");
    }
    fs::remove_file(lag.tree.path.join("new")).unwrap();
    write(
        &lag.tree.git_dir,
        "CHERRY_PICK_HEAD",
        format!("{}\n", lag.base),
    );
    for style in both {
        assert_eq!(lag.catch_up(style), CaughtUp::Busy(Unfinished::CherryPick));
    }
    fs::remove_file(lag.tree.git_dir.join("CHERRY_PICK_HEAD")).unwrap();
    lag.git(&["checkout", "-q", "--detach"]);
    for style in both {
        assert_eq!(lag.catch_up(style), CaughtUp::Elsewhere);
    }
    lag.git(&["checkout", "-q", "longhaul/work"]);
    lag.git(&["merge", "-q", "--no-ff", "-m", "Merge", "tip~1"]);
    assert_eq!(lag.catch_up(CatchUpStyle::Rebase), CaughtUp::NotPlain);
}
