//! A session from its launch to its end: started once, adopted after a restart, read as it goes.
//! `launch` starts it, `reading` follows what it says, `clocks` watches its time, `ending` says what its
//! end means.

mod clocks;
mod ending;
mod launch;
mod reading;
mod tail;
mod terminal;

use longhaul_core::attempt::{AttemptEnd, LostWhy};
use longhaul_core::effect::{Act, outstanding};
use longhaul_core::fact::News;
use longhaul_core::ids::SpawnKey;
use longhaul_core::usage::Usage;
use longhaul_hosts::{BundleState, SweepOutcome};

use super::desk::chain;
use super::{Desk, again, seal};
use crate::event::Event;
use crate::machine::Dispatch;

pub(super) use ending::{end_of, exit_of};
use launch::NotLaunched;
pub use launch::find_program;
pub(super) use launch::{Order, start};
use reading::Reading;

pub(super) fn attend(desk: &Desk, d: &Dispatch) -> Vec<Event> {
    let key = SpawnKey::session(d.effect.task, d.effect.fence);
    let bundle = match desk.launcher.bundle(key.as_str()) {
        Ok(bundle) => bundle,
        Err(error) => return vec![again(&d.effect, &chain(&error))],
    };
    let mut state = match bundle.survey() {
        Ok(state) => state,
        Err(error) => return vec![again(&d.effect, &chain(&error))],
    };
    let spec = match desk.spec(d.effect.task) {
        Ok(spec) => spec,
        Err(unread) if !unread.for_good => return vec![again(&d.effect, &unread.why)],
        Err(unread) => {
            let remedy = "cancel the task and add it again";
            return unattendable(desk, d, &key, &state, unread.why, remedy);
        }
    };
    let practice = match desk.practice_of(&spec.repo) {
        Ok(practice) => practice,
        Err(detail)
            if d.effect.act == Act::Launch
                && matches!(state, BundleState::Absent | BundleState::NotStarted) =>
        {
            let remedy = "mend the repository's `.longhaul` files, then `longhaul retry`";
            return unattendable(desk, d, &key, &state, detail, remedy);
        }
        Err(_) => desk.practice_or_own(&spec.repo),
    };
    let harness = match practice.registry.resolve(&spec.harness) {
        Ok(harness) => harness,
        Err(error) => {
            let remedy = "add it to the config, then `longhaul retry`";
            return unattendable(desk, d, &key, &state, error.to_string(), remedy);
        }
    };
    if matches!(state, BundleState::Absent | BundleState::NotStarted) && d.effect.act == Act::Launch
    {
        // The store is ahead of every effect: what it no longer asks for is not started (I2, I4).
        match desk.read(|r| r.task(d.effect.task)) {
            Ok(Some(stored)) if outstanding(&stored.task).as_ref() == Some(&d.effect) => {}
            Ok(_) => return vec![again(&d.effect, "its start is no longer asked for")],
            Err(error) => return vec![again(&d.effect, &chain(&error))],
        }
        state = match launch::launch(desk, d, &spec, harness, &key) {
            Ok(state) => state,
            Err(not) if not.unsettled => return vec![again(&d.effect, &not.detail)],
            Err(NotLaunched {
                detail,
                remedy,
                transient,
                ..
            }) => {
                let news = News::LaunchFailed {
                    detail,
                    remedy,
                    transient,
                };
                return vec![Event::news(d.effect.task, d.effect.fence, news)];
            }
        };
    }
    let mut reading = Reading::new(desk, d, &spec, harness, &key);
    loop {
        match state {
            BundleState::Live(shim) => {
                reading.started(&shim);
                match reading.follow(&shim) {
                    Ok(next) => state = next,
                    Err(why) => return vec![again(&d.effect, &why)],
                }
            }
            BundleState::Starting => {
                return vec![again(&d.effect, "the session's shim is still starting")];
            }
            BundleState::Exited(record) => return reading.ended(&record),
            BundleState::Lost(lost) => {
                let report = lost.tree().sweep(desk.practice.stop_grace);
                if report.outcome == SweepOutcome::Unknown {
                    return vec![again(&d.effect, "nobody can tell what is left of its tree")];
                }
                return reading.lost(LostWhy::Shim);
            }
            BundleState::OtherBoot(_) => return reading.lost(LostWhy::Reboot),
            BundleState::Absent | BundleState::NotStarted => return reading.lost(LostWhy::Shim),
        }
    }
}

/// Nobody can read what the session says: the task's harness or specification is gone. Unread it would
/// run without timeout and budget, so what lives is stopped; its work is secured, and a person asked.
fn unattendable(
    desk: &Desk,
    d: &Dispatch,
    key: &SpawnKey,
    state: &BundleState,
    detail: String,
    remedy: &str,
) -> Vec<Event> {
    let none = matches!(state, BundleState::Absent | BundleState::NotStarted);
    let news = if none && d.effect.act == Act::Launch {
        News::LaunchFailed {
            detail,
            remedy: remedy.to_owned(),
            transient: false,
        }
    } else {
        if let Err(why) = seal::end_leftovers(desk, key) {
            return vec![again(&d.effect, &format!("{detail}; {why}"))];
        }
        News::SessionEnded {
            end: AttemptEnd::LaunchFailed {
                detail,
                permanent: true,
            },
            usage: Usage::default(),
            conversation_usage: None,
            refused_writes: Vec::new(),
        }
    };
    vec![Event::news(d.effect.task, d.effect.fence, news)]
}
