//! The conflict matrix: what it shows, what it costs, and that git itself says the same.

use std::fs;
use std::path::Path;
use std::process::Command;

use longhaul_core::queue::ConflictKind;
use longhaul_vcs::{Git, GitSettings, HeadVerdict, Matrix, Oid, Position, Repo, Work, WorkPlace};

use super::random::{Profile, fill};
use super::{Bench, entry};
use crate::support::{World, snapshot_request, write};

fn position(bench: &Bench, revision: &str) -> Position {
    Position {
        commit: bench.at(revision),
        tree: bench.tree(revision),
    }
}

pub(super) fn objects(world: &World) -> usize {
    let count = world.git(&world.repo_path(), &["count-objects", "-v"]);
    count
        .lines()
        .filter_map(|l| l.strip_prefix("count: ").or(l.strip_prefix("in-pack: ")))
        .map(|n| n.parse::<usize>().unwrap())
        .sum()
}

/// A git that counts its runs.
pub(super) fn counting(world: &World) -> (Git, std::path::PathBuf) {
    let log = world.root.join("runs");
    let program = world.root.join("git");
    let script = format!(
        "#!/bin/sh\necho \"$1\" >>{}\nexec git \"$@\"\n",
        log.display()
    );
    fs::write(&program, script).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&program, mode).unwrap();
    let mut settings = GitSettings::new(world.environment());
    settings.program = program;
    (Git::new(settings).unwrap(), log)
}

pub(super) fn runs(log: &Path) -> Vec<String> {
    let text = fs::read_to_string(log).unwrap_or_default();
    fs::write(log, "").unwrap();
    text.lines().map(ToOwned::to_owned).collect()
}

#[test]
fn l10_the_matrix_tells_files_kinds_and_hunks_in_three_runs() {
    let bench = Bench::new();
    let a = bench.branch(
        "main",
        &[("src/lib.rs", "one\nof a\nthree\nfour\n"), ("n", "a\n")],
    );
    let b = bench.branch("main", &[("src/lib.rs", "one\nof b\nthree\nfour\n")]);
    let c = bench.branch("main", &[("n", "c\n")]);
    let alone = bench.branch("main", &[("alone", "x\n")]);
    let landed = bench.branch("main", &[("README", "landed\n")]);
    let late = bench.branch("main", &[("README", "late\n")]);
    bench.land(&[entry(&landed)]);
    let work = bench.world.worktree(&bench.repo, "live");
    write(&work.path, "n", "live\n");
    let live = bench
        .repo
        .snapshot(&work, &snapshot_request(1))
        .unwrap()
        .commit;
    bench
        .world
        .git(&bench.side, &["checkout", "-q", "--orphan", "alien"]);
    let alien = bench.world.commit(&bench.side, "Alien");
    let gone: Oid = "89e6c98d92887913cadf06b2adb97f26cde4849b".parse().unwrap();
    let heads = [&a, &b, &c, &alone, &late, &live].map(Clone::clone);
    let before = objects(&bench.world);
    let (git, log) = counting(&bench.world);
    let repo = Repo::open(&git, &bench.world.repo_path(), &bench.world.state()).unwrap();
    let mut predictor = repo.queue("main").predictor();
    let base = position(&bench, "refs/longhaul/integration/main");
    runs(&log);
    let matrix = predictor.matrix(&base, &heads).unwrap();
    assert_eq!(runs(&log), ["merge-tree", "diff-tree", "merge-tree"]);
    let late_verdict = &matrix.heads[4];
    let HeadVerdict::Conflict { paths, reproduce } = late_verdict else {
        panic!("{late_verdict:?}")
    };
    assert_eq!(
        (paths[0].path.as_str(), paths[0].kind),
        ("README", ConflictKind::Content)
    );
    assert!(reproduce.ends_with(late.as_str()));
    assert_eq!(matrix.heads[0], HeadVerdict::Clean { paths: 2 });
    let pairs: Vec<_> = matrix.pairs.keys().copied().collect();
    assert_eq!(pairs, [(0, 1), (0, 2), (0, 5), (2, 5)]);
    let pair = &matrix.pairs[&(0, 1)];
    assert_eq!(pair.paths[0].path, "src/lib.rs");
    let preview = predictor.preview(pair, 4096).unwrap();
    for part in [
        "<<<<<<< ", "of a\n", "||||||| ", "two\n", "of b\n", ">>>>>>> ",
    ] {
        assert!(preview.contains(part), "{part} in {preview}");
    }
    for side in [&matrix.trees[0], &matrix.trees[1]] {
        let side = side.as_ref().unwrap();
        assert!(
            preview.contains(&format!(" {side}\n")),
            "{side} in {preview}"
        );
    }
    assert_eq!(matrix.trees[4], None, "it conflicts with base");
    runs(&log);
    // Nothing changed: nothing is run. One more branch: only its own row.
    assert_eq!(predictor.matrix(&base, &heads).unwrap().pairs, matrix.pairs);
    assert_eq!(runs(&log), [""; 0]);
    let d = bench.branch("main", &[("src/lib.rs", "one\nof d\nthree\nfour\n")]);
    let more = [heads.as_slice(), &[d]].concat();
    let matrix = predictor.matrix(&base, &more).unwrap();
    assert_eq!(matrix.merged_pairs, 2);
    assert!(runs(&log).len() <= 3);
    assert!(matrix.pairs.contains_key(&(1, 6)));
    // What cannot be merged hurts nobody else.
    let odd = [&alien, &a, &gone, &b].map(Clone::clone);
    let mut fresh = repo.queue("main").predictor();
    let matrix = fresh.matrix(&base, &odd).unwrap();
    assert_eq!(
        (&matrix.heads[0], &matrix.heads[2]),
        (&HeadVerdict::Unknown, &HeadVerdict::Unknown)
    );
    assert_eq!(matrix.pairs.keys().collect::<Vec<_>>(), [&(1, 3)]);
    // The branch `d` is three objects: everything else went elsewhere.
    let own = bench.world.git(
        &bench.side,
        &["rev-list", "--objects", "--count", "-1", "main"],
    );
    assert!(own.parse::<usize>().is_ok());
    bench
        .world
        .git(&bench.side, &["update-ref", "refs/x/d", more[6].as_str()]);
    let made = bench.world.git(
        &bench.side,
        &["rev-list", "--objects", "refs/x/d", "--not", "main"],
    );
    assert_eq!(objects(&bench.world) - before, made.lines().count());
}

#[test]
fn l10_work_of_live_sessions_is_the_snapshot_until_something_is_committed() {
    let bench = Bench::new();
    let queue = bench.repo.queue("main");
    assert_eq!(queue.onto().unwrap(), position(&bench, "main"), "unused");
    let landed = bench.branch("main", &[("README", "landed\n")]);
    bench.land(&[entry(&landed)]);
    let tip = position(&bench, "refs/longhaul/integration/main");
    assert_eq!(queue.onto().unwrap(), tip, "base has not followed");
    let git = |args: &[&str]| bench.world.git(&bench.world.repo_path(), args);
    let ahead = bench.branch(tip.commit.as_str(), &[("README", "by the user\n")]);
    git(&["update-ref", "refs/heads/main", ahead.as_str()]);
    assert_eq!(
        queue.onto().unwrap(),
        position(&bench, "main"),
        "taken over"
    );

    let work = bench.world.worktree(&bench.repo, "live");
    let branch = bench.world.git(&work.path, &["branch", "--show-current"]);
    write(&work.path, "n", "not committed\n");
    let request = snapshot_request(1);
    let place = |branch: &str| WorkPlace {
        branch: branch.to_owned(),
        snapshot: Some(request.reference.clone()),
    };
    let places = [place(&branch), place("gone")];
    let tip = bench.at(&branch);
    let look = || queue.work(&places).unwrap();
    let found = |commit: &Oid, uncommitted| {
        let commit = commit.clone();
        vec![
            Some(Work {
                commit,
                uncommitted,
            }),
            None,
        ]
    };
    assert_eq!(look(), found(&tip, false), "no snapshot yet");
    let snapshot = bench.repo.snapshot(&work, &request).unwrap().commit;
    assert_eq!(look(), found(&snapshot, true));
    let committed = bench.world.commit(&work.path, "Commit it");
    assert_eq!(look(), found(&committed, false), "the snapshot is older");
}

#[test]
fn l10_a_conflict_with_base_has_a_preview() {
    let bench = Bench::new();
    let ours = bench.branch("main", &[("README", "ours\n")]);
    let clean = bench.branch("main", &[("n", "n\n")]);
    let theirs = bench.branch("main", &[("README", "theirs\n")]);
    bench.land(&[entry(&theirs)]);
    let queue = bench.repo.queue("main");
    let folder = bench.world.root.join("elsewhere");
    let mut predictor = queue.predictor_in(folder.clone());
    let onto = queue.onto().unwrap();
    predictor
        .matrix(&onto, &[ours.clone(), clean.clone()])
        .unwrap();
    assert!(folder.join("objects").exists());
    let preview = predictor.preview_onto_base(&ours, 4096).unwrap();
    for part in ["README:\n<<<<<<< ", "ours\n", "theirs\n"] {
        assert!(preview.contains(part), "{part} in {preview}");
    }
    assert_eq!(predictor.preview_onto_base(&clean, 4096).unwrap(), "");
}

#[test]
fn l20_prediction_obeys_nothing_that_the_repository_names() {
    let bench = Bench::new();
    let repo = bench.world.repo_path();
    let marker = bench.world.root.join("ran");
    let driver = format!("touch {}", marker.display());
    bench
        .world
        .git(&repo, &["config", "merge.evil.driver", &driver]);
    bench
        .world
        .git(&repo, &["config", "core.alternateRefsCommand", &driver]);
    fs::write(repo.join(".git/info/attributes"), "n merge=evil\n").unwrap();
    let a = bench.branch("main", &[("n", "a\n")]);
    let b = bench.branch("main", &[("n", "b\n")]);
    let mut predictor = bench.repo.queue("main").predictor();
    let matrix = predictor
        .matrix(&position(&bench, "main"), &[a, b])
        .unwrap();
    assert_eq!(matrix.pairs.len(), 1);
    assert!(!marker.exists());
}

/// One random repository: every verdict is git's own, and nothing is written to the repository.
fn differs(
    seed: u64,
    branches: usize,
    profile: Profile,
    commits_only: bool,
) -> (usize, usize, usize) {
    let world = World::in_memory();
    let repo = world.repo_path();
    fs::create_dir(&repo).unwrap();
    world.git(&repo, &["init", "-q"]);
    let heads = fill(&world, &repo, seed, branches, profile).branches;
    let git = |args: &[&str]| world.git(&repo, args).parse::<Oid>().unwrap();
    let base = Position {
        commit: git(&["rev-parse", "main"]),
        tree: git(&["rev-parse", "main^{tree}"]),
    };
    let before = objects(&world);
    let opened = world.repo();
    let mut predictor = opened.queue("main").predictor();
    if commits_only {
        predictor.with_commits_only();
    }
    let matrix = predictor.matrix(&base, &heads).unwrap();
    assert_eq!(
        objects(&world),
        before,
        "prediction wrote to the repository"
    );
    // git's own word, with the defaults of a user, in a clone.
    let clone = world.root.join("clone");
    world.git(&world.root, &["clone", "-q", "--bare", "repo", "clone"]);
    let lines = heads.iter().map(|h| format!("{} {h}\n", base.commit));
    let over_base = truth(&world, &clone, &lines.collect::<String>());
    assert_eq!(over_base.len(), heads.len());
    for (head, (clean, _)) in matrix.heads.iter().zip(&over_base) {
        assert_eq!(
            matches!(head, HeadVerdict::Clean { .. }),
            *clean,
            "seed {seed}"
        );
    }
    let clean: Vec<usize> = (0..heads.len()).filter(|n| over_base[*n].0).collect();
    let pairs: Vec<(usize, usize)> = clean
        .iter()
        .flat_map(|b| {
            clean
                .iter()
                .take_while(move |a| *a < b)
                .map(move |a| (*a, *b))
        })
        .collect();
    let line = |(a, b): &(usize, usize)| {
        format!("{} -- {} {}\n", base.tree, over_base[*a].1, over_base[*b].1)
    };
    let verdicts = truth(&world, &clone, &pairs.iter().map(line).collect::<String>());
    assert_eq!(verdicts.len(), pairs.len());
    let mut conflicts: Vec<_> = pairs
        .iter()
        .zip(&verdicts)
        .filter(|(_, (clean, _))| !clean)
        .map(|(pair, _)| *pair)
        .collect();
    conflicts.sort_unstable();
    let predicted: Vec<_> = matrix.pairs.keys().copied().collect();
    assert_eq!(predicted, conflicts, "seed {seed}");
    (pairs.len(), matrix.merged_pairs, conflicts.len())
}

/// Verdict and tree of each line of `merge-tree --stdin`.
fn truth(world: &World, repo: &Path, lines: &str) -> Vec<(bool, String)> {
    use std::io::Write as _;
    let mut child = std::process::Command::new("git")
        .args(["merge-tree", "--stdin", "--no-messages"])
        .current_dir(repo)
        .env_clear()
        .envs(world.environment())
        .env("GIT_CONFIG_COUNT", "2")
        .env("GIT_CONFIG_KEY_1", "core.fsync")
        .env("GIT_CONFIG_VALUE_1", "none")
        .env("GIT_CONFIG_KEY_0", "core.looseCompression")
        .env("GIT_CONFIG_VALUE_0", "0")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let lines = lines.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    // A result is its verdict, its tree, and until an empty field what conflicts.
    let mut fields = output.stdout.split(|b| *b == 0);
    let mut results = Vec::new();
    while let Some(verdict) = fields.next().filter(|f| !f.is_empty()) {
        let tree = String::from_utf8(fields.next().unwrap().to_vec()).unwrap();
        assert!(tree.len() == 40 && matches!(verdict, b"0" | b"1"), "{tree}");
        let _conflicts = fields.by_ref().take_while(|f| !f.is_empty()).count();
        results.push((verdict == b"1", tree));
    }
    results
}

/// Differs in nothing over these repositories; says how much that was.
fn fuzz(seeds: std::ops::Range<u64>) -> String {
    let (mut pairs, mut merged, mut conflicts) = (0, 0, 0);
    for seed in seeds {
        let profile = [Profile::Files, Profile::Structure][usize::try_from(seed % 2).unwrap()];
        let (p, m, c) = differs(seed, 60, profile, seed % 5 == 4);
        (pairs, merged, conflicts) = (pairs + p, merged + m, conflicts + c);
    }
    assert!(
        pairs >= 5_000 && conflicts > 500,
        "{pairs} pairs prove nothing"
    );
    format!("{pairs} pairs, {merged} merged, {conflicts} conflicts, 0 wrong")
}

// Twenty thousand pairs, in parts that run beside each other.

#[test]
fn l10_git_itself_says_the_same_of_five_thousand_pairs() {
    println!("{}", fuzz(0..4));
}

#[test]
fn l10_git_itself_says_the_same_of_ten_thousand_pairs() {
    println!("{}", fuzz(10..14));
}

#[test]
fn l10_git_itself_says_the_same_of_fifteen_thousand_pairs() {
    println!("{}", fuzz(20..24));
}

#[test]
fn l10_git_itself_says_the_same_of_twenty_thousand_pairs() {
    println!("{}", fuzz(30..34));
}

#[test]
fn an_empty_matrix_is_no_work() {
    let bench = Bench::new();
    let mut predictor = bench.repo.queue("main").predictor();
    let matrix = predictor.matrix(&position(&bench, "main"), &[]).unwrap();
    assert_eq!(matrix, Matrix::default());
}

#[test]
fn l10_merges_are_kept_in_memory_where_that_serves_and_nothing_stays_there() {
    let Ok(memory) = tempfile::tempdir_in("/dev/shm") else {
        eprintln!("skipped: there is no memory file system here");
        return;
    };
    let bench = Bench::new();
    let ours = bench.branch("main", &[("n", "a\n")]);
    let theirs = bench.branch("main", &[("n", "b\n")]);
    let heads = [ours, theirs];
    let base = position(&bench, "main");
    let queue = bench.repo.queue("main");
    let expected = queue.predictor().matrix(&base, &heads).unwrap();
    let on_disk = || {
        let folder = bench.world.state();
        let found = Command::new("find")
            .arg(folder)
            .args(["-path", "*/predict/*/HEAD"])
            .output();
        !found.unwrap().stdout.is_empty()
    };
    let clear = || {
        let found = Command::new("find")
            .arg(bench.world.state())
            .args(["-name", "predict", "-prune", "-exec", "rm", "-r", "{}", "+"])
            .status();
        assert!(found.unwrap().success());
    };
    let kept = memory.path().join("predict");
    clear();
    let mut predictor = queue.predictor_in_memory(memory.path());
    assert_eq!(predictor.matrix(&base, &heads).unwrap(), expected);
    assert!(!on_disk() && fs::read_dir(&kept).unwrap().count() == 1);
    let preview = predictor.preview(&expected.pairs[&(0, 1)], 4096).unwrap();
    assert!(preview.contains("<<<<<<< "), "{preview}");
    drop(predictor);
    assert_eq!(fs::read_dir(&kept).unwrap().count(), 0);
    // Memory that fails: the disk serves, with the same answer.
    fs::remove_dir_all(&kept).unwrap();
    let mut predictor = queue.predictor_in_memory(memory.path());
    fs::write(&kept, "in the way").unwrap();
    assert_eq!(predictor.matrix(&base, &heads).unwrap(), expected);
    assert!(on_disk());
    // What is no memory is not used.
    clear();
    let mut predictor = queue.predictor_in_memory(&bench.world.root);
    assert_eq!(predictor.matrix(&base, &heads).unwrap(), expected);
    assert!(on_disk());
}
