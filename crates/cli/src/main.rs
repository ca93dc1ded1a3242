//! The program. Picks the hidden entries of helper processes before anything else happens, then
//! hands over to the verbs. No logic of its own.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod accounts;
mod app;
mod client;
mod context;
mod doctor;
mod env;
mod failure;
mod follow;
mod inbox;
mod janitor;
mod outbound;
mod output;
mod paths;
mod report;
mod scratch;
mod settings;
mod submit;
mod supervise;
mod verbs;
mod wire;

use std::process::ExitCode;

fn main() -> ExitCode {
    longhaul_hosts::memory::share_between_threads();
    longhaul_hosts::limits::outlive_file_size_limit();
    let mut args = std::env::args_os().skip(1);
    // Helper processes run without argument parser, runtime or logging (design.md "Processes").
    match args.next() {
        Some(verb) if verb == longhaul_hosts::SHIM_VERB => match args.next() {
            Some(bundle) => ExitCode::from(longhaul_hosts::shim::main(bundle.as_ref())),
            None => ExitCode::from(2),
        },
        Some(verb) if verb == longhaul_agents::script::VERB => {
            ExitCode::from(longhaul_script::main(args))
        }
        Some(verb) if verb == longhaul_pool::DRIVE_VERB => {
            ExitCode::from(longhaul_pool::drive_main())
        }
        Some(verb) if verb == longhaul_pool::PANE_VERB => {
            ExitCode::from(longhaul_pool::pane_main(args))
        }
        _ => app::main(),
    }
}
