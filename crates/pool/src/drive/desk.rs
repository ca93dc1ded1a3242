//! What every part of the driver needs: the order, the server, and its own voice.

use std::cell::Cell;
use std::error::Error;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use longhaul_core::time::UnixMs;
use serde_json::json;

use crate::note::{Note, Noted};
use crate::order::Order;
use crate::pane::{PaneOrder, VERB};
use crate::survey::is_free;
use crate::tmux::{Place, Server, TmuxError};

/// A session that an agent of ours was started in.
pub(super) struct Taken {
    pub(super) name: String,
    /// The agent's process.
    pub(super) pid: u32,
    /// The conversation that it was told to begin or resume.
    pub(super) conversation: String,
}

pub(super) struct Desk {
    pub(super) order: Order,
    pub(super) server: Server,
    told_waiting: Cell<bool>,
}

impl Desk {
    pub(super) fn new(order: Order) -> Self {
        let place = Place {
            program: order.tmux.clone(),
            socket: order.socket.clone(),
        };
        Self {
            server: Server::new(place),
            order,
            told_waiting: Cell::new(false),
        }
    }

    /// Starts the agent in the first free session that was not tried. `None` if there is none now.
    pub(super) fn take(&self, tried: &[String]) -> Result<Option<Taken>, TmuxError> {
        let panes = self.server.panes()?;
        for name in self.order.pool.names().filter(|n| !tried.contains(n)) {
            let there = panes.iter().any(|p| p.session == name);
            // `false`: somebody else made it in this moment, and is about to take it.
            let free = if there {
                is_free(&panes, &name)
            } else {
                self.server.make_empty(&name)?
            };
            if free && let Some(taken) = self.begin(&name, tried.len())? {
                return Ok(Some(taken));
            }
        }
        Ok(None)
    }

    fn begin(&self, name: &str, nth: usize) -> Result<Option<Taken>, TmuxError> {
        let order = &self.order;
        let conversation = self.conversation(nth);
        let swap = |word: &String| {
            if *word == order.conversation {
                conversation.clone()
            } else {
                word.clone()
            }
        };
        let pane = PaneOrder {
            key: order.key.clone(),
            argv: order.argv.iter().map(swap).collect(),
            cwd: order.cwd.clone(),
            confinement: order.confinement.clone(),
        };
        let file = order.files.join(format!("pane-{nth}.json"));
        let bytes = serde_json::to_vec(&pane).unwrap_or_default();
        longhaul_acts::files::write("pool.order", &file, bytes).map_err(|source| {
            TmuxError::Run {
                program: file.clone(),
                source,
            }
        })?;
        self.remove_signal(name);
        let me = std::process::id().to_string();
        // This very image, also after its file was replaced (T29).
        let image = format!("/proc/{me}/exe");
        let argv = [image.as_str(), VERB, &me, file.as_str()];
        if !self.server.take(name, &order.cwd, &argv)? {
            return Ok(None);
        }
        let pid = self.server.capture(name)?.pid;
        self.note(
            name,
            Noted::Taken {
                task: order.task.clone(),
                pid,
            },
        );
        Ok(Some(Taken {
            name: name.to_owned(),
            pid,
            conversation,
        }))
    }

    /// A conversation that a stuck session began cannot be begun again; each further session has one of its own.
    fn conversation(&self, nth: usize) -> String {
        let order = &self.order;
        if order.resumed || nth == 0 {
            return order.conversation.clone();
        }
        let name = format!("{}/{nth}", order.key);
        uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, name.as_bytes()).to_string()
    }

    pub(super) fn signal(&self, session: &str) -> camino::Utf8PathBuf {
        self.order.cwd.join(self.order.pool.signal_of(session))
    }

    /// An old signal must not end a new turn, and one that was read is no work of the task's.
    pub(super) fn remove_signal(&self, session: &str) {
        let signal = self.signal(session);
        if !signal.exists() {
            return;
        }
        if let Err(error) = longhaul_acts::files::remove_file("pool.signal", &signal) {
            self.status(&format!("cannot remove {signal}: {error}"));
        }
    }

    pub(super) fn note(&self, session: &str, noted: Noted) {
        Note::new(&self.order.key, now(), noted).write(&self.order.folder, session);
    }

    /// A line of the stream.
    pub(super) fn say(&self, line: &str) {
        let mut out = io::stdout().lock();
        let told =
            longhaul_acts::files::write_all("pool.say", &mut out, format!("{line}\n").as_bytes());
        // Its reader is the shim; without one the shim is gone, and this process with it soon.
        drop(told);
    }

    /// A line of the stream that is no event.
    pub(super) fn status(&self, text: &str) {
        self.say(&json!({"type": "system", "subtype": "status", "status": text}).to_string());
    }

    pub(super) fn wait_for_a_session(&self) {
        if !self.told_waiting.replace(true) {
            self.status("waiting for a free session of the pool");
        }
    }
}

/// What the driver itself has to say of a failure.
pub(super) fn complain(words: &str) {
    let mut err = io::stderr().lock();
    let told =
        longhaul_acts::files::write_all("pool.complain", &mut err, format!("{words}\n").as_bytes());
    drop(told);
}

pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Now, on the wall clock.
pub(super) fn now() -> UnixMs {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UnixMs(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
