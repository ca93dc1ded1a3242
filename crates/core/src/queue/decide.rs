//! Line × fact → a change, or why there is none. Total, and free of IO.

use serde_json::{Value, json};

use crate::ledger::Actor;
use crate::policy::backoff;
use crate::time::Now;

use super::entry::{Entry, EntryId, LandCheck, Origin, Wait, WaitOn};
use super::fact::{
    FollowEnd, Judgement, LandNews, QueueFact, QueueNews, QueueOrder, ToTask, TrialEnd, TrialReport,
};
use super::line::{
    Behind, Block, Candidate, Effort, Line, Outcome, Point, QueueCause, QueueChange, QueueRow,
    Stage, Subject,
};
use super::plan::{QueuePolicy, next_batch};

/// Pushes rejected in a row after which the next one waits, as any that fails does.
const MAX_REJECTIONS: u32 = 5;

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

fn enter(mut draft: Draft<'_>, entry: &Entry) -> Outcome {
    if draft.line.in_flight().contains(&entry.id) {
        return match draft.line.entry(entry.id) {
            Some(known) if known.commit == entry.commit => Outcome::Ignore("it is in the queue"),
            _ => Outcome::Refuse("an older commit of it is being landed; wait a moment".to_owned()),
        };
    }
    let mut entry = entry.clone();
    if let Some(known) = draft.take(entry.id) {
        let same = (&known.commit, &known.origin, &known.checks)
            == (&entry.commit, &entry.origin, &entry.checks);
        if same && known.wait.is_none() {
            return Outcome::Ignore("it is in the queue");
        }
        entry.since = entry.since.min(known.since);
        entry.held |= known.held;
    }
    let data = json!({
        "origin": entry.origin, "title": entry.title, "commit": entry.commit,
        "priority": entry.priority, "style": entry.style,
    });
    draft.row(QueueCause::Entered, Some(entry.id), data);
    if !entry.may_land() {
        let refusal = LandNews::Refused {
            detail: "no check is configured that could verify the merged tree".to_owned(),
            remedy: "give the task a `run` check or `land_check`, or say `land_unverified = true`"
                .to_owned(),
        };
        if draft.tell(&entry, refusal) {
            draft.row(
                QueueCause::Withdrawn,
                Some(entry.id),
                json!({ "why": "nothing verifies it" }),
            );
            return draft.go_on();
        }
    }
    draft.line.entries.push(entry);
    draft.go_on()
}

fn withdraw(mut draft: Draft<'_>, id: EntryId, why: &str, actor: Actor) -> Outcome {
    if draft.line.entry(id).is_none() {
        return Outcome::Ignore("it is not in the queue");
    }
    if draft.line.in_flight().contains(&id) {
        if matches!(draft.line.stage, Stage::Land { .. }) {
            return Outcome::Refuse("it is being landed at this moment".to_owned());
        }
        draft.abandon(why);
    }
    if draft.take(id).is_some() {
        draft.row_by(
            QueueCause::Withdrawn,
            Some(id),
            actor,
            json!({ "why": why }),
        );
    }
    draft.go_on()
}

fn ordered(mut draft: Draft<'_>, order: &QueueOrder) -> Outcome {
    let known = |draft: &Draft<'_>, id: &EntryId| draft.line.entry(*id).is_some();
    let (entry, data) = match order {
        QueueOrder::Pause if draft.line.paused => return Outcome::Ignore("it is paused"),
        QueueOrder::Pause => {
            draft.line.paused = true;
            draft.line.once = false;
            (None, json!({ "pause": true }))
        }
        QueueOrder::Resume => {
            let line = &mut draft.line;
            if !line.paused && line.block.is_none() && line.effort.failures == 0 {
                return Outcome::Ignore("it is not paused");
            }
            (line.paused, line.block) = (false, None);
            line.effort = Effort::default();
            (None, json!({ "pause": false }))
        }
        QueueOrder::Once => {
            draft.line.once = true;
            draft.line.effort.not_before = None;
            (None, json!({ "once": true }))
        }
        QueueOrder::Freeze { below } => {
            draft.line.freeze_below = *below;
            (None, json!({ "freeze_below": below }))
        }
        QueueOrder::Hold { entry } | QueueOrder::Release { entry } => {
            if !known(&draft, entry) {
                return Outcome::Refuse("it is not in the queue".to_owned());
            }
            let held = matches!(order, QueueOrder::Hold { .. });
            if held && draft.line.in_flight().contains(entry) {
                if matches!(draft.line.stage, Stage::Land { .. }) {
                    return Outcome::Refuse("it is being landed at this moment".to_owned());
                }
                draft.abandon("an entry of it is held");
            }
            if let Some(e) = draft.entry_mut(*entry) {
                e.held = held;
            }
            (Some(*entry), json!({ "held": held }))
        }
        QueueOrder::Prefer { entry, priority } => {
            let Some(e) = draft.entry_mut(*entry) else {
                return Outcome::Refuse("it is not in the queue".to_owned());
            };
            e.priority = *priority;
            (Some(*entry), json!({ "priority": priority }))
        }
        QueueOrder::Remove { entry } => {
            if !known(&draft, entry) {
                return Outcome::Refuse("it is not in the queue".to_owned());
            }
            let id = *entry;
            let gone = draft.line.entry(id).cloned();
            let outcome = withdraw(draft, id, "removed by hand", Actor::Operator);
            return match (outcome, gone) {
                (Outcome::Change(mut change), Some(entry)) => {
                    if let Origin::Task { task, fence } = entry.origin {
                        let news = LandNews::Refused {
                            detail: "it was taken out of the merge queue".to_owned(),
                            remedy: "`longhaul queue add TASK` puts it back; or `approve`, `retry`, `cancel`"
                                .to_owned(),
                        };
                        change.tasks.push(ToTask { task, fence, news });
                    }
                    Outcome::Change(change)
                }
                (other, _) => other,
            };
        }
        QueueOrder::Advance => {
            if draft.line.stage != Stage::Rest {
                return match &mut draft.line.behind {
                    Some(behind) => {
                        behind.again = draft.now.wall;
                        draft.line.advance = true;
                        draft.row_by(
                            QueueCause::Ordered,
                            None,
                            Actor::Operator,
                            json!({ "advance": true }),
                        );
                        draft.end()
                    }
                    None => Outcome::Ignore("the base branch is up to date"),
                };
            }
            draft.line.round += 1;
            draft.line.advance = true;
            draft.line.stage = Stage::Follow;
            (None, json!({ "advance": true }))
        }
    };
    draft.row_by(QueueCause::Ordered, entry, Actor::Operator, data);
    draft.go_on()
}

fn tick(draft: Draft<'_>) -> Outcome {
    if draft.line.stage != Stage::Rest {
        return Outcome::Ignore("it is at work");
    }
    let before = draft.line.clone();
    match draft.go_on() {
        Outcome::Change(change) if change.line.stage == before.stage => {
            Outcome::Ignore("nothing is due")
        }
        other => other,
    }
}

/// A check that runs is stopped; what is being landed is finished (T16).
fn estop(mut draft: Draft<'_>) -> Outcome {
    if !matches!(draft.line.stage, Stage::Check { .. }) {
        return Outcome::Ignore("nothing of it runs");
    }
    draft.abandon("estop");
    draft.end()
}

fn base_moved(mut draft: Draft<'_>) -> Outcome {
    if let Some(behind) = &mut draft.line.behind {
        behind.again = draft.now.wall;
    }
    // What is known of the tip is old: entries that wait for another one are tried again.
    let waiting = draft.line.entries.iter().any(|e| e.wait.is_some());
    let red = matches!(draft.line.block, Some(Block::BaseRed { .. }));
    if draft.line.stage != Stage::Rest || (draft.line.behind.is_none() && !waiting && !red) {
        return Outcome::Ignore("the next trial sees it");
    }
    for entry in &mut draft.line.entries {
        entry.wait = None;
    }
    if red {
        draft.line.block = None;
        draft.row(
            QueueCause::Unblocked,
            None,
            json!({ "why": "the base branch moved" }),
        );
    }
    draft.go_on()
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
        (Stage::Follow, QueueNews::Followed { end }) => followed(draft, end),
        (Stage::Clear, QueueNews::Cleared) => draft.go_on(),
        (stage, QueueNews::Failed { detail, remedy }) if stage != Stage::Rest => {
            failed(draft, stage, detail, remedy.as_deref())
        }
        _ => Outcome::Ignore("it is about something else by now"),
    }
}

fn tried(mut draft: Draft<'_>, batch: &[EntryId], report: &TrialReport) -> Outcome {
    let tip = &report.tip;
    draft.take_tip(tip.clone());
    for (id, end) in report.ends.iter().filter(|(id, _)| batch.contains(id)) {
        match end {
            TrialEnd::Merged | TrialEnd::Left => {}
            TrialEnd::Contained => {
                if let Some(entry) = draft.take(*id) {
                    let data = json!({ "contained": true, "commit": tip.commit });
                    draft.row(QueueCause::Landed, Some(*id), data);
                    draft.tell(
                        &entry,
                        LandNews::Landed {
                            commit: tip.commit.clone(),
                            tree: tip.tree.clone(),
                            verified: true,
                        },
                    );
                }
            }
            TrialEnd::Conflict { report } => {
                let Some(entry) = draft.line.entry(*id).cloned() else {
                    continue;
                };
                let news = LandNews::Conflict {
                    tip: tip.commit.clone(),
                    report: report.clone(),
                };
                if draft.tell(&entry, news) {
                    draft.take(*id);
                    let data = json!({ "tip": tip.commit, "paths": report.paths });
                    draft.row(QueueCause::Conflicted, Some(*id), data);
                } else {
                    let report = report.clone();
                    draft.pass_over(*id, tip, WaitOn::Tip { report });
                }
            }
            TrialEnd::Overlaps { with, report } => {
                let (with, report) = (*with, report.clone());
                draft.pass_over(*id, tip, WaitOn::Entry { with, report });
            }
            TrialEnd::Unlanded { dependency } => {
                let dependency = dependency.clone();
                draft.pass_over(*id, tip, WaitOn::Unlanded { dependency });
            }
            TrialEnd::Gone { detail } => {
                if let Some(entry) = draft.take(*id) {
                    draft.tell(
                        &entry,
                        LandNews::Refused {
                            detail: detail.clone(),
                            remedy: "`longhaul undo TASK --list` shows what is kept; then `retry`"
                                .to_owned(),
                        },
                    );
                    draft.row(QueueCause::Withdrawn, Some(*id), json!({ "why": detail }));
                }
            }
        }
    }
    let Some(candidate) = &report.candidate else {
        return draft.go_on();
    };
    // Only what is still wanted and was tried; a candidate with anything else in it is never landed.
    let entries = &candidate.entries;
    if candidate.onto != *tip || !entries.iter().all(|id| batch.contains(id)) {
        return draft.go_on();
    }
    let mut candidate = candidate.clone();
    candidate.checks = checks_of(&draft.line, &candidate);
    draft.row(
        QueueCause::Candidate,
        None,
        json!({
            "commit": candidate.point.commit, "tree": candidate.point.tree,
            "onto": candidate.onto.commit, "entries": candidate.entries,
            "checks": candidate.checks.iter().map(|c| &c.name).collect::<Vec<_>>(),
        }),
    );
    if candidate.checks.is_empty() {
        let unverified_is_allowed = candidate
            .entries
            .iter()
            .all(|id| draft.line.entry(*id).is_some_and(|e| e.land_unverified));
        if !unverified_is_allowed {
            return draft.go_on();
        }
        draft.line.stage = Stage::Land { candidate };
    } else {
        draft.line.usual.clone_from(&candidate.checks);
        draft.line.stage = Stage::Check {
            candidate,
            subject: Subject::Candidate,
            check: 0,
            run: 0,
        };
    }
    draft.end()
}

/// Every entry's checks must pass on the merged tree; the same check counts once. A merge of what the
/// user committed on base has the last candidate's.
fn checks_of(line: &Line, candidate: &Candidate) -> Vec<LandCheck> {
    if candidate.entries.is_empty() {
        return line.usual.clone();
    }
    let mut checks: Vec<LandCheck> = Vec::new();
    let entries = candidate.entries.iter().filter_map(|id| line.entry(*id));
    for check in entries.flat_map(|e| &e.checks) {
        if !checks.iter().any(|c| c.key == check.key) {
            checks.push(check.clone());
        }
    }
    checks
}

fn judged(mut draft: Draft<'_>, mut candidate: Candidate, j: &Judgement) -> Outcome {
    let Some(check) = candidate.checks.get(usize::from(j.check)).cloned() else {
        return Outcome::Ignore("there is no such check");
    };
    let tree = match j.subject {
        Subject::Candidate => &candidate.point,
        Subject::Parent => &candidate.onto,
    };
    let data = json!({
        "check": check.name, "run": j.run, "commit": tree.commit, "tree": tree.tree,
        "subject": j.subject, "cached": j.cached, "reason": j.reason, "evidence": j.evidence,
    });
    let cause = if j.pass {
        QueueCause::CheckPassed
    } else {
        QueueCause::CheckFailed
    };
    draft.row_by(cause, None, Actor::Check, data);
    let at = |subject, check, run, candidate| Stage::Check {
        candidate,
        subject,
        check,
        run,
    };
    match (j.subject, j.pass) {
        (Subject::Candidate, true) => {
            if j.run > 0 {
                candidate.flaky.push(check.name.clone());
                draft.row(
                    QueueCause::Flaky,
                    None,
                    json!({ "check": check.name, "commit": candidate.point.commit }),
                );
            }
            let next = usize::from(j.check) + 1;
            draft.line.stage = if next < candidate.checks.len() {
                at(Subject::Candidate, j.check + 1, 0, candidate)
            } else {
                Stage::Land { candidate }
            };
            draft.end()
        }
        (Subject::Candidate, false) if candidate.entries.len() > 1 => {
            let mut halves = candidate.entries.clone();
            let second = halves.split_off(halves.len().div_ceil(2));
            draft.row(
                QueueCause::Bisected,
                None,
                json!({ "check": check.name, "first": halves, "second": second }),
            );
            draft.line.groups.splice(0..0, [halves, second]);
            draft.go_on()
        }
        (Subject::Candidate, false) if j.run == 0 => {
            draft.line.stage = at(Subject::Candidate, j.check, 1, candidate);
            draft.end()
        }
        // Red twice: is it its own doing?
        (Subject::Candidate, false) => {
            candidate.red = Some(Box::new(j.clone()));
            draft.line.stage = at(Subject::Parent, j.check, 0, candidate);
            draft.end()
        }
        (Subject::Parent, true) => guilty(draft, &candidate, &check),
        (Subject::Parent, false) if is_its_own(&draft.line, &candidate, &check) => {
            // Only this entry asks for that check, and what has landed fails it too: perhaps it checks what
            // the entry adds. Nobody is guilty, and nobody else has to wait for it.
            let reason = format!("{}; what has landed fails it by itself too", j.reason);
            for id in candidate.entries.clone() {
                let (check, reason) = (check.name.clone(), reason.clone());
                draft.pass_over(id, &candidate.onto, WaitOn::Red { check, reason });
            }
            draft.go_on()
        }
        (Subject::Parent, false) => {
            let tip = candidate.onto.commit.clone();
            draft.block(Block::BaseRed {
                check: check.name,
                reason: j.reason.clone(),
                tip,
            });
            draft.go_on()
        }
    }
}

/// Whether no other entry of the line asks for this check.
fn is_its_own(line: &Line, candidate: &Candidate, check: &LandCheck) -> bool {
    let mut others = line
        .entries
        .iter()
        .filter(|e| !candidate.entries.contains(&e.id));
    !candidate.entries.is_empty() && !others.any(|e| e.checks.iter().any(|c| c.key == check.key))
}

/// The candidate was red twice and what it stands on is green.
fn guilty(mut draft: Draft<'_>, candidate: &Candidate, check: &LandCheck) -> Outcome {
    let Some(id) = candidate.entries.first().copied() else {
        // The user's own commits and what has landed do not go together.
        draft.block(Block::BaseRed {
            check: check.name.clone(),
            reason: "what was committed on base and what has landed fail it together".to_owned(),
            tip: candidate.onto.commit.clone(),
        });
        return draft.go_on();
    };
    draft.line.record.note(true);
    let Some(judgement) = candidate.red.as_deref().cloned() else {
        return Outcome::Ignore("nothing says that it was red");
    };
    let reason = format!("failed twice on the merged tree: {}", judgement.reason);
    draft.row(
        QueueCause::Red,
        Some(id),
        json!({
            "check": check.name, "command": check.command, "commit": candidate.point.commit,
            "tree": candidate.point.tree,
        }),
    );
    let Some(entry) = draft.line.entry(id).cloned() else {
        return draft.go_on();
    };
    let news = LandNews::Red {
        check: check.name.clone(),
        command: check.command.clone(),
        commit: candidate.point.commit.clone(),
        judgement,
    };
    if draft.tell(&entry, news) {
        draft.take(id);
    } else if let Some(e) = draft.entry_mut(id) {
        e.wait = Some(Wait {
            tip: candidate.onto.commit.clone(),
            on: WaitOn::Red {
                check: check.name.clone(),
                reason,
            },
        });
    }
    draft.go_on()
}

fn check_lost(
    mut draft: Draft<'_>,
    candidate: Candidate,
    (subject, check, run): (Subject, u16, u16),
    detail: &str,
) -> Outcome {
    draft.row(
        QueueCause::CheckLost,
        None,
        json!({ "check": check, "run": run, "detail": detail }),
    );
    let stage = Stage::Check {
        candidate,
        subject,
        check,
        run,
    };
    // The same run again: a lost process is no verdict, and no strike.
    failed(draft, stage, detail, None)
}

fn landed(mut draft: Draft<'_>, candidate: &Candidate) -> Outcome {
    let point = &candidate.point;
    for (place, id) in candidate.entries.iter().enumerate() {
        let Some(entry) = draft.take(*id) else {
            continue;
        };
        let verified = !entry.checks.is_empty();
        draft.line.record.note(false);
        draft.row(
            QueueCause::Landed,
            Some(*id),
            json!({
                "origin": entry.origin, "title": entry.title, "commit": point.commit,
                "tree": point.tree, "onto": candidate.onto.commit, "head": entry.commit,
                "place": place, "of": candidate.entries.len(), "style": entry.style,
                "verified": verified, "flaky": candidate.flaky, "checks": entry.checks,
            }),
        );
        draft.tell(
            &entry,
            LandNews::Landed {
                commit: point.commit.clone(),
                tree: point.tree.clone(),
                verified,
            },
        );
    }
    if candidate.entries.is_empty() {
        draft.row(
            QueueCause::Landed,
            None,
            json!({ "commit": point.commit, "tree": point.tree, "onto": candidate.onto.commit }),
        );
    }
    draft.take_tip(point.clone());
    draft.line.once = false;
    draft.line.round += 1;
    draft.line.stage = Stage::Follow;
    draft.end()
}

fn followed(mut draft: Draft<'_>, end: &FollowEnd) -> Outcome {
    draft.line.advance = false;
    match end {
        FollowEnd::There => {
            draft.row(QueueCause::Followed, None, json!({}));
            draft.line.behind = None;
            draft.line.rejections = 0;
        }
        FollowEnd::Rejected if draft.may_try() && draft.line.rejections < MAX_REJECTIONS => {
            draft.line.rejections += 1;
            draft.line.round += 1;
            draft.row(
                QueueCause::Trial,
                None,
                json!({ "round": draft.line.round, "rejected": draft.line.rejections }),
            );
            // Followed again in any case: what was rejected is still to be pushed.
            draft.line.behind = Some(Behind {
                why: "somebody else pushed: that is merged and checked first".to_owned(),
                again: draft.now.wall,
                tries: 0,
            });
            draft.line.stage = Stage::Trial { batch: Vec::new() };
        }
        FollowEnd::Diverged if draft.may_try() => {
            draft.line.round += 1;
            draft.row(
                QueueCause::Trial,
                None,
                json!({ "round": draft.line.round, "diverged": true }),
            );
            draft.line.stage = Stage::Trial { batch: Vec::new() };
        }
        FollowEnd::Diverged | FollowEnd::Rejected | FollowEnd::Waits { .. } => {
            let why = match end {
                FollowEnd::Waits { why } => why.as_str(),
                FollowEnd::Rejected => {
                    draft.line.rejections = 0;
                    "others push to the remote branch, and what they push is not merged yet"
                }
                _ => {
                    "the base branch has commits of its own, which are merged when the queue goes on"
                }
            };
            let before = draft.line.behind.take();
            let tries = before.as_ref().map_or(0, |b| b.tries.saturating_add(1));
            if before.as_ref().is_none_or(|b| b.why != why) {
                draft.row(QueueCause::Waits, None, json!({ "why": why }));
            }
            let wait = backoff(draft.policy.follow_again, draft.policy.retry_max, tries);
            draft.line.behind = Some(Behind {
                why: why.to_owned(),
                again: draft.now.wall.plus(wait),
                tries,
            });
        }
    }
    draft.go_on()
}

/// An effect failed: again later, and after too many a person is asked.
fn failed(mut draft: Draft<'_>, stage: Stage, detail: &str, remedy: Option<&str>) -> Outcome {
    let failures = draft.line.effort.failures + 1;
    draft.row(
        QueueCause::Failed,
        None,
        json!({ "detail": detail, "failures": failures }),
    );
    if remedy.is_some() || failures >= draft.policy.max_failures {
        draft.line.effort = Effort::default();
        let tip = draft.line.tip.as_ref().map(|t| t.commit.clone());
        // What runs is stopped before anything else is tried.
        let clear = matches!(stage, Stage::Check { .. } | Stage::Clear);
        draft.block(Block::Trouble {
            detail: detail.to_owned(),
            remedy: remedy
                .unwrap_or("mend the cause, then `longhaul queue resume`")
                .to_owned(),
            tip,
        });
        if clear {
            draft.line.round += 1;
            draft.line.stage = Stage::Clear;
        }
        return draft.end();
    }
    let wait = backoff(
        draft.policy.retry_min,
        draft.policy.retry_max,
        failures.saturating_sub(1),
    );
    draft.line.effort = Effort {
        failures,
        not_before: Some(draft.now.wall.plus(wait)),
        detail: detail.to_owned(),
    };
    // A ref that may have moved is looked at again, never given up; the rest begins anew.
    draft.line.stage = match stage {
        Stage::Trial { batch } => {
            draft.line.groups.insert(0, batch);
            Stage::Rest
        }
        Stage::Follow => {
            let again = draft.now.wall.plus(wait);
            draft.line.behind = Some(Behind {
                why: detail.to_owned(),
                again,
                tries: 0,
            });
            Stage::Rest
        }
        other => other,
    };
    draft.end()
}
