//! The side of the gateway: a thread that keeps the accounts and sessions there, checks, and tells how the accounts
//! stand. The command's side never waits for it.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use longhaul_core::account::{Provider, Strategy};
use longhaul_core::ids::Fence;
use longhaul_core::supervise::{Standing, Threshold, Window};
use longhaul_core::time::UnixMs;
use longhaul_gateway::api::{
    AccountChoice, AccountCondition, AccountView, CheckOutcome, SessionSpec, StatusView, Token,
    WindowView,
};

use crate::output::text::clean;
use crate::wire::visitor::{Visitor, now};

/// Between two looks at the gateway.
const LOOK_EVERY: Duration = Duration::from_millis(400);
/// Windows of this many minutes are long ones.
const LONG_MINUTES: u64 = 60;

/// The accounts of one provider.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    pub(super) provider: Provider,
    /// Their names in the gateway, in the user's order.
    pub(super) accounts: Vec<String>,
    /// Our session there.
    pub(super) session: String,
    pub(super) token: Token,
}

/// What the thread is told.
pub(super) enum Order {
    /// A pool goes on with this account: its session is bound to it if `bound`, else may use all of `among`.
    Use {
        pool: usize,
        account: usize,
        among: Option<Vec<usize>>,
        holds: bool,
    },
}

/// How a pool stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PoolReport {
    pub(super) standings: Vec<Standing>,
    /// What is told of each account's use.
    pub(super) usage: Vec<String>,
    /// The account that served the session last.
    pub(super) served: Option<usize>,
    /// Requests that wait for an account.
    pub(super) held: u32,
    /// Tokens that the session used.
    pub(super) tokens: u64,
}

/// How all of it stands.
#[derive(Clone, Debug)]
pub(super) struct Report {
    pub(super) pools: Vec<PoolReport>,
    /// A check is due to be told.
    pub(super) check: bool,
    /// What is wrong with the gateway, or with the last check.
    pub(super) trouble: Option<String>,
}

/// What the thread needs.
pub(super) struct Watch {
    pub(super) visitor: Visitor,
    pub(super) pools: Vec<Pool>,
    pub(super) threshold: Threshold,
    pub(super) interval: Duration,
    pub(super) strategy: Strategy,
    /// The command goes through the gateway; otherwise it has the keys itself, and only checks tell of them.
    pub(super) through: bool,
}

struct Use {
    account: usize,
    among: Option<Vec<usize>>,
    holds: bool,
}

impl Watch {
    /// Starts the thread. `first`: the account that each pool begins with.
    pub(super) fn start(self, first: &[Order]) -> (Sender<Order>, Receiver<Report>) {
        let (orders, taken) = channel();
        let (told, reports) = channel();
        let mut uses: Vec<Use> = self.pools.iter().map(|_| Use::default()).collect();
        for order in first {
            take(&mut uses, order);
        }
        std::thread::spawn(move || self.run(uses, &taken, &told));
        (orders, reports)
    }

    fn run(self, mut uses: Vec<Use>, orders: &Receiver<Order>, reports: &Sender<Report>) {
        let mut seated = None;
        // The first word is what is known already: the command does not wait for a provider.
        let mut due = Instant::now();
        let mut first = true;
        let mut trouble = None;
        loop {
            let check = !std::mem::take(&mut first) && Instant::now() >= due;
            let report = self.visitor.look().and_then(|status| {
                // Another gateway process: what its file held of our sessions may be of before.
                let this = (status.pid, status.started_at);
                if self.through && seated != Some(this) {
                    self.seat_all(&uses)?;
                    seated = Some(this);
                }
                if check && !self.through {
                    trouble = self.check(&uses);
                    return self.visitor.look();
                }
                Ok(status)
            });
            let report = match report {
                Ok(status) => Report {
                    pools: self.pools.iter().map(|p| self.pool(p, &status)).collect(),
                    check,
                    trouble: trouble.clone(),
                },
                Err(why) => Report {
                    pools: Vec::new(),
                    check,
                    trouble: Some(why),
                },
            };
            if check {
                due = Instant::now() + self.interval;
            }
            if reports.send(report).is_err() {
                return;
            }
            match orders.recv_timeout(LOOK_EVERY) {
                Ok(order) => {
                    take(&mut uses, &order);
                    if self.through {
                        seated = None;
                    } else {
                        due = Instant::now();
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn seat_all(&self, uses: &[Use]) -> Result<(), String> {
        let mut all = uses.iter().enumerate();
        all.try_for_each(|(n, of)| self.seat(n, of))
    }

    fn seat(&self, pool: usize, of: &Use) -> Result<(), String> {
        let pool = &self.pools[pool];
        pool.seat(&self.visitor, of, self.strategy)
    }

    /// Asks about the accounts that are used; what was wrong with that.
    fn check(&self, uses: &[Use]) -> Option<String> {
        // Traffic that was seen within this time told as much as a check would (R22).
        let fresh = u64::try_from(self.interval.as_millis() / 2).unwrap_or(u64::MAX);
        let mut wrong = None;
        for (pool, of) in self.pools.iter().zip(uses) {
            let Some(id) = pool.accounts.get(of.account) else {
                continue;
            };
            match self.visitor.client().check(id, fresh) {
                Ok(view) => {
                    if let CheckOutcome::Asked { status } = view.outcome
                        && status >= 400
                        && !matches!(status, 401 | 402 | 403 | 429)
                    {
                        wrong = Some(format!("the check was answered with {status}"));
                    } else if view.outcome == CheckOutcome::Silent {
                        wrong = Some("the provider did not answer the check".to_owned());
                    }
                }
                Err(error) => wrong = Some(format!("the check failed: {error}")),
            }
        }
        wrong
    }

    fn pool(&self, pool: &Pool, status: &StatusView) -> PoolReport {
        let view = |id: &String| status.accounts.iter().find(|v| v.id == *id);
        let session = status.sessions.iter().find(|s| s.id == pool.session);
        let served = session.and_then(|s| s.account.as_ref());
        let held = session.map_or(0, |s| s.held);
        // Limits of one model count where that model is asked: by a check, or by a request that waits.
        let models = held > 0 || !self.through;
        let now = now();
        PoolReport {
            standings: pool
                .accounts
                .iter()
                .map(|id| view(id).map_or(Standing::Well, |v| self.standing(v, models, now)))
                .collect(),
            usage: pool
                .accounts
                .iter()
                .map(|id| view(id).map_or_else(String::new, |v| usage(v, now)))
                .collect(),
            served: served.and_then(|id| pool.accounts.iter().position(|a| a == id)),
            held,
            tokens: session.map_or(0, |s| s.total.tokens()),
        }
    }

    fn standing(&self, view: &AccountView, models: bool, now: UnixMs) -> Standing {
        let resting = view.resting_models.iter().map(|(_, until)| *until);
        let model = resting.max().filter(|_| models);
        match view.condition {
            AccountCondition::Resting { until, .. } => Standing::Resting { until },
            AccountCondition::Broken | AccountCondition::NoCredit => Standing::Out,
            AccountCondition::Serving | AccountCondition::Tripped { .. } => match model {
                Some(until) => Standing::Resting { until },
                None => self
                    .threshold
                    .standing(view.windows.iter().filter_map(|w| window(w, now)), now),
            },
        }
    }
}

impl Pool {
    fn seat(&self, visitor: &Visitor, of: &Use, strategy: Strategy) -> Result<(), String> {
        let name = |n: &usize| self.accounts.get(*n).cloned();
        let accounts = match &of.among {
            Some(among) => AccountChoice::Pool(among.iter().filter_map(name).collect()),
            None => AccountChoice::Pinned(name(&of.account).unwrap_or_default()),
        };
        let spec = SessionSpec {
            token_hash: self.token.hash(),
            task: None,
            fence: Fence(0),
            provider: self.provider,
            accounts,
            strategy,
            budget: Default::default(),
            waits: false,
            holds: of.holds,
        };
        visitor.put_session(&self.session, &spec)
    }
}

impl Default for Use {
    fn default() -> Self {
        Self {
            account: 0,
            among: None,
            holds: true,
        }
    }
}

fn take(uses: &mut [Use], order: &Order) {
    let Order::Use {
        pool,
        account,
        among,
        holds,
    } = order;
    if let Some(of) = uses.get_mut(*pool) {
        *of = Use {
            account: *account,
            among: among.clone(),
            holds: *holds,
        };
    }
}

fn window(view: &WindowView, now: UnixMs) -> Option<Window> {
    Some(Window {
        used_permille: view.used_permille?,
        long: match (view.minutes, view.reset_at) {
            (Some(minutes), _) => minutes >= LONG_MINUTES,
            (None, Some(reset)) => reset.since(now).0 >= LONG_MINUTES * 60_000,
            (None, None) => false,
        },
        reset_at: view.reset_at,
    })
}

/// `requests 12/50 (24%), tokens 100/8000 (1%)`, `5h 93%`; what is not told is not 0 (R5).
fn usage(view: &AccountView, now: UnixMs) -> String {
    let told = view.windows.iter().filter_map(|w| {
        let name = clean(&w.name);
        if w.reset_at.is_some_and(|reset| reset <= now) {
            return Some(format!("{name} anew"));
        }
        match (w.limit, w.remaining, w.used_permille) {
            (Some(limit), Some(left), Some(used)) => {
                let percent = f64::from(used) / 10.0;
                Some(format!(
                    "{name} {}/{limit} ({percent}%)",
                    limit.saturating_sub(left)
                ))
            }
            (_, _, Some(used)) => Some(format!("{name} {}%", f64::from(used) / 10.0)),
            _ => None,
        }
    });
    let told: Vec<String> = told.collect();
    if told.is_empty() {
        "use not told yet".to_owned()
    } else {
        told.join(", ")
    }
}
