//! Account homes: which config home of an agent a session gets (accounts.md A3, A4, A23). No token is part of
//! this: a home is a name here, and its folder is the executor's to know.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::account::Strategy;
use crate::task::Terms;
use crate::time::UnixMs;
use crate::window::Gate;

/// Until when a home rests that only a person can mend: its login is gone, or it has no credit.
pub const UNTIL_MENDED: UnixMs = UnixMs(253_370_764_800_000);

/// The scope of a home's limits. A harness cannot have this name: it holds a space.
#[must_use]
pub fn scope(account: &str) -> String {
    format!("account {account}")
}

/// The account of such a scope.
#[must_use]
pub fn of_scope(scope: &str) -> Option<&str> {
    scope.strip_prefix("account ")
}

/// An account that is an agent's own config home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// Its name.
    pub name: String,
    /// With the strategy `priority`: lower goes first.
    pub priority: u32,
}

/// The homes of one harness that may be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HomeSet {
    /// By priority, then by name.
    pub homes: Vec<Home>,
    /// The user turned rotation on, and every home can resume the conversations of the others (A18).
    pub rotate: bool,
    /// How one is picked among those that are equally well.
    pub strategy: Strategy,
    /// From so many thousandths of a window on a home counts as near its limit.
    pub near_permille: u32,
    /// Variables by which a task brings its own login: it is left to that.
    pub own_ways: Vec<String>,
}

/// The homes of all harnesses, by harness.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Homes(pub BTreeMap<String, HomeSet>);

impl Homes {
    /// The homes that a task's sessions use; `None` = its agent's own login, or keys.
    #[must_use]
    pub fn of(&self, terms: &Terms) -> Option<&HomeSet> {
        let set = self.0.get(&terms.harness)?;
        let own = |name: &String| terms.variables.contains(name);
        (!set.homes.is_empty() && !set.own_ways.iter().any(own)).then_some(set)
    }
}

/// What is known of a home now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Its limits.
    pub gate: Gate,
    /// Until when it rests.
    pub until: Option<UnixMs>,
    /// Sessions that use it now.
    pub sessions: u32,
    /// When it was given to a session last; grows, 0 = never.
    pub given: u64,
    /// How much of its fullest window is used, in thousandths, where its agent told.
    pub used_permille: Option<u32>,
    /// It told that it is near its limit.
    pub near: bool,
}

/// Where a session goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seat {
    /// To this home.
    Home(String),
    /// All rest; the soonest is over then.
    Rests(UnixMs),
    /// All but those rest that another session proves first (A4).
    Probe,
}

/// Picks a home (A3): healthy before near its limit, never a resting one (I15); among those equally well by the
/// strategy. `current` is where the conversation is. Without rotation a conversation stays at its home as long as
/// that may be used, and everything else goes to the first.
pub fn pick(set: &HomeSet, current: Option<&str>, view: &dyn Fn(&str) -> View) -> Seat {
    let own = set.homes.iter().find(|h| Some(h.name.as_str()) == current);
    let candidates: Vec<&Home> = match set.rotate {
        true => set.homes.iter().collect(),
        false => own.or(set.homes.first()).into_iter().collect(),
    };
    let seen: Vec<(&Home, View)> = candidates
        .into_iter()
        .map(|home| (home, view(&home.name)))
        .collect();
    let open = seen.iter().filter(|(_, v)| v.gate == Gate::Open);
    let rank = |(home, v): &&(&Home, View)| {
        let stays = u64::from(Some(home.name.as_str()) != current);
        let sessions = u64::from(v.sessions);
        let order = match set.strategy {
            Strategy::Sticky => [stays, sessions, u64::from(home.priority)],
            Strategy::LeastUsed => {
                let used = u64::from(v.used_permille.unwrap_or_default());
                [used, sessions, stays]
            }
            Strategy::SoonestReset => {
                let reset = v.until.map_or(u64::MAX, |t| t.0.unsigned_abs());
                [reset, sessions, stays]
            }
            Strategy::RoundRobin => [v.given, sessions, stays],
            Strategy::Priority => [u64::from(home.priority), 0, 0],
        };
        (v.near, order)
    };
    // The first of the least: the user's order decides last.
    if let Some((home, _)) = open.min_by_key(rank) {
        return Seat::Home(home.name.clone());
    }
    if seen.iter().any(|(_, v)| v.gate == Gate::OneProbe) {
        return Seat::Probe;
    }
    let soonest = seen.iter().filter_map(|(_, v)| v.until).min();
    Seat::Rests(soonest.unwrap_or(UNTIL_MENDED))
}

/// Why a conversation goes to another home, for the ledger and for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum MoveReason {
    /// The one before is at its limit.
    Limit {
        /// The provider's own name of the window.
        window: Option<String>,
        /// Until when.
        until: UnixMs,
    },
    /// The one before is logged out or refused for billing.
    Broken,
    /// The one before may not be used any more: disabled, removed, or the user named another.
    NotUsed,
    /// The strategy says so.
    Strategy,
    /// It had none.
    First,
}

impl MoveReason {
    /// In words.
    #[must_use]
    pub fn words(&self) -> &'static str {
        match self {
            Self::Limit { .. } => "at its limit",
            Self::Broken => "logged out or not paid",
            Self::NotUsed => "not to be used any more",
            Self::Strategy => "passed over by the strategy",
            Self::First => "none",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(rotate: bool, strategy: Strategy) -> HomeSet {
        let home = |(n, name): (u32, &str)| Home {
            name: name.to_owned(),
            priority: n,
        };
        HomeSet {
            homes: (0..).zip(["a", "b", "c"]).map(home).collect(),
            rotate,
            strategy,
            near_permille: 950,
            own_ways: Vec::new(),
        }
    }

    const OPEN: View = View {
        gate: Gate::Open,
        until: None,
        sessions: 0,
        given: 0,
        used_permille: None,
        near: false,
    };

    fn rests(until: i64) -> View {
        View {
            gate: Gate::Resting,
            until: Some(UnixMs(until)),
            ..OPEN
        }
    }

    fn picked(set: &HomeSet, current: Option<&str>, views: [View; 3]) -> Seat {
        let of = |name: &str| views[usize::from(name.as_bytes()[0] - b'a')];
        pick(set, current, &of)
    }

    fn home(name: &str) -> Seat {
        Seat::Home(name.to_owned())
    }

    #[test]
    fn a3_a_conversation_stays_where_its_cache_is_and_new_ones_go_where_the_fewest_are() {
        let sticky = set(true, Strategy::Sticky);
        let busy = View {
            sessions: 2,
            ..OPEN
        };
        assert_eq!(picked(&sticky, Some("a"), [busy, OPEN, OPEN]), home("a"));
        assert_eq!(picked(&sticky, None, [busy, OPEN, OPEN]), home("b"));
        assert_eq!(picked(&sticky, None, [OPEN, OPEN, OPEN]), home("a"));
        // One that is gone is no reason to wait.
        assert_eq!(picked(&sticky, Some("gone"), [busy, OPEN, OPEN]), home("b"));
    }

    #[test]
    fn i15_never_a_resting_home_and_healthy_before_near_its_limit() {
        let near = View { near: true, ..OPEN };
        for (_, strategy) in Strategy::ALL {
            let set = set(true, strategy);
            assert_eq!(
                picked(&set, Some("a"), [rests(9), OPEN, rests(8)]),
                home("b")
            );
            assert_eq!(picked(&set, Some("a"), [near, OPEN, near]), home("b"));
            assert_eq!(
                picked(&set, Some("a"), [rests(9), near, rests(8)]),
                home("b")
            );
            let all = [rests(9), rests(7), rests(8)];
            assert_eq!(picked(&set, Some("a"), all), Seat::Rests(UnixMs(7)));
        }
    }

    #[test]
    fn a4_where_one_home_is_being_proved_the_others_wait_for_that() {
        let probe = View {
            gate: Gate::OneProbe,
            ..rests(3)
        };
        let sticky = set(true, Strategy::Sticky);
        assert_eq!(
            picked(&sticky, Some("b"), [rests(9), probe, rests(8)]),
            Seat::Probe
        );
    }

    #[test]
    fn without_rotation_nothing_goes_to_another_home_by_itself() {
        let fixed = set(false, Strategy::LeastUsed);
        assert_eq!(picked(&fixed, None, [OPEN, OPEN, OPEN]), home("a"));
        let waits = Seat::Rests(UnixMs(9));
        assert_eq!(picked(&fixed, None, [rests(9), OPEN, OPEN]), waits);
        assert_eq!(picked(&fixed, Some("a"), [rests(9), OPEN, OPEN]), waits);
        assert_eq!(picked(&fixed, Some("b"), [rests(9), OPEN, OPEN]), home("b"));
        // The user took its home away.
        assert_eq!(picked(&fixed, Some("gone"), [OPEN, OPEN, OPEN]), home("a"));
    }

    #[test]
    fn a3_the_strategies() {
        let by = |strategy, views| picked(&set(true, strategy), None, views);
        let used = |n| View {
            used_permille: Some(n),
            ..OPEN
        };
        let least = by(Strategy::LeastUsed, [used(500), used(100), used(200)]);
        assert_eq!(least, home("b"));
        let given = |given| View { given, ..OPEN };
        let next = by(Strategy::RoundRobin, [given(3), given(2), given(1)]);
        assert_eq!(next, home("c"));
        let until = |t| View {
            until: Some(UnixMs(t)),
            ..OPEN
        };
        let soonest = by(Strategy::SoonestReset, [until(9), until(2), OPEN]);
        assert_eq!(soonest, home("b"));
        assert_eq!(
            by(Strategy::Priority, [rests(1), used(900), OPEN]),
            home("b")
        );
    }
}
