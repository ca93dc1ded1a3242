//! The fake agent as a program; link it as `claude`, `codex`, `gemini` or `opencode`, or name the agent
//! as its first argument.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(longhaul_testkit::fake::main(std::env::args_os().collect()))
}
