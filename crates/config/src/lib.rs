//! Text in, typed values and diagnostics out: the task file, the settings layers and the trust
//! list. Nothing here reads the environment, keeps a global or decides what happens to a task; the
//! few functions that open a file take its path.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

pub mod accounts;
pub mod diag;
pub mod duration;
pub mod edit;
pub mod env_names;
pub mod files;
mod nearest;
mod read;
pub mod secrets;
pub mod settings;
pub mod size;
pub mod taskfile;
pub mod trust;
