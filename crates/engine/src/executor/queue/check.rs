//! A check of a merged tree: in a slot that holds exactly that tree before and after, as a confined job
//! under a shim, or remembered from an earlier run on the same tree (L9, I9).

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_acts::files;
use longhaul_core::ids::SpawnKey;
use longhaul_core::queue::{Candidate, Judgement, LandCheck, Point, QueueNews, Stage, Subject};
use longhaul_hosts::BundleState;
use longhaul_vcs::{ErrorClass, IncludeLimits, Position, Repo, Slot, SlotPlan};

use super::super::desk::chain;
use super::super::job::{self, JobEnd};
use super::super::shell::{log_tail, outcome_words};
use super::super::{Desk, seal, tidy};
use super::{Fault, digest, oid, open, slot_job, tenant};
use crate::machine::LineDispatch;

/// Tail kept in the verdict.
const TAIL_BYTES: usize = 16 * 1024;

/// What is judged by what.
pub(super) struct Run<'a> {
    pub(super) check: &'a LandCheck,
    pub(super) point: &'a Point,
    pub(super) key: SpawnKey,
}

pub(super) fn check(
    desk: &Desk,
    d: &LineDispatch,
    (subject, check, run): (Subject, u16, u16),
) -> Result<QueueNews, Fault> {
    let Stage::Check { candidate, .. } = &d.line.stage else {
        return Err(Fault::unsettled("it is about something else by now"));
    };
    let point = point_of(candidate, subject);
    let wanted = candidate
        .checks
        .get(usize::from(check))
        .ok_or_else(|| Fault::failed("there is no such check"))?;
    let judged = |pass, cached, reason, tail, evidence| QueueNews::Judged {
        judgement: Box::new(Judgement {
            subject,
            check,
            run,
            pass,
            cached,
            reason,
            tail,
            evidence,
        }),
    };
    let work = Run {
        check: wanted,
        point,
        key: key(d, subject, check, run),
    };
    let bundle = desk.launcher.bundle(work.key.as_str());
    let bundle = bundle.map_err(|e| Fault::unsettled(&chain(&e)))?;
    let found = bundle.survey();
    let found = found.map_err(|e| Fault::unsettled(&chain(&e)))?;
    // A run that has begun is heard to its end, or it would live on in the slot under the next one.
    if matches!(found, BundleState::Absent | BundleState::NotStarted) {
        // Only what passed is remembered; what failed is always seen again.
        let known = desk
            .read(|r| r.tree_verdict(&point.tree, &wanted.key))
            .map_err(|error| Fault::unsettled(&format!("the verdicts cannot be read: {error}")))?;
        if let Some(known) = known {
            let j = known.judgement;
            return Ok(judged(true, true, j.reason, j.tail, j.evidence));
        }
    }
    let Some((pass, reason)) = run_in_slot(desk, d, &work, found)? else {
        return Ok(QueueNews::CheckLost {
            subject,
            check,
            run,
            detail: "its process was lost".to_owned(),
        });
    };
    let tail = log_tail(desk, &work.key, TAIL_BYTES);
    let evidence = Some(format!("jobs/{}", work.key));
    Ok(judged(pass, false, reason, tail, evidence))
}

/// Stops what the rounds before this one have running. While a check of them is at work it may start its
/// job yet, so this is asked for again until none is.
pub(super) fn clear(
    desk: &Desk,
    d: &LineDispatch,
    checking: &dyn Fn() -> bool,
) -> Result<QueueNews, Fault> {
    let checked = checking();
    let stem = stem(d);
    let jobs = desk.dirs.jobs();
    let names: Vec<String> = match std::fs::read_dir(&jobs) {
        Ok(found) => found
            .filter_map(|e| e.ok()?.file_name().into_string().ok())
            .filter(|name| name.starts_with(&stem))
            .collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(Fault::unsettled(&format!("cannot list {jobs}: {error}"))),
    };
    for name in names {
        let round = name[stem.len()..].split('-').next();
        let round = round.and_then(|n| n.parse::<u64>().ok());
        if round.is_some_and(|round| round < d.effect.round) {
            let key = SpawnKey::raw(name);
            seal::end_leftovers(desk, &key).map_err(|why| Fault::unsettled(&why))?;
        }
    }
    if checked {
        return Err(Fault::unsettled("a check of an earlier round is ending"));
    }
    Ok(QueueNews::Cleared)
}

/// Whether the check passed and why; `None` if its process was lost.
fn run_in_slot(
    desk: &Desk,
    d: &LineDispatch,
    work: &Run<'_>,
    found: BundleState,
) -> Result<Option<(bool, String)>, Fault> {
    let unsettled = |why: String| Fault::unsettled(&why);
    let repo = open(desk, d)?;
    let path = super::folder(desk, d).join("slot");
    let slot = match found {
        // It is at work there, or has been: what it left is looked at, not swept away.
        BundleState::Live(_) | BundleState::Starting | BundleState::Exited(_) => {
            let found = repo.worktree_at(path.as_std_path());
            let found = found.map_err(|e| Fault::failed(chain(&e)))?;
            Slot {
                worktree: found.ok_or_else(|| Fault::failed("the slot is gone"))?,
                tree: oid(&work.point.tree)?,
            }
        }
        BundleState::Lost(_) | BundleState::OtherBoot(_) => {
            seal::end_leftovers(desk, &work.key).map_err(unsettled)?;
            forget(desk, &work.key)?;
            return Ok(None);
        }
        BundleState::Absent | BundleState::NotStarted => {
            if let Some(parent) = path.parent() {
                files::create_dir_all("engine.queue.folder", parent)
                    .map_err(|e| Fault::failed(format!("cannot make {parent}: {e}")))?;
            }
            tenant::take(desk, d, &stem(d), &work.key)?;
            prepare(&repo, &path, work)?
        }
    };
    let job = slot_job::of(desk, work, &path)?;
    let end = job::run(desk, &job, Duration::from_millis(work.check.timeout.0));
    let (pass, reason) = match end {
        JobEnd::Exited(record) if record.stop_requested => {
            forget(desk, &work.key)?;
            return Ok(None);
        }
        JobEnd::Exited(record) => (record.is_zero(), outcome_words(&record.outcome)),
        JobEnd::TimedOut(_) => (false, format!("took longer than {}", work.check.timeout)),
        JobEnd::Lost | JobEnd::OtherBoot => {
            forget(desk, &work.key)?;
            return Ok(None);
        }
        JobEnd::Impossible(why) => (false, why),
        JobEnd::Unsettled(why) => return Err(unsettled(why)),
    };
    tidy::forget_temp(desk, &work.key);
    // A check that changes what it judges proves nothing (T9, I13).
    let differs = repo.slot_changes(&slot);
    let differs = differs.map_err(|e| Fault::failed(chain(&e)))?;
    Ok(Some(if differs.paths.is_empty() {
        (pass, reason)
    } else {
        let changed = differs.summary(3);
        (
            false,
            format!("{reason}; the check changed files: {changed}"),
        )
    }))
}

/// A slot with exactly the tree in it.
fn prepare(repo: &Repo, path: &Utf8Path, work: &Run<'_>) -> Result<Slot, Fault> {
    let commit = oid(&work.point.commit)?;
    let plan = SlotPlan {
        path: path.as_std_path().to_owned(),
        at: Position {
            commit: commit.clone(),
            tree: oid(&work.point.tree)?,
        },
        keep: None,
        lock_reason: "longhaul merge queue".to_owned(),
    };
    let slot = repo.prepare_slot(&plan).map_err(|error| Fault {
        remedy: (error.class() == ErrorClass::Permanent)
            .then(|| format!("look at {path}, then `longhaul queue resume`")),
        ..Fault::failed(chain(&error))
    })?;
    let placed = repo
        .place_included(&slot.worktree, &commit, IncludeLimits::default())
        .map_err(|e| Fault::failed(chain(&e)))?;
    if !placed.not_placed.is_empty() || placed.over_limit {
        let n = placed.not_placed.len();
        tracing::warn!(
            not_placed = n,
            over_limit = placed.over_limit,
            "`.worktreeinclude` for a check of the queue"
        );
    }
    Ok(slot)
}

/// What is left of a run that gave no verdict goes: the same run begins anew.
fn forget(desk: &Desk, key: &SpawnKey) -> Result<(), Fault> {
    let folder: Utf8PathBuf = desk.dirs.jobs().join(key.as_str());
    match files::remove_dir_all("engine.queue.forget", &folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Fault::unsettled(
            &format!("cannot remove {folder}: {error}"),
        )),
        _ => Ok(()),
    }
}

/// What the keys of a line's checks begin with.
fn stem(d: &LineDispatch) -> String {
    format!("queue-{}-", digest(&d.effect.line))
}

fn key(d: &LineDispatch, subject: Subject, check: u16, run: u16) -> SpawnKey {
    let subject = match subject {
        Subject::Candidate => "merged",
        Subject::Parent => "below",
    };
    let round = d.effect.round;
    SpawnKey::raw(format!("{}{round}-{subject}{check}-{run}", stem(d)))
}

const fn point_of(candidate: &Candidate, subject: Subject) -> &Point {
    match subject {
        Subject::Candidate => &candidate.point,
        Subject::Parent => &candidate.onto,
    }
}
