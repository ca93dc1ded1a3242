//! Line × fact → a change, or why there is none. Total, and free of IO.

mod outcome;
mod people;
mod trial;
mod verdict;

use serde_json::{Value, json};

use super::entry::{Entry, EntryId, Origin, Wait, WaitOn};
use super::fact::{LandNews, QueueFact, QueueNews, ToTask};
use super::line::{Block, Effort, Line, Outcome, Point, QueueCause, QueueChange, QueueRow, Stage};
use super::plan::{QueuePolicy, next_batch};
use crate::ledger::Actor;
use crate::time::Now;

use outcome::{failed, followed, landed};
use people::{base_moved, enter, estop, ordered, tick, withdraw};
use trial::tried;
use verdict::{check_lost, judged};

/// What a line becomes by a fact.
#[must_use]
pub fn decide(line: &Line, fact: &QueueFact, now: Now, policy: &QueuePolicy) -> Outcome {
    let draft = Draft::new(line, now, policy);
    match fact {
        QueueFact::Enter { entry } => enter(draft, entry),
        QueueFact::Withdraw { entry, why } => withdraw(draft, *entry, why, Actor::Daemon),
        QueueFact::Order { order } => ordered(draft, order),
        QueueFact::Tick => tick(draft),
        QueueFact::Estop => estop(draft),
        QueueFact::BaseMoved => base_moved(draft),
        QueueFact::Round { round, .. } if *round != line.round => {
            Outcome::Ignore("of a round that is over")
        }
        QueueFact::Round { news, .. } => round(draft, news),
    }
}

/// A change in the making.
struct Draft<'a> {
    line: Line,
    rows: Vec<QueueRow>,
    tasks: Vec<ToTask>,
    now: Now,
    policy: &'a QueuePolicy,
}

impl<'a> Draft<'a> {
    fn new(line: &Line, now: Now, policy: &'a QueuePolicy) -> Self {
        let mut line = line.clone();
        line.version += 1;
        Self {
            line,
            rows: Vec::new(),
            tasks: Vec::new(),
            now,
            policy,
        }
    }

    fn row(&mut self, cause: QueueCause, entry: Option<EntryId>, data: Value) {
        self.row_by(cause, entry, Actor::Daemon, data);
    }

    fn row_by(&mut self, cause: QueueCause, entry: Option<EntryId>, actor: Actor, data: Value) {
        self.rows.push(QueueRow {
            version: self.line.version,
            entry,
            cause,
            actor,
            at: self.now.wall,
            data,
        });
    }

    /// Takes an entry out; whoever waited for it does not any more.
    fn take(&mut self, id: EntryId) -> Option<Entry> {
        let at = self.line.entries.iter().position(|e| e.id == id)?;
        let entry = self.line.entries.remove(at);
        for other in &mut self.line.entries {
            let for_it = |w: &mut Wait| matches!(w.on, WaitOn::Entry { with, .. } if with == id);
            other.wait.take_if(for_it);
        }
        Some(entry)
    }

    fn entry_mut(&mut self, id: EntryId) -> Option<&mut Entry> {
        self.line.entries.iter_mut().find(|e| e.id == id)
    }

    /// Tells the entry's task; false where it has none.
    fn tell(&mut self, entry: &Entry, news: LandNews) -> bool {
        let Origin::Task { task, fence } = entry.origin else {
            return false;
        };
        self.tasks.push(ToTask { task, fence, news });
        true
    }

    fn pass_over(&mut self, id: EntryId, tip: &Point, on: WaitOn) {
        let data = json!({ "tip": tip.commit, "on": on });
        if let Some(entry) = self.entry_mut(id) {
            entry.wait = Some(Wait {
                tip: tip.commit.clone(),
                on,
            });
            self.row(QueueCause::PassedOver, Some(id), data);
        }
    }

    fn block(&mut self, block: Block) {
        self.row(QueueCause::Blocked, None, json!(block));
        self.line.block = Some(block);
        self.line.stage = Stage::Rest;
        self.line.once = false;
    }

    /// Another tip: what was in the way may be over.
    fn take_tip(&mut self, tip: Point) {
        let stale = match &self.line.block {
            Some(Block::BaseRed { tip: at, .. }) => *at != tip.commit,
            Some(Block::Trouble { tip: at, .. }) => at.as_ref() != Some(&tip.commit),
            None => false,
        };
        if stale {
            self.line.block = None;
            self.row(QueueCause::Unblocked, None, json!({ "tip": tip.commit }));
        }
        self.line.tip = Some(tip);
    }

    const fn may_try(&self) -> bool {
        (!self.line.paused || self.line.once) && self.line.block.is_none() && !self.policy.held
    }

    /// Starts the next round if there is anything to do, and ends the draft.
    fn go_on(mut self) -> Outcome {
        if self.line.stage == Stage::Rest {
            self.start();
        }
        self.end()
    }

    fn start(&mut self) {
        if let Some(at) = self.line.effort.not_before
            && at > self.now.wall
        {
            return;
        }
        if self.may_try() {
            let batch = next_batch(&mut self.line, self.policy);
            if !batch.is_empty() {
                self.line.round += 1;
                self.line.effort.not_before = None;
                self.row(
                    QueueCause::Trial,
                    None,
                    json!({ "round": self.line.round, "batch": batch }),
                );
                self.line.stage = Stage::Trial { batch };
                return;
            }
        }
        if let Some(behind) = &self.line.behind
            && behind.again <= self.now.wall
        {
            self.line.round += 1;
            self.line.stage = Stage::Follow;
        }
    }

    fn end(self) -> Outcome {
        Outcome::Change(Box::new(QueueChange {
            line: self.line,
            rows: self.rows,
            tasks: self.tasks,
        }))
    }

    /// Gives the round up: whatever it has running is stopped first.
    fn abandon(&mut self, why: &str) {
        self.line.groups.clear();
        self.line.stage = match &self.line.stage {
            // Objects only: nothing runs that would have to be stopped.
            Stage::Rest | Stage::Trial { .. } => Stage::Rest,
            Stage::Check { .. } | Stage::Clear => Stage::Clear,
            Stage::Land { .. } | Stage::Follow => return,
        };
        self.line.round += 1;
        self.row(QueueCause::Abandoned, None, json!({ "why": why }));
    }
}

fn round(mut draft: Draft<'_>, news: &QueueNews) -> Outcome {
    let stage = std::mem::replace(&mut draft.line.stage, Stage::Rest);
    if !matches!(news, QueueNews::Failed { .. }) {
        draft.line.effort = Effort::default();
    }
    match (stage, news) {
        (Stage::Trial { batch }, QueueNews::Tried { report }) => tried(draft, &batch, report),
        (
            Stage::Check {
                candidate,
                subject,
                check,
                run,
            },
            QueueNews::Judged { judgement },
        ) if (judgement.subject, judgement.check, judgement.run) == (subject, check, run) => {
            judged(draft, candidate, judgement)
        }
        (
            Stage::Check {
                candidate,
                subject,
                check,
                run,
            },
            QueueNews::CheckLost {
                subject: s,
                check: c,
                run: r,
                detail,
            },
        ) if (*s, *c, *r) == (subject, check, run) => {
            check_lost(draft, candidate, (subject, check, run), detail)
        }
        (Stage::Land { candidate }, QueueNews::Landed) => landed(draft, &candidate),
        (Stage::Land { .. }, QueueNews::Moved { now }) => {
            draft.row(QueueCause::Moved, None, json!({ "now": now.commit }));
            draft.take_tip(now.clone());
            draft.go_on()
        }
        (Stage::Follow, QueueNews::Followed { end, pushed }) => {
            followed(draft, end, pushed.as_deref())
        }
        (Stage::Clear, QueueNews::Cleared) => draft.go_on(),
        (stage, QueueNews::Failed { detail, remedy }) if stage != Stage::Rest => {
            failed(draft, stage, detail, remedy.as_deref())
        }
        _ => Outcome::Ignore("it is about something else by now"),
    }
}
