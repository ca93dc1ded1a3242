//! The whole of it over random repositories: what lands is what git comes to by itself in a fresh clone,
//! each landed tree is the one that was made, nothing of a landed branch is lost, and the user's checkout
//! is not touched (the plan of tests for merge queues: a queue that took a wrong merge base for groups of
//! two and more silently took earlier work back).

use std::fs;

use longhaul_core::queue::MergeStyle;
use longhaul_vcs::{BaseStand, EntryEnd, LandEnd, Oid, Position, TrialEntry, TrialRequest};

use super::random::{Profile, Rng, fill};
use super::styled;
use crate::support::{World, write};

/// One landing as a ledger would keep it.
struct Row {
    onto: Position,
    made: Position,
    entries: Vec<TrialEntry>,
}

struct Run {
    ledger: Vec<Row>,
    landed: Vec<usize>,
    conflicts: usize,
}

fn run(world: &World, seed: u64, branches: usize, profile: Profile) -> Run {
    let repo = world.repo_path();
    fs::create_dir(&repo).unwrap();
    world.git(&repo, &["init", "-q"]);
    let heads = fill(world, &repo, seed, branches, profile).branches;
    world.git(&repo, &["reset", "-q", "--hard", "main"]);
    // What a user has lying about.
    write(&repo, "scratch", "mine\n");
    write(&repo, "f0", "being edited\n");
    write(&repo, "staged", "staged\n");
    world.git(&repo, &["add", "staged"]);
    let user = world.fingerprint();
    let mut rng = Rng(seed ^ 0xabcd);
    let opened = world.repo();
    let queue = opened.queue("main");
    let mut run = Run {
        ledger: Vec::new(),
        landed: Vec::new(),
        conflicts: 0,
    };
    let mut waiting: Vec<usize> = (0..heads.len()).collect();
    let mut round = 0;
    while !waiting.is_empty() {
        round += 1;
        let size = (3 + rng.below(5)).min(waiting.len());
        let batch: Vec<usize> = waiting.drain(..size).collect();
        let mut style = || match rng.below(12) {
            0 => MergeStyle::Squash,
            1 => MergeStyle::Rebase,
            _ => MergeStyle::Merge,
        };
        let entries: Vec<TrialEntry> = batch.iter().map(|n| styled(&heads[*n], style())).collect();
        let message = |at: &[usize]| format!("Land {at:?}");
        let request = TrialRequest {
            pin: format!("replay/{round}"),
            entries: entries.clone(),
            date: 1_700_000_000 + round,
            sign: false,
            message: &message,
        };
        let trial = queue.trial(&request).unwrap();
        assert_eq!(queue.trial(&request).unwrap().candidate, trial.candidate);
        for (at, end) in trial.ends.iter().enumerate() {
            match end {
                EntryEnd::Merged => run.landed.push(batch[at]),
                EntryEnd::Left | EntryEnd::Overlaps { .. } => waiting.push(batch[at]),
                EntryEnd::Conflict(report) => {
                    assert!(!report.paths.is_empty());
                    run.conflicts += 1;
                }
                other => panic!("seed {seed}: {other:?}"),
            }
        }
        let Some(candidate) = trial.candidate else {
            continue;
        };
        let end = queue.land(&candidate.at, &trial.tip.commit).unwrap();
        assert_eq!(end, LandEnd::Landed);
        let entries = candidate.entries.iter().map(|n| entries[*n].clone());
        run.ledger.push(Row {
            onto: trial.tip,
            made: candidate.at,
            entries: entries.collect(),
        });
    }
    assert_eq!(
        world.fingerprint(),
        user,
        "seed {seed}: the checkout was touched"
    );
    run
}

/// Plain git in a fresh clone comes to the same trees.
fn replay(world: &World, run: &Run, seed: u64) -> usize {
    world.git(&world.root, &["clone", "-q", "--bare", "repo", "clone"]);
    let clone = world.root.join("clone");
    let git = |args: &[&str]| world.git(&clone, args);
    git(&["fetch", "-q", "origin", "refs/longhaul/*:refs/longhaul/*"]);
    let tree_of = |commit: &Oid| git(&["rev-parse", &format!("{commit}^{{tree}}")]);
    let mut groups = 0;
    let mut at = run.ledger[0].onto.commit.clone();
    for row in &run.ledger {
        assert_eq!(row.onto.commit, at, "seed {seed}: a landing is missing");
        let parent = git(&["rev-parse", &format!("{}^1", row.made.commit)]);
        assert_eq!(parent, at.to_string());
        let mut folded = at.clone();
        for entry in &row.entries {
            let commit = entry.commit.as_str();
            let tree = git(&["merge-tree", "--write-tree", folded.as_str(), commit]);
            let parents = ["-p", folded.as_str(), "-p", commit];
            let args = [&["commit-tree", &tree, "-m", "x"][..], &parents].concat();
            folded = git(&args).parse().unwrap();
        }
        assert_eq!(tree_of(&folded), row.made.tree.to_string(), "seed {seed}");
        assert_eq!(tree_of(&row.made.commit), row.made.tree.to_string());
        groups += usize::from(row.entries.len() >= 3);
        at = row.made.commit.clone();
    }
    let tip = git(&["rev-parse", "refs/longhaul/integration/main"]);
    assert_eq!(tip, at.to_string());
    // Each commit on the first-parent line of what has landed is one of the ledger.
    let range = format!("{}..{tip}", run.ledger[0].onto.commit);
    let line = git(&["rev-list", "--first-parent", "--count", &range]);
    assert_eq!(line, run.ledger.len().to_string());
    for n in &run.landed {
        let own = git(&["show", &format!("{tip}:own/{n}")]);
        assert_eq!(
            own,
            format!("token-{n}"),
            "seed {seed}: work of a landing is lost"
        );
    }
    git(&["fsck", "--full", "--strict"]);
    world.git(&world.repo_path(), &["fsck", "--full", "--strict"]);
    groups
}

fn harness(seeds: std::ops::Range<u64>, branches: usize) -> String {
    let (mut landed, mut groups, mut conflicts) = (0, 0, 0);
    for seed in seeds {
        let world = World::in_memory();
        let profile = [Profile::Files, Profile::Structure][usize::try_from(seed % 2).unwrap()];
        let run = run(&world, seed, branches, profile);
        groups += replay(&world, &run, seed);
        landed += run.landed.len();
        conflicts += run.conflicts;
    }
    assert!(groups > 0 && conflicts > 0 && landed > 3 * groups);
    format!("{landed} landed, {conflicts} conflicts, {groups} groups of three and more")
}

#[test]
fn i9_a_fresh_clone_comes_to_the_same_trees() {
    println!("{}", harness(0..3, 16));
}

#[test]
#[ignore = "many repositories; `scripts/proof --long` runs it"]
fn i9_a_fresh_clone_comes_to_the_same_trees_many_times() {
    println!("{}", harness(1000..1010, 24));
}

/// Twelve rounds in which the user commits on base at any time, also between trial and landing.
#[test]
fn l14_a_user_who_keeps_committing_loses_nothing() {
    let world = World::in_memory();
    let repo = world.repo_path();
    fs::create_dir(&repo).unwrap();
    world.git(&repo, &["init", "-q"]);
    let heads = fill(&world, &repo, 7, 12, Profile::Files).branches;
    world.git(&repo, &["reset", "-q", "--hard", "main"]);
    let opened = world.repo();
    let queue = opened.queue("main");
    let mut landed = Vec::new();
    let user = |name: &str| {
        write(&repo, &format!("user/{name}"), "u\n");
        world.git(&repo, &["add", "user"]);
        world.git(&repo, &["commit", "-qm", "The user's"]);
    };
    for (n, head) in heads.iter().enumerate() {
        let user = |when: &str| user(&format!("{n}-{when}"));
        if n % 2 == 0 {
            user("before");
        }
        for attempt in 0..3 {
            let request = TrialRequest {
                pin: format!("u/{n}"),
                entries: vec![styled(head, MergeStyle::Merge)],
                date: 1_700_000_000,
                sign: false,
                message: &|_| "Land".to_owned(),
            };
            let trial = queue.trial(&request).unwrap();
            if n % 3 == 0 && attempt == 0 {
                user("between");
            }
            let Some(candidate) = trial.candidate else {
                break;
            };
            let end = queue.land(&candidate.at, &trial.tip.commit).unwrap();
            assert_eq!(end, LandEnd::Landed);
            if trial.ends == [EntryEnd::Merged] {
                landed.push(n);
                break;
            }
        }
    }
    user("last");
    let request = TrialRequest {
        pin: "u/last".to_owned(),
        entries: Vec::new(),
        date: 1_700_000_000,
        sign: false,
        message: &|_| "Merge base".to_owned(),
    };
    let trial = queue.trial(&request).unwrap();
    let last = trial.candidate.expect("base and the queue went on");
    queue.land(&last.at, &trial.tip.commit).unwrap();
    assert!(matches!(
        queue.bring_up().unwrap().1,
        BaseStand::Behind { .. }
    ));
    let files = world.git(
        &repo,
        &["ls-tree", "-r", "--name-only", last.at.commit.as_str()],
    );
    let users = files.lines().filter(|f| f.starts_with("user/")).count();
    assert_eq!(users, 6 + 4 + 1);
    for n in &landed {
        assert!(files.lines().any(|f| f == format!("own/{n}")));
    }
    assert!(landed.len() > 6, "{landed:?}");
    world.fsck();
}
