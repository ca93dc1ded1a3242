//! Following work until it can go no further without a person: redrawn in place on a terminal, plain
//! lines elsewhere. Ctrl-C leaves; the work goes on. Level-triggered: what is drawn is always asked
//! for anew, events are only hints that it changed.

pub(crate) mod plain;
pub(crate) mod screen;
pub(crate) mod transcript;

use std::collections::BTreeSet;
use std::time::Duration;

use longhaul_api::{Bucket, EventView, ExitCode, SubmissionView, TaskState};
use longhaul_core::ids::TaskId;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use uuid::Uuid;

use crate::client::{Client, ClientError, Events, Wire};
use crate::context::Context;
use crate::failure::Failure;
use screen::Screen;

/// Time between two redraws without news: elapsed times move.
const TICK: Duration = Duration::from_secs(1);
/// News that comes in a burst is drawn together.
const SETTLE: Duration = Duration::from_millis(80);
/// Daemons that may vanish under one follow before it gives up.
const MAX_DAEMONS: u32 = 10;

/// Ctrl-C and SIGTERM, remembered from the moment this is made.
#[derive(Debug)]
pub(crate) struct Interrupt {
    int: Signal,
    term: Signal,
}

impl Interrupt {
    /// Takes both signals over; must be called inside a runtime.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn new() -> Result<Self, Failure> {
        let take =
            |kind| signal(kind).map_err(|e| Failure::new("cannot watch for Ctrl-C").because(e));
        Ok(Self {
            int: take(SignalKind::interrupt())?,
            term: take(SignalKind::terminate())?,
        })
    }

    /// Returns at the first of either. Cancel safe: a signal that came is not forgotten.
    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            _ = self.int.recv() => {}
            _ = self.term.recv() => {}
        }
    }
}

/// From here on Ctrl-C no longer ends the process by itself: what has to be taken down first is taken
/// down by whoever follows. One that comes before there is anything to follow is not heard.
///
/// # Errors
/// The system refuses.
pub(crate) fn shield() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new("cannot set up input and output").because(e))?;
    // The handlers stay when this goes: tokio never gives a signal back.
    runtime.block_on(async { Interrupt::new() }).map(drop)
}

/// How a follow ended.
#[derive(Debug)]
pub(crate) enum End {
    /// Nothing in it moves without a person.
    Settled(SubmissionView),
    /// Ctrl-C.
    Detached,
}

/// How a follow shows what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    /// On a terminal redrawn in place, elsewhere plain lines. Ctrl-C leaves.
    Progress,
    /// The same for what ends with its follow (`demo`, `--rehearse`).
    Bound,
    /// Nothing: only the end counts.
    Nothing,
}

/// Events that come from now on, to be opened before tasks are handed in so that none is missed.
///
/// # Errors
/// The daemon does not answer.
pub(crate) fn listen(client: &Client) -> Result<Events, Failure> {
    Ok(client.block_on(client.wire().events(None))?)
}

/// Follows a submission to its end. `notes` are said beside it as they come. A daemon that goes away
/// is started again: its work is not lost by that, and neither is the follow.
///
/// # Errors
/// No daemon can be started any more.
pub(crate) fn submission(
    context: &Context,
    client: Client,
    id: Uuid,
    events: Events,
    show: Show,
    mut notes: Option<UnboundedReceiver<String>>,
) -> Result<End, Failure> {
    let mut client = client;
    let mut events = Some(events);
    let mut view = View::new(context, show);
    for _ in 0..MAX_DAEMONS {
        let step = {
            let wire = client.wire();
            client.block_on(follow(&wire, id, events.take(), &mut view, &mut notes))?
        };
        match step {
            Step::Settled(last) => {
                view.leave()?;
                return Ok(End::Settled(last));
            }
            Step::Interrupted => {
                view.leave()?;
                return Ok(End::Detached);
            }
            Step::Lost => {
                view.note("the daemon went away; the sessions go on without it")?;
                client = context.daemon()?;
            }
        }
    }
    Err(Failure::of(
        ExitCode::Unavailable,
        format!("the daemon went away {MAX_DAEMONS} times"),
    )
    .help(format!("its log is {}", context.paths().daemon_log())))
}

enum Step {
    Settled(SubmissionView),
    Interrupted,
    Lost,
}

async fn follow(
    wire: &Wire,
    id: Uuid,
    events: Option<Events>,
    view: &mut View<'_>,
    notes: &mut Option<UnboundedReceiver<String>>,
) -> Result<Step, Failure> {
    let mut interrupt = Interrupt::new()?;
    let mut events = match events {
        Some(events) => events,
        None => match wire.events(view.last_seq).await {
            Ok(events) => events,
            Err(ClientError::Http(_)) => return Ok(Step::Lost),
            Err(e) => return Err(e.into()),
        },
    };
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut look_at = Some(Instant::now());
    loop {
        // Cancel safe, arm by arm: signals are remembered (`Interrupt`), bytes of events stay in
        // their parser (`Events::next`), channels and timers lose nothing.
        tokio::select! {
            () = interrupt.wait() => return Ok(Step::Interrupted),
            event = events.next() => match event {
                Some(event) => {
                    view.event(event)?;
                    look_at.get_or_insert_with(|| Instant::now() + SETTLE);
                }
                None => return Ok(Step::Lost),
            },
            note = next_note(notes) => view.note(&note)?,
            _ = tick.tick() => {
                look_at.get_or_insert_with(Instant::now);
            }
            () = at(look_at) => {
                look_at = None;
                match wire.submission(id).await {
                    Ok(now) => {
                        let settled = now.settled;
                        view.show(&now)?;
                        if settled {
                            // What was said just before the end still belongs to it.
                            while let Some(Ok(note)) = notes.as_mut().map(UnboundedReceiver::try_recv) {
                                view.note(&note)?;
                            }
                            return Ok(Step::Settled(now));
                        }
                    }
                    Err(ClientError::Http(_)) => return Ok(Step::Lost),
                    Err(e) => return Err(e.into()),
                }
            }
        }
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

async fn next_note(notes: &mut Option<UnboundedReceiver<String>>) -> String {
    if let Some(receiver) = notes
        && let Some(note) = receiver.recv().await
    {
        return note;
    }
    // Nobody speaks (any more).
    std::future::pending().await
}

/// What is shown, and how far the ledger was read.
struct View<'c> {
    context: &'c Context,
    screen: Option<Screen<'c>>,
    quiet: bool,
    hint: &'static str,
    ours: BTreeSet<TaskId>,
    early: Vec<EventView>,
    last_seq: Option<u64>,
}

impl<'c> View<'c> {
    fn new(context: &'c Context, show: Show) -> Self {
        let quiet = show == Show::Nothing || context.json;
        Self {
            context,
            screen: (!quiet && context.printer.is_live()).then(|| Screen::new(&context.printer)),
            quiet,
            hint: match show {
                Show::Progress | Show::Nothing => "Ctrl-C leaves; the work goes on",
                Show::Bound => "Ctrl-C ends it and everything it started",
            },
            ours: BTreeSet::new(),
            early: Vec::new(),
            last_seq: None,
        }
    }

    fn event(&mut self, event: EventView) -> Result<(), Failure> {
        self.last_seq = self.last_seq.max(Some(event.seq));
        if self.quiet || self.screen.is_some() {
            return Ok(());
        }
        if self.ours.is_empty() {
            // Whose it is will be known with the first view.
            self.early.push(event);
            return Ok(());
        }
        self.print(&event)
    }

    fn print(&self, event: &EventView) -> Result<(), Failure> {
        if !self.ours.contains(&event.task) || plain::is_noise(event) {
            return Ok(());
        }
        let p = &self.context.printer;
        p.line(&plain::event_line(event, p.color()))
    }

    fn show(&mut self, now: &SubmissionView) -> Result<(), Failure> {
        if self.ours.is_empty() {
            self.ours = now.tasks.iter().map(|t| t.id).collect();
            for event in std::mem::take(&mut self.early) {
                self.print(&event)?;
            }
        }
        if let Some(screen) = &mut self.screen {
            let lines = screen::submission_lines(now, self.hint, &self.context.printer);
            screen.draw(&lines)?;
        }
        Ok(())
    }

    fn note(&mut self, note: &str) -> Result<(), Failure> {
        match &mut self.screen {
            Some(screen) => screen.above(note),
            None if self.quiet => {
                self.context.printer.say(note);
                Ok(())
            }
            None => self.context.printer.line(note),
        }
    }

    fn leave(&mut self) -> Result<(), Failure> {
        self.screen.as_mut().map_or(Ok(()), Screen::leave)
    }
}

/// The exit code that a settled submission asks for (T28).
pub(crate) fn verdict(view: &SubmissionView) -> ExitCode {
    if view.tasks.iter().any(|t| t.bucket == Bucket::NeedsYou) {
        ExitCode::NeedsPerson
    } else if view.tasks.iter().any(|t| t.state == TaskState::Cancelled) {
        ExitCode::Cancelled
    } else if view.tasks.iter().all(|t| t.state == TaskState::Done) {
        ExitCode::Done
    } else {
        ExitCode::NeedsPerson
    }
}
