//! Harnesses from the config (S8): any program, described by its flags.

mod launch;
mod settings;
mod text;

pub(crate) use launch::{capabilities, launch};
pub use settings::{CustomHarness, OutputFormat};
pub(crate) use text::TextStream;
