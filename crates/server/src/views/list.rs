//! Tasks in a list.

use std::cmp::Reverse;
use std::rc::Rc;

use longhaul_api::{Bucket, SubmissionView, TaskList, TaskQuery, TaskSummary};
use longhaul_core::task::{State, StateWord, Task};
use longhaul_core::usage::Usage;
use longhaul_store::{StoreError, StoredTask, TaskFilter};
use uuid::Uuid;

use super::standing::{Standing, needs_person};
use super::{ViewError, Views};
use crate::wording::{Scene, need, state_line};

/// How many finished tasks a list shows unless it is asked for all.
pub const FINISHED_SHOWN: usize = 50;
/// How many finished tasks a list shows at most.
const FINISHED_MAX: usize = 20_000;
/// How many live tasks a list shows at most.
pub(super) const LIVE_MAX: usize = 100_000;

impl Views<'_> {
    /// The tasks that a query fits: live ones, and the newest finished ones.
    ///
    /// # Errors
    /// An unknown state, or the store's own.
    pub fn list(&self, query: &TaskQuery) -> Result<TaskList, ViewError> {
        let (live, finished) = wanted_states(query)?;
        let filter = TaskFilter {
            repo: query.repo.clone(),
            submission: query.submission,
            ..TaskFilter::default()
        };
        let mut tasks = Vec::new();
        if !live.is_empty() {
            let found = self.reader.list(&TaskFilter {
                states: live,
                limit: LIVE_MAX,
                ..filter.clone()
            })?;
            tasks = self.summaries(&self.remember(found))?;
            tasks.retain(|t| query.bucket.is_none_or(|b| b == t.bucket));
            tasks.sort_by_key(|t| (t.bucket, t.created_at_ms, t.id));
        }
        let mut more = false;
        if !finished.is_empty() {
            let shown = if query.all || query.submission.is_some() {
                FINISHED_MAX
            } else {
                FINISHED_SHOWN
            };
            let mut found = self.reader.list(&TaskFilter {
                states: finished,
                limit: shown + 1,
                ..filter
            })?;
            more = found.len() > shown;
            found.truncate(shown);
            found.sort_by_key(|t| Reverse((t.final_at, t.task.id)));
            tasks.extend(self.summaries(&self.remember(found))?);
        }
        Ok(TaskList { tasks, more })
    }

    /// A submission with its tasks in the order of their file.
    ///
    /// # Errors
    /// No such submission, or the store's own.
    pub fn submission(&self, id: Uuid) -> Result<SubmissionView, ViewError> {
        let row = self
            .reader
            .submission(id)?
            .ok_or(ViewError::NoSubmission(id))?;
        let tasks = self.summaries(&self.remember(self.reader.tasks_of(id)?))?;
        Ok(SubmissionView {
            submission: id,
            source: self.phrasing.line(&row.source),
            at_ms: row.created_at.0,
            settled: tasks.iter().all(|t| t.bucket != Bucket::Working),
            tasks,
        })
    }

    fn summaries(&self, tasks: &[Rc<StoredTask>]) -> Result<Vec<TaskSummary>, StoreError> {
        tasks.iter().map(|t| self.summary(t)).collect()
    }

    /// A task in a list.
    pub(super) fn summary(&self, stored: &StoredTask) -> Result<TaskSummary, StoreError> {
        let standing = self.standing(&stored.task)?;
        self.with_scene(stored, &standing, |scene| {
            self.summary_of(stored, &standing, scene)
        })?
    }

    fn summary_of(
        &self,
        stored: &StoredTask,
        standing: &Standing,
        scene: &Scene<'_>,
    ) -> Result<TaskSummary, StoreError> {
        let task = &stored.task;
        let (until, basis) = match &task.state {
            State::Parked { until, .. } => (*until, None),
            State::Ready { not_before, .. } => (not_before.filter(|at| *at > self.now), None),
            State::Done { basis } => (None, Some(basis.word().to_owned())),
            State::Pending
            | State::Assigned { .. }
            | State::Running { .. }
            | State::Verifying { .. }
            | State::Landing { .. }
            | State::NeedsHuman { .. }
            | State::Cancelled => (None, None),
        };
        let waits_for = standing.waits_for.iter().map(|t| self.link(t));
        let branch = task
            .carry
            .workspace
            .as_ref()
            .and_then(|w| w.branch.as_ref());
        Ok(TaskSummary {
            id: task.id,
            short_id: task.id.short(),
            name: self.phrasing.line(&task.name),
            state: task.state.word().into(),
            bucket: standing.bucket,
            line: state_line(scene),
            until_ms: until.map(|at| at.0),
            basis,
            need: need(scene),
            paused: task.hold,
            stopping: task.halt.as_ref().map(|h| h.word().to_owned()),
            repo: self.phrasing.line(&task.terms.repo),
            branch: branch.map(|b| self.phrasing.line(b)),
            harness: self.phrasing.line(&task.terms.harness),
            priority: task.terms.priority,
            attempt: task.attempt.as_ref().map_or(0, |a| a.number),
            retries: task.tally.retries,
            max_retries: task.terms.max_retries,
            usage: self.spent(task).into(),
            waits_for: waits_for.collect::<Result<_, _>>()?,
            created_at_ms: task.created_at.0,
            changed_at_ms: task.changed_at.0,
        })
    }

    /// Everything a task used: ended attempts and checks, and the attempt that is not sealed yet.
    pub(super) fn spent(&self, task: &Task) -> Usage {
        task.spent_with(self.current(task))
    }

    /// What the attempt that runs used so far.
    pub(super) fn current(&self, task: &Task) -> Usage {
        match &task.state {
            State::Running { .. } => {
                let live = self
                    .live
                    .get(&task.id)
                    .map(|l| l.usage)
                    .filter(|u| !u.is_zero());
                let stored = task.attempt.as_ref().map(|a| a.usage);
                live.or(stored).unwrap_or_default()
            }
            State::Pending
            | State::Ready { .. }
            | State::Assigned { .. }
            | State::Verifying { .. }
            | State::Landing { .. }
            | State::Parked { .. }
            | State::NeedsHuman { .. }
            | State::Done { .. }
            | State::Cancelled => Usage::default(),
        }
    }

    /// Sets the scene for a sentence about a task.
    pub(super) fn with_scene<T>(
        &self,
        stored: &StoredTask,
        standing: &Standing,
        say: impl FnOnce(&Scene<'_>) -> T,
    ) -> Result<T, StoreError> {
        let task = &stored.task;
        let waits_for: Vec<String> = standing
            .waits_for
            .iter()
            .map(|t| self.phrasing.line(&t.task.name))
            .collect();
        let blocker_name = standing
            .blocker
            .as_ref()
            .map(|t| self.phrasing.line(&t.task.name));
        let blocker_state = standing.blocker.as_ref().map(|t| t.task.state.word());
        let check = match &task.state {
            // Only here the (possibly large) specification is worth a read.
            State::Verifying { check, .. } => self.reader.spec(task.id)?.and_then(|spec| {
                spec.checks
                    .get(usize::from(*check))
                    .map(|c| self.phrasing.line(&c.name))
            }),
            State::Pending
            | State::Ready { .. }
            | State::Assigned { .. }
            | State::Running { .. }
            | State::Landing { .. }
            | State::Parked { .. }
            | State::NeedsHuman { .. }
            | State::Done { .. }
            | State::Cancelled => None,
        };
        let landing = match &task.state {
            State::Landing { .. } => self.landing_line(task.id)?,
            _ => None,
        };
        Ok(say(&Scene {
            task,
            landing: landing.as_deref(),
            live: self.live.get(&task.id),
            waits_for: &waits_for,
            blocker: blocker_name.as_deref().zip(blocker_state),
            check: check.as_deref(),
            needs_person: needs_person(task) || standing.blocker.is_some(),
            now: self.now,
            phrasing: self.phrasing,
        }))
    }
}

/// The live and the final states that a query asks for.
fn wanted_states(query: &TaskQuery) -> Result<(Vec<StateWord>, Vec<StateWord>), ViewError> {
    let mut states = match &query.state {
        None => StateWord::ALL.to_vec(),
        Some(list) => list
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .map(|word| {
                StateWord::parse(&word.to_ascii_lowercase().replace('-', "_")).ok_or_else(|| {
                    ViewError::NoState {
                        value: word.chars().take(40).collect(),
                    }
                })
            })
            .collect::<Result<_, _>>()?,
    };
    match query.bucket {
        Some(Bucket::Done) => states.retain(|w| w.is_final()),
        Some(Bucket::NeedsYou | Bucket::Working) => states.retain(|w| !w.is_final()),
        None => {}
    }
    Ok(states.into_iter().partition(|w| !w.is_final()))
}
