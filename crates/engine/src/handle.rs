//! How everything else talks to the engine: commands in, replies out, a hint when the ledger grew.

use std::sync::mpsc::{Receiver, Sender, channel};

use longhaul_core::fact::Order;
use longhaul_core::ids::TaskId;
use longhaul_core::queue::{Entry, LineId, QueueOrder};
use longhaul_core::spec::TaskSpec;
use longhaul_core::time::UnixMs;
use longhaul_core::usage::Usage;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A person's command.
#[derive(Debug)]
pub enum Command {
    /// Accept tasks.
    Submit(Submit),
    /// One order for several tasks.
    Order {
        /// The tasks.
        tasks: Vec<TaskId>,
        /// The order.
        order: Order,
    },
    /// Start nothing new; with `stop`, also park what runs (T16).
    Drain {
        /// Whether running work is parked.
        stop: bool,
    },
    /// End of `Drain`.
    Undrain,
    /// Stop everything now, keeping work (T16).
    Estop,
    /// End of `Estop`.
    Thaw,
    /// The limit of a harness is over, whatever its provider said: what waits for it may start.
    ClearLimit {
        /// The harness or account.
        scope: String,
    },
    /// Text for a task's agent.
    /// A word for lines of the merge queue.
    Queue {
        /// The lines.
        lines: Vec<LineId>,
        /// The word.
        order: QueueOrder,
    },
    /// Put a branch into the merge queue.
    Enqueue {
        /// The line.
        line: LineId,
        /// The entry.
        entry: Box<Entry>,
    },
    /// Put a task's finished work into the merge queue.
    Land {
        /// The task.
        task: TaskId,
    },
    /// Text for a live session that takes input.
    Send {
        /// The task.
        task: TaskId,
        /// The text.
        text: String,
    },
    /// The daemon's own condition.
    Status,
    /// What is known of live sessions; `None` = of all.
    Live {
        /// Of these tasks only.
        tasks: Option<Vec<TaskId>>,
    },
    /// End the daemon; sessions go on.
    Shutdown,
}

/// Tasks to accept together.
#[derive(Clone, Debug)]
pub struct Submit {
    /// What they came from: a file's path or `add`.
    pub source: String,
    /// SHA-256 (hex) of the file's bytes; equal digests of a source that is still live are re-attached.
    pub digest: String,
    /// Accept them even if the same file is live already.
    pub again: bool,
    /// The tasks with their ids, dependencies resolved.
    pub tasks: Vec<(TaskId, TaskSpec)>,
}

/// Answer to a [`Command`].
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// Accepted.
    Submitted {
        /// The submission.
        submission: Uuid,
        /// Its tasks, in order.
        tasks: Vec<TaskId>,
        /// True if they were in the queue already.
        reattached: bool,
    },
    /// What became of an order, task by task.
    Orders(Vec<(TaskId, OrderResult)>),
    /// Done; the text says what it means now.
    Ok(String),
    /// The daemon's condition.
    Status(Box<DaemonStatus>),
    /// Live sessions.
    Live(Vec<LiveSession>),
    /// Not followed, and why; nothing was changed.
    Refused {
        /// Class, for the exit code and HTTP status.
        class: RefusalClass,
        /// What happened and what to do.
        message: String,
    },
}

/// Class of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalClass {
    /// The command makes no sense for these tasks or values.
    Invalid,
    /// It conflicts with what is there (same file live, …).
    Conflict,
    /// There is no such task.
    NotFound,
    /// The store cannot write now (full disk…); try again later.
    Unavailable,
}

/// What became of one order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderResult {
    /// Followed; the new state in words (`running, stopping`).
    Done(String),
    /// Nothing to do.
    Already(String),
    /// Refused, and why.
    Refused(String),
    /// No such task.
    NotFound,
}

/// The daemon's condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonStatus {
    /// Its process.
    pub pid: u32,
    /// Version of its program.
    pub version: String,
    /// When it started.
    pub started_at: UnixMs,
    /// Live sessions.
    pub sessions: u32,
    /// Slots.
    pub slots: u32,
    /// Ready tasks.
    pub ready: u32,
    /// Drained.
    pub draining: bool,
    /// Stopped by `estop`.
    pub estopped: bool,
    /// Why nothing new starts, if so (drain, estop, disk floor, memory floor, store).
    pub holding: Option<String>,
    /// Scopes that rest.
    pub resting: Vec<RestingScope>,
}

/// A harness or account that rests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestingScope {
    /// Which.
    pub scope: String,
    /// Until when.
    pub until: UnixMs,
    /// The provider's own name of the window.
    pub window: Option<String>,
    /// The time is over and one session proves that it works again.
    pub probing: bool,
}

/// How much of its fullest window an account home has used, as one of its sessions told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HomeUse {
    /// In thousandths; may be more than all of it.
    pub permille: u32,
    /// When that window starts anew.
    pub reset_at: Option<UnixMs>,
}

/// What the sensors know of a live session; lost at a restart and rebuilt from its log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveSession {
    /// The task.
    pub task: Option<TaskId>,
    /// What it does: the last tool, or its last words.
    pub activity: String,
    /// When it last gave a sign of life.
    pub last_sign: Option<UnixMs>,
    /// What it used so far.
    pub usage: Usage,
    /// A question that stands.
    pub question: Option<String>,
    /// The agent waits to try again after a provider's refusal, until this time.
    pub retrying_until: Option<UnixMs>,
    /// How much of its account home's window is used.
    pub home_use: Option<HomeUse>,
    /// Why the task does not start, for ready tasks.
    pub hindrance: Option<String>,
    /// Folder with the session's log files.
    pub logs: Option<String>,
}

/// A command with the place its answer goes to.
pub struct Request {
    /// The command.
    pub command: Command,
    /// Called once, from the engine's thread; must not block.
    pub reply: Box<dyn FnOnce(Reply) + Send>,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("command", &self.command)
            .finish_non_exhaustive()
    }
}

/// Sends commands to the engine; cheap to clone.
#[derive(Clone)]
pub struct EngineHandle {
    send: std::sync::Arc<dyn Fn(Request) -> bool + Send + Sync>,
}

/// The engine has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the daemon is shutting down")]
pub struct EngineGone;

impl EngineHandle {
    /// A handle that delivers through `send`, which returns false once the engine is gone.
    pub fn new(send: impl Fn(Request) -> bool + Send + Sync + 'static) -> Self {
        Self {
            send: std::sync::Arc::new(send),
        }
    }

    /// A handle whose requests arrive at a plain receiver, for tests of its users.
    #[must_use]
    pub fn channel() -> (Self, Receiver<Request>) {
        let (tx, rx): (Sender<Request>, _) = channel();
        let tx = std::sync::Mutex::new(tx);
        let handle = Self::new(move |r| tx.lock().is_ok_and(|tx| tx.send(r).is_ok()));
        (handle, rx)
    }

    /// Sends a command; `reply` is called once, from the engine's thread.
    ///
    /// # Errors
    /// [`EngineGone`] if the engine has ended; `reply` is then never called.
    pub fn request(
        &self,
        command: Command,
        reply: impl FnOnce(Reply) + Send + 'static,
    ) -> Result<(), EngineGone> {
        if (self.send)(Request {
            command,
            reply: Box::new(reply),
        }) {
            Ok(())
        } else {
            Err(EngineGone)
        }
    }
}
