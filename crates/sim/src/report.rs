//! What a run comes to.

use std::fmt;

/// An invariant that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The seed of the run.
    pub seed: u64,
    /// The invariant or rule, by its number.
    pub rule: &'static str,
    /// What was seen.
    pub detail: String,
    /// The dispatcher's step after which it was seen.
    pub step: u64,
    /// The virtual time, in milliseconds since the run began.
    pub at_ms: u64,
    /// The last things that happened, oldest first.
    pub trace: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seed {}: {} violated at step {} ({} ms): {}",
            self.seed, self.rule, self.step, self.at_ms, self.detail
        )?;
        for line in &self.trace {
            writeln!(f, "  {line}")?;
        }
        write!(f, "  replay: longhaul-sim --seed {} --trace", self.seed)
    }
}

/// A run without a violation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Steps of the dispatcher.
    pub steps: u64,
    /// Ledger rows.
    pub rows: u64,
    /// Daemons that were started.
    pub daemons: u64,
    /// The whole ledger and the end states as text: equal runs have equal texts.
    pub ledger: String,
    /// For each task of the scenario, how it ended: what must not depend on crashes of the daemon.
    pub ends: Vec<String>,
    /// Everything that happened, if it was asked for.
    pub trace: Vec<String>,
}
