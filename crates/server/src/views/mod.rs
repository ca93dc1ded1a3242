//! What is stored, as the outside sees it: pure functions from a reader (and, where a daemon runs,
//! what it knows of live sessions) to the wire types. Reading never writes (I7).

mod detail;
mod error;
mod events;
mod forecast;
mod list;
mod queue;
mod report;
mod standing;
mod status;

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use longhaul_api::TaskLink;
use longhaul_core::ids::TaskId;
use longhaul_core::queue::Line;
use longhaul_core::time::UnixMs;
use longhaul_engine::handle::LiveSession;
use longhaul_store::{Reader, Resolution, StoreError, StoredTask};

pub use error::ViewError;
pub use forecast::Watch;
pub use list::FINISHED_SHOWN;
pub use queue::new_entry;

use crate::wording::Phrasing;

/// A moment's look at a store. Reads lazily and remembers what it read, so make a new one for every
/// answer.
pub struct Views<'a> {
    reader: &'a dyn Reader,
    phrasing: &'a Phrasing,
    now: UnixMs,
    live: HashMap<TaskId, LiveSession>,
    tasks: RefCell<HashMap<TaskId, Option<Rc<StoredTask>>>>,
    blockers: RefCell<HashMap<TaskId, Option<TaskId>>>,
    lines: OnceCell<Vec<Line>>,
}

impl<'a> Views<'a> {
    /// A look at a store as of now.
    #[must_use]
    pub fn new(reader: &'a dyn Reader, phrasing: &'a Phrasing, now: UnixMs) -> Self {
        Self {
            reader,
            phrasing,
            now,
            live: HashMap::new(),
            tasks: RefCell::default(),
            blockers: RefCell::default(),
            lines: OnceCell::new(),
        }
    }

    /// Adds what a running daemon knows of its sessions.
    #[must_use]
    pub fn with_live(mut self, sessions: Vec<LiveSession>) -> Self {
        self.live.extend(
            sessions
                .into_iter()
                .filter_map(|s| s.task.map(|id| (id, s))),
        );
        self
    }

    /// The task that a person means by an id, the beginning of one, or a name.
    ///
    /// # Errors
    /// [`ViewError::NotFound`] with names like it, [`ViewError::Ambiguous`] with the candidates, or
    /// the store's own.
    pub fn resolve(&self, text: &str) -> Result<TaskId, ViewError> {
        match self.reader.resolve(text)? {
            Resolution::One(id) => Ok(id),
            Resolution::None { nearest } => Err(ViewError::NotFound {
                text: self.phrasing.line(text),
                nearest: nearest.iter().map(|n| self.phrasing.line(n)).collect(),
            }),
            Resolution::Ambiguous(candidates) => {
                let links = candidates.into_iter().map(|c| TaskLink {
                    id: c.id,
                    // Told whole: the short forms of these are what is ambiguous.
                    short_id: c.id.uuid().simple().to_string(),
                    name: self.phrasing.line(&c.name),
                    state: c.state.into(),
                });
                Err(ViewError::Ambiguous {
                    text: self.phrasing.line(text),
                    candidates: links.collect(),
                })
            }
        }
    }

    /// The short id and the name of a task; an empty name if there is none of this id.
    ///
    /// # Errors
    /// The store's own.
    pub fn names(&self, id: TaskId) -> Result<(String, String), ViewError> {
        let task = self.task(id)?;
        let name = task.map_or_else(String::new, |t| self.phrasing.line(&t.task.name));
        Ok((id.short(), name))
    }

    /// A task, from memory if it was read before.
    fn task(&self, id: TaskId) -> Result<Option<Rc<StoredTask>>, StoreError> {
        if let Some(known) = self.tasks.borrow().get(&id) {
            return Ok(known.clone());
        }
        let found = self.reader.task(id)?.map(Rc::new);
        self.tasks.borrow_mut().insert(id, found.clone());
        Ok(found)
    }

    /// Remembers tasks that a list brought.
    fn remember(&self, tasks: Vec<StoredTask>) -> Vec<Rc<StoredTask>> {
        let mut known = self.tasks.borrow_mut();
        let shared = tasks.into_iter().map(Rc::new);
        shared
            .inspect(|t| drop(known.insert(t.task.id, Some(Rc::clone(t)))))
            .collect()
    }

    /// The links of those ids that are stored.
    fn links(&self, ids: &[TaskId]) -> Result<Vec<TaskLink>, StoreError> {
        let mut links = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(task) = self.task(*id)? {
                links.push(self.link(&task)?);
            }
        }
        Ok(links)
    }

    fn link(&self, stored: &StoredTask) -> Result<TaskLink, StoreError> {
        Ok(TaskLink {
            id: stored.task.id,
            short_id: stored.task.id.short(),
            name: self.phrasing.line(&stored.task.name),
            state: stored.task.state.word().into(),
        })
    }
}
