//! The writes on plain maps.

use std::collections::{BTreeMap, HashMap};

use longhaul_core::ids::{Fence, SpawnKey, TaskId};
use longhaul_core::ledger::LedgerEntry;
use longhaul_core::spec::TaskSpec;
use longhaul_core::task::Task;
use longhaul_core::time::UnixMs;
use longhaul_core::verdict::Verdict;
use longhaul_core::window::Window;
use serde_json::Value;
use uuid::Uuid;

use super::queue::Queue;
use crate::chain::{Hash, Link, START};
use crate::check;
use crate::read::{HostRow, LedgerRow, StoredAttempt, StoredTask, SubmissionRow};
use crate::write::{Applied, AppliedOp, NewTask, Refusal, Step, Submission, Write};

/// Everything that is stored.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) tasks: BTreeMap<TaskId, Kept>,
    pub(super) submissions: Vec<SubmissionRow>,
    pub(super) ledger: Vec<LedgerRow>,
    pub(super) ops: HashMap<Uuid, AppliedOp>,
    pub(super) attempts: BTreeMap<(TaskId, Fence), StoredAttempt>,
    pub(super) verdicts: Vec<(TaskId, Verdict)>,
    pub(super) windows: BTreeMap<String, Window>,
    pub(super) flags: BTreeMap<String, Value>,
    pub(super) hosts: BTreeMap<String, HostRow>,
    pub(super) queue: Queue,
    host: Option<(String, u64)>,
}

/// A task with all that is kept of it once.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) stored: StoredTask,
    pub(super) spec: TaskSpec,
    pub(super) chain: Hash,
    /// Position in its submission.
    pub(super) ord: usize,
}

impl Model {
    pub(super) fn apply(&mut self, write: &Write) -> Result<Applied, Refusal> {
        match write {
            Write::Submit(s) => return self.submit(s),
            Write::Step(s) => return self.step(s),
            Write::Line(s) => return self.line(s),
            Write::HostStart {
                host,
                boot_id,
                version,
                at,
            } => return Ok(self.host_start(host, boot_id, version, *at)),
            Write::Window(w) => {
                self.windows.insert(w.scope.clone(), w.clone());
            }
            Write::ClearWindow { scope } => {
                self.windows.remove(scope);
            }
            Write::Flag { name, value } if value.is_null() => {
                self.flags.remove(name);
            }
            Write::Flag { name, value } => {
                self.flags.insert(name.clone(), value.clone());
            }
        }
        Ok(Applied::Stored)
    }

    fn submit(&mut self, s: &Submission) -> Result<Applied, Refusal> {
        check::submission(s)?;
        if self.submissions.iter().any(|have| have.id == s.id) {
            return Ok(Applied::Before);
        }
        for new in &s.tasks {
            let id = new.task.id;
            if self.tasks.contains_key(&id) {
                return Err(Refusal::Exists(id));
            }
            if self.ops.contains_key(&id.uuid()) {
                return Err(Refusal::OpReused(id.uuid()));
            }
            let unknown = new.task.terms.depends_on.iter().find(|needs| {
                !self.tasks.contains_key(needs) && !s.tasks.iter().any(|n| n.task.id == **needs)
            });
            if let Some(needs) = unknown {
                return Err(Refusal::UnknownDependency(*needs));
            }
        }
        self.submissions.push(SubmissionRow {
            id: s.id,
            source: s.source.clone(),
            digest: s.digest.clone(),
            created_at: s.created_at,
            tasks: s.tasks.len() as u64,
        });
        let first = self.next_seq();
        for (ord, NewTask { task, spec, entry }) in s.tasks.iter().enumerate() {
            let chain = self.append(entry, task.id.uuid(), &START);
            let stored = StoredTask {
                task: task.clone(),
                submission: s.id,
                project: spec.project.clone(),
                group: spec.group.clone(),
                labels: spec.labels.clone(),
                final_at: final_at(task),
            };
            let kept = Kept {
                stored,
                spec: spec.clone(),
                chain,
                ord,
            };
            self.tasks.insert(task.id, kept);
        }
        let last = self.next_seq() - 1;
        Ok(Applied::Ledger { first, last })
    }

    fn step(&mut self, s: &Step) -> Result<Applied, Refusal> {
        check::step(s)?;
        let id = s.task.id;
        let kept = self.tasks.get(&id).ok_or(Refusal::Unknown(id))?;
        let (head, was) = (kept.chain, &kept.stored.task);
        let op = self.ops.get(&s.op_id);
        if was.version != s.expect_version || was.fence != s.expect_fence {
            return match op {
                Some(op) if op.task == id && op.version == s.task.version => Ok(Applied::Before),
                _ => Err(Refusal::Stale {
                    version: was.version,
                    fence: was.fence,
                }),
            };
        }
        if was.state.word() != s.entry.from {
            return Err(Refusal::Malformed(
                "the ledger row does not start from the stored state",
            ));
        }
        if op.is_some() {
            return Err(Refusal::OpReused(s.op_id));
        }
        let seq = self.next_seq();
        let chain = self.append(&s.entry, s.op_id, &head);
        if let Some(attempt) = &s.task.attempt {
            let host = self.host.clone();
            self.attempts
                .entry((id, attempt.fence))
                .and_modify(|have| have.attempt = attempt.clone())
                .or_insert_with(|| StoredAttempt {
                    attempt: attempt.clone(),
                    spawn_key: SpawnKey::session(id, attempt.fence),
                    host,
                });
        }
        if let Some(verdict) = &s.verdict {
            self.verdicts.push((id, verdict.clone()));
        }
        if let Some(window) = &s.window {
            self.windows.insert(window.scope.clone(), window.clone());
        }
        if let Some(kept) = self.tasks.get_mut(&id) {
            kept.chain = chain;
            replace(&mut kept.stored, &s.task);
        }
        Ok(Applied::Ledger {
            first: seq,
            last: seq,
        })
    }

    fn host_start(&mut self, host: &str, boot_id: &str, version: &str, at: UnixMs) -> Applied {
        let epoch = self.hosts.get(host).map_or(0, |h| h.epoch) + 1;
        let row = HostRow {
            host: host.to_owned(),
            epoch,
            boot_id: boot_id.to_owned(),
            version: version.to_owned(),
            started_at: at,
        };
        self.hosts.insert(host.to_owned(), row);
        self.host = Some((host.to_owned(), epoch));
        Applied::HostEpoch(epoch)
    }

    fn next_seq(&self) -> u64 {
        self.ledger.len() as u64 + 1
    }

    /// Adds a ledger row to the chain that ends in `head`; its hash is the new end.
    fn append(&mut self, entry: &LedgerEntry, op_id: Uuid, head: &Hash) -> Hash {
        let hash = with_link(entry, op_id, |link| link.hash(head));
        let seq = self.next_seq();
        self.ledger.push(LedgerRow {
            seq,
            entry: entry.clone(),
            op_id,
            hash,
        });
        let op = AppliedOp {
            seq,
            task: entry.task,
            version: entry.version,
        };
        self.ops.insert(op_id, op);
        hash
    }
}

/// Puts a moved task in the place of what it was; parts of the row that a move does not name stay.
fn replace(stored: &mut StoredTask, task: &Task) {
    if stored.task.state.word().is_final() != task.state.word().is_final() {
        stored.final_at = final_at(task);
    }
    let (name, created_at) = (stored.task.name.clone(), stored.task.created_at);
    stored.task = Task {
        name,
        created_at,
        ..task.clone()
    };
}

fn final_at(task: &Task) -> Option<UnixMs> {
    task.state.word().is_final().then_some(task.changed_at)
}

/// A ledger row in the texts that a database would hold.
pub(super) fn with_link<T>(
    entry: &LedgerEntry,
    op_id: Uuid,
    then: impl FnOnce(&Link<'_>) -> T,
) -> T {
    then(&Link {
        task: entry.task,
        version: entry.version,
        fence: entry.fence,
        from: entry.from.as_str(),
        to: entry.to.as_str(),
        cause: entry.cause.as_str(),
        actor: entry.actor.as_str(),
        op_id,
        at: entry.at.0,
        data: &entry.data.to_string(),
    })
}
