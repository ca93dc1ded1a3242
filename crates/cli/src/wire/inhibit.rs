//! Asks the machine not to sleep while work runs (T22), where logind takes such requests.

use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// Holds the request as long as work runs. The lock is a child that waits for the end of our pipe, so
/// it also goes away when this daemon is killed.
#[derive(Default)]
pub(super) struct Inhibitor {
    held: Mutex<Option<Child>>,
}

impl Inhibitor {
    /// Asks, or takes the request back.
    pub(super) fn hold(&self, yes: bool) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if !yes {
            if let Some(child) = held.take() {
                release(child);
            }
            return;
        }
        if held.is_none() {
            *held = ask();
        }
    }
}

impl Drop for Inhibitor {
    fn drop(&mut self) {
        self.hold(false);
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

/// Closes the pipe, which ends the child, and waits for it elsewhere.
fn release(mut child: Child) {
    drop(child.stdin.take());
    let waiting = std::thread::Builder::new()
        .name("inhibit".to_owned())
        .spawn(move || {
            if let Err(error) = child.wait() {
                tracing::debug!(%error, "systemd-inhibit");
            }
        });
    if let Err(error) = waiting {
        tracing::debug!(%error, "nobody waits for systemd-inhibit");
    }
}
