//! Which account a conversation last went to, so that it stays where its prompt cache is. Bounded: the longest
//! unused ones are forgotten first.

use std::collections::HashMap;

use longhaul_core::time::{SpanMs, UnixMs};
use serde::{Deserialize, Serialize};

/// Conversations that are remembered.
const MAX: usize = 4096;
/// One that was silent for so long is no longer counted against its account.
const ACTIVE: SpanMs = SpanMs::from_secs(10 * 60);

/// A conversation: a hash of the session and of the client's own ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Conversation(pub u64);

/// Where a conversation is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pin {
    /// The account.
    pub(super) account: String,
    /// Last used.
    pub(super) at: UnixMs,
    /// True while the model waits for a tool: the turn is not over.
    pub(super) in_turn: bool,
}

/// All of them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Pins(HashMap<Conversation, Pin>);

impl Pins {
    /// Where this one is.
    #[must_use]
    pub(super) fn get(&self, conversation: Conversation) -> Option<&Pin> {
        self.0.get(&conversation)
    }

    /// It went to this account; gives the one it was with before, if that was another.
    pub(super) fn set(
        &mut self,
        conversation: Conversation,
        account: &str,
        now: UnixMs,
    ) -> Option<String> {
        if let Some(pin) = self.0.get_mut(&conversation) {
            pin.at = now;
            if pin.account == account {
                return None;
            }
            return Some(std::mem::replace(&mut pin.account, account.to_owned()));
        }
        if self.0.len() >= MAX {
            self.forget_oldest();
        }
        let pin = Pin {
            account: account.to_owned(),
            at: now,
            in_turn: false,
        };
        self.0.insert(conversation, pin);
        None
    }

    /// Its answer came to an end.
    pub(super) fn ended(&mut self, conversation: Conversation, in_turn: bool) {
        if let Some(pin) = self.0.get_mut(&conversation) {
            pin.in_turn = in_turn;
        }
    }

    /// How many active conversations each account has, this one left out.
    #[must_use]
    pub(super) fn load(&self, but: Option<Conversation>, now: UnixMs) -> HashMap<&str, u32> {
        let mut load = HashMap::new();
        for (conversation, pin) in &self.0 {
            if Some(*conversation) != but && now.since(pin.at) < ACTIVE {
                *load.entry(pin.account.as_str()).or_default() += 1;
            }
        }
        load
    }

    /// An eighth goes at once, so that it is seldom done.
    fn forget_oldest(&mut self) {
        let mut times: Vec<_> = self.0.values().map(|pin| pin.at).collect();
        times.sort_unstable();
        let Some(cut) = times.get(MAX / 8).copied() else {
            return;
        };
        self.0.retain(|_, pin| pin.at > cut);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten_and_no_more_than_the_bound_is_kept() {
        let mut pins = Pins::default();
        for n in 0..20_000_u32 {
            pins.set(Conversation(n.into()), "a", UnixMs(n.into()));
            assert!(pins.0.len() <= MAX);
        }
        assert!(pins.get(Conversation(19_999)).is_some());
        assert!(pins.get(Conversation(0)).is_none());
    }

    #[test]
    fn a_move_is_told_once() {
        let mut pins = Pins::default();
        let c = Conversation(1);
        assert_eq!(pins.set(c, "a", UnixMs(0)), None);
        assert_eq!(pins.set(c, "b", UnixMs(1)).as_deref(), Some("a"));
        assert_eq!(pins.set(c, "b", UnixMs(2)), None);
        assert_eq!(pins.load(None, UnixMs(2)).get("b"), Some(&1));
        assert_eq!(pins.load(Some(c), UnixMs(2)).get("b"), None);
        assert_eq!(pins.load(None, UnixMs(2).plus(ACTIVE)).get("b"), None);
    }
}
