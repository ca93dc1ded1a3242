//! The simulator's command line: one seed with its trace, or many seeds with a summary.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use longhaul_sim::{Mutant, Options, Violation, run, run_twice};

const USAGE: &str = "usage: longhaul-sim --seed N [--trace] [--mutant NAME]
       longhaul-sim --seeds A..B [--jobs N] [--mutant NAME] [--show N]";

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is a program for a terminal"
)]
fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (mut seed, mut seeds, mut jobs, mut show) = (None, None, 2_u64, 3_usize);
    let mut options = Options::default();
    while let Some(arg) = args.next() {
        let mut number = || args.next().and_then(|v| v.parse::<u64>().ok());
        let known = match arg.as_str() {
            "--seed" => number().map(|n| seed = Some(n)),
            "--jobs" => number().map(|n| jobs = n.clamp(1, 64)),
            "--show" => number().map(|n| show = usize::try_from(n).unwrap_or(usize::MAX)),
            "--trace" => {
                options.trace = true;
                Some(())
            }
            "--calm" => {
                options.calm = true;
                Some(())
            }
            "--without-queue" => {
                options.without_queue = true;
                Some(())
            }
            "--seeds" => args.next().and_then(|v| range(&v)).map(|r| seeds = Some(r)),
            "--mutant" => args
                .next()
                .and_then(|v| Mutant::ALL.into_iter().find(|(_, name)| *name == v))
                .map(|(mutant, _)| options.mutant = Some(mutant)),
            _ => None,
        };
        if known.is_none() {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    }
    match (seed, seeds) {
        (Some(seed), None) => match if options.trace {
            run(seed, options)
        } else {
            run_twice(seed, options)
        } {
            Ok(outcome) => {
                for line in &outcome.trace {
                    println!("{line}");
                }
                println!(
                    "seed {seed}: 0 violations, {} steps, {} rows, {} daemons",
                    outcome.steps, outcome.rows, outcome.daemons
                );
                for end in outcome.ends {
                    println!("  {end}");
                }
                ExitCode::SUCCESS
            }
            Err(violation) => {
                println!("{violation}");
                ExitCode::FAILURE
            }
        },
        (None, Some((from, to))) => {
            let (violations, steps, rows) = sweep(from, to, jobs, options);
            for violation in violations.iter().take(show) {
                println!("{violation}");
            }
            for violation in violations.iter().skip(show) {
                println!(
                    "seed {}: {}: {}",
                    violation.seed, violation.rule, violation.detail
                );
            }
            println!(
                "{} seeds, {} violations, {steps} steps, {rows} ledger rows",
                to - from,
                violations.len()
            );
            if violations.is_empty() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn range(text: &str) -> Option<(u64, u64)> {
    let (from, to) = text.split_once("..")?;
    Some((from.parse().ok()?, to.parse().ok()?)).filter(|(a, b)| a < b)
}

/// Runs all seeds on so many threads.
fn sweep(from: u64, to: u64, jobs: u64, options: Options) -> (Vec<Violation>, u64, u64) {
    let (next, steps, rows) = (AtomicU64::new(from), AtomicU64::new(0), AtomicU64::new(0));
    let found: Mutex<Vec<Violation>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= to {
                        return;
                    }
                    match run_twice(seed, options) {
                        Ok(outcome) => {
                            steps.fetch_add(outcome.steps, Ordering::Relaxed);
                            rows.fetch_add(outcome.rows, Ordering::Relaxed);
                        }
                        Err(violation) => {
                            if let Ok(mut found) = found.lock() {
                                found.push(*violation);
                            }
                        }
                    }
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap_or_default();
    found.sort_by_key(|v| v.seed);
    (found, steps.into_inner(), rows.into_inner())
}
