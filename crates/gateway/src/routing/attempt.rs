//! What one request has been through: which accounts refused it, what may still be tried (A9; the fault table of
//! facts/limits.md §3). Everything ends: an account is tried once, and once more for a failing service.

use longhaul_core::limit::LimitClass;

use crate::signals::Refusal;

/// Accounts that one request may go to.
const MAX_ACCOUNTS: usize = 8;
/// A brief pause before another try, least and most, in milliseconds.
pub(super) const PAUSE_MS: (u64, u64) = (100, 400);

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The answer goes to the client as it is.
    Relay,
    /// Another try, after a pause between these milliseconds.
    Again {
        /// At least.
        least_ms: u64,
        /// At most.
        most_ms: u64,
    },
}

impl Next {
    const NOW: Self = Self::Again {
        least_ms: 0,
        most_ms: 0,
    };
    const SOON: Self = Self::Again {
        least_ms: PAUSE_MS.0,
        most_ms: PAUSE_MS.1,
    };
}

/// How a request failed before any head of an answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It was not sent.
    Connect,
    /// The connection broke, or nothing came in time, after it may have been sent: it may have been done.
    Sent,
}

/// One request's way so far.
#[derive(Clone, Debug, Default)]
pub struct Attempt {
    tried: Vec<String>,
    /// The next try goes to the last account again.
    here: bool,
    repeated: bool,
    /// Other accounts were asked because of a throttle or a failing service: one may be.
    softly_moved: bool,
    /// It was sent again though it may have been done.
    doubted: bool,
    /// It asks whether an account still rests: once.
    probe: bool,
}

impl Attempt {
    /// Whether it came to its account because of a throttle or a failing service elsewhere.
    pub(super) fn is_visit(&self) -> bool {
        self.softly_moved
    }

    pub(super) fn probes(&mut self) {
        self.probe = true;
    }

    pub(super) fn is_begun(&self) -> bool {
        !self.tried.is_empty()
    }

    pub(super) fn has_tried(&self, account: &str) -> bool {
        self.tried.iter().any(|id| id == account)
    }

    /// The account that is to be asked again, if it is.
    pub(super) fn again(&mut self) -> Option<&str> {
        std::mem::take(&mut self.here).then(|| self.tried.last().map(String::as_str))?
    }

    pub(super) fn sent(&mut self, account: &str) {
        if !self.has_tried(account) {
            self.tried.push(account.to_owned());
        }
    }

    fn may_move(&self, movable: bool) -> bool {
        movable && self.tried.len() < MAX_ACCOUNTS
    }

    /// After a refusal. `movable`: the request may go to other accounts; `pointless`: the provider says that
    /// trying again does not help.
    pub(super) fn refused(&mut self, refusal: &Refusal, movable: bool, pointless: bool) -> Next {
        match refusal.class {
            // The account is out: the next one, as long as there are any.
            LimitClass::Quota | LimitClass::Auth | LimitClass::Billing => {
                if self.may_move(movable) {
                    Next::NOW
                } else {
                    Next::Relay
                }
            }
            // Not the account's fault: a pause, one other account, then the truth.
            LimitClass::Throttle | LimitClass::Overload if self.probe => Next::Relay,
            LimitClass::Throttle => self.softly(movable),
            // The service: once more here, then one other account, then the truth.
            LimitClass::Overload => {
                if !self.repeated && !pointless && movable && !self.softly_moved {
                    self.repeated = true;
                    self.here = true;
                    return Next::SOON;
                }
                self.softly(movable)
            }
        }
    }

    fn softly(&mut self, movable: bool) -> Next {
        if self.softly_moved || !self.may_move(movable) {
            return Next::Relay;
        }
        self.softly_moved = true;
        Next::SOON
    }

    /// After a failure without an answer. `elsewhere`: another account can be asked; `repeatable`: doing it
    /// twice has no effect but its cost.
    pub(super) fn failed(
        &mut self,
        failure: Failure,
        movable: bool,
        repeatable: bool,
        elsewhere: bool,
    ) -> Next {
        if !movable || self.probe {
            return Next::Relay;
        }
        if failure == Failure::Sent {
            if !repeatable || std::mem::replace(&mut self.doubted, true) {
                return Next::Relay;
            }
        } else if elsewhere && self.may_move(movable) {
            return Next::NOW;
        }
        if elsewhere && self.may_move(movable) {
            return Next::NOW;
        }
        if std::mem::replace(&mut self.repeated, true) {
            return Next::Relay;
        }
        self.here = true;
        Next::SOON
    }
}
