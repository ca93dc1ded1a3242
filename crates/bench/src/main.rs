//! Measures Longhaul beside the machine's own floors, measured in the same run: wall-clock rates move
//! with the neighbours, ratios and processor time hardly. `scripts/bench` runs all of it.
//!
//! `longhaul-bench PART [--quick] [--binary FILE] [--folder DIR]`; a part prints rows of a table, works
//! in a folder of its own below DIR, and leaves nothing behind.

mod clock;
mod commands;
mod fill;
mod floor;
mod life;
mod scene;
mod sessions;
mod store;
mod table;
mod tick;

use std::path::PathBuf;
use std::process::ExitCode;

/// Whatever went wrong: the tool ends with it.
pub(crate) type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

/// How to run.
pub(crate) struct Options {
    /// Fewer tasks and shorter rounds.
    pub(crate) quick: bool,
    /// The `longhaul` that is measured.
    pub(crate) binary: PathBuf,
    /// Where folders are made.
    pub(crate) folder: PathBuf,
}

const PARTS: &str = "store, tick, add, start, read or sessions";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let part = args.next().unwrap_or_default();
    let beside = std::env::current_exe().map(|p| p.with_file_name("longhaul"));
    let mut options = Options {
        quick: false,
        binary: beside.unwrap_or_else(|_| "longhaul".into()),
        folder: std::env::temp_dir(),
    };
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--quick" => options.quick = true,
            "--binary" => options.binary = args.next().unwrap_or_default().into(),
            "--folder" => options.folder = args.next().unwrap_or_default().into(),
            _ => return told(&format!("{arg} is no option")),
        }
    }
    let result = match part.as_str() {
        "store" => store::run(&options),
        "tick" => tick::run(&options),
        "add" => commands::add(&options),
        "start" => commands::start(&options),
        "read" => commands::read(&options),
        "sessions" => sessions::run(&options),
        _ => return told(&format!("name a part: {PARTS}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => told(&error.to_string()),
    }
}

fn told(what: &str) -> ExitCode {
    table::note(&format!("longhaul-bench: {what}"));
    ExitCode::FAILURE
}
