//! Which account a request goes to (A3): the healthiest first, then by the session's strategy. The pin of a
//! conversation is honoured only after the live state of its account was looked at (A9).

use longhaul_core::time::UnixMs;

use super::account::{Account, Health};
use super::attempt::Attempt;
use super::pins::{Conversation, Pins};
use crate::api::{AccountChoice, Policy, SessionSpec, Strategy};

/// What a request looks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) session: &'a SessionSpec,
    pub(super) model: Option<&'a str>,
    pub(super) conversation: Option<Conversation>,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// This one, by its place in the list.
    Account(usize),
    /// This one, which rests, to see whether it still does.
    Probe(usize),
    /// One that could serve has as many requests as it may.
    Busy,
    /// None can serve; the best of them is in this state.
    None(Option<Health>),
}

pub(super) fn find(
    accounts: &[Account],
    wanted: Wanted<'_>,
    attempt: &Attempt,
    pins: &Pins,
    policy: &Policy,
    now: UnixMs,
) -> Found {
    let mine: Vec<(usize, Health)> = accounts
        .iter()
        .enumerate()
        .filter(|(_, account)| may_use(wanted.session, account))
        .map(|(n, account)| (n, account.health(wanted.model, now, policy)))
        .collect();
    let usable = |(n, health): &(usize, Health)| {
        *health <= Health::NearLimit && !attempt.has_tried(&accounts[*n].spec.id)
    };
    let able: Vec<_> = mine.iter().copied().filter(usable).collect();
    let free: Vec<_> = able
        .iter()
        .copied()
        .filter(|(n, _)| !accounts[*n].is_full())
        .collect();
    let Some(best) = free.iter().map(|(_, health)| *health).min() else {
        if !able.is_empty() {
            return Found::Busy;
        }
        let best = mine
            .iter()
            .map(|(_, health)| *health)
            .min_by_key(|health| match health {
                // One that was tried and is not at its limit: trying again may help.
                Health::Well | Health::NearLimit => (0, 0),
                Health::Tripped(until) => (1, until.0),
                // The first to wake, whatever else is wrong with the others.
                Health::Resting(until) => (2, until.0),
                Health::NoCredit => (3, 0),
                Health::Broken => (4, 0),
            });
        return match probe(accounts, &mine, wanted, attempt, policy, now) {
            Some(n) => Found::Probe(n),
            None => Found::None(best),
        };
    };
    if wanted.session.strategy == Strategy::Sticky
        && let Some(n) = pinned(accounts, &free, wanted, pins, best)
    {
        return Found::Account(n);
    }
    let load = pins.load(wanted.conversation, now);
    let of_best = free.iter().filter(|(_, health)| *health == best);
    let picked = of_best.map(|(n, _)| *n).min_by_key(|n| {
        let account = &accounts[*n];
        let used = u64::from(account.fullest(wanted.model, now));
        let in_flight = u64::from(account.in_flight);
        let rank: (u64, u64, u64) = match wanted.session.strategy {
            Strategy::Sticky => {
                let pinned = load.get(account.spec.id.as_str()).copied().unwrap_or(0);
                (u64::from(pinned), used, in_flight)
            }
            Strategy::LeastUsed => (used, in_flight, 0),
            Strategy::SoonestReset => {
                let reset = account.soonest_reset(wanted.model, now);
                (
                    reset.map_or(u64::MAX, |at| at.0.unsigned_abs()),
                    used,
                    in_flight,
                )
            }
            Strategy::RoundRobin => (account.picked, 0, 0),
            Strategy::Priority => (u64::from(account.spec.priority), 0, 0),
        };
        (rank, *n)
    });
    picked.map_or(Found::Busy, Found::Account)
}

/// Whether the session may use the account at all; providers never mix (A1).
pub(super) fn may_use(session: &SessionSpec, account: &Account) -> bool {
    session.provider == account.spec.provider
        && match &session.accounts {
            AccountChoice::Any => true,
            AccountChoice::Pinned(id) => *id == account.spec.id,
            AccountChoice::Pool(ids) => ids.contains(&account.spec.id),
        }
}

/// The conversation's own account, if it can go on there: it is as well as the best, or it is only near its
/// limit and the turn is not over (A10).
fn pinned(
    accounts: &[Account],
    free: &[(usize, Health)],
    wanted: Wanted<'_>,
    pins: &Pins,
    best: Health,
) -> Option<usize> {
    let pin = pins.get(wanted.conversation?)?;
    let (n, health) = free
        .iter()
        .find(|(n, _)| accounts[*n].spec.id == pin.account)?;
    (*health == best || pin.in_turn).then_some(*n)
}

/// One that rests and may be asked: only where nothing was tried and nothing else can serve.
fn probe(
    accounts: &[Account],
    mine: &[(usize, Health)],
    wanted: Wanted<'_>,
    attempt: &Attempt,
    policy: &Policy,
    now: UnixMs,
) -> Option<usize> {
    if attempt.is_begun() {
        return None;
    }
    let resting = mine.iter().filter_map(|(n, health)| match health {
        Health::Resting(until) => Some((*until, *n)),
        _ => None,
    });
    let may = |n: usize| {
        let account = &accounts[n];
        !account.is_full() && account.may_be_probed(wanted.model, now, policy)
    };
    resting.filter(|(_, n)| may(*n)).min().map(|(_, n)| n)
}
