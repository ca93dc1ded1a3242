//! The gateway's decisions, as a state without IO: accounts and what is known of them, sessions and what they
//! spent, where conversations are. Time comes in with every call; what is to be told goes out as reports.

mod account;
mod attempt;
mod breaker;
mod pick;
mod pins;
mod saved;
mod session;

use std::collections::{BTreeMap, HashMap};

use hyper::HeaderMap;
use longhaul_core::ids::{Fence, TaskId};
use longhaul_core::limit::LimitClass;
use longhaul_core::time::{SpanMs, UnixMs};

use crate::api::{
    AccountSpec, AccountsRequest, Key, Policy, Provider, ReportBody, SessionSpec, Strategy,
    TokenHash,
};
use crate::meter::{Count, Finish};
use crate::signals::{self, Asked, Refusal, Scope};

pub use account::{Account, Health, Learned};
pub use attempt::{Attempt, Failure, Next};
pub use breaker::Breaker;
pub use pins::Conversation;
pub use saved::Saved;
pub use session::{Admission, Session};

use pick::{Found, Wanted};
use pins::Pins;

/// Windows of an account are reported at most this often.
const REPORT_EVERY: SpanMs = SpanMs::from_secs(5);

/// Accounts that are remembered though nobody gives them any more.
const MAX_REMEMBERED: usize = 256;

/// A request, as far as its way depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Whose it is.
    pub session: &'a str,
    /// The session's provider.
    pub provider: Provider,
    /// The session's task.
    pub task: Option<TaskId>,
    /// The session's fence.
    pub fence: Fence,
    /// The model it names.
    pub model: Option<&'a str>,
    /// The conversation it belongs to.
    pub conversation: Option<Conversation>,
    /// Whether it may be sent again, to another account too: it is kept whole, and nothing of it is bound to one
    /// account.
    pub movable: bool,
    /// Whether it may be sent twice: it changes nothing at the provider.
    pub repeatable: bool,
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// There.
    Use(Target),
    /// Nowhere yet: every account that can serve has as many requests as it may.
    Busy,
    /// Nowhere: none can serve.
    Exhausted {
        /// Why: of the best of them.
        class: LimitClass,
        /// The earliest time at which one can, where that is known.
        until: Option<UnixMs>,
    },
    /// Nowhere: there is no such account.
    NoAccount,
}

/// An account to send to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name.
    pub account: String,
    /// Its key.
    pub key: Key,
    /// Its place; `None` = the provider's own.
    pub base_url: Option<String>,
}

/// The state.
#[derive(Debug, Default)]
pub struct Router {
    policy: Policy,
    /// What each giver gave; the daemon's, whose name is empty, comes first.
    given: BTreeMap<String, Vec<AccountSpec>>,
    accounts: Vec<Account>,
    /// What is known of accounts that nobody gave since the start.
    remembered: BTreeMap<String, Learned>,
    sessions: BTreeMap<String, Session>,
    by_token: HashMap<TokenHash, String>,
    pins: Pins,
    reports: Vec<ReportBody>,
    picks: u64,
    ready: bool,
}

impl Router {
    /// Whether accounts were given since the start.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// The accounts.
    #[must_use]
    pub fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// The sessions.
    pub fn sessions(&self) -> impl Iterator<Item = (&String, &Session)> {
        self.sessions.iter()
    }

    /// What is to be told since the last call.
    #[must_use]
    pub fn take_reports(&mut self) -> Vec<ReportBody> {
        std::mem::take(&mut self.reports)
    }

    /// Who gave accounts since the start.
    pub fn givers(&self) -> impl Iterator<Item = &String> {
        self.given.keys()
    }

    /// Puts all accounts of a giver in place of those that it gave before. What was learned is kept by name and key.
    pub fn put_accounts(&mut self, request: AccountsRequest) {
        let daemons = request.giver.is_empty();
        if daemons || !self.given.contains_key("") {
            self.policy = request.policy;
        }
        if daemons || !request.accounts.is_empty() {
            self.given.insert(request.giver, request.accounts);
        } else {
            self.given.remove(&request.giver);
        }
        let mut specs: Vec<AccountSpec> = Vec::new();
        for spec in self.given.values().flatten() {
            if specs.iter().all(|s| s.id != spec.id) {
                specs.push(spec.clone());
            }
        }
        let mut before: BTreeMap<String, Account> = std::mem::take(&mut self.accounts)
            .into_iter()
            .map(|account| (account.spec.id.clone(), account))
            .collect();
        for spec in specs {
            let old = before.remove(&spec.id);
            let learned = match &old {
                Some(old) => Some(old.learned.clone()),
                None => self.remembered.remove(&spec.id),
            };
            let mut account = Account::new(spec, learned);
            if let Some(old) = old {
                account.in_flight = old.in_flight;
                account.answered = old.answered;
            }
            self.accounts.push(account);
        }
        for (id, account) in before {
            if self.remembered.len() >= MAX_REMEMBERED {
                self.remembered.pop_first();
            }
            self.remembered.insert(id, account.learned);
        }
        self.ready = true;
    }

    /// Makes or changes a session.
    ///
    /// # Errors
    /// There are too many.
    pub fn put_session(&mut self, id: &str, spec: SessionSpec) -> Result<(), session::TooMany> {
        session::put(&mut self.sessions, &mut self.by_token, id, spec)
    }

    /// Ends a session.
    pub fn delete_session(&mut self, id: &str) {
        if let Some(session) = self.sessions.remove(id) {
            self.by_token.remove(&session.spec.token_hash);
        }
    }

    /// The session of a presented token.
    #[must_use]
    pub fn session_of(&self, presented: &TokenHash) -> Option<(&str, &Session)> {
        let id = self.by_token.get(presented)?;
        let session = self.sessions.get(id)?;
        session
            .spec
            .token_hash
            .is(presented)
            .then_some((id.as_str(), session))
    }

    /// Whether a session may spend more, asking this model (I10).
    pub fn admit(&mut self, id: &str, model: Option<&str>) -> Admission {
        let Some(session) = self.sessions.get(id) else {
            return Admission::Gone;
        };
        let admission = session.admit(model, &self.policy.prices);
        if let Admission::OverBudget { unknown_price } = admission {
            self.reports.push(ReportBody::OverBudget {
                session: id.to_owned(),
                unknown_price,
            });
        }
        admission
    }

    /// Chooses where a request goes next, and counts it as on its way there.
    pub fn choose(&mut self, now: UnixMs, ask: &Ask<'_>, attempt: &mut Attempt) -> Choice {
        let Some(session) = self.sessions.get(ask.session) else {
            return Choice::NoAccount;
        };
        let again = attempt.again().and_then(|id| self.place_of(id));
        let found = match again {
            Some(n) => Found::Account(n),
            None => pick::find(
                &self.accounts,
                Wanted {
                    session: &session.spec,
                    model: ask.model,
                    conversation: ask.conversation,
                },
                attempt,
                &self.pins,
                &self.policy,
                now,
            ),
        };
        let n = match found {
            Found::Busy => return Choice::Busy,
            Found::None(best) => return self.exhausted(ask, best),
            Found::Account(n) => n,
            Found::Probe(n) => {
                self.accounts[n].probed(ask.model, now);
                attempt.probes();
                n
            }
        };
        let account = &mut self.accounts[n];
        // From its first request on a conversation has a place, so that requests together do not scatter it.
        if session.spec.strategy == Strategy::Sticky
            && let Some(conversation) = ask.conversation
            && self.pins.get(conversation).is_none()
        {
            self.pins.set(conversation, &account.spec.id, now);
        }
        self.picks += 1;
        account.picked = self.picks;
        account.in_flight += 1;
        if account.learned.breaker.check(now).is_ok() {
            account.learned.breaker.sent(now);
        }
        attempt.sent(&account.spec.id);
        Choice::Use(target(&account.spec))
    }

    /// An account that is to be checked by a call of its own, which is counted as on its way; `None` if it is out,
    /// or there is none of this name.
    pub fn check(&mut self, now: UnixMs, id: &str) -> Option<(AccountSpec, Target)> {
        let n = self.place_of(id)?;
        let account = &mut self.accounts[n];
        let model = account.spec.check_model();
        if account.health(Some(model), now, &self.policy) > Health::NearLimit {
            return None;
        }
        account.in_flight += 1;
        Some((account.spec.clone(), target(&account.spec)))
    }

    /// How often idle accounts are to be checked, in milliseconds; 0 = never.
    #[must_use]
    pub fn check_every_ms(&self) -> u64 {
        self.policy.check_every_ms
    }

    fn exhausted(&mut self, ask: &Ask<'_>, best: Option<Health>) -> Choice {
        let (class, until) = match best {
            None => return Choice::NoAccount,
            Some(Health::Resting(until)) => (LimitClass::Quota, Some(until)),
            Some(Health::Tripped(until)) => (LimitClass::Overload, Some(until)),
            // All that are well were tried.
            Some(Health::Well | Health::NearLimit) => (LimitClass::Overload, None),
            Some(Health::NoCredit) => (LimitClass::Billing, None),
            Some(Health::Broken) => (LimitClass::Auth, None),
        };
        if class == LimitClass::Quota {
            self.reports.push(ReportBody::Exhausted {
                session: ask.session.to_owned(),
                until,
            });
        }
        Choice::Exhausted { class, until }
    }

    /// A good answer begins. The request stays on its way until [`ended`](Self::ended).
    pub fn accepted(
        &mut self,
        now: UnixMs,
        ask: &Ask<'_>,
        attempt: &Attempt,
        account: &str,
        headers: &HeaderMap,
    ) {
        self.learn(now, ask, account, headers, false);
        self.change(now, account, |a| a.served(ask.model));
        if let Some(session) = self.sessions.get_mut(ask.session) {
            session.account = Some(account.to_owned());
        }
        let sticky = self
            .sessions
            .get(ask.session)
            .is_some_and(|session| session.spec.strategy == Strategy::Sticky);
        let Some(conversation) = ask.conversation.filter(|_| sticky) else {
            return;
        };
        // A moment's trouble elsewhere is no reason to leave a warm cache for good.
        if attempt.is_visit() {
            return;
        }
        if let Some(from) = self.pins.set(conversation, account, now) {
            self.reports.push(ReportBody::Moved {
                session: ask.session.to_owned(),
                from,
                to: account.to_owned(),
            });
        }
    }

    /// An answer with an error status came, and is no longer on its way.
    pub fn refused(
        &mut self,
        now: UnixMs,
        ask: &Ask<'_>,
        attempt: &mut Attempt,
        account: &str,
        answer: (u16, &HeaderMap, &[u8]),
    ) -> (Option<LimitClass>, Next) {
        let (status, headers, body) = answer;
        self.release(account);
        self.learn(now, ask, account, headers, true);
        let Some(refusal) = signals::refusal(asked(now, ask), status, headers, body) else {
            // About the request and not the account: the way to the service is well.
            self.change(now, account, |a| a.learned.breaker.succeeded());
            return (None, Next::Relay);
        };
        self.take_in(now, ask, account, status, &refusal);
        let pointless = signals::should_retry(headers) == Some(false);
        let next = attempt.refused(&refusal, ask.movable, pointless);
        (Some(refusal.class), next)
    }

    /// No answer came.
    pub fn failed(
        &mut self,
        now: UnixMs,
        ask: &Ask<'_>,
        attempt: &mut Attempt,
        account: &str,
        failure: Failure,
    ) -> Next {
        self.release(account);
        self.change(now, account, |a| {
            a.learned.breaker.failed(now);
        });
        let elsewhere = self.sessions.get(ask.session).is_some_and(|session| {
            self.accounts.iter().any(|a| {
                pick::may_use(&session.spec, a)
                    && !attempt.has_tried(&a.spec.id)
                    && a.health(ask.model, now, &self.policy) <= Health::NearLimit
            })
        });
        attempt.failed(failure, ask.movable, ask.repeatable, elsewhere)
    }

    /// The client went away before an answer began.
    pub fn abandoned(&mut self, now: UnixMs, account: &str) {
        self.release(account);
        if let Some(n) = self.place_of(account) {
            self.accounts[n].learned.breaker.abandoned(now);
        }
    }

    /// A good answer came to its end, or broke off: counts what it used, once.
    pub fn ended(&mut self, now: UnixMs, ask: &Ask<'_>, account: &str, count: Option<Count>) {
        self.release(account);
        if let Some(n) = self.place_of(account) {
            self.accounts[n].answered += 1;
        }
        let Some(count) = count else {
            return;
        };
        if let Some(conversation) = ask.conversation {
            self.pins.ended(conversation, count.finish == Finish::Tool);
        }
        if let Some(event) = &count.error
            && let Some(refusal) = signals::stream_refusal(asked(now, ask), event)
        {
            self.take_in(now, ask, account, 200, &refusal);
        }
        let usage = session::priced(&count, ask.model, &self.policy.prices);
        // A session that was ended meanwhile is charged all the same.
        let total = match self.sessions.get_mut(ask.session) {
            Some(session) => {
                session.total += usage;
                session.total
            }
            None => usage,
        };
        self.reports.push(ReportBody::Usage {
            session: ask.session.to_owned(),
            task: ask.task,
            fence: ask.fence,
            account: account.to_owned(),
            model: count.model.or_else(|| ask.model.map(str::to_owned)),
            usage,
            complete: count.complete && count.told,
            total,
        });
    }

    /// What a refusal means for the account, and for those that share its limits.
    fn take_in(
        &mut self,
        now: UnixMs,
        ask: &Ask<'_>,
        account: &str,
        status: u16,
        refusal: &Refusal,
    ) {
        self.reports.push(ReportBody::Limit {
            account: account.to_owned(),
            session: ask.session.to_owned(),
            model: refusal.scope.model().map(str::to_owned),
            status,
            notice: refusal.notice(),
        });
        if refusal.unknown_words {
            self.reports.push(ReportBody::Candidate {
                provider: ask.provider,
                status,
                snippet: refusal.snippet.clone(),
            });
        }
        match refusal.class {
            LimitClass::Quota => {
                for id in self.sharing(account) {
                    self.change(now, &id, |a| a.rest(refusal, now));
                }
            }
            LimitClass::Auth | LimitClass::Billing if refusal.scope == Scope::Account => {
                self.change(now, account, |a| {
                    a.learned.dead = Some(account::Dead {
                        class: refusal.class,
                        at: now,
                    });
                });
            }
            // Refused for one model: that one rests, and is asked about as others are.
            LimitClass::Auth | LimitClass::Billing => {
                self.change(now, account, |a| a.rest(refusal, now));
            }
            LimitClass::Overload => self.change(now, account, |a| {
                a.learned.breaker.failed(now);
            }),
            LimitClass::Throttle => self.change(now, account, |a| a.learned.breaker.succeeded()),
        }
    }

    /// The account and those of the same organisation: they drain together (A2).
    fn sharing(&self, account: &str) -> Vec<String> {
        let of = |id: &str| self.place_of(id).map(|n| &self.accounts[n]);
        let Some(first) = of(account) else {
            return Vec::new();
        };
        let same = |a: &&Account| {
            a.spec.id == account
                || a.spec.provider == first.spec.provider
                    && first.learned.organisation.is_some()
                    && a.learned.organisation == first.learned.organisation
        };
        let sharing = self.accounts.iter().filter(same);
        sharing.map(|a| a.spec.id.clone()).collect()
    }

    fn learn(
        &mut self,
        now: UnixMs,
        ask: &Ask<'_>,
        account: &str,
        headers: &HeaderMap,
        at_once: bool,
    ) {
        let Some(n) = self.place_of(account) else {
            return;
        };
        let account = &mut self.accounts[n];
        for name in ["anthropic-organization-id", "openai-organization"] {
            if let Some(value) = headers.get(name).and_then(|v| v.to_str().ok())
                && value.len() <= 200
            {
                account.learned.organisation = Some(value.to_owned());
            }
        }
        let readings = signals::windows(asked(now, ask), headers);
        if readings.is_empty() {
            return;
        }
        account.learn(readings, now);
        if at_once || now.since(account.reported_at) >= REPORT_EVERY {
            account.reported_at = now;
            self.reports.push(ReportBody::Windows {
                account: account.spec.id.clone(),
                windows: account.learned.windows.clone(),
            });
        }
    }

    /// Changes an account, and reports it if its condition is another one then.
    fn change(&mut self, now: UnixMs, id: &str, change: impl FnOnce(&mut Account)) {
        let Some(n) = self.place_of(id) else {
            return;
        };
        let account = &mut self.accounts[n];
        let before = account.condition(now);
        change(account);
        let condition = account.condition(now);
        if condition != before {
            self.reports.push(ReportBody::Account {
                account: id.to_owned(),
                condition,
            });
        }
    }

    fn release(&mut self, account: &str) {
        if let Some(n) = self.place_of(account) {
            let in_flight = &mut self.accounts[n].in_flight;
            *in_flight = in_flight.saturating_sub(1);
        }
    }

    fn place_of(&self, account: &str) -> Option<usize> {
        self.accounts.iter().position(|a| a.spec.id == account)
    }
}

fn asked<'a>(now: UnixMs, ask: &Ask<'a>) -> Asked<'a> {
    Asked {
        provider: ask.provider,
        model: ask.model,
        now,
    }
}

fn target(spec: &AccountSpec) -> Target {
    Target {
        account: spec.id.clone(),
        key: spec.key.clone(),
        base_url: spec.base_url.clone(),
    }
}
