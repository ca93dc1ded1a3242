//! One account as it is known: what it was given, what was learned of it, whether it can serve now.

use longhaul_core::limit::LimitClass;
use longhaul_core::time::{SpanMs, UnixMs};
use serde::{Deserialize, Serialize};

use super::breaker::Breaker;
use crate::api::{AccountCondition, AccountSpec, AccountView, Policy, WindowView};
use crate::signals::{Refusal, Scope, WindowReading};

/// Windows that are remembered of an account.
const MAX_WINDOWS: usize = 64;
/// Rests that are remembered of an account.
const MAX_RESTS: usize = 64;
/// A quota without a reset rests for so long (facts/limits.md: `out_of_credits` is no matter of a minute).
const UNKNOWN_REST: SpanMs = SpanMs::from_secs(3600);
/// Windows of this length and more are left before they are full; shorter ones refill (A10).
const LONG_MINUTES: u64 = 60;
const MAX_CONCURRENT: u32 = 256;

/// A window that said it is used up (I15).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rest {
    /// What rests.
    pub scope: Scope,
    /// Until then.
    pub until: UnixMs,
    /// True if the provider named the time.
    pub known: bool,
    /// When it was last refused, or asked whether it still is.
    pub asked_at: UnixMs,
}

/// Why an account is out of use until somebody does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dead {
    /// [`LimitClass::Auth`] or [`LimitClass::Billing`].
    pub class: LimitClass,
    /// When it was last refused.
    pub at: UnixMs,
}

/// What was learned of an account; kept over restarts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Learned {
    /// Of this key.
    pub fingerprint: String,
    /// Of this generation.
    pub generation: u64,
    /// The provider's name of whoever pays: accounts that share it share their limits.
    pub organisation: Option<String>,
    /// What rests.
    pub rests: Vec<Rest>,
    /// Whether it is out of use.
    pub dead: Option<Dead>,
    /// The way to its service.
    pub breaker: Breaker,
    /// Its windows.
    pub windows: Vec<WindowView>,
}

/// How well an account can serve a request now; lower is better (A3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// It serves.
    Well,
    /// A long window of it is nearly full.
    NearLimit,
    /// The way to its service is broken, or tried by another request.
    Tripped(UnixMs),
    /// A window that covers the request is used up.
    Resting(UnixMs),
    /// No credit.
    NoCredit,
    /// Its key was refused.
    Broken,
}

/// An account.
#[derive(Clone, Debug)]
pub struct Account {
    /// What it was given.
    pub spec: AccountSpec,
    /// Its key's fingerprint.
    pub fingerprint: String,
    /// What was learned.
    pub learned: Learned,
    /// Requests on their way.
    pub in_flight: u32,
    /// Answers since the start.
    pub answered: u64,
    /// When it was last picked, as a count of picks.
    pub picked: u64,
    /// When its windows were last reported.
    pub reported_at: UnixMs,
}

impl Account {
    /// With what is remembered of it. A new key, or a new generation, begins without what was held against
    /// the old one.
    #[must_use]
    pub fn new(spec: AccountSpec, remembered: Option<Learned>) -> Self {
        let fingerprint = spec.key.fingerprint();
        let mut learned = remembered.unwrap_or_default();
        if learned.fingerprint != fingerprint {
            learned = Learned::default();
        } else if learned.generation < spec.generation {
            learned.rests.clear();
            learned.dead = None;
            learned.breaker = Breaker::default();
        }
        learned.fingerprint.clone_from(&fingerprint);
        learned.generation = learned.generation.max(spec.generation);
        Self {
            spec,
            fingerprint,
            learned,
            in_flight: 0,
            answered: 0,
            picked: 0,
            reported_at: UnixMs::default(),
        }
    }

    /// How well it can serve a request for this model.
    #[must_use]
    pub fn health(&self, model: Option<&str>, now: UnixMs, policy: &Policy) -> Health {
        match self.learned.dead {
            Some(Dead {
                class: LimitClass::Auth,
                ..
            }) => return Health::Broken,
            Some(dead)
                if policy.probe_every_ms == 0 || now.since(dead.at).0 < policy.probe_every_ms =>
            {
                return Health::NoCredit;
            }
            _ => {}
        }
        if let Some(until) = self.rests_until(model, now) {
            return Health::Resting(until);
        }
        if let Err(until) = self.learned.breaker.check(now) {
            return Health::Tripped(until);
        }
        let near = |w: &WindowView| {
            is_long(w, now)
                && w.reset_at.is_none_or(|reset| reset > now)
                && w.used_permille >= Some(u32::from(policy.threshold_pct) * 10)
        };
        if self.windows_for(model).any(near) {
            return Health::NearLimit;
        }
        Health::Well
    }

    /// The end of the last rest that covers this model.
    #[must_use]
    pub fn rests_until(&self, model: Option<&str>, now: UnixMs) -> Option<UnixMs> {
        let covering = self.learned.rests.iter().filter(|r| r.scope.covers(model));
        covering.map(|r| r.until).filter(|until| *until > now).max()
    }

    /// Whether it has as many requests as it may.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.in_flight >= self.spec.max_concurrent.unwrap_or(MAX_CONCURRENT)
    }

    /// Whether its rest for this model may be asked about now: not sooner than the policy says after the last
    /// refusal.
    #[must_use]
    pub fn may_be_probed(&self, model: Option<&str>, now: UnixMs, policy: &Policy) -> bool {
        let every = policy.probe_every_ms;
        let mut covering = self.learned.rests.iter().filter(|r| r.scope.covers(model));
        every > 0
            && self.learned.dead.is_none()
            && covering.all(|r| now.since(r.asked_at).0 >= every)
    }

    /// Its rest is asked about.
    pub fn probed(&mut self, model: Option<&str>, now: UnixMs) {
        for rest in &mut self.learned.rests {
            if rest.scope.covers(model) {
                rest.asked_at = now;
            }
        }
    }

    /// It gave a good answer for this model: nothing that covers it rests any more.
    pub fn served(&mut self, model: Option<&str>) {
        self.learned.rests.retain(|r| !r.scope.covers(model));
        self.learned.dead = None;
        self.learned.breaker.succeeded();
    }

    /// It is exhausted.
    pub fn rest(&mut self, refusal: &Refusal, now: UnixMs) {
        let rests = &mut self.learned.rests;
        let before = rests.iter().find(|r| r.scope == refusal.scope);
        let until = refusal.until.unwrap_or(now.plus(UNKNOWN_REST));
        // A far reset that is known is not shortened (A5).
        let known = refusal.until.is_some() || before.is_some_and(|r| r.known && r.until > until);
        let until = before.map_or(until, |r| r.until.max(until));
        rests.retain(|r| r.scope != refusal.scope && r.until > now);
        if rests.len() >= MAX_RESTS {
            rests.remove(0);
        }
        rests.push(Rest {
            scope: refusal.scope.clone(),
            until,
            known,
            asked_at: now,
        });
    }

    /// Takes in what headers tell of its windows.
    pub fn learn(&mut self, readings: Vec<WindowReading>, now: UnixMs) {
        let windows = &mut self.learned.windows;
        for reading in readings {
            let model = reading.scope.model().map(str::to_owned);
            windows.retain(|w| w.name != reading.name || w.model != model);
            if windows.len() >= MAX_WINDOWS {
                windows.remove(0);
            }
            windows.push(WindowView {
                name: reading.name,
                model,
                limit: reading.limit,
                remaining: reading.remaining,
                used_permille: reading.used_permille,
                minutes: reading.minutes,
                reset_at: reading.reset_at,
                seen_at: now,
            });
        }
    }

    /// Windows that count for this model.
    fn windows_for(&self, model: Option<&str>) -> impl Iterator<Item = &WindowView> {
        let windows = self.learned.windows.iter();
        windows.filter(move |w| w.model.is_none() || w.model.as_deref() == model)
    }

    /// The share of its fullest window, in thousandths; one that has started anew since counts as empty.
    #[must_use]
    pub fn fullest(&self, model: Option<&str>, now: UnixMs) -> u32 {
        let current = self
            .windows_for(model)
            .filter(|w| w.reset_at.is_none_or(|r| r > now));
        current.filter_map(|w| w.used_permille).max().unwrap_or(0)
    }

    /// When the first of its windows starts anew.
    #[must_use]
    pub fn soonest_reset(&self, model: Option<&str>, now: UnixMs) -> Option<UnixMs> {
        let resets = self.windows_for(model).filter_map(|w| w.reset_at);
        resets.filter(|reset| *reset > now).min()
    }

    /// How it is as a whole.
    #[must_use]
    pub fn condition(&self, now: UnixMs) -> AccountCondition {
        if let Some(dead) = self.learned.dead {
            return match dead.class {
                LimitClass::Auth => AccountCondition::Broken,
                _ => AccountCondition::NoCredit,
            };
        }
        let whole = self
            .learned
            .rests
            .iter()
            .filter(|r| r.scope == Scope::Account && r.until > now);
        if let Some(rest) = whole.max_by_key(|r| r.until) {
            return AccountCondition::Resting {
                until: rest.until,
                known: rest.known,
            };
        }
        match self.learned.breaker.check(now) {
            Err(until) => AccountCondition::Tripped { until },
            Ok(()) => AccountCondition::Serving,
        }
    }

    /// As the status shows it.
    #[must_use]
    pub fn view(&self, now: UnixMs) -> AccountView {
        let models = self.learned.rests.iter().filter(|r| r.until > now);
        AccountView {
            id: self.spec.id.clone(),
            provider: self.spec.provider,
            fingerprint: self.fingerprint.clone(),
            condition: self.condition(now),
            resting_models: models
                .filter_map(|r| Some((r.scope.model()?.to_owned(), r.until)))
                .collect(),
            windows: self.learned.windows.clone(),
            in_flight: self.in_flight,
            answered: self.answered,
        }
    }
}

/// Whether a window is worth leaving before it is full.
fn is_long(window: &WindowView, now: UnixMs) -> bool {
    match (window.minutes, window.reset_at) {
        (Some(minutes), _) => minutes >= LONG_MINUTES,
        (None, Some(reset)) => reset.since(now).0 >= LONG_MINUTES * 60_000,
        (None, None) => false,
    }
}
