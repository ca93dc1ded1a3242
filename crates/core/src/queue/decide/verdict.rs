//! Verdicts on a candidate: what passed lands, the guilty one goes back, nobody is guilty by association (L9, L11).

use serde_json::json;

use super::super::entry::{LandCheck, Wait, WaitOn};
use super::super::fact::{Judgement, LandNews};
use super::super::line::{Block, Candidate, Line, Outcome, QueueCause, Stage, Subject};
use super::Draft;
use super::outcome::failed;
use crate::ledger::Actor;

/// Every entry's checks must pass on the merged tree; the same check counts once. A merge of what the
/// user committed on base has the last candidate's.
pub(super) fn checks_of(line: &Line, candidate: &Candidate) -> Vec<LandCheck> {
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

pub(super) fn judged(mut draft: Draft<'_>, mut candidate: Candidate, j: &Judgement) -> Outcome {
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
pub(super) fn is_its_own(line: &Line, candidate: &Candidate, check: &LandCheck) -> bool {
    let mut others = line
        .entries
        .iter()
        .filter(|e| !candidate.entries.contains(&e.id));
    !candidate.entries.is_empty() && !others.any(|e| e.checks.iter().any(|c| c.key == check.key))
}

/// The candidate was red twice and what it stands on is green.
pub(super) fn guilty(mut draft: Draft<'_>, candidate: &Candidate, check: &LandCheck) -> Outcome {
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

pub(super) fn check_lost(
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
