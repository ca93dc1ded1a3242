//! What a trial on objects came to (L8, L10, L12).

use serde_json::json;

use super::super::entry::{EntryId, WaitOn};
use super::super::fact::{LandNews, TrialEnd, TrialReport};
use super::super::line::{Outcome, QueueCause, Stage, Subject};
use super::Draft;
use super::verdict::checks_of;

pub(super) fn tried(mut draft: Draft<'_>, batch: &[EntryId], report: &TrialReport) -> Outcome {
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
