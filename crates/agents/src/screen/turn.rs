//! One turn in a terminal session (A21, A22): the prompt is pasted, submitted by a separate Enter, acknowledged, and
//! its end recognised. A plain function over values: what is known comes in, the next keystroke goes out.
//!
//! Nothing is typed into a screen that no rule knows, into a menu, or into a question. Enter is pressed at most twice.

use longhaul_core::limit::LimitNotice;

use super::{Dialog, Look, Showing};

/// The waits, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Until the first empty prompt.
    pub start_ms: u64,
    /// Between the paste and Enter: an Enter that comes at once is taken for a part of the paste.
    pub settle_ms: u64,
    /// For the acknowledgement after an Enter (`ack_timeout`).
    pub ack_ms: u64,
    /// Between two looks at an idle prompt that are to count as two.
    pub idle_ms: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            start_ms: 60_000,
            settle_ms: 500,
            ack_ms: 10_000,
            idle_ms: 2_000,
        }
    }
}

/// What the agent's own state file says (`sessions/<pid>.json`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnState {
    /// At work.
    Busy,
    /// A dialog stands.
    Waiting,
    /// Nothing to do.
    Idle,
}

/// What is known beside the screen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The transcript or a hook has the prompt.
    pub acknowledged: bool,
    /// The transcript's last word is the end of a turn.
    pub turn_over: bool,
    /// The signal file is there.
    pub signalled: bool,
    /// The agent's own word.
    pub own: Option<OwnState>,
    /// The screen tells of a limit that may be acted upon (A6).
    pub limit: Option<LimitNotice>,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// Nothing.
    Wait,
    /// Empty the input box.
    Clear,
    /// Paste the prompt, bracketed, without Enter.
    Paste,
    /// Press Enter, alone.
    Enter,
    /// Tell that a person is asked this; said once per question.
    Ask(String),
    /// Tell that the agent asks its provider again by itself; said once per try.
    Retrying {
        /// Seconds.
        delay_s: Option<u64>,
        /// Which try.
        attempt: Option<u32>,
    },
    /// The turn is over.
    Over(Over),
}

/// How a turn ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Over {
    /// Finished, and by which sign.
    Finished(Enough),
    /// The provider refused.
    Limited(Option<LimitNotice>),
    /// It could not be begun here; elsewhere it may be (A21).
    Stuck(String),
    /// A person has to prepare the agent first.
    NotReady {
        /// What stands in the way.
        what: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// Nobody is logged in.
    LoginNeeded,
    /// The agent has left.
    Gone,
}

/// Signs of a finished turn, in the order of trust (A22).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enough {
    /// The signal file.
    Signal,
    /// The transcript's end of a turn, and an idle prompt.
    Transcript,
    /// The agent's own state, and an idle prompt.
    OwnState,
    /// The idle prompt, seen twice.
    IdleTwice,
}

impl Enough {
    /// In one word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Signal => "signal",
            Self::Transcript => "transcript",
            Self::OwnState => "state",
            Self::IdleTwice => "idle",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Waiting for the first prompt; trust is confirmed at most once.
    Opening { trusted: bool },
    /// The box was emptied.
    Cleared { at: u64 },
    /// The prompt was pasted.
    Pasted { at: u64 },
    /// Enter was pressed this often.
    Entered { at: u64, times: u8 },
    /// The prompt was acknowledged.
    Working {
        idle_since: Option<u64>,
        was_busy: bool,
    },
    /// Over; nothing is said any more.
    Over,
}

/// The turn.
#[derive(Clone, Debug)]
pub struct Turn {
    patience: Patience,
    begun_ms: u64,
    stage: Stage,
    pasted: bool,
    told: Option<Move>,
}

impl Turn {
    /// Begins now.
    #[must_use]
    pub const fn new(patience: Patience, now_ms: u64) -> Self {
        Self {
            patience,
            begun_ms: now_ms,
            stage: Stage::Opening { trusted: false },
            pasted: false,
            told: None,
        }
    }

    /// Whether the prompt was pasted: from then on the agent may have begun to work.
    #[must_use]
    pub const fn has_pasted(&self) -> bool {
        self.pasted
    }

    /// Whether the prompt was acknowledged.
    #[must_use]
    pub const fn is_working(&self) -> bool {
        matches!(self.stage, Stage::Working { .. })
    }

    /// Takes what is known now (`now_ms` never goes back) and says what to do. A move that was given is taken as made.
    pub fn step(&mut self, now_ms: u64, look: &Look, facts: &Facts) -> Move {
        let next = self.next(now_ms, &look.showing, facts);
        self.pasted |= next == Move::Paste;
        if matches!(next, Move::Over(_)) {
            self.stage = Stage::Over;
        }
        match &next {
            Move::Ask(_) | Move::Retrying { .. } => {
                if self.told.as_ref() == Some(&next) {
                    return Move::Wait;
                }
                self.told = Some(next.clone());
            }
            Move::Wait if matches!(look.showing, Showing::Working | Showing::Idle) => {
                self.told = None
            }
            _ => {}
        }
        next
    }

    fn next(&mut self, now: u64, showing: &Showing, facts: &Facts) -> Move {
        if self.stage == Stage::Over {
            return Move::Wait;
        }
        if *showing == Showing::Ended {
            return Move::Over(Over::Gone);
        }
        // A prompt that arrived late counts, whatever was going to be done about it.
        if facts.acknowledged && matches!(self.stage, Stage::Pasted { .. } | Stage::Entered { .. })
        {
            self.stage = Stage::Working {
                idle_since: None,
                was_busy: false,
            };
        }
        match self.stage {
            Stage::Opening { trusted } => self.open(now, showing, trusted),
            Stage::Cleared { at } if now.saturating_sub(at) < self.patience.settle_ms => Move::Wait,
            Stage::Cleared { .. } => match showing {
                Showing::Idle => {
                    self.stage = Stage::Pasted { at: now };
                    Move::Paste
                }
                _ => self.late(now, "its input box could not be emptied"),
            },
            Stage::Pasted { at } if now.saturating_sub(at) < self.patience.settle_ms => Move::Wait,
            Stage::Pasted { at } => match showing {
                Showing::Typed { .. } => {
                    self.stage = Stage::Entered { at: now, times: 1 };
                    Move::Enter
                }
                _ if now.saturating_sub(at) < self.patience.ack_ms => Move::Wait,
                _ => stuck("the pasted text did not appear in its input box"),
            },
            Stage::Entered { at, times } => self.await_word(now, showing, at, times),
            Stage::Working {
                idle_since,
                was_busy,
            } => self.work(now, showing, facts, idle_since, was_busy),
            Stage::Over => Move::Wait,
        }
    }

    fn open(&mut self, now: u64, showing: &Showing, trusted: bool) -> Move {
        match showing {
            Showing::Idle | Showing::Typed { .. } => {
                self.stage = Stage::Cleared { at: now };
                Move::Clear
            }
            Showing::Dialog(Dialog::Trust { yes_marked: true }) if !trusted => {
                self.stage = Stage::Opening { trusted: true };
                Move::Enter
            }
            Showing::Dialog(Dialog::ApiKey) => Move::Over(Over::NotReady {
                what: "it asks whether it may use the API key of its environment",
                remedy: "start it once by hand with that key and answer yes, or use `host = \"headless\"`",
            }),
            Showing::Dialog(Dialog::Bypass) => Move::Over(Over::NotReady {
                what: "it asks whether bypassing permissions is accepted",
                remedy: "set `\"skipDangerousModePermissionPrompt\": true` in its settings.json, or choose another permission",
            }),
            Showing::LoginNeeded => Move::Over(Over::LoginNeeded),
            _ => self.late(now, "its prompt did not appear"),
        }
    }

    fn late(&self, now: u64, what: &str) -> Move {
        if now.saturating_sub(self.begun_ms) < self.patience.start_ms {
            Move::Wait
        } else {
            stuck(what)
        }
    }

    /// After an Enter: once more if the text still stands there, then it is stuck.
    fn await_word(&mut self, now: u64, showing: &Showing, at: u64, times: u8) -> Move {
        if now.saturating_sub(at) < self.patience.ack_ms {
            return Move::Wait;
        }
        match showing {
            // It works, though no transcript says on what: only a submitted prompt leads here.
            Showing::Working
            | Showing::Retrying { .. }
            | Showing::Asking { .. }
            | Showing::LimitMenu
            | Showing::WaitsForReset => {
                self.stage = Stage::Working {
                    idle_since: None,
                    was_busy: false,
                };
                Move::Wait
            }
            Showing::Idle | Showing::Typed { .. } if times < 2 => {
                self.stage = Stage::Entered {
                    at: now,
                    times: times + 1,
                };
                Move::Enter
            }
            _ => stuck("the prompt was submitted and never acknowledged"),
        }
    }

    fn work(
        &mut self,
        now: u64,
        showing: &Showing,
        facts: &Facts,
        idle_since: Option<u64>,
        was_busy: bool,
    ) -> Move {
        let was_busy = was_busy || facts.own == Some(OwnState::Busy);
        let mut idle = None;
        let next = match showing {
            _ if facts.limit.is_some() => Move::Over(Over::Limited(facts.limit.clone())),
            Showing::LimitMenu | Showing::WaitsForReset => Move::Over(Over::Limited(None)),
            Showing::LoginNeeded => Move::Over(Over::LoginNeeded),
            Showing::Asking { question } => Move::Ask(question.clone()),
            Showing::Retrying { delay_s, attempt } => Move::Retrying {
                delay_s: *delay_s,
                attempt: *attempt,
            },
            _ if facts.signalled => Move::Over(Over::Finished(Enough::Signal)),
            Showing::Idle | Showing::Typed { .. } => {
                let since = idle_since.unwrap_or(now);
                idle = Some(since);
                let twice = now.saturating_sub(since) >= self.patience.idle_ms;
                match facts.own {
                    _ if facts.turn_over => Move::Over(Over::Finished(Enough::Transcript)),
                    Some(OwnState::Idle) if was_busy => {
                        Move::Over(Over::Finished(Enough::OwnState))
                    }
                    // It knows better than its screen, which may lag or be drawn over.
                    Some(OwnState::Busy | OwnState::Waiting) => Move::Wait,
                    Some(OwnState::Idle) | None if twice => {
                        Move::Over(Over::Finished(Enough::IdleTwice))
                    }
                    Some(OwnState::Idle) | None => Move::Wait,
                }
            }
            _ => Move::Wait,
        };
        self.stage = Stage::Working {
            idle_since: idle,
            was_busy,
        };
        next
    }
}

fn stuck(what: &str) -> Move {
    Move::Over(Over::Stuck(what.to_owned()))
}
