//! Asks the machine not to sleep while work runs (T22), where logind takes such requests.

use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// How long a request is kept when nothing runs any more: the next task often starts a moment later.
const LINGER: Duration = Duration::from_secs(5);
/// Nothing is waited for.
const LONG: Duration = Duration::from_secs(3_600);

/// Holds the request as long as work runs. The lock is a child that waits for the end of our pipe, so
/// it also goes away when this daemon is killed. A thread of its own starts it: whoever tells of the work
/// is the dispatcher, which waits for no program.
pub(super) struct Inhibitor {
    working: Sender<bool>,
}

impl Inhibitor {
    /// Nothing asked yet.
    pub(super) fn new() -> Self {
        let (working, told) = channel();
        let watching = std::thread::Builder::new()
            .name("inhibit".to_owned())
            .spawn(move || watch(&told));
        if let Err(error) = watching {
            tracing::debug!(%error, "this machine is not asked not to sleep");
        }
        Self { working }
    }

    /// Asks, or takes the request back.
    pub(super) fn hold(&self, yes: bool) {
        if self.working.send(yes).is_err() {
            tracing::debug!("this machine is not asked not to sleep");
        }
    }
}

/// Ends when its inhibitor goes, and the request with it.
fn watch(told: &Receiver<bool>) {
    let mut held = None;
    let mut wanted = false;
    loop {
        let patience = if held.is_some() && !wanted {
            LINGER
        } else {
            LONG
        };
        match told.recv_timeout(patience) {
            Ok(yes) => {
                wanted = yes;
                if yes && held.is_none() {
                    held = ask();
                }
            }
            Err(RecvTimeoutError::Timeout) if wanted => {}
            Err(ended) => {
                if let Some(child) = held.take() {
                    release(child);
                }
                if ended == RecvTimeoutError::Disconnected {
                    return;
                }
            }
        }
    }
}

fn ask() -> Option<Child> {
    let mut command = Command::new("systemd-inhibit");
    command
        .args([
            "--what=sleep:idle",
            "--who=longhaul",
            "--why=agents are working",
            "--mode=block",
        ])
        .args(["cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    match longhaul_acts::process::spawn("cli.inhibit", &mut command) {
        Ok(child) => Some(child),
        Err(error) => {
            tracing::debug!(%error, "this machine cannot be asked not to sleep");
            None
        }
    }
}

/// Closes the pipe, which ends the child, and waits for it.
fn release(mut child: Child) {
    drop(child.stdin.take());
    if let Err(error) = child.wait() {
        tracing::debug!(%error, "systemd-inhibit");
    }
}
