//! The soak: the real binary in a world of its own, twenty sessions that misbehave at random, and
//! random kills of agents, shims and the daemon. It ends by itself, prints a sample every few seconds
//! and then its judgement: flat memory and descriptors, no stuck task, a clean audit.
//!
//! The run has three parts. In the first and the last quarter everything is killed; in between only
//! agents and shims are, so that one daemon lives long enough for a leak to show.

mod acts;
mod audit;
mod gauge;
mod rng;
mod run;

use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "usage: longhaul-soak [--minutes N] [--sessions N] [--seed N] [--binary PATH]";

/// What a run is asked for.
#[derive(Debug)]
struct Options {
    minutes: u64,
    sessions: u64,
    seed: u64,
    binary: PathBuf,
}

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is a program for a terminal"
)]
fn main() -> ExitCode {
    let Some(options) = options() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    if !options.binary.exists() {
        eprintln!(
            "{} is not built: cargo build --release --bins",
            options.binary.display()
        );
        return ExitCode::from(2);
    }
    match run::run(&options, &mut |line| println!("{line}")) {
        Ok(wrong) if wrong.is_empty() => {
            println!("PASS");
            ExitCode::SUCCESS
        }
        Ok(wrong) => {
            for line in &wrong {
                println!("WRONG {line}");
            }
            println!("FAIL: {} findings", wrong.len());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("longhaul-soak: {error}");
            ExitCode::from(2)
        }
    }
}

fn options() -> Option<Options> {
    let beside = std::env::current_exe().ok()?.with_file_name("longhaul");
    let mut options = Options {
        minutes: 60,
        sessions: 20,
        seed: 1,
        binary: beside,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let value = args.next()?;
        match arg.as_str() {
            "--minutes" => {
                options.minutes = value.parse().ok().filter(|n| (1..=1440).contains(n))?
            }
            "--sessions" => {
                options.sessions = value.parse().ok().filter(|n| (1..=500).contains(n))?
            }
            "--seed" => options.seed = value.parse().ok()?,
            "--binary" => options.binary = value.into(),
            _ => return None,
        }
    }
    Some(options)
}
