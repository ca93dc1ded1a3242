//! What all connections share: the router behind a lock that is held for moments only, the spool, the way to the
//! providers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use longhaul_core::ids::{Fence, TaskId};
use longhaul_core::time::UnixMs;
use tokio::sync::{Notify, Semaphore, watch};

use super::place::Place;
use super::spool::Spool;
use super::upstream::Upstream;
use crate::api::{CONTROL_VERSION, SessionView};
use crate::api::{Provider, ReportBody, StatusView};
use crate::meter::Count;
use crate::routing::{Ask, Conversation, Router};

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// To a provider's connection.
    pub connect: Duration,
    /// From a request to the head of its answer: long, since an answer that is no stream comes whole.
    pub head: Duration,
    /// Between two pieces of an answer. Clients give up after 300 s of silence.
    pub silence: Duration,
    /// The head of a request.
    pub request_head: Duration,
    /// Between two pieces of a request.
    pub body: Duration,
    /// All waiting for the sake of one request: pauses, and for a free place.
    pub waiting: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            head: Duration::from_secs(600),
            silence: Duration::from_secs(330),
            request_head: Duration::from_secs(30),
            body: Duration::from_secs(60),
            waiting: Duration::from_secs(10),
        }
    }
}

/// Most bytes of requests that are held at the same time, in KiB.
const HELD_KIB: usize = 512 << 10;

pub(super) struct Shared {
    router: Mutex<Router>,
    spool: Mutex<Spool>,
    pub(super) place: Place,
    pub(super) port: u16,
    pub(super) started_at: UnixMs,
    pub(super) version: String,
    pub(super) upstream: Upstream,
    pub(super) times: Times,
    /// Memory for bodies of requests.
    pub(super) held: Arc<Semaphore>,
    /// A request left an account.
    pub(super) freed: Notify,
    /// Accounts or sessions were changed from outside.
    pub(super) changed: watch::Sender<()>,
    /// Requests that are kept until an account can serve, by session.
    held_back: Mutex<BTreeMap<String, u32>>,
    /// The state changed in a way that is to be kept at once.
    pub(super) urgent: Notify,
    /// The gateway is to end.
    pub(super) stop: Notify,
}

impl Shared {
    pub(super) fn new(
        parts: (Place, Spool, Router),
        upstream: Upstream,
        port: u16,
        version: String,
        times: Times,
    ) -> Self {
        let (place, spool, router) = parts;
        Self {
            router: Mutex::new(router),
            spool: Mutex::new(spool),
            place,
            port,
            started_at: now(),
            version,
            upstream,
            times,
            held: Arc::new(Semaphore::new(HELD_KIB)),
            freed: Notify::new(),
            changed: watch::Sender::new(()),
            held_back: Mutex::default(),
            urgent: Notify::new(),
            stop: Notify::new(),
        }
    }

    /// Asks the router, and writes down what it has to tell.
    pub(super) fn route<T>(&self, work: impl FnOnce(&mut Router, UnixMs) -> T) -> T {
        let now = now();
        let mut router = self.router.lock().unwrap_or_else(PoisonError::into_inner);
        let done = work(&mut router, now);
        let reports = router.take_reports();
        drop(router);
        if !reports.is_empty() {
            let urgent =
                |r: &ReportBody| matches!(r, ReportBody::Limit { .. } | ReportBody::Account { .. });
            if reports.iter().any(urgent) {
                self.urgent.notify_one();
            }
            if let Err(error) = self.spool().append(now, reports) {
                tracing::error!(%error, "reports could not be written; what they count is in the totals of later ones");
            }
        }
        done
    }

    fn held_back(&self) -> MutexGuard<'_, BTreeMap<String, u32>> {
        let held = self.held_back.lock();
        held.unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn spool(&self) -> MutexGuard<'_, Spool> {
        self.spool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the state on disk. Blocks.
    pub(super) fn keep(&self) -> std::io::Result<()> {
        let saved = self.route(|router, _| router.saved());
        self.place.keep(self.port, saved)
    }

    pub(super) fn status(&self) -> StatusView {
        let spool = self.spool().view();
        let held_back = self.held_back().clone();
        self.route(|router, now| StatusView {
            control: CONTROL_VERSION,
            version: self.version.clone(),
            pid: std::process::id(),
            port: self.port,
            started_at: self.started_at,
            ready: router.is_ready(),
            givers: router.givers().cloned().collect(),
            accounts: router.accounts().iter().map(|a| a.view(now)).collect(),
            sessions: router
                .sessions()
                .map(|(id, session)| SessionView {
                    id: id.clone(),
                    task: session.spec.task,
                    fence: session.spec.fence,
                    provider: session.spec.provider,
                    total: session.total,
                    account: session.account.clone(),
                    held: held_back.get(id).copied().unwrap_or(0),
                })
                .collect(),
            spool,
        })
    }
}

/// The wall clock.
pub(super) fn now() -> UnixMs {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UnixMs(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// What the router needs of a request, owned.
#[derive(Clone, Debug)]
pub(super) struct Asking {
    pub(super) session: String,
    pub(super) provider: Provider,
    pub(super) task: Option<TaskId>,
    pub(super) fence: Fence,
    pub(super) model: Option<String>,
    pub(super) conversation: Option<Conversation>,
    pub(super) movable: bool,
    pub(super) repeatable: bool,
}

impl Asking {
    pub(super) fn ask(&self) -> Ask<'_> {
        Ask {
            session: &self.session,
            provider: self.provider,
            task: self.task,
            fence: self.fence,
            model: self.model.as_deref(),
            conversation: self.conversation,
            movable: self.movable,
            repeatable: self.repeatable,
        }
    }
}

/// A request that is kept until an account can serve; seen in the status until this is dropped.
pub(super) struct HeldBack {
    shared: Arc<Shared>,
    session: String,
}

impl HeldBack {
    pub(super) fn new(shared: &Arc<Shared>, session: &str) -> Self {
        *shared.held_back().entry(session.to_owned()).or_default() += 1;
        Self {
            shared: Arc::clone(shared),
            session: session.to_owned(),
        }
    }
}

impl Drop for HeldBack {
    fn drop(&mut self) {
        let mut held = self.shared.held_back();
        if let Some(count) = held.get_mut(&self.session) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.session);
            }
        }
    }
}

/// A request on its way to an account. However it ends, the account is told once: dropped, it was given up.
pub(super) struct Flight {
    pub(super) shared: Arc<Shared>,
    pub(super) asking: Arc<Asking>,
    pub(super) account: String,
    open: bool,
}

impl Flight {
    pub(super) fn new(shared: Arc<Shared>, asking: Arc<Asking>, account: String) -> Self {
        Self {
            shared,
            asking,
            account,
            open: true,
        }
    }

    /// The router was told by other means.
    pub(super) fn landed(&mut self) {
        self.open = false;
        self.shared.freed.notify_waiters();
    }

    /// The answer is over; `count` is what it used, where it is metered.
    pub(super) fn ended(&mut self, count: Option<Count>) {
        if std::mem::take(&mut self.open) {
            let (ask, account) = (self.asking.ask(), &self.account);
            self.shared
                .route(|router, now| router.ended(now, &ask, account, count));
            self.shared.freed.notify_waiters();
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if std::mem::take(&mut self.open) {
            let account = &self.account;
            self.shared
                .route(|router, now| router.abandoned(now, account));
            self.shared.freed.notify_waiters();
        }
    }
}
