//! Test only: an executable that is nothing but the shim, started as `… __shim <bundle>` like the
//! real one. It is not shipped.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    match (args.next(), args.next()) {
        (Some(verb), Some(bundle)) if verb == longhaul_hosts::SHIM_VERB => {
            ExitCode::from(longhaul_hosts::shim::main(bundle.as_ref()))
        }
        _ => ExitCode::from(2),
    }
}
