//! A store in memory whose commits can be made to go wrong.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use longhaul_core::queue::Line;
use longhaul_core::task::Task;
use longhaul_core::window::Window;
use longhaul_store::{
    Applied, AppliedOp, MemoryStore, Reader, Refusal, Store, StoreError, Upkeep, Write,
};
use serde_json::Value;
use uuid::Uuid;

/// What becomes of one commit.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mood {
    /// There is no room.
    Full,
    /// It is stored, and nobody can say so.
    UnknownButStored,
    /// Its last write is refused and nothing is stored.
    Refuse,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Moody {
    store: MemoryStore,
    moods: Arc<Mutex<VecDeque<Mood>>>,
    asked: Arc<AtomicUsize>,
}

impl Moody {
    /// The next commits go wrong in these ways, one after the other.
    pub(crate) fn next(&self, moods: impl IntoIterator<Item = Mood>) {
        self.moods.lock().unwrap().extend(moods);
    }

    /// How often it was asked for anything.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    fn ask(&self) {
        self.asked.fetch_add(1, Ordering::Relaxed);
    }
}

impl Store for Moody {
    fn commit(&mut self, batch: &[Write]) -> Result<Vec<Result<Applied, Refusal>>, StoreError> {
        self.ask();
        let mood = self.moods.lock().unwrap().pop_front();
        match mood {
            None => self.store.commit(batch),
            Some(Mood::Full) => Err(StoreError::Full {
                source: "pretended".into(),
            }),
            Some(Mood::UnknownButStored) => {
                self.store.commit(batch)?;
                Err(StoreError::CommitUnknown {
                    source: "pretended".into(),
                })
            }
            Some(Mood::Refuse) => Ok(batch
                .iter()
                .map(|_| Err(Refusal::Malformed("pretended")))
                .collect()),
        }
    }

    fn live(&mut self) -> Result<Vec<Task>, StoreError> {
        self.ask();
        self.store.live()
    }

    fn lines(&mut self) -> Result<Vec<Line>, StoreError> {
        self.ask();
        self.store.lines()
    }

    fn windows(&mut self) -> Result<Vec<Window>, StoreError> {
        self.ask();
        self.store.windows()
    }

    fn flags(&mut self) -> Result<BTreeMap<String, Value>, StoreError> {
        self.ask();
        self.store.flags()
    }

    fn applied(&mut self, op_id: Uuid) -> Result<Option<AppliedOp>, StoreError> {
        self.ask();
        self.store.applied(op_id)
    }

    fn idle(&mut self) -> Result<Upkeep, StoreError> {
        self.store.idle()
    }

    fn reader(&self) -> Result<Box<dyn Reader>, StoreError> {
        self.store.reader()
    }
}
