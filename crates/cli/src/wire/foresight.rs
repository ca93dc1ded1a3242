//! What the merge queue's git is asked while a person waits.

use std::sync::Arc;

use longhaul_core::queue::{Landing, Undoing};
use longhaul_engine::executor::{Desk, undo_commit};
use longhaul_server::Foresight;

/// The daemon's own tools.
pub(super) struct ByDesk(pub(super) Arc<Desk>);

impl Foresight for ByDesk {
    fn undo(&self, landing: &Landing) -> Result<Undoing, String> {
        undo_commit(&self.0, landing)
    }
}
