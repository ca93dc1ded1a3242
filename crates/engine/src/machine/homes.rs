//! Account homes: which one each task's next session gets, and who goes on when another one can serve it (A3, A4,
//! A23). What is chosen is committed before anything starts there.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use longhaul_core::fact::{Fact, Release};
use longhaul_core::home::{
    HomeSet, Homes, MoveReason, Seat, UNTIL_MENDED, View, of_scope, pick, scope,
};
use longhaul_core::ids::TaskId;
use longhaul_core::limit::LimitClass;
use longhaul_core::task::{NeedKind, ParkCause, State, Task};
use longhaul_core::time::{Now, UnixMs};
use longhaul_core::window::{Gate, Window};
use longhaul_store::{Store, Write};
use serde_json::Value;

use super::{Asking, Machine};
use crate::handle::HomeUse;

/// Where the store keeps what is used of a home, before its name.
const USE_FLAG: &str = "home use ";
/// A change of fewer thousandths is not kept.
const USE_STEP: u32 = 5;

/// The homes there are, and what is remembered of them.
#[derive(Default)]
pub(super) struct HomeWatch {
    homes: Homes,
    /// When each was given to a session last.
    given: HashMap<String, u64>,
    turns: u64,
    /// What sessions told of their home's fullest window.
    used: HashMap<String, HomeUse>,
    /// All that wait have to be looked at again.
    look: bool,
    /// The same when this time comes: a home's limit is over then.
    look_at: Option<UnixMs>,
}

impl HomeWatch {
    pub(super) fn next_due(&self) -> Option<UnixMs> {
        self.look_at
    }
}

impl<S: Store> Machine<S> {
    /// Uses these homes from here on.
    pub fn use_homes(&mut self, homes: Homes) {
        self.homes.homes = homes;
        self.homes.look = true;
    }

    /// A window was learned or forgotten: who waits may go elsewhere.
    pub(super) fn look_at_homes(&mut self) {
        self.homes.look = true;
    }

    /// What a session told of its home's fullest window; kept over restarts (A2).
    pub(super) fn note_use(&mut self, task: TaskId, told: HomeUse) {
        let account = self.index.get(task).and_then(|t| t.carry.account.clone());
        let Some(account) = account else {
            return;
        };
        let known = self.homes.used.get(&account);
        // Not each tenth of a percent is worth a write.
        let news = known.is_none_or(|known| {
            known.reset_at != told.reset_at || known.permille.abs_diff(told.permille) >= USE_STEP
        });
        if news {
            self.edit.writes.push(Write::Flag {
                name: format!("{USE_FLAG}{account}"),
                value: serde_json::json!(told),
            });
            self.homes.used.insert(account, told);
        }
    }

    /// What earlier daemons were told of homes.
    pub(super) fn load_use(&mut self, flags: &BTreeMap<String, Value>) {
        let kept = flags.iter().filter_map(|(name, value)| {
            let account = name.strip_prefix(USE_FLAG)?;
            let told = serde_json::from_value(value.clone()).ok()?;
            Some((account.to_owned(), told))
        });
        self.homes.used = kept.collect();
    }

    /// What a task's sessions would use now: a home, or the harness's own login.
    pub(super) fn gate_of_task(&self, task: &Task, now: UnixMs) -> (Gate, Option<UnixMs>) {
        match self.seat(task, now) {
            None => self.gate_of(&task.terms.harness, now),
            Some(Seat::Home(_)) => (Gate::Open, None),
            Some(Seat::Rests(until)) => (Gate::Resting, Some(until)),
            Some(Seat::Probe) => (Gate::OneProbe, None),
        }
    }

    fn seat(&self, task: &Task, now: UnixMs) -> Option<Seat> {
        let set = self.homes.homes.of(&task.terms)?;
        let current = task.carry.account.as_deref();
        Some(pick(set, current, &|name| self.view(set, name, now)))
    }

    fn view(&self, set: &HomeSet, name: &str, now: UnixMs) -> View {
        let (gate, until) = self.gate_of(&scope(name), now);
        let used = self.homes.used.get(name);
        let used = used.filter(|u| u.reset_at.is_none_or(|t| t > now));
        View {
            gate,
            until: until.or(used.and_then(|u| u.reset_at)),
            sessions: self.index.load().of_account(name),
            given: self.homes.given.get(name).copied().unwrap_or_default(),
            used_permille: used.map(|u| u.permille),
            near: used.is_some_and(|u| u.permille >= set.near_permille),
        }
    }

    /// The home of a task that is about to get a slot: chosen and recorded before anything starts in it.
    pub(super) fn take_seat(&mut self, id: TaskId, now: Now) {
        let Some(task) = self.index.get(id) else {
            return;
        };
        let account = match self.seat(task, now.wall) {
            Some(Seat::Home(name)) => Some(name),
            None => None,
            // Checks go on: whoever reviews asks where its author did.
            Some(Seat::Rests(_) | Seat::Probe) => return,
        };
        if let Some(name) = &account {
            self.homes.turns += 1;
            self.homes.given.insert(name.clone(), self.homes.turns);
        }
        if task.carry.account != account {
            let why = self.reason(task, now.wall);
            let _outcome = self.fact(id, &Fact::Account { account, why }, now);
        }
    }

    fn reason(&self, task: &Task, now: UnixMs) -> MoveReason {
        let Some(current) = &task.carry.account else {
            return MoveReason::First;
        };
        let set = self.homes.homes.of(&task.terms);
        if !set.is_some_and(|s| s.homes.iter().any(|h| h.name == *current)) {
            return MoveReason::NotUsed;
        }
        match self.windows.get(&scope(current)) {
            Some(w) if matches!(w.class, LimitClass::Auth | LimitClass::Billing) => {
                MoveReason::Broken
            }
            Some(w) if w.until > now => MoveReason::Limit {
                window: w.name.clone(),
                until: w.until,
            },
            _ => MoveReason::Strategy,
        }
    }

    /// Tasks that wait for the limit or the login of a home go on as soon as any home can serve them; the others
    /// wake with the soonest of their homes (A4).
    pub(super) fn follow_homes(&mut self, now: Now) {
        let due = self.homes.look_at.is_some_and(|t| t <= now.wall);
        let all = std::mem::take(&mut self.homes.look) || due;
        let mut waiting: BTreeSet<TaskId> = self.edit.before.keys().copied().collect();
        if all {
            waiting.extend(self.index.tasks().filter(|t| waits(t)).map(|t| t.id));
        }
        for id in waiting {
            if let Some(task) = self.index.get(id).filter(|t| waits(t)) {
                self.follow_home(&task.clone(), now);
            }
        }
        if all || !self.edit.before.is_empty() {
            let homes = self
                .windows
                .values()
                .filter(|w| of_scope(&w.scope).is_some() && w.until > now.wall);
            self.homes.look_at = homes.map(|w| w.until).min();
        }
    }

    fn follow_home(&mut self, task: &Task, now: Now) {
        let own = task.limit_scope();
        if let State::Parked {
            cause: ParkCause::Limit { scope: of, .. },
            ..
        } = &task.state
            && *of != own
            && !self.is_home_of(task, of)
        {
            // A reviewer of another harness was refused there: its own time is waited for.
            return;
        }
        match self.seat(task, now.wall) {
            // Its own home's time is told by its own wake, spread as all are.
            Some(Seat::Home(name)) if scope(&name) == own && self.windows.contains_key(&own) => {}
            Some(Seat::Home(_)) | None => {
                if let State::NeedsHuman { need } = &task.state
                    && self.windows.contains_key(&own)
                {
                    // The fleet goes on; that its home is broken is told all the same (A7).
                    let (task, name) = (task.id, task.name.clone());
                    let need = need.clone();
                    self.edit.broken_homes.push(Asking { task, name, need });
                }
                let by = Release::Account;
                let _outcome = self.fact(task.id, &Fact::Released { by }, now);
            }
            Some(Seat::Rests(until)) => {
                let set = self.homes.homes.of(&task.terms);
                let soonest = set.and_then(|set| self.window_until(set, until));
                let State::Parked {
                    cause: ParkCause::Limit { scope: of, .. },
                    ..
                } = &task.state
                else {
                    return;
                };
                if let Some(window) = soonest.filter(|w| w.scope != *of) {
                    let _outcome = self.fact(task.id, &Fact::ScopeRests { window }, now);
                }
            }
            Some(Seat::Probe) => {}
        }
    }

    fn is_home_of(&self, task: &Task, scope: &str) -> bool {
        let set = self.homes.homes.of(&task.terms);
        let name = of_scope(scope);
        set.is_some_and(|s| s.homes.iter().any(|h| Some(h.name.as_str()) == name))
    }

    /// Whoever tries a task again says that the login of its home is back.
    pub(super) fn mended_home(&mut self, task: &Task) {
        let own = task.limit_scope();
        let window = self.windows.get(&own);
        if task.carry.account.is_some() && window.is_some_and(|w| w.until >= UNTIL_MENDED) {
            self.forget_window(&own);
        }
    }

    fn window_until(&self, set: &HomeSet, until: UnixMs) -> Option<Window> {
        let windows = set
            .homes
            .iter()
            .filter_map(|h| self.windows.get(&scope(&h.name)));
        windows
            .filter(|w| w.until == until)
            .min_by_key(|w| &w.scope)
            .cloned()
    }
}

/// Whether a task waits for a home's limit or login.
fn waits(task: &Task) -> bool {
    task.carry.account.is_some()
        && match &task.state {
            State::Parked {
                cause: ParkCause::Limit { scope, .. },
                ..
            } => of_scope(scope).is_some(),
            State::NeedsHuman { need } => {
                matches!(need.kind, NeedKind::LoggedOut | NeedKind::Billing)
            }
            _ => false,
        }
}
