//! Seeds that must hold, and wrong parts that must be noticed.

use longhaul_sim::{Mutant, Options, run, run_twice};

/// How many seeds: `LONGHAUL_SIM_SEEDS`, else as many as a debug build runs in a few seconds.
fn seeds() -> u64 {
    let set = std::env::var("LONGHAUL_SIM_SEEDS").ok();
    set.and_then(|n| n.parse().ok()).unwrap_or(300)
}

#[test]
fn every_seed_keeps_every_invariant() {
    let mut steps = 0;
    for seed in 0..seeds() {
        match run_twice(seed, Options::default()) {
            Ok(outcome) => steps += outcome.steps,
            Err(violation) => panic!("{violation}"),
        }
    }
    eprintln!("{} seeds, 0 violations, {steps} steps", seeds());
}

/// Seeds that once showed a defect; what it was stands beside each.
#[test]
fn seeds_that_found_defects_hold() {
    for (seed, what) in [
        (6, "a cost that nobody knew switched a budget off"),
        (
            17,
            "a commit of unknown outcome left memory and store apart",
        ),
        (22, "an attempt that drift ended had no end"),
        (42, "two workspaces too many were made at once"),
        (56, "estop went through tasks in random order"),
        (68, "a stop in the step of a failed commit was lost"),
        (74, "thaw let a stopped task go"),
        (
            1947,
            "a session started inside a window that became known meanwhile",
        ),
    ] {
        let options = Options {
            without_queue: true,
            ..Options::default()
        };
        if let Err(violation) = run_twice(seed, options) {
            panic!("again: {what}\n{violation}");
        }
    }
    for (seed, what) in [
        (
            946,
            "a word of a person that ended the wait after a failure left the line at it for ever",
        ),
        (
            33_492,
            "a failure and the word that ended its wait in one step left the line at it for ever",
        ),
        (
            37_802,
            "a remembered verdict was given while the check was at work in the slot",
        ),
        (
            49_042,
            "what fell due of a line in a step that was not stored never fell due again",
        ),
        (
            107_801,
            "a check that was stopped at its deadline was run again beside the next one",
        ),
    ] {
        if let Err(violation) = run_twice(seed, Options::default()) {
            panic!("again: {what}\n{violation}");
        }
    }
}

#[test]
fn every_mutant_is_noticed() {
    for (mutant, name) in Mutant::ALL {
        let options = Options {
            mutant: Some(mutant),
            ..Options::default()
        };
        let found = (0..2_000).find_map(|seed| run(seed, options).err());
        match found {
            Some(violation) => eprintln!("{name}: seed {}, {}", violation.seed, violation.rule),
            None => panic!("nothing notices {name}"),
        }
    }
}

#[test]
fn a_trace_ends_where_the_run_did() {
    let options = Options {
        mutant: Some(Mutant::LostCommit),
        ..Options::default()
    };
    let plain = (0..200)
        .find_map(|seed| run(seed, options).err())
        .expect("a lost commit is noticed");
    let traced = run(
        plain.seed,
        Options {
            trace: true,
            ..options
        },
    )
    .expect_err("the same seed fails again");
    assert_eq!(
        (plain.rule, &plain.detail, plain.step),
        (traced.rule, &traced.detail, traced.step)
    );
}
