//! A trial: the batch merged on objects, on what has landed (L8, L11, L21).

use longhaul_core::ids::TaskId;
use longhaul_core::queue::{
    Candidate, ConflictReport, Entry, EntryId, QueueCause, QueueNews, TrialEnd, TrialReport,
};
use longhaul_vcs::{EntryEnd, Oid, Repo, TrialEntry, TrialRequest};

use super::super::Desk;
use super::{Fault, digest, oid, open, point};
use crate::machine::LineDispatch;

/// Newest rows of the queue's ledger that are searched for the other side of a conflict.
const LOOK_BACK: usize = 200;
/// Most entries that are named as the other side.
const OTHERS: usize = 3;

/// An entry of the batch with what its trial needs.
struct Candidacy<'a> {
    entry: &'a Entry,
    /// Its dependencies that have not landed: the commit and, for people, the name.
    unlanded: Vec<(Oid, String)>,
}

pub(super) fn trial(desk: &Desk, d: &LineDispatch, batch: &[EntryId]) -> Result<QueueNews, Fault> {
    let repo = open(desk, d)?;
    let mut ends: Vec<(EntryId, TrialEnd)> = Vec::new();
    let mut tried = Vec::new();
    for entry in batch.iter().filter_map(|id| d.line.entry(*id)) {
        match entry.commit.parse() {
            Ok(commit) => {
                let unlanded = unlanded(desk, entry)?;
                let request = TrialEntry {
                    commit,
                    style: entry.style,
                    task: entry.task().map(|task| task.to_string()),
                    unlanded: unlanded.iter().map(|(c, _)| c.clone()).collect(),
                };
                tried.push((Candidacy { entry, unlanded }, request));
            }
            Err(_) => ends.push((entry.id, gone("it has no commit"))),
        }
    }
    let (candidacies, entries): (Vec<Candidacy<'_>>, Vec<TrialEntry>) = tried.into_iter().unzip();
    let request = TrialRequest {
        pin: digest(&d.effect.line),
        entries,
        date: u64::try_from(desk.now().0 / 1000).unwrap_or(0),
        sign: desk
            .practice_or_own(d.effect.line.repo.as_str().into())
            .sign,
        message: &|positions: &[usize]| message(&candidacies, positions, &d.effect.line.base),
    };
    let made = longhaul_acts::around("engine.queue.trial", || {
        repo.queue(&d.effect.line.base).trial(&request)
    })
    .map_err(Fault::of)?;
    for (c, end) in candidacies.iter().zip(&made.ends) {
        let with = |position: &usize| candidacies.get(*position).map(|c| c.entry.id);
        let end = match end {
            EntryEnd::Merged => TrialEnd::Merged,
            EntryEnd::Contained => TrialEnd::Contained,
            EntryEnd::Left => TrialEnd::Left,
            EntryEnd::Conflict(report) => TrialEnd::Conflict {
                report: with_others(desk, d, &repo, c.entry, report),
            },
            EntryEnd::Overlaps {
                with: position,
                report,
            } => match with(position) {
                Some(with) => TrialEnd::Overlaps {
                    with,
                    report: (**report).clone(),
                },
                None => TrialEnd::Left,
            },
            EntryEnd::Unlanded { dependency } => TrialEnd::Unlanded {
                dependency: c
                    .unlanded
                    .get(*dependency)
                    .map_or_else(String::new, |(_, name)| name.clone()),
            },
            EntryEnd::Gone => gone("its commit does not exist any more"),
            EntryEnd::Refused { detail } => gone(detail),
        };
        ends.push((c.entry.id, end));
    }
    let tip = point(&made.tip);
    let candidate = made.candidate.map(|made| Candidate {
        point: point(&made.at),
        onto: tip.clone(),
        entries: made
            .entries
            .iter()
            .filter_map(|position| candidacies.get(*position).map(|c| c.entry.id))
            .collect(),
        checks: Vec::new(),
        flaky: Vec::new(),
        red: None,
    });
    Ok(QueueNews::Tried {
        report: Box::new(TrialReport {
            tip,
            ends,
            candidate,
        }),
    })
}

fn gone(detail: &str) -> TrialEnd {
    TrialEnd::Gone {
        detail: detail.to_owned(),
    }
}

/// The message of a candidate, without trailers.
fn message(all: &[Candidacy<'_>], positions: &[usize], base: &str) -> String {
    let titles: Vec<&str> = positions
        .iter()
        .filter_map(|p| all.get(*p).map(|c| c.entry.title.as_str()))
        .collect();
    match titles.as_slice() {
        [] => format!("Merge {base} with what has landed"),
        [one] => format!("Land {one}"),
        many => {
            let list: Vec<String> = many.iter().map(|title| format!("- {title}")).collect();
            format!("Land {} branches\n\n{}", many.len(), list.join("\n"))
        }
    }
}

/// The commits of an entry's dependencies that have not landed (L21).
fn unlanded(desk: &Desk, entry: &Entry) -> Result<Vec<(Oid, String)>, Fault> {
    let Some(task) = entry.task() else {
        return Ok(Vec::new());
    };
    let read = |id: TaskId| {
        desk.read(|r| r.task(id))
            .map_err(|error| Fault::unsettled(&format!("a task cannot be read: {error}")))
    };
    let Some(own) = read(task)? else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for id in &own.task.terms.depends_on {
        let Some(dep) = read(*id)?.map(|d| d.task) else {
            continue;
        };
        if dep.terms.repo != own.task.terms.repo || dep.carry.landed.is_some() {
            continue;
        }
        let sealed = dep.attempt.as_ref().and_then(|a| a.sealed.as_ref());
        let start = dep.carry.workspace.as_ref().map(|w| w.start.as_str());
        // One that changed nothing has nothing of its own to hold back.
        if let Some(sealed) =
            sealed.filter(|s| !s.commit.is_empty() && Some(s.commit.as_str()) != start)
        {
            found.push((oid(&sealed.commit)?, dep.name.clone()));
        }
    }
    Ok(found)
}

/// The report with those on the other side: landed entries that touched the same paths and are not in the
/// entry's own history. What cannot be read is left out: it only helps whoever resolves it.
fn with_others(
    desk: &Desk,
    d: &LineDispatch,
    repo: &Repo,
    entry: &Entry,
    report: &ConflictReport,
) -> ConflictReport {
    let mut report = report.clone();
    let rows = desk
        .read(|r| r.queue_tail(&d.effect.line, LOOK_BACK))
        .unwrap_or_default();
    let landed = rows
        .iter()
        .rev()
        .filter(|r| r.row.cause == QueueCause::Landed);
    for row in landed {
        if report.others.len() >= OTHERS {
            break;
        }
        let text = |name: &str| row.row.data.get(name).and_then(serde_json::Value::as_str);
        let (Some(title), Some(commit), Some(onto)) = (text("title"), text("commit"), text("onto"))
        else {
            continue;
        };
        let (Ok(commit), Ok(onto), Ok(own)) = (commit.parse(), onto.parse(), entry.commit.parse())
        else {
            continue;
        };
        if repo.is_ancestor(&commit, &own).unwrap_or(true) {
            // Whatever landed before is in it too.
            break;
        }
        let Ok(changes) = repo.changes(&onto, &commit) else {
            continue;
        };
        let touches = |path: &str| changes.paths.iter().any(|c| c.path.to_string() == path);
        if report.paths.iter().any(|p| touches(&p.path)) {
            let intent = row.row.entry.and_then(|id| intent(desk, id));
            report.others.push(match intent {
                Some(intent) => format!("{title} ({}): {intent}", commit.short()),
                None => format!("{title} ({})", commit.short()),
            });
        }
    }
    report
}

/// The first line of what a landed task was asked for.
fn intent(desk: &Desk, id: EntryId) -> Option<String> {
    let spec = desk
        .read(|r| r.spec(TaskId::from_uuid(id.0)))
        .ok()
        .flatten()?;
    let line = spec.prompt.lines().find(|l| !l.trim().is_empty())?;
    Some(longhaul_agents::excerpt(line, 200))
}
