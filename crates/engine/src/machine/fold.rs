//! Facts folded into the picture in memory: decided, applied, remembered for the step's commit.

use longhaul_core::attempt::AttemptEnd;
use longhaul_core::decide::{Change, Outcome, decide};
use longhaul_core::fact::{Fact, News};
use longhaul_core::ids::{Fence, TaskId};
use longhaul_core::task::{State, StateWord, Task};
use longhaul_core::time::Now;
use longhaul_store::{Store, Write};

use super::Machine;
use crate::event::Event;
use crate::handle::LiveSession;

impl<S: Store> Machine<S> {
    /// Decides a fact and edits the task accordingly.
    pub(super) fn fact(&mut self, id: TaskId, fact: &Fact, now: Now) -> Outcome {
        let Some(task) = self.index.get(id).cloned().or_else(|| self.finished(id)) else {
            return Outcome::Ignore("no such task");
        };
        let outcome = decide(&task, fact, now, &self.limits.policy);
        match &outcome {
            Outcome::Change(change) => {
                let leaves = matches!(task.state, State::Landing { .. })
                    && change.task.state.word() != StateWord::Landing;
                if leaves && !matches!(fact, Fact::Landing { .. }) {
                    let why = change.entry.cause.as_str();
                    if let Err(why) = self.withdraw(id, why, now) {
                        return Outcome::Refuse(why);
                    }
                }
                self.apply((**change).clone(), &task);
                self.queue_follows(&task, &change.task, now);
            }
            Outcome::Ignore(why) => {
                tracing::debug!(task = %id, %why, "fact ignored");
            }
            Outcome::Refuse(why) => tracing::debug!(task = %id, %why, "order refused"),
        }
        if let Fact::Attempt {
            fence,
            news: News::Spent { .. },
        } = fact
            && *fence == task.fence
        {
            self.close_window_if_working(&task);
        }
        outcome
    }

    fn finished(&self, id: TaskId) -> Option<Task> {
        match self.reader.task(id) {
            Ok(found) => found.map(|f| f.task),
            Err(error) => {
                tracing::error!(task = %id, %error, "a task could not be read");
                None
            }
        }
    }

    fn apply(&mut self, change: Change, before: &Task) {
        let task = change.task.clone();
        if let Some(window) = &change.window {
            self.open_window(window.clone());
        }
        let end = task.attempt.as_ref().and_then(|a| a.end.as_ref());
        if matches!(end, Some(AttemptEnd::Completed { .. })) {
            self.close_window_if_working(&task);
        }
        let op_id = (self.new_op)();
        // The window is written by itself: a known far reset is never shortened (A5).
        let step = longhaul_store::Step::of(
            before,
            Change {
                window: None,
                ..change
            },
            op_id,
        );
        self.edit.writes.push(Write::Step(Box::new(step)));
        if task.state.word().is_final() || task.state.word() == StateWord::NeedsHuman {
            self.edit.settled.insert(task.id);
        }
        self.edit_task(task.id, Some(task));
    }

    /// Replaces a task in memory, remembering what it was before the step.
    pub(super) fn edit_task(&mut self, id: TaskId, task: Option<Task>) {
        let before = self.index.put(id, task);
        self.edit.before.entry(id).or_insert(before);
    }

    /// Takes in what the sensors know; returns the fact in it, to be kept if the commit fails.
    pub(super) fn note_live(
        &mut self,
        task: TaskId,
        fence: Fence,
        live: LiveSession,
        now: Now,
    ) -> Option<Event> {
        let current = self.index.get(task)?;
        if current.fence != fence {
            return None;
        }
        let usage = live.usage;
        if let Some(told) = live.home_use {
            self.note_use(task, told);
        }
        let changed = self
            .live
            .get(&task)
            .is_none_or(|(f, l)| *f != fence || l.usage != usage);
        self.live.insert(task, (fence, live));
        if !changed || usage.is_zero() {
            return None;
        }
        let fact = Fact::Attempt {
            fence,
            news: News::Spent { usage },
        };
        let _outcome = self.fact(task, &fact, now);
        Some(Event::Fact { task, fact })
    }
}
