//! Fuzz targets: plain functions over bytes that assert what must hold of a parser, or of the API,
//! whatever the bytes are. Two things drive them: the tests here, with a fixed number of seeded
//! mutations of known inputs, and libFuzzer (`scripts/fuzz`, `fuzz/`), for as long as one likes.
//!
//! A target panics if a property does not hold. An input that once did so lies in `corpus/<target>/`
//! and is tried first in each run.

pub mod corpus;
pub mod mutate;
mod targets;

pub use targets::{TARGETS, target};

/// One target.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name: letters, digits and `_`.
    pub name: &'static str,
    /// Tries one input; panics if a property does not hold.
    pub run: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Words of the input's language, put in by mutations.
    pub words: &'static [&'static str],
    /// Mutations in a test.
    pub tries: u32,
}

impl Target {
    /// Inputs to begin with, those that once failed first.
    #[must_use]
    pub fn inputs(&self) -> Vec<Vec<u8>> {
        let mut inputs = corpus::kept(self.name);
        inputs.extend((self.seeds)());
        inputs.push(Vec::new());
        inputs
    }
}
