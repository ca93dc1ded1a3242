//! The ends of a round: landed, the base branch that follows, and what could not be done (L8, L14, L16, L18).

use serde_json::json;

use super::super::fact::{FollowEnd, LandNews};
use super::super::line::{Behind, Block, Candidate, Effort, Outcome, QueueCause, Stage};
use super::Draft;
use crate::policy::backoff;

/// Pushes rejected in a row after which the next one waits, as any that fails does.
const MAX_REJECTIONS: u32 = 5;

pub(super) fn landed(mut draft: Draft<'_>, candidate: &Candidate) -> Outcome {
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

pub(super) fn followed(mut draft: Draft<'_>, end: &FollowEnd, pushed: Option<&str>) -> Outcome {
    draft.line.advance = false;
    if let Some(to) = pushed {
        draft.row(QueueCause::Pushed, None, json!({ "to": to }));
    }
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
pub(super) fn failed(
    mut draft: Draft<'_>,
    stage: Stage,
    detail: &str,
    remedy: Option<&str>,
) -> Outcome {
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
