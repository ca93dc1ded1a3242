//! Plays one script outside of Longhaul: for trying scripts by hand, and for this crate's tests.
//! The product's own entry is `longhaul __script`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(longhaul_script::main(std::env::args_os().skip(1)))
}
