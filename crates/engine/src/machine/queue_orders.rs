//! A person's word for the merge queue.

use longhaul_core::decide::Outcome as TaskOutcome;
use longhaul_core::fact::{Fact, Order};
use longhaul_core::ids::TaskId;
use longhaul_core::queue::{Entry, LineId, Origin, Outcome, QueueFact, QueueOrder};
use longhaul_core::task::{State, Task};
use longhaul_core::time::Now;
use longhaul_store::Store;

use super::{Machine, commands, entry};
use crate::handle::{RefusalClass, Reply};

impl<S: Store> Machine<S> {
    /// One order for several lines; refused if none of them could follow it.
    pub(super) fn order_lines(&mut self, lines: &[LineId], order: &QueueOrder, now: Now) -> Reply {
        let (mut said, mut refused) = (Vec::new(), Vec::new());
        for id in lines {
            let order = order.clone();
            match self.line_fact(id, &QueueFact::Order { order }, now) {
                Outcome::Change(_) => said.push(format!("{id}: done")),
                Outcome::Ignore(why) => said.push(format!("{id}: {why}")),
                Outcome::Refuse(why) => refused.push(format!("{id}: {why}")),
            }
        }
        if said.is_empty() {
            let (class, why) = if refused.is_empty() {
                (
                    RefusalClass::NotFound,
                    "no line of the merge queue fits".to_owned(),
                )
            } else {
                (RefusalClass::Conflict, refused.join("; "))
            };
            return refuse(class, why);
        }
        said.extend(refused);
        Reply::Ok(said.join("; "))
    }

    /// Puts an entry into its line.
    pub(super) fn enqueue(&mut self, line: &LineId, mut entry: Entry, now: Now) -> Reply {
        // The same branch again is the same entry, with another commit.
        let same = |known: &&Entry| match (&known.origin, &entry.origin) {
            (Origin::Branch { name: a }, Origin::Branch { name: b }) => a == b,
            _ => false,
        };
        let known = self
            .lines
            .get(line)
            .and_then(|l| l.entries.iter().find(same));
        if let Some(id) = known.map(|known| known.id) {
            entry.id = id;
            for check in &mut entry.checks {
                check.of = id;
            }
        }
        let title = entry.title.clone();
        let entry = Box::new(entry);
        match self.line_fact(line, &QueueFact::Enter { entry }, now) {
            Outcome::Change(_) => Reply::Ok(format!("{title} is in the merge queue of {line}")),
            Outcome::Ignore(why) => Reply::Ok(format!("{title}: {why}")),
            Outcome::Refuse(why) => refuse(RefusalClass::Conflict, why),
        }
    }

    /// Puts the finished work of a task into the merge queue (again).
    pub(super) fn land_task(&mut self, id: TaskId, now: Now) -> Reply {
        let live = self.index.get(id).is_some();
        if live {
            return match self.fact(id, &Fact::Operator { order: Order::Land }, now) {
                TaskOutcome::Change(_) => Reply::Ok("its work goes to the merge queue".to_owned()),
                TaskOutcome::Ignore(why) => Reply::Ok(why.to_owned()),
                TaskOutcome::Refuse(why) => refuse(RefusalClass::Conflict, why),
            };
        }
        let read = || -> Result<_, longhaul_store::StoreError> {
            let task = self.reader.task(id)?.map(|t| t.task);
            Ok(task.zip(self.reader.spec(id)?))
        };
        let (task, spec) = match read() {
            Ok(Some(found)) => found,
            Ok(None) => return refuse(RefusalClass::NotFound, "there is no such task".to_owned()),
            Err(error) => return commands::unavailable(&error.to_string()),
        };
        match branch_to_land(&task) {
            Ok(name) => {
                let (line, mut entry) = entry::of_task(&task, &spec, self.limits.merge_style, now);
                // The task is done, whatever becomes of its branch.
                entry.origin = Origin::Branch { name };
                self.enqueue(&line, entry, now)
            }
            Err(why) => refuse(RefusalClass::Conflict, why.to_owned()),
        }
    }
}

fn branch_to_land(task: &Task) -> Result<String, &'static str> {
    if !matches!(task.state, State::Done { .. }) {
        return Err("it was cancelled; add its branch by name if you want it all the same");
    }
    if task.carry.landed.is_some() {
        return Err("it has landed already");
    }
    let branch = task.carry.workspace.as_ref().and_then(|w| w.branch.clone());
    branch.ok_or("it has no branch of its own")
}

fn refuse(class: RefusalClass, message: String) -> Reply {
    Reply::Refused { class, message }
}
