//! What git can say of the merge queue before anything is decided.

use longhaul_core::queue::{Landing, Undoing};

/// Asks git on behalf of a person who waits for the answer. Made by the composition root. May block.
pub trait Foresight: Send + Sync {
    /// Makes the commit that takes a landing back, or says what builds on it.
    ///
    /// # Errors
    /// Why git could not, in a sentence.
    fn undo(&self, landing: &Landing) -> Result<Undoing, String>;
}
