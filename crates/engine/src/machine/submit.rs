//! Accepting tasks, once: a repeated request or the same file while it is live finds what is there.

use std::collections::HashSet;

use longhaul_core::ids::TaskId;
use longhaul_core::ledger::{Actor, Cause, LedgerEntry};
use longhaul_core::task::{Task, Terms};
use longhaul_core::time::Now;
use longhaul_store::{NewTask, Store, StoreError, Submission, Write};
use serde_json::json;
use uuid::Uuid;

use super::{Machine, commands};
use crate::handle::{RefusalClass, Reply, Submit};

impl<S: Store> Machine<S> {
    pub(super) fn submit(&mut self, submit: Submit, now: Now) -> Reply {
        match self.try_submit(submit, now) {
            Ok(reply) => reply,
            Err(error) => commands::unavailable(&error.to_string()),
        }
    }

    fn try_submit(&mut self, submit: Submit, now: Now) -> Result<Reply, StoreError> {
        if submit.tasks.is_empty() {
            return Ok(refused(
                RefusalClass::Invalid,
                "there is no task in this request",
            ));
        }
        let reader = &self.reader;
        // A client whose answer was lost repeats its request with the same ids.
        if let Some((first, _)) = submit.tasks.first() {
            if let Some(known) = reader.task(*first)? {
                return self.reattach(known.submission);
            }
            if let Some(known) = self.just_now(|s| s.tasks.iter().any(|t| t.task.id == *first)) {
                return Ok(known);
            }
        }
        if !submit.again
            && !submit.digest.is_empty()
            && let Some(known) =
                self.just_now(|s| s.source == submit.source && s.digest == submit.digest)
        {
            return Ok(known);
        }
        if let Some(id) = self.taken(&submit)? {
            return Ok(refused(
                RefusalClass::Conflict,
                &format!("the task id {id} is used twice; make new ids and send the tasks again"),
            ));
        }
        if !submit.again && !submit.digest.is_empty() {
            let live = reader.live_from(&submit.source)?;
            if !live.is_empty() {
                // With `again` the same file may be live more than once: the newest one counts.
                let mut same = None;
                for task in &live {
                    let from = reader.submission(task.submission)?;
                    same = from.filter(|s| s.digest == submit.digest);
                    if same.is_none() {
                        break;
                    }
                }
                if let Some(same) = same {
                    return self.reattach(same.id);
                }
                let names: Vec<String> = live
                    .iter()
                    .map(|t| format!("{} ({})", t.task.name, t.task.state.word()))
                    .collect();
                return Ok(refused(
                    RefusalClass::Conflict,
                    &format!(
                        "tasks of this file are still in the queue, handed in otherwise than now: {}; cancel them, wait for them, or add these beside them with --again",
                        names.join(", ")
                    ),
                ));
            }
        }
        let unknown = self.unknown_dependencies(&submit)?;
        if let Some(id) = unknown {
            return Ok(refused(
                RefusalClass::NotFound,
                &format!("a task depends on {id}, which does not exist"),
            ));
        }
        let id = (self.new_op)();
        let mut tasks = Vec::with_capacity(submit.tasks.len());
        let mut ids = Vec::with_capacity(submit.tasks.len());
        for (task_id, spec) in submit.tasks {
            let task = Task::accept(task_id, spec.name.clone(), Terms::of(&spec), now.wall);
            let entry = LedgerEntry {
                task: task_id,
                version: task.version,
                fence: task.fence,
                from: task.state.word(),
                to: task.state.word(),
                cause: Cause::Submitted,
                actor: Actor::Operator,
                at: now.wall,
                data: json!({ "source": submit.source }),
            };
            ids.push(task_id);
            self.edit_task(task_id, Some(task.clone()));
            tasks.push(NewTask { task, spec, entry });
        }
        self.edit.writes.push(Write::Submit(Box::new(Submission {
            id,
            source: submit.source,
            digest: submit.digest,
            created_at: now.wall,
            tasks,
        })));
        self.load_dependency_results()?;
        Ok(Reply::Submitted {
            submission: id,
            tasks: ids,
            reattached: false,
        })
    }

    /// The answer for a submission of this very step, which no reader sees yet.
    fn just_now(&self, is_it: impl Fn(&Submission) -> bool) -> Option<Reply> {
        self.edit.writes.iter().find_map(|write| match write {
            Write::Submit(submission) if is_it(submission) => Some(Reply::Submitted {
                submission: submission.id,
                tasks: submission.tasks.iter().map(|t| t.task.id).collect(),
                reattached: true,
            }),
            _ => None,
        })
    }

    /// An id that stands twice in the request, or that another task has: the store would refuse it,
    /// and a refused write ends the daemon.
    fn taken(&self, submit: &Submit) -> Result<Option<TaskId>, StoreError> {
        let mut seen = HashSet::new();
        for (id, _) in &submit.tasks {
            let known = self.index.get(*id).is_some() || self.reader.task(*id)?.is_some();
            if known || !seen.insert(*id) {
                return Ok(Some(*id));
            }
        }
        Ok(None)
    }

    fn reattach(&self, submission: Uuid) -> Result<Reply, StoreError> {
        let tasks = self
            .reader
            .tasks_of(submission)?
            .into_iter()
            .map(|t| t.task.id)
            .collect();
        Ok(Reply::Submitted {
            submission,
            tasks,
            reattached: true,
        })
    }

    fn unknown_dependencies(&self, submit: &Submit) -> Result<Option<TaskId>, StoreError> {
        let reader = &self.reader;
        for (_, spec) in &submit.tasks {
            for dep in &spec.depends_on {
                let here = submit.tasks.iter().any(|(id, _)| id == dep);
                if !here && self.index.get(*dep).is_none() && reader.task(*dep)?.is_none() {
                    return Ok(Some(*dep));
                }
            }
        }
        Ok(None)
    }

    /// Learns how tasks ended that live tasks depend on and that are not live themselves.
    pub(super) fn load_dependency_results(&mut self) -> Result<(), StoreError> {
        let unknown = self.index.unknown_dependencies();
        if unknown.is_empty() {
            return Ok(());
        }
        for id in unknown {
            if let Some(found) = self.reader.task(id)? {
                self.index.learn_result(id, found.task.state.word());
            }
        }
        Ok(())
    }
}

fn refused(class: RefusalClass, message: &str) -> Reply {
    Reply::Refused {
        class,
        message: message.to_owned(),
    }
}
