//! From a task file or flags to tasks that a daemon can accept: repositories found, harnesses picked,
//! ids made, everything a user can get wrong said at once and before anything is created.

mod checks;
pub(crate) mod file;
pub(crate) mod gitrun;
pub(crate) mod harness;
mod launch;
pub(crate) mod rehearse;
pub(crate) mod repo;
pub(crate) mod spec;
pub(crate) mod stored;
