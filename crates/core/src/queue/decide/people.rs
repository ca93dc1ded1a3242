//! What comes from outside a round: entries, words of people, time, a base that moved.

use serde_json::json;

use super::super::entry::{Entry, EntryId, Origin};
use super::super::fact::{LandNews, QueueOrder, ToTask};
use super::super::line::{Block, Effort, Outcome, QueueCause, Stage};
use super::Draft;
use crate::ledger::Actor;

pub(super) fn enter(mut draft: Draft<'_>, entry: &Entry) -> Outcome {
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

pub(super) fn withdraw(mut draft: Draft<'_>, id: EntryId, why: &str, actor: Actor) -> Outcome {
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

pub(super) fn ordered(mut draft: Draft<'_>, order: &QueueOrder) -> Outcome {
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
                            remedy:
                                "`longhaul queue add` puts it back; or `approve`, `retry`, `cancel`"
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

pub(super) fn tick(draft: Draft<'_>) -> Outcome {
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
pub(super) fn estop(mut draft: Draft<'_>) -> Outcome {
    if !matches!(draft.line.stage, Stage::Check { .. }) {
        return Outcome::Ignore("nothing of it runs");
    }
    draft.abandon("estop");
    draft.end()
}

pub(super) fn base_moved(mut draft: Draft<'_>) -> Outcome {
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
