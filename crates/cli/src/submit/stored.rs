//! What is stored already, looked at only if a task names it: most do not, and a look is a question to
//! the daemon.

use std::cell::OnceCell;

use longhaul_api::TaskDetail;

use crate::client::Reads;
use crate::context::Context;
use crate::failure::Failure;

/// The stored tasks.
#[derive(Debug)]
pub(crate) struct Stored<'c> {
    context: &'c Context,
    reads: OnceCell<Reads>,
}

impl<'c> Stored<'c> {
    /// Nothing looked at yet.
    pub(crate) const fn new(context: &'c Context) -> Self {
        Self {
            context,
            reads: OnceCell::new(),
        }
    }

    /// A task by id, beginning of an id or name.
    ///
    /// # Errors
    /// There is none, or nothing can be read.
    pub(crate) fn task(&self, reference: &str) -> Result<TaskDetail, Failure> {
        let reads = match self.reads.get() {
            Some(reads) => reads,
            None => {
                let opened = self.context.reads()?;
                self.reads.get_or_init(|| opened)
            }
        };
        reads.task(reference)
    }
}
