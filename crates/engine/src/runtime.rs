//! The dispatcher's thread: waits for events, lets the machine step, hands out what follows.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use longhaul_store::{Store, Upkeep};

use crate::clock::Clock;
use crate::event::Event;
use crate::handle::EngineHandle;
use crate::machine::{Asking, Dispatch, LineDispatch, Machine, Step};

/// Most events taken into one commit: all that came while the last one was flushed share the next, and
/// the more there are, the fewer pages each of them costs. Bounds how long a step takes (I16).
const BATCH: usize = 4_096;
/// Longest sleep: bounds how late a jump of the wall clock is noticed (T21).
const LONGEST_WAIT: Duration = Duration::from_secs(15);
/// Wait before a failed commit is tried again.
const STORE_RETRY: Duration = Duration::from_millis(500);
/// Quiet time after which housekeeping may run.
const IDLE_AFTER: Duration = Duration::from_secs(2);

/// Carries out effects. `ensure` returns at once; what comes of it arrives as events.
pub trait Executor: Send + Sync {
    /// Sees to it that the effect happens, once, however often it is asked for.
    fn ensure(&self, dispatch: Dispatch);
    /// The same for an effect of a line of the merge queue.
    fn ensure_line(&self, dispatch: LineDispatch);
}

/// Is told what others want to hear of, from the dispatcher's thread after a commit; must not block.
pub trait Listener: Send {
    /// The ledger grew up to this sequence number.
    fn advanced(&self, _seq: u64) {}
    /// These tasks need a person now.
    fn needs_person(&self, _tasks: &[Asking]) {}
    /// Work runs (`true`), or nothing does any more (T22).
    fn working(&self, _yes: bool) {}
    /// The store cannot write (`Some`), or can again (`None`).
    fn store_trouble(&self, _why: Option<&str>) {}
}

/// Listens to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nobody;

impl Listener for Nobody {}

/// A handle that feeds the dispatcher through its channel.
pub fn handle(events: &Sender<Event>) -> EngineHandle {
    let events = std::sync::Mutex::new(events.clone());
    EngineHandle::new(move |request| {
        events
            .lock()
            .is_ok_and(|tx| tx.send(Event::Request(request)).is_ok())
    })
}

/// Runs the dispatcher until it is told to stop. Sessions go on without it.
pub fn run<S: Store>(
    mut machine: Machine<S>,
    events: &Receiver<Event>,
    executor: &Arc<dyn Executor>,
    clock: &dyn Clock,
    listener: &dyn Listener,
) {
    for dispatch in machine.recover() {
        longhaul_acts::around("engine.recover", || executor.ensure(dispatch));
    }
    for dispatch in machine.recover_lines() {
        longhaul_acts::around("engine.line.recover", || executor.ensure_line(dispatch));
    }
    let mut troubled = false;
    let mut working = false;
    let mut upkeep = Upkeep::More;
    let mut batch = vec![Event::Tick];
    loop {
        let step = machine.step(std::mem::take(&mut batch), clock.now());
        if step.advanced.is_some() {
            upkeep = Upkeep::More;
        }
        if !act(step, executor, listener, &mut troubled) {
            return;
        }
        if machine.has_work() != working {
            working = !working;
            listener.working(working);
        }
        let wait = if machine.has_backlog() {
            STORE_RETRY
        } else {
            let wait = wait(&machine, clock);
            if upkeep == Upkeep::More {
                wait.min(IDLE_AFTER)
            } else {
                wait
            }
        };
        match events.recv_timeout(wait) {
            Ok(event) => batch.push(event),
            Err(RecvTimeoutError::Timeout) => {
                if wait == IDLE_AFTER && upkeep == Upkeep::More {
                    upkeep = machine.store_mut().idle().unwrap_or_else(|error| {
                        tracing::warn!(%error, "housekeeping of the database failed");
                        Upkeep::Done
                    });
                }
                batch.push(Event::Tick);
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
        batch.extend(events.try_iter().take(BATCH - 1));
    }
}

/// Hands out a step's results; false if the dispatcher is to end.
fn act(
    step: Step,
    executor: &Arc<dyn Executor>,
    listener: &dyn Listener,
    troubled: &mut bool,
) -> bool {
    match (&step.store_trouble, *troubled) {
        (Some(why), false) => {
            // Said once: the log may well be on the disk that is full.
            tracing::error!(%why, "the database cannot be written");
            listener.store_trouble(Some(why));
            *troubled = true;
        }
        (None, true) if step.advanced.is_some() => {
            listener.store_trouble(None);
            *troubled = false;
        }
        _ => {}
    }
    for dispatch in step.effects {
        longhaul_acts::around("engine.effect", || executor.ensure(dispatch));
    }
    for dispatch in step.lines {
        longhaul_acts::around("engine.line.effect", || executor.ensure_line(dispatch));
    }
    for answer in step.replies {
        longhaul_acts::around("engine.answer", || (answer.to)(answer.reply));
    }
    if let Some(seq) = step.advanced {
        listener.advanced(seq);
    }
    if !step.needs.is_empty() {
        listener.needs_person(&step.needs);
    }
    !step.shutdown
}

/// Until the next timer.
fn wait<S: Store>(machine: &Machine<S>, clock: &dyn Clock) -> Duration {
    let now = clock.now();
    let due = machine
        .next_due()
        .map(|at| at.since(now.wall).as_duration());
    let again = machine
        .next_again()
        .map(|ms| Duration::from_millis(ms.saturating_sub(now.mono_ms)));
    [due, again]
        .into_iter()
        .flatten()
        .min()
        .map_or(LONGEST_WAIT, |d| {
            d.clamp(Duration::from_millis(1), LONGEST_WAIT)
        })
}
