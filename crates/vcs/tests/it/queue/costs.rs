//! What the queue costs on a generated repository of 5,000 files, 2,000 commits and 100 branches. Times
//! are printed; the number of runs and of objects written are hard limits.

use std::fmt::Write as _;
use std::fs;
use std::time::Instant;

use longhaul_core::queue::MergeStyle;
use longhaul_vcs::{LandEnd, Oid, Position, Predictor, TrialRequest};

use super::predicting::{counting, objects, runs};
use super::random::{Rng, import};
use super::styled;
use crate::support::World;

const FILES: usize = 5_000;
const COMMITS: usize = 2_000;
const BRANCHES: usize = 100;

/// Branches off the last 60 commits, ten files each, two of 40 that many change, a fifth of the changes
/// renames, deletions and additions.
fn stream() -> String {
    let mut rng = Rng(1);
    let path = |n: usize| format!("d{}/s{}/f{n}", n % 50, n % 7);
    let text = |n: usize, word: &str| {
        let lines = (0..40).map(|l| format!("file {n} line {l}\n"));
        let mut lines: Vec<String> = lines.collect();
        lines[word.len() % 40] = format!("{word}\n");
        lines.concat()
    };
    let mut out = String::new();
    let head = |out: &mut String, name: &str, mark: usize, from: usize| {
        let time = 1_600_000_000 + mark;
        write!(
            out,
            "commit {name}\nmark :{mark}\ncommitter A <a@x> {time} +0000\ndata 2\nc\n"
        )
        .unwrap();
        if from > 0 {
            writeln!(out, "from :{from}").unwrap();
        }
    };
    let put = |out: &mut String, path: &str, text: &str| {
        write!(out, "M 100644 inline {path}\ndata {}\n{text}\n", text.len()).unwrap();
    };
    head(&mut out, "refs/heads/main", 1, 0);
    for n in 0..FILES {
        put(&mut out, &path(n), &text(n, "first"));
    }
    for commit in 2..=COMMITS {
        head(&mut out, "refs/heads/main", commit, commit - 1);
        let n = rng.below(FILES);
        put(&mut out, &path(n), &text(n, &format!("main {commit}")));
    }
    for branch in 0..BRANCHES {
        let from = COMMITS - rng.below(60);
        head(
            &mut out,
            &format!("refs/heads/b{branch}"),
            COMMITS + 1 + branch,
            from,
        );
        for change in 0..10 {
            let n = if change < 2 {
                rng.below(40)
            } else {
                rng.below(FILES)
            };
            let word = "x".repeat(1 + rng.below(39)) + &format!("{branch}");
            match rng.below(15) {
                0 => writeln!(out, "R {} moved/{branch}-{n}", path(n)).unwrap(),
                1 => writeln!(out, "D {}", path(n)).unwrap(),
                2 => put(&mut out, &format!("new/{branch}/{n}"), &word),
                _ => put(&mut out, &path(n), &text(n, &word)),
            }
        }
    }
    out
}

#[test]
#[ignore = "a large repository; `scripts/proof --long` runs it"]
fn a_report_of_a_hundred_branches_takes_three_runs_and_a_landing_is_short() {
    let world = World::bare();
    let path = world.repo_path();
    fs::create_dir(&path).unwrap();
    world.git(&path, &["init", "-q"]);
    import(&world, &path, &stream());
    world.git(&path, &["reset", "-q", "--hard", "main"]);
    let git = |args: &[&str]| world.git(&path, args).parse::<Oid>().unwrap();
    let base = Position {
        commit: git(&["rev-parse", "main"]),
        tree: git(&["rev-parse", "main^{tree}"]),
    };
    let heads: Vec<Oid> = (0..BRANCHES)
        .map(|n| git(&["rev-parse", &format!("b{n}")]))
        .collect();
    let before = objects(&world);
    let (program, log) = counting(&world);
    let repo = longhaul_vcs::Repo::open(&program, &path, &world.state()).unwrap();
    let memory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let memory = memory.unwrap();
    let places: [(&str, &dyn Fn() -> Predictor); 2] = [
        ("on the disk", &|| repo.queue("main").predictor()),
        ("in memory", &|| {
            repo.queue("main").predictor_in_memory(memory.path())
        }),
    ];
    for (count, (place, predictor)) in [5, 20, BRANCHES]
        .iter()
        .flat_map(|n| places.map(|p| (*n, p)))
    {
        let new = predictor;
        let mut predictor = new();
        runs(&log);
        let start = Instant::now();
        let matrix = predictor.matrix(&base, &heads[..count]).unwrap();
        let cold = start.elapsed();
        assert!(runs(&log).len() <= 3);
        let start = Instant::now();
        let again = predictor.matrix(&base, &heads[..count]).unwrap();
        let warm = start.elapsed();
        assert_eq!(again.pairs, matrix.pairs);
        assert!(runs(&log).is_empty());
        drop(predictor);
        let mut predictor = new();
        predictor.matrix(&base, &heads[..count - 1]).unwrap();
        let start = Instant::now();
        let one_more = predictor.matrix(&base, &heads[..count]).unwrap();
        let row = start.elapsed();
        assert_eq!(one_more.pairs, matrix.pairs);
        let (merged, conflicts) = (matrix.merged_pairs, matrix.pairs.len());
        println!(
            "matrix of {count} {place}: {cold:?} cold, {warm:?} warm, {row:?} for one more branch; {merged} pairs merged, {conflicts} conflict"
        );
    }
    assert_eq!(objects(&world), before);
    let queue = repo.queue("main");
    let (mut landed, start) = (0, Instant::now());
    for (n, head) in heads.iter().enumerate() {
        let request = TrialRequest {
            pin: format!("cost/{n}"),
            entries: vec![styled(head, MergeStyle::Merge)],
            date: 1_700_000_000,
            sign: false,
            message: &|_| "Land".to_owned(),
        };
        let trial = queue.trial(&request).unwrap();
        if let Some(made) = trial.candidate {
            let end = queue.land(&made.at, &trial.tip.commit).unwrap();
            assert_eq!(end, LandEnd::Landed);
            landed += 1;
        }
    }
    let each = start.elapsed() / u32::try_from(heads.len()).unwrap();
    println!(
        "{landed} of {BRANCHES} landed one by one, {each:?} each; {} runs",
        runs(&log).len()
    );
}
