//! A store that fails on purpose: the in-memory store behind faults, and some wrong ones (mutants).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use longhaul_core::queue::Line;
use longhaul_core::task::Task;
use longhaul_core::time::UnixMs;
use longhaul_core::window::Window;
use longhaul_store::{
    Applied, AppliedOp, MemoryStore, Reader, Refusal, Step, Store, StoreError, Upkeep, Write,
};
use uuid::Uuid;

use crate::sim::Mutant;

/// What the next commits meet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Weather {
    /// They succeed.
    #[default]
    Fair,
    /// No room: rolled back.
    Full,
    /// Somebody holds the database: rolled back.
    Busy,
    /// The next one is rolled back, and nobody says so.
    UnknownUndone,
    /// The next one is stored, and nobody says so.
    UnknownDone,
    /// As above, and reading fails for a while too.
    UnknownDoneBlind,
    /// As `UnknownUndone`, and reading fails for a while too.
    UnknownUndoneBlind,
}

/// Faults shared by the simulator and the store it gave to the dispatcher.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    pub(crate) weather: Weather,
    /// Reads that fail from now on.
    pub(crate) blind: u32,
    /// The daemon dies in its next commit: before (`false`) or after (`true`) it is stored.
    pub(crate) die_in_commit: Option<bool>,
    /// It died so.
    pub(crate) died: bool,
    /// Commits that were stored.
    pub(crate) stored: u64,
    /// Batches that touched a line of the merge queue.
    pub(crate) line_writes: u64,
    pub(crate) mutant: Option<Mutant>,
}

#[derive(Clone, Debug)]
pub(crate) struct FaultStore {
    pub(crate) inner: MemoryStore,
    pub(crate) faults: Arc<Mutex<Faults>>,
}

fn cause(text: &str) -> Box<dyn std::error::Error + Send + Sync> {
    text.to_owned().into()
}

impl FaultStore {
    pub(crate) fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A daemon begins: whoever wrote before is refused from now on.
    pub(crate) fn begin(&mut self, epoch: u64, at: UnixMs) {
        let start = Write::HostStart {
            host: "local".to_owned(),
            boot_id: format!("boot of {epoch}"),
            version: "0".to_owned(),
            at,
        };
        let _before = self.inner.commit(&[start]);
    }

    fn look(&self) -> Result<(), StoreError> {
        let mut faults = self.faults();
        if faults.blind == 0 {
            return Ok(());
        }
        faults.blind -= 1;
        Err(StoreError::Io {
            source: cause("pretended"),
        })
    }

    fn apply(&mut self, batch: &[Write]) -> Result<Vec<Result<Applied, Refusal>>, StoreError> {
        let mutant = self.faults().mutant;
        self.faults().stored += 1;
        if batch.iter().any(|w| matches!(w, Write::Line(_))) {
            self.faults().line_writes += 1;
        }
        match mutant {
            Some(Mutant::LostCommit) if self.faults().stored.is_multiple_of(7) => {
                // Says yes and keeps nothing: an acknowledgement before the disk has it.
                Ok(batch.iter().map(|_| Ok(Applied::Stored)).collect())
            }
            Some(Mutant::ForgottenSwitch) if matches!(batch, [Write::Flag { .. }, ..]) => {
                let mut results = vec![Ok(Applied::Stored)];
                results.extend(self.inner.commit(&batch[1..])?);
                Ok(results)
            }
            Some(Mutant::TornCommit) if batch.len() > 1 => {
                let (last, first) = batch.split_last().unwrap_or((&batch[0], &[]));
                let mut results = self.inner.commit(first)?;
                results.push(match last {
                    Write::Step(_) => Ok(Applied::Stored),
                    other => self
                        .inner
                        .commit(std::slice::from_ref(other))?
                        .pop()
                        .unwrap_or(Ok(Applied::Stored)),
                });
                Ok(results)
            }
            Some(mutant @ (Mutant::YoungEntry | Mutant::LostEntry)) => {
                let mut batch = batch.to_vec();
                for write in &mut batch {
                    if let Write::Line(step) = write {
                        spoil(mutant, &mut step.line);
                    }
                }
                self.inner.commit(&batch)
            }
            Some(Mutant::NoCompareAndSet) => {
                let mut results = Vec::with_capacity(batch.len());
                for write in batch {
                    results.extend(self.force(write)?);
                }
                Ok(results)
            }
            _ => self.inner.commit(batch),
        }
    }

    /// Writes a move whatever the task has become in between.
    fn force(&mut self, write: &Write) -> Result<Vec<Result<Applied, Refusal>>, StoreError> {
        let Write::Step(step) = write else {
            return self.inner.commit(std::slice::from_ref(write));
        };
        let mut step: Step = (**step).clone();
        if let Some(stored) = self.inner.reader()?.task(step.task.id)? {
            step.expect_version = stored.task.version;
            step.expect_fence = stored.task.fence.min(step.task.fence);
            step.task.version = stored.task.version + 1;
            step.entry.version = step.task.version;
            step.entry.from = stored.task.state.word();
            if step.task.fence < stored.task.fence {
                step.task.fence = stored.task.fence;
                step.entry.fence = step.task.fence;
                if let Some(attempt) = &mut step.task.attempt {
                    attempt.fence = step.task.fence;
                }
            }
            step.expect_fence = stored.task.fence;
        }
        self.inner.commit(&[Write::Step(Box::new(step))])
    }
}

/// What a store does to a line that it keeps wrongly.
fn spoil(mutant: Mutant, line: &mut Line) {
    match mutant {
        Mutant::LostEntry if line.entries.len() > 1 => {
            line.entries.pop();
        }
        Mutant::YoungEntry => {
            for entry in &mut line.entries {
                entry.since = UnixMs(entry.since.0 + 60_000);
            }
        }
        _ => {}
    }
}

impl Store for FaultStore {
    fn commit(&mut self, batch: &[Write]) -> Result<Vec<Result<Applied, Refusal>>, StoreError> {
        let (weather, die) = {
            let mut faults = self.faults();
            let once = !matches!(faults.weather, Weather::Full | Weather::Busy);
            let weather = faults.weather;
            if once {
                faults.weather = Weather::Fair;
            }
            (weather, faults.die_in_commit.take())
        };
        let unknown = || StoreError::CommitUnknown {
            source: cause("pretended"),
        };
        if let Some(after) = die {
            self.faults().died = true;
            if after {
                self.apply(batch)?;
            }
            return Err(unknown());
        }
        match weather {
            Weather::Fair => self.apply(batch),
            Weather::Full => Err(StoreError::Full {
                source: cause("pretended"),
            }),
            Weather::Busy => Err(StoreError::Busy {
                source: cause("pretended"),
            }),
            Weather::UnknownUndone => Err(unknown()),
            Weather::UnknownUndoneBlind => {
                self.faults().blind = 3;
                Err(unknown())
            }
            Weather::UnknownDone => {
                self.apply(batch)?;
                Err(unknown())
            }
            Weather::UnknownDoneBlind => {
                self.apply(batch)?;
                self.faults().blind = 3;
                Err(unknown())
            }
        }
    }

    fn live(&mut self) -> Result<Vec<Task>, StoreError> {
        self.look()?;
        self.inner.live()
    }

    fn lines(&mut self) -> Result<Vec<Line>, StoreError> {
        self.look()?;
        self.inner.lines()
    }

    fn windows(&mut self) -> Result<Vec<Window>, StoreError> {
        self.look()?;
        self.inner.windows()
    }

    fn flags(&mut self) -> Result<BTreeMap<String, serde_json::Value>, StoreError> {
        self.look()?;
        self.inner.flags()
    }

    fn applied(&mut self, op_id: Uuid) -> Result<Option<AppliedOp>, StoreError> {
        self.look()?;
        self.inner.applied(op_id)
    }

    fn idle(&mut self) -> Result<Upkeep, StoreError> {
        self.inner.idle()
    }

    fn reader(&self) -> Result<Box<dyn Reader>, StoreError> {
        self.inner.reader()
    }
}
