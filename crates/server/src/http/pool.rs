//! A few readers, shared by all requests; reading happens off the async threads.

use std::sync::{Arc, Mutex, PoisonError};

use longhaul_store::{Reader, StoreError};
use tokio::sync::Semaphore;

use super::problem::ApiError;
use crate::views::ViewError;

/// Opens a reader.
pub type OpenReader = Arc<dyn Fn() -> Result<Box<dyn Reader>, StoreError> + Send + Sync>;

/// Readers that work at the same time.
const READERS: usize = 4;

/// The readers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Pool {
    open: OpenReader,
    idle: Arc<Mutex<Vec<Box<dyn Reader>>>>,
    slots: Arc<Semaphore>,
}

impl Pool {
    pub(crate) fn new(open: OpenReader) -> Self {
        Self {
            open,
            idle: Arc::default(),
            slots: Arc::new(Semaphore::new(READERS)),
        }
    }

    /// Reads on a thread that may block.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Reader) -> Result<T, ViewError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        let slot = slot.map_err(|_| ApiError::shutting_down())?;
        let pool = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            // Freed here and not where the answer is awaited: that side may have hung up.
            let _slot = slot;
            let reader = match pool.take() {
                Some(reader) => reader,
                None => (pool.open)()?,
            };
            let result = work(&*reader);
            // A reader whose store failed is opened anew.
            if !matches!(result, Err(ViewError::Store(_))) {
                pool.idle
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(reader);
            }
            result
        });
        match done.await {
            Ok(result) => Ok(result?),
            Err(_) => Err(ApiError::bug("a view panicked")),
        }
    }

    fn take(&self) -> Option<Box<dyn Reader>> {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
    }
}
