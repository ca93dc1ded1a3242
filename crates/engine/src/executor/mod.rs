//! Carries out effects in the world: each is an *ensure*, run on a thread of its own, whose results
//! come back as events. Decides nothing.

mod accounts;
mod bounds;
mod catch_up;
mod check;
mod desk;
mod env;
mod files;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod halt;
mod job;
mod judge;
mod leftovers;
mod overlap;
mod ports;
mod prepare;
mod propose;
mod queue;
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

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use longhaul_core::effect::{Act, Effect};
use longhaul_core::fact::News;
use longhaul_core::ids::{Fence, SpawnKey, TaskId};
use longhaul_core::task::{AssignStep, State};

use crate::event::Event;
use crate::machine::{Dispatch, LineDispatch};
use crate::runtime::Executor;

pub use accounts::{Accounts, Door, Guest, HomeFolder, NoAccounts};
pub use catch_up::BroughtUp;
pub use desk::{Desk, DeskParts, Dirs, Judge, JudgeKey, JudgeKind, Practice, PracticeOf, Profile};
pub use env::is_caller_variable;
pub use judge::{JUDGE_VERB, JudgeOrder, JudgeRefusal, JudgeRuling, VerdictFile, VerdictWord};
pub use overlap::OverlapWatch;
pub use prepare::BEFORE_FIRST;
pub use queue::{BaseWatch, Forecaster, undo_commit};
pub use removal::{Keeper, Plan, RemovalError, TeardownRecord, Word};
pub use session::find_program;
pub use tidy::{OldLogs, old_logs, prune_snapshots, reap_shims, remove_logs};

/// Stack of an effect's thread; only touched pages count. Deeply nested JSON of an agent needs some.
const STACK_BYTES: usize = 2 * 1024 * 1024;
/// Wait before an effect that came to no result is asked for again, in milliseconds.
const AGAIN_MS: u64 = 3_000;

/// Panics of one effect in a row after which a person is told.
const PATIENCE: u32 = 5;
/// Longest wait between two tries of an effect that panics, in milliseconds.
const BROKEN_AGAIN_MS: u64 = 60_000;
/// Most of a panic's message that is told.
const PANIC_CHARS: usize = 300;

/// The executor of the real world.
pub struct Workshop {
    desk: Arc<Desk>,
    at_work: Arc<Mutex<HashSet<Job>>>,
    /// Panics in a row.
    broken: Arc<Mutex<HashMap<Job, u32>>>,
    lines: queue::LineWork,
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
    Propose,
    Halt,
}

impl Workshop {
    /// An executor that works with these tools.
    #[must_use]
    pub fn new(desk: Arc<Desk>) -> Self {
        Self {
            desk,
            at_work: Arc::default(),
            broken: Arc::default(),
            lines: queue::LineWork::default(),
        }
    }
}

impl Executor for Workshop {
    fn ensure_line(&self, dispatch: LineDispatch) {
        self.lines.ensure(&self.desk, dispatch);
    }

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
        let broken = Arc::clone(&self.broken);
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
                let last_words = match done {
                    Ok(events) => {
                        lock(&broken).remove(&job);
                        events
                    }
                    Err(panic) => {
                        let times = {
                            let mut broken = lock(&broken);
                            let times = broken.entry(job.clone()).or_default();
                            *times = times.saturating_add(1);
                            *times
                        };
                        let events = after_panic(&dispatch, &message(&*panic), times, &|key| {
                            seal::end_leftovers(&desk, key)
                        });
                        if !matches!(events.as_slice(), [Event::Again { .. }]) {
                            lock(&broken).remove(&job);
                        }
                        events
                    }
                };
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
            Act::Propose => Self::Propose,
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
        Act::Propose => propose::propose(desk, dispatch),
        Act::Halt { .. } => halt::halt(desk, dispatch, busy),
    }
}

/// What follows when an effect's own code broke: it is tried again with growing waits, and in the end
/// a person is told (I16). `end` sees to it that nothing of a job lives any more.
fn after_panic(
    d: &Dispatch,
    message: &str,
    times: u32,
    end: &dyn Fn(&SpawnKey) -> Result<(), String>,
) -> Vec<Event> {
    tracing::error!(task = %d.effect.task, times, %message, "an effect broke");
    let wait = |why: &str| Event::Again {
        effect: d.effect.clone(),
        after_ms: (AGAIN_MS << times.min(6)).min(BROKEN_AGAIN_MS),
        why: why.to_owned(),
    };
    if times < PATIENCE {
        return vec![wait(&format!("it broke: {message}"))];
    }
    let (task, fence) = (d.effect.task, d.effect.fence);
    if d.effect.act == Act::Propose {
        let detail = format!("Longhaul itself broke here: {message}");
        return vec![propose::refused(
            &d.effect,
            detail,
            "look into the daemon's log",
        )];
    }
    let key = match &d.task.state {
        State::Assigned {
            step: AssignStep::Workspace,
        } => SpawnKey::setup(task, fence),
        State::Verifying { check, run, .. } => SpawnKey::check(task, fence, *check, *run),
        _ => SpawnKey::session(task, fence),
    };
    match catch_unwind(AssertUnwindSafe(|| end(&key))) {
        Ok(Ok(())) => {
            let detail = message.to_owned();
            vec![Event::news(task, fence, News::Broke { detail })]
        }
        Ok(Err(why)) => vec![wait(&why)],
        Err(_) => vec![wait("what is left of it cannot be ended")],
    }
}

/// A panic's message, fit to be shown.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    longhaul_agents::excerpt(
        &longhaul_agents::clean_text(text.unwrap_or("a panic without a message")),
        PANIC_CHARS,
    )
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

#[cfg(test)]
mod tests {
    use longhaul_core::spec::Priority;
    use longhaul_core::task::{Task, Terms};
    use longhaul_core::time::{SpanMs, UnixMs};

    use super::*;

    fn dispatch() -> Dispatch {
        let terms = Terms {
            priority: Priority::Normal,
            depends_on: vec![],
            repo: "/r".into(),
            exclusive_folder: None,
            harness: "script".into(),
            timeout: SpanMs(1),
            idle_timeout: SpanMs(1),
            max_retries: 0,
            max_restarts: 0,
            budget: None,
            budget_tokens: None,
            expect_change: true,
            on_drift: longhaul_core::spec::OnDrift::Ask,
            flaky_reruns: vec![],
            land: longhaul_core::spec::Land::No,
            variables: Vec::new(),
        };
        let mut task = Task::accept(TaskId::new(1, [1; 10]), "a".into(), terms, UnixMs(0));
        task.state = State::Assigned {
            step: AssignStep::Workspace,
        };
        let effect = longhaul_core::effect::outstanding(&task).expect("a workspace is wanted");
        Dispatch { effect, task }
    }

    #[test]
    fn i16_an_effect_that_panics_waits_longer_and_longer_and_then_tells_a_person() {
        let d = dispatch();
        let mut waits = Vec::new();
        for times in 1..PATIENCE {
            let events = after_panic(&d, "boom", times, &|_| panic!("too early"));
            let [Event::Again { after_ms, why, .. }] = events.as_slice() else {
                panic!("it is tried again: {events:?}");
            };
            assert!(why.contains("boom"));
            waits.push(*after_ms);
        }
        assert!(waits.is_sorted() && waits[0] < waits[waits.len() - 1]);
        // Not while something of it lives, or may live.
        let lives = |_: &SpawnKey| Err("still ending".to_owned());
        for end in [&lives as &dyn Fn(&SpawnKey) -> _, &|_| panic!("again")] {
            let events = after_panic(&d, "boom", PATIENCE, end);
            assert!(matches!(events.as_slice(), [Event::Again { .. }]));
        }
        let events = after_panic(&d, "boom", PATIENCE, &|key| {
            assert!(key.as_str().ends_with("-setup"));
            Ok(())
        });
        let [Event::Fact { fact, .. }] = events.as_slice() else {
            panic!("a person is told: {events:?}");
        };
        assert!(format!("{fact:?}").contains("Broke") && format!("{fact:?}").contains("boom"));
    }

    #[test]
    fn a_panics_message_is_found() {
        let said = |panic: Box<dyn Any + Send>| message(&*panic);
        assert_eq!(said(Box::new("a word")), "a word");
        assert_eq!(said(Box::new(format!("a {}", "string"))), "a string");
        assert_eq!(said(Box::new(7)), "a panic without a message");
    }
}
