//! Wrong inputs and hostile surroundings, as the user meets them: every message is a reviewed snapshot
//! of standard output, standard error and exit code. What must never be stored is looked for.

#![expect(
    clippy::unwrap_used,
    reason = "helpers fail the test they help; the exception for tests covers test functions only"
)]

mod commands;
mod damage;
mod disks;
mod files;
mod gits;
mod hosts;
mod inputs;
mod keys;
mod limits;
mod output;
mod places;
mod settings;
mod stage;
mod store;
mod streams;
mod terminal;
