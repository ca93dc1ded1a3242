//! What git can say of the merge queue before anything is decided.

use longhaul_core::queue::{Forecast, Head, Landing, LineId, Undoing};

/// Asks git on behalf of a person who waits for the answer. Made by the composition root. May block.
pub trait Foresight: Send + Sync {
    /// Makes the commit that takes a landing back, or says what builds on it.
    ///
    /// # Errors
    /// Why git could not, in a sentence.
    fn undo(&self, landing: &Landing) -> Result<Undoing, String>;

    /// How these stand to what has landed and to each other. Writes nothing to the repository.
    ///
    /// # Errors
    /// Why git could not, in a sentence.
    fn forecast(&self, line: &LineId, heads: &[Head]) -> Result<Forecast, String>;
}
