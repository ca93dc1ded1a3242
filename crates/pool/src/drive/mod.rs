//! The driver of one task's turn in a terminal: the process that a shim starts in the agent's place. It takes a free
//! session, types the prompt, and tells on its standard output what the agent does, as a headless agent would.
//!
//! Whatever kills it, nothing is typed twice: the agent carries the driver's spawn key, so the shim ends it too, and the
//! next attempt begins with an agent of its own.

mod desk;
mod session;

use std::io::{self, Read as _};
use std::time::Duration;

use longhaul_agents::screen::{Over, ScreenAgent};

use crate::note::Noted;
use crate::order::Order;
use desk::Desk;
use session::{Ended, Session};

/// The hidden verb.
pub const VERB: &str = "__drive";

/// In how many sessions a prompt is tried before the attempt is given up (A21).
const TRIES: usize = 3;

/// Exit code of a turn that broke off: an attempt that crashed. Codes below 128 say that the agent could not be launched,
/// which trying again does not mend.
const BROKE_OFF: u8 = 200;

/// How often a taken pool is looked at again.
const POLL: Duration = Duration::from_secs(1);

/// Drives one turn; the order is read from standard input. Gives the exit code.
pub fn main() -> u8 {
    let mut text = String::new();
    let order = match io::stdin().lock().read_to_string(&mut text) {
        Ok(_) => serde_json::from_str::<Order>(&text).map_err(|e| e.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match order {
        Ok(order) => drive(order),
        Err(why) => {
            desk::complain(&format!("the driver's order cannot be read: {why}"));
            2
        }
    }
}

fn drive(order: Order) -> u8 {
    if order.agent != ScreenAgent::Claude {
        desk::complain("only claude can be driven in a terminal");
        return 2;
    }
    let desk = Desk::new(order);
    let mut tried = Vec::new();
    loop {
        let session = match desk.take(&tried) {
            Ok(Some(session)) => session,
            Ok(None) => {
                desk.wait_for_a_session();
                std::thread::sleep(POLL);
                continue;
            }
            Err(error) => {
                desk::complain(&desk::chain(&error));
                return BROKE_OFF;
            }
        };
        tried.push(session.name.clone());
        match turn(&desk, session) {
            Some(code) => return code,
            None if tried.len() < TRIES => {}
            None => {
                desk::complain(
                    "the prompt could not be delivered in any session of the pool; `longhaul pool status` says why",
                );
                return BROKE_OFF;
            }
        }
    }
}

/// One turn in one session; `None` if it was stuck there and may be tried elsewhere.
fn turn(desk: &Desk, taken: desk::Taken) -> Option<u8> {
    let name = taken.name.clone();
    let mut session = Session::new(desk, taken);
    let ended = session.run();
    let feed = session.feed();
    let code = match &ended {
        Ended::Over(Over::Finished(sign)) => {
            desk.say(&feed.result(sign.word()));
            desk.note(
                &name,
                Noted::Done {
                    task: desk.order.task.clone(),
                    how: sign.word().to_owned(),
                },
            );
            session.leave();
            return Some(0);
        }
        Ended::Over(Over::Limited(notice)) => {
            for line in feed.limited(notice.as_ref()) {
                desk.say(&line);
            }
            "limit"
        }
        Ended::Over(Over::LoginNeeded) => {
            desk.say(&feed.failed(Some(401), "Not logged in · Please run /login"));
            "login needed"
        }
        Ended::Over(Over::NotReady { what, remedy }) => {
            desk::complain(&format!("{what}: {remedy}"));
            "not ready"
        }
        Ended::Over(Over::Gone) => {
            if desk.order.resumed && !session.has_pasted() {
                // It leaves at once where it does not know the conversation, and its screen does not keep the words.
                desk::complain("No conversation found: the agent left when it was to resume one");
            }
            desk::complain(&session.last_words());
            "the agent left"
        }
        Ended::Over(Over::Stuck(why)) => {
            desk.note(
                &name,
                Noted::Stuck {
                    task: desk.order.task.clone(),
                    why: why.clone(),
                },
            );
            desk.status(&format!(
                "the session {name} is stuck: {why}; the task goes elsewhere"
            ));
            return match session.end() {
                true => None,
                // Two agents in one workspace are worse than an attempt that failed (I2).
                false => {
                    desk::complain("the agent of a stuck session does not end");
                    Some(BROKE_OFF)
                }
            };
        }
        Ended::Broken(why) => {
            desk::complain(why);
            "broken"
        }
    };
    let launched = !matches!(ended, Ended::Over(Over::NotReady { .. }))
        && (session.has_pasted() || !matches!(ended, Ended::Over(Over::Gone)));
    desk.note(
        &name,
        Noted::Done {
            task: desk.order.task.clone(),
            how: code.to_owned(),
        },
    );
    Some(if launched { BROKE_OFF } else { 1 })
}
