//! A store in memory: the model that the engines with a disk are compared with, and the simulator's.

mod model;
mod queue;
mod reader;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use longhaul_core::queue::Line;
use longhaul_core::task::Task;
use longhaul_core::window::Window;
use serde_json::Value;
use uuid::Uuid;

use crate::error::StoreError;
use crate::store::{Reader, Store, Upkeep};
use crate::write::{Applied, AppliedOp, Refusal, Write};

use model::Model;

/// Keeps everything in plain maps, for as long as the value or one of its readers lives.
///
/// A clone is the same store: that is how a test "restarts" a daemon on it. A daemon that says so with
/// [`Write::HostStart`] is the only writer from then on.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    model: Shared,
    host: Option<(String, u64)>,
}

#[derive(Clone, Debug, Default)]
struct Shared(Arc<Mutex<Model>>);

impl Shared {
    /// A panic elsewhere leaves the model whole: each write is checked before it changes anything.
    fn lock(&self) -> MutexGuard<'_, Model> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Store for MemoryStore {
    fn commit(&mut self, batch: &[Write]) -> Result<Vec<Result<Applied, Refusal>>, StoreError> {
        let mut model = self.model.lock();
        if let Some((host, own)) = &self.host {
            let found = model.hosts.get(host).map_or(0, |h| h.epoch);
            if found != *own {
                return Err(StoreError::Superseded { own: *own, found });
            }
        }
        let results: Vec<_> = batch.iter().map(|write| model.apply(write)).collect();
        for (write, result) in batch.iter().zip(&results) {
            if let (Write::HostStart { host, .. }, Ok(Applied::HostEpoch(epoch))) = (write, result)
            {
                self.host = Some((host.clone(), *epoch));
            }
        }
        Ok(results)
    }

    fn live(&mut self) -> Result<Vec<Task>, StoreError> {
        let model = self.model.lock();
        let live = model.tasks.values().filter(|t| t.stored.final_at.is_none());
        Ok(live.map(|t| t.stored.task.clone()).collect())
    }

    fn lines(&mut self) -> Result<Vec<Line>, StoreError> {
        Ok(self.model.lock().lines())
    }

    fn windows(&mut self) -> Result<Vec<Window>, StoreError> {
        Ok(self.model.lock().windows.values().cloned().collect())
    }

    fn flags(&mut self) -> Result<BTreeMap<String, Value>, StoreError> {
        Ok(self.model.lock().flags.clone())
    }

    fn applied(&mut self, op_id: Uuid) -> Result<Option<AppliedOp>, StoreError> {
        Ok(self.model.lock().ops.get(&op_id).copied())
    }

    fn idle(&mut self) -> Result<Upkeep, StoreError> {
        Ok(Upkeep::Done)
    }

    fn reader(&self) -> Result<Box<dyn Reader>, StoreError> {
        Ok(Box::new(reader::MemoryReader(self.model.clone())))
    }
}
