//! Effects of the merge queue's lines: trials and landings on objects, checks of merged trees, the base
//! branch that follows. Each is an *ensure* keyed by (line, round).

mod check;
mod follow;
mod forecast;
mod slot_job;
mod tenant;
mod trial;
mod undo;
mod watch;

use std::any::Any;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_core::queue::{
    LineId, Point, QueueAct, QueueEffect, QueueFact, QueueNews, Stage, Subject,
};
use longhaul_vcs::{ErrorClass, LandEnd, Oid, OpenError, Position, QueueError, Repo};
use sha2::{Digest, Sha256};

use super::desk::chain;
use super::{AGAIN_MS, Desk, STACK_BYTES, lock, message};
use crate::event::Event;
use crate::machine::LineDispatch;

pub use forecast::Forecaster;
pub use undo::undo_commit;
pub use watch::BaseWatch;

/// What is being done for a line; nothing is done twice at the same time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Job {
    line: LineId,
    round: u64,
    kind: JobKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum JobKind {
    Trial,
    Check {
        subject: Subject,
        check: u16,
        run: u16,
    },
    Land,
    Follow,
    Clear,
}

impl JobKind {
    const fn of(act: &QueueAct) -> Self {
        match act {
            QueueAct::Trial { .. } => Self::Trial,
            QueueAct::Check {
                subject,
                check,
                run,
            } => Self::Check {
                subject: *subject,
                check: *check,
                run: *run,
            },
            QueueAct::Land => Self::Land,
            QueueAct::Follow => Self::Follow,
            QueueAct::Clear => Self::Clear,
        }
    }
}

/// Works for lines, an effect a thread.
#[derive(Default)]
pub(super) struct LineWork {
    at_work: Arc<Mutex<HashSet<Job>>>,
}

impl LineWork {
    pub(super) fn ensure(&self, desk: &Arc<Desk>, dispatch: LineDispatch) {
        let job = Job {
            line: dispatch.effect.line.clone(),
            round: dispatch.effect.round,
            kind: JobKind::of(&dispatch.effect.act),
        };
        if !lock(&self.at_work).insert(job.clone()) {
            return;
        }
        let (at_work, shop) = (Arc::clone(&self.at_work), Arc::clone(desk));
        let (own, effect) = (job.clone(), dispatch.effect.clone());
        let spawned = std::thread::Builder::new()
            .name(format!("queue-{}", job.round))
            .stack_size(STACK_BYTES)
            .spawn(move || {
                let checking = || checks_before(&at_work, &dispatch);
                let done =
                    catch_unwind(AssertUnwindSafe(|| carry_out(&shop, &dispatch, &checking)));
                let event = match done {
                    Ok(event) => event,
                    Err(panic) => broke(&dispatch, &*panic),
                };
                // Out of the list first: what follows may be asked for at once.
                lock(&at_work).remove(&job);
                shop.tell(event);
            });
        if let Err(error) = spawned {
            lock(&self.at_work).remove(&own);
            desk.tell(again(&effect, &format!("no thread: {error}")));
        }
    }
}

/// Longhaul's own code broke: counted as a failure of the effect, so that it is tried again with growing
/// waits, and in the end a person is told (I16).
fn broke(d: &LineDispatch, panic: &(dyn Any + Send)) -> Event {
    let detail = format!("Longhaul itself broke here: {}", message(panic));
    tracing::error!(line = %d.effect.line, %detail, "an effect of the queue broke");
    news(
        d,
        QueueNews::Failed {
            detail,
            remedy: None,
        },
    )
}

/// Whether a check of a round before is at work for this line: it may be about to start its job.
fn checks_before(at_work: &Mutex<HashSet<Job>>, d: &LineDispatch) -> bool {
    lock(at_work).iter().any(|job| {
        job.line == d.effect.line
            && job.round < d.effect.round
            && matches!(job.kind, JobKind::Check { .. })
    })
}

fn carry_out(desk: &Desk, d: &LineDispatch, checking: &dyn Fn() -> bool) -> Event {
    let done = match &d.effect.act {
        QueueAct::Trial { batch } => trial::trial(desk, d, batch),
        QueueAct::Land => land(desk, d),
        QueueAct::Check {
            subject,
            check,
            run,
        } => check::check(desk, d, (*subject, *check, *run)),
        QueueAct::Follow => follow::follow(desk, d),
        QueueAct::Clear => check::clear(desk, d, checking),
    };
    match done {
        Ok(said) => news(d, said),
        Err(fault) if fault.unsettled => again(&d.effect, &fault.detail),
        Err(fault) => news(
            d,
            QueueNews::Failed {
                detail: fault.detail,
                remedy: fault.remedy,
            },
        ),
    }
}

/// Moves the integration ref to the candidate, or finds that done (L8, L18).
fn land(desk: &Desk, d: &LineDispatch) -> Result<QueueNews, Fault> {
    let Stage::Land { candidate } = &d.line.stage else {
        return Err(Fault::unsettled("it is about something else by now"));
    };
    let repo = open(desk, d)?;
    let queue = repo.queue(&d.effect.line.base);
    let at = Position {
        commit: oid(&candidate.point.commit)?,
        tree: oid(&candidate.point.tree)?,
    };
    let end = longhaul_acts::around("engine.queue.land", || {
        queue
            .land(&at, &oid(&candidate.onto.commit)?)
            .map_err(Fault::of)
    })?;
    match end {
        LandEnd::Landed => Ok(QueueNews::Landed),
        LandEnd::Moved { now: Some(now) } => Ok(QueueNews::Moved { now: point(&now) }),
        LandEnd::Moved { now: None } => {
            // Somebody deleted it: the next trial makes it again, from base.
            let (tip, _) = queue.bring_up().map_err(Fault::of)?;
            Ok(QueueNews::Moved { now: point(&tip) })
        }
    }
}

/// Why an effect was not done.
struct Fault {
    detail: String,
    /// What a person can do, where only a person can help.
    remedy: Option<String>,
    /// Nobody knows yet: ask again, and count nothing.
    unsettled: bool,
}

impl Fault {
    fn unsettled(detail: &str) -> Self {
        Self {
            detail: detail.to_owned(),
            remedy: None,
            unsettled: true,
        }
    }

    fn failed(detail: impl Into<String>) -> Self {
        Self {
            detail: detail.into(),
            remedy: None,
            unsettled: false,
        }
    }

    fn of(error: QueueError) -> Self {
        Self {
            remedy: error.remedy(),
            ..Self::failed(chain(&error))
        }
    }
}

fn open(desk: &Desk, d: &LineDispatch) -> Result<Repo, Fault> {
    let path = Utf8Path::new(&d.effect.line.repo);
    desk.repo(path).map_err(|error: OpenError| Fault {
        remedy: (error.class() == ErrorClass::Permanent).then(|| error.remedy()),
        ..Fault::failed(chain(&error))
    })
}

fn oid(text: &str) -> Result<Oid, Fault> {
    text.parse()
        .map_err(|_| Fault::failed(format!("{text:?} is no commit")))
}

fn point(position: &Position) -> Point {
    Point {
        commit: position.commit.to_string(),
        tree: position.tree.to_string(),
    }
}

fn news(d: &LineDispatch, news: QueueNews) -> Event {
    Event::Line {
        line: d.effect.line.clone(),
        fact: QueueFact::Round {
            round: d.effect.round,
            news,
        },
    }
}

fn again(effect: &QueueEffect, why: &str) -> Event {
    Event::LineAgain {
        effect: effect.clone(),
        after_ms: AGAIN_MS,
        why: why.to_owned(),
    }
}

/// The queue's own folder for a line: its slot, and what it is about to do to a checkout.
fn folder(desk: &Desk, d: &LineDispatch) -> Utf8PathBuf {
    desk.dirs.state.join("queue").join(digest(&d.effect.line))
}

/// Names a line in refs, folders and keys: sixteen hexadecimal digits.
fn digest(line: &LineId) -> String {
    let digest = Sha256::digest(format!("{}\0{}", line.repo, line.base).as_bytes());
    digest[..8].iter().map(|b| format!("{b:02x}")).collect()
}
