//! The merge queue's word on a task: landed, sent back with the evidence, or for a person (L8–L12).

use serde_json::json;

use super::Outcome;
use super::draft::{Draft, plural};
use crate::ids::Fence;
use crate::ledger::{Actor, Cause};
use crate::policy::Policy;
use crate::queue::LandNews;
use crate::spec::Land;
use crate::task::{DoneBasis, Landed, NeedKind, RetryReason, State, Task};
use crate::time::Now;

/// Decides what news of a landing means. Only the entry of the current attempt is believed.
pub(super) fn decide(
    task: &Task,
    fence: Fence,
    news: &LandNews,
    now: Now,
    policy: &Policy,
) -> Outcome {
    if !matches!(task.state, State::Landing { .. }) || fence != task.fence {
        return Outcome::Ignore("it is not in the merge queue");
    }
    let mut draft = Draft::new(task, now);
    match news {
        LandNews::Landed {
            commit,
            tree,
            verified,
        } => {
            draft.task.carry.landed = Some(Landed {
                commit: commit.clone(),
                tree: tree.clone(),
            });
            draft.task.state = State::Done {
                basis: if *verified {
                    DoneBasis::Landed
                } else {
                    DoneBasis::LandedUnverified
                },
            };
            let data = json!({ "commit": commit, "tree": tree, "verified": verified });
            draft.change(Cause::Landed, Actor::Daemon, data)
        }
        LandNews::Proposed { commit, url } => {
            draft.task.carry.pull_request = Some(url.clone());
            draft.task.state = State::Done {
                basis: if task.terms.flaky_reruns.is_empty() {
                    DoneBasis::ProposedUnverified
                } else {
                    DoneBasis::Proposed
                },
            };
            let data = json!({ "commit": commit, "url": url });
            draft.change(Cause::Proposed, Actor::Daemon, data)
        }
        LandNews::Conflict { tip, report } => {
            let paths: Vec<&str> = report.paths.iter().map(|p| p.path.as_str()).collect();
            let detail = format!("conflicts with what has landed: {}", shown(&paths));
            // Its own session first, which knows why; then one that takes no side (L12).
            let neutral = task.tally.returns > 0;
            if neutral && task.tally.returns < policy.max_land_returns {
                draft.task.carry.conversation = None;
                draft.task.carry.conversation_usage = None;
            }
            let reason = RetryReason::LandConflict {
                tip: tip.clone(),
                report: report.clone(),
                neutral,
            };
            send_back(draft, reason, Cause::LandConflict, detail, policy)
        }
        LandNews::Red {
            check,
            command,
            commit,
            judgement,
        } => {
            let detail = format!("`{check}` fails on the merged tree: {}", judgement.reason);
            let reason = RetryReason::LandRed {
                check: check.clone(),
                command: command.clone(),
                commit: commit.clone(),
                verdict: judgement.reason.clone(),
                tail: judgement.tail.clone(),
            };
            send_back(draft, reason, Cause::LandRed, detail, policy)
        }
        LandNews::Refused { detail, remedy } => draft.need_because(
            NeedKind::Landing,
            match task.terms.land {
                Land::Pr => format!("no pull request: {detail}"),
                Land::Yes | Land::No => format!("it could not land: {detail}"),
            },
            remedy,
            Cause::LandRefused,
            json!({ "need": NeedKind::Landing.word(), "detail": detail }),
        ),
    }
}

/// Another attempt with the evidence, or a person after too many (L12).
fn send_back(
    mut draft: Draft,
    reason: RetryReason,
    cause: Cause,
    detail: String,
    policy: &Policy,
) -> Outcome {
    draft.task.carry.reason = Some(reason);
    let returns = draft.task.tally.returns;
    if returns >= policy.max_land_returns {
        let detail = format!(
            "{detail} (sent back {returns} time{} already)",
            plural(returns)
        );
        return draft.need_because(
            NeedKind::Landing,
            detail,
            "merge or mend it by hand, then `longhaul queue add`; or `retry --note TEXT`, `approve` (done without landing), `cancel`",
            cause,
            json!({ "need": NeedKind::Landing.word(), "returns": returns }),
        );
    }
    draft.task.tally.returns += 1;
    let data = json!({ "why": detail, "return": returns + 1, "of": policy.max_land_returns });
    draft.ready(None).change(cause, Actor::Daemon, data)
}

fn shown(paths: &[&str]) -> String {
    let first = paths.iter().take(3).copied().collect::<Vec<_>>().join(", ");
    match paths.len().saturating_sub(3) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}
