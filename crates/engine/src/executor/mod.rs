//! Carries out effects in the world: each is an *ensure*, run on a thread of its own, whose results
//! come back as events. Decides nothing.

mod check;
mod desk;
mod env;
mod files;
mod halt;
mod job;
mod judge;
mod ports;
mod prepare;
mod record;
mod removal;
mod reviewer;
mod sandbox;
mod seal;
mod session;
mod shell;
mod sight;
mod tidy;
mod trouble;
mod vigil;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use longhaul_core::effect::{Act, Effect};
use longhaul_core::ids::{Fence, TaskId};

use crate::event::Event;
use crate::machine::Dispatch;
use crate::runtime::Executor;

pub use desk::{Desk, DeskParts, Dirs, Judge, JudgeKey, JudgeKind, Practice, PracticeOf, Profile};
pub use env::is_caller_variable;
pub use judge::{JUDGE_VERB, JudgeOrder, JudgeRuling, VerdictFile, VerdictWord};
pub use removal::{Keeper, Plan, RemovalError, TeardownRecord, Word};
pub use session::find_program;
pub use tidy::{prune_snapshots, reap_shims};

/// Stack of an effect's thread; only touched pages count. Deeply nested JSON of an agent needs some.
const STACK_BYTES: usize = 2 * 1024 * 1024;
/// Wait before an effect that came to no result is asked for again, in milliseconds.
const AGAIN_MS: u64 = 3_000;

/// The executor of the real world.
pub struct Workshop {
    desk: Arc<Desk>,
    at_work: Arc<Mutex<HashSet<Job>>>,
}

/// What is being done for whom; nothing is done twice at the same time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Job {
    task: TaskId,
    fence: Fence,
    kind: JobKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum JobKind {
    Prepare,
    Session,
    Seal,
    Check { check: u16, run: u16 },
    Halt,
}

impl Workshop {
    /// An executor that works with these tools.
    #[must_use]
    pub fn new(desk: Arc<Desk>) -> Self {
        Self {
            desk,
            at_work: Arc::default(),
        }
    }
}

impl Executor for Workshop {
    fn ensure(&self, dispatch: Dispatch) {
        let job = Job {
            task: dispatch.effect.task,
            fence: dispatch.effect.fence,
            kind: JobKind::of(&dispatch.effect.act),
        };
        if !lock(&self.at_work).insert(job.clone()) {
            return;
        }
        let name = format!("{}-{}", job.task.short(), job.fence);
        let (desk, at_work) = (Arc::clone(&self.desk), Arc::clone(&self.at_work));
        let (effect, own) = (dispatch.effect.clone(), job.clone());
        let spawned = std::thread::Builder::new()
            .name(name)
            .stack_size(STACK_BYTES)
            .spawn(move || {
                let busy = |kind: JobKind| {
                    lock(&at_work).contains(&Job {
                        kind,
                        ..job.clone()
                    })
                };
                let done = catch_unwind(AssertUnwindSafe(|| carry_out(&desk, &dispatch, &busy)));
                let last_words =
                    done.unwrap_or_else(|_| vec![again(&dispatch.effect, "its thread broke")]);
                // Out of the list first: what follows may be asked for at once.
                lock(&at_work).remove(&job);
                for event in last_words {
                    desk.tell(event);
                }
            });
        if let Err(error) = spawned {
            lock(&self.at_work).remove(&own);
            self.desk
                .tell(again(&effect, &format!("no thread: {error}")));
        }
    }
}

impl JobKind {
    const fn of(act: &Act) -> Self {
        match act {
            Act::PrepareWorkspace => Self::Prepare,
            Act::Launch | Act::Attend => Self::Session,
            Act::Seal => Self::Seal,
            Act::Check { check, run } => Self::Check {
                check: *check,
                run: *run,
            },
            Act::Halt { .. } => Self::Halt,
        }
    }
}

/// Carries an effect out and returns its last words.
fn carry_out(desk: &Desk, dispatch: &Dispatch, busy: &dyn Fn(JobKind) -> bool) -> Vec<Event> {
    match &dispatch.effect.act {
        Act::PrepareWorkspace => prepare::prepare(desk, dispatch),
        Act::Launch | Act::Attend => session::attend(desk, dispatch),
        Act::Seal => seal::seal(desk, dispatch),
        Act::Check { check, run } => check::check(desk, dispatch, *check, *run),
        Act::Halt { .. } => halt::halt(desk, dispatch, busy),
    }
}

/// Asks for the effect once more, later.
fn again(effect: &Effect, why: &str) -> Event {
    Event::Again {
        effect: effect.clone(),
        after_ms: AGAIN_MS,
        why: why.to_owned(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
