//! The mock provider as a program: prints its port, then serves until it is killed.
//!
//! `mock-provider [PORT]`; scripts come by `POST /control/script/<session>`.

use std::io::Write as _;
use std::process::ExitCode;

use longhaul_testkit::provider::MockProvider;

fn main() -> ExitCode {
    let port = match std::env::args().nth(1).map(|port| port.parse()) {
        None => 0,
        Some(Ok(port)) => port,
        Some(Err(_)) => return ExitCode::from(2),
    };
    let Ok(provider) = MockProvider::start_on(port) else {
        return ExitCode::FAILURE;
    };
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{}", provider.port())
        .and_then(|()| out.flush())
        .is_err()
    {
        return ExitCode::FAILURE;
    }
    drop(out);
    provider.serve_forever();
    ExitCode::FAILURE
}
