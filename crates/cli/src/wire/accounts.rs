//! Sessions of accounts with a key: let in through the gateway, which is started when the first of them comes and
//! outlives the daemon (A8). What the gateway reports is collected here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, MutexGuard, PoisonError};

use longhaul_config::settings::AccountSettings;
use longhaul_core::account::Provider;
use longhaul_core::home::Homes;
use longhaul_core::ids::SpawnKey;
use longhaul_core::limit::{LimitClass, LimitNotice};
use longhaul_core::time::UnixMs;
use longhaul_engine::clock::{Clock as _, SystemClock};
use longhaul_engine::event::Event;
use longhaul_engine::executor::{Accounts, Door, Guest, HomeFolder};
use longhaul_gateway::Client;
use longhaul_gateway::api::{
    AccountCondition, AccountView, AccountsRequest, Budget, Report, ReportBody, SessionSpec,
    StatusView,
};
use longhaul_gateway::launch::{self, Launch};

use super::gateway::gateway_launch;
use super::homes::{Settled, settle};
use super::tokens;
use crate::accounts::{self, home_accounts, roster};
use crate::env::Env;
use crate::failure::Failure;
use crate::output::Printer;
use crate::output::text::count;
use crate::paths::Paths;
use crate::settings;
use crate::submit::harness::registry;

/// Sessions whose refusals are remembered.
const REFUSALS_MAX: usize = 10_000;

/// The daemon's side of the gateway.
pub(super) struct Gatekeeper {
    launch: Launch,
    paths: Paths,
    env: Env,
    printer: Printer,
    events: Sender<Event>,
    known: Mutex<Option<Known>>,
    homes: Mutex<Option<Settled>>,
    /// One at a time starts the gateway or gives it accounts.
    door: Mutex<Given>,
    met: Mutex<Met>,
}

/// The accounts as they were read last.
struct Known {
    settings: AccountSettings,
    request: AccountsRequest,
}

/// Which gateway was given which accounts.
#[derive(Default)]
struct Given(Option<(u32, UnixMs, u64)>);

/// What the gateway told.
#[derive(Default)]
struct Met {
    /// It was looked once for what an earlier daemon left.
    looked: bool,
    /// Sessions that are let in.
    inside: BTreeSet<String>,
    /// Why a session was refused last.
    refusals: BTreeMap<String, LimitNotice>,
    /// The number of the last report that was taken in.
    seen: u64,
}

impl Gatekeeper {
    /// Reads nothing and starts nothing yet.
    ///
    /// # Errors
    /// This process's own program cannot be found.
    pub(super) fn new(
        paths: &Paths,
        env: &Env,
        printer: &Printer,
        events: &Sender<Event>,
    ) -> Result<Self, Failure> {
        Ok(Self {
            launch: gateway_launch(paths)?,
            paths: paths.clone(),
            env: env.clone(),
            printer: printer.clone(),
            events: events.clone(),
            known: Mutex::default(),
            homes: Mutex::default(),
            door: Mutex::default(),
            met: Mutex::default(),
        })
    }

    /// Reads the accounts anew, and gives them to the gateway if it runs.
    ///
    /// # Errors
    /// The configuration has mistakes, or the gateway does not take them; in words.
    pub(super) fn reload(&self) -> Result<String, String> {
        let known = self.read()?;
        let usable = known.request.accounts.len();
        let settled = self.read_homes()?;
        let homes = settled.words();
        let event = Event::Homes {
            homes: settled.homes.clone(),
        };
        *lock(&self.homes) = Some(settled);
        *lock(&self.known) = Some(known);
        if self.events.send(event).is_err() {
            tracing::debug!("the dispatcher has ended");
        }
        let client = Client::new(&self.launch.socket);
        match client.status() {
            Ok(status) => {
                self.give(&client, &status)?;
                Ok(format!(
                    "the gateway has {}{homes}",
                    count(usable, "account")
                ))
            }
            Err(error) if error.is_absent() && usable == 0 && !homes.is_empty() => {
                Ok(homes.trim_start_matches("; ").to_owned())
            }
            Err(error) if error.is_absent() => Ok(format!(
                "{} known; the gateway starts with the first session that needs it{homes}",
                count(usable, "account")
            )),
            Err(error) => Err(words(&error)),
        }
    }

    /// The homes that sessions may use.
    pub(super) fn homes(&self) -> Homes {
        self.with_homes(|settled| settled.homes.clone())
            .unwrap_or_default()
    }

    /// What is known of homes; read once, when somebody asks. No key is read for it.
    fn with_homes<T>(&self, look: impl FnOnce(&Settled) -> T) -> Option<T> {
        let mut homes = lock(&self.homes);
        if homes.is_none() {
            match self.read_homes() {
                Ok(read) => *homes = Some(read),
                Err(why) => tracing::error!(%why, "the accounts cannot be read"),
            }
        }
        homes.as_ref().map(look)
    }

    fn read_homes(&self) -> Result<Settled, String> {
        let resolved = settings::layered(&self.paths, &self.env, &self.printer, None, &[]);
        let settings = resolved.map_err(|f| f.body().message)?.settings;
        let registry = registry(&settings).map_err(|f| f.body().message)?;
        let accounts = &settings.accounts;
        let all = home_accounts(accounts, &registry, &self.paths.home);
        let keys_of = accounts::provider_of_chosen_key(accounts, &self.env);
        Ok(settle(accounts, all, keys_of, &self.paths.home))
    }

    /// Takes in what the gateway has to tell, and brings it back if it died under its sessions.
    pub(super) fn collect(&self) {
        if !std::mem::replace(&mut lock(&self.met).looked, true) {
            self.adopt();
        }
        let any = !lock(&self.met).inside.is_empty();
        if !any && !self.launch.socket.exists() {
            return;
        }
        let client = Client::new(&self.launch.socket);
        let status = match client.status() {
            Ok(status) => status,
            Err(error) if error.is_absent() && any => {
                tracing::warn!("the gateway is gone under its sessions; it is started again");
                match self.open() {
                    Ok((_, status)) => status,
                    Err(why) => {
                        tracing::error!(%why, "the gateway does not come back");
                        return;
                    }
                }
            }
            Err(_) => return,
        };
        if let Err(why) = self.give(&client, &status) {
            tracing::error!(%why, "the gateway has no accounts");
        }
        if status.spool.last > status.spool.acknowledged {
            self.take_reports(&client, &status);
        }
    }

    /// Takes over what an earlier daemon left: a gateway with its sessions, also one that died meanwhile.
    fn adopt(&self) {
        if !self.launch.socket.exists() {
            return;
        }
        match self.open() {
            Ok((_, status)) if status.sessions.is_empty() => self.leave(),
            Ok((_, status)) => {
                let ids = status.sessions.into_iter().map(|s| s.id);
                lock(&self.met).inside.extend(ids);
            }
            Err(why) => {
                tracing::error!(%why, "the gateway of an earlier daemon cannot be taken over")
            }
        }
    }

    /// Ends a gateway that nobody uses; one with sessions goes on without the daemon.
    pub(super) fn leave(&self) {
        let client = Client::new(&self.launch.socket);
        if let Ok(status) = client.status()
            && status.sessions.is_empty()
            && let Err(error) = client.shut_down()
        {
            tracing::warn!(error = %words(&error), "the gateway does not end");
        }
    }

    fn read(&self) -> Result<Known, String> {
        let resolved = settings::layered(&self.paths, &self.env, &self.printer, None, &[]);
        let settings = resolved.map_err(|f| f.body().message)?.settings.accounts;
        let all = roster(&settings, &self.env, &self.paths.home);
        for account in &all {
            if let (Err(why), true) = (&account.key, account.enabled) {
                tracing::warn!(account = account.name, %why, "an account cannot be used");
            }
        }
        // Grows with each reading: what the gateway holds against an account is forgotten with it.
        let generation = u64::try_from(SystemClock.now().wall.0).unwrap_or_default();
        let request = accounts::request(&settings, &all, generation);
        Ok(Known { settings, request })
    }

    /// What is known of accounts; read once, when somebody asks.
    fn with_known<T>(&self, look: impl FnOnce(&Known) -> T) -> Result<T, String> {
        let mut known = lock(&self.known);
        if known.is_none() {
            *known = Some(self.read()?);
        }
        known
            .as_ref()
            .map(look)
            .ok_or_else(|| "no accounts are known".to_owned())
    }

    /// The gateway, running and with the accounts as they were read last.
    fn open(&self) -> Result<(Client, StatusView), String> {
        let client = launch::ensure(&self.launch).map_err(|e| words(&e))?;
        let status = client.status().map_err(|e| words(&e))?;
        self.give(&client, &status)?;
        Ok((client, status))
    }

    fn give(&self, client: &Client, status: &StatusView) -> Result<(), String> {
        let mut given = lock(&self.door);
        let request = self.with_known(|known| known.request.clone())?;
        let generation = request.accounts.first().map_or(0, |a| a.generation);
        let this = Some((status.pid, status.started_at, generation));
        if status.ready && given.0 == this {
            return Ok(());
        }
        client.put_accounts(&request).map_err(|e| words(&e))?;
        given.0 = this;
        Ok(())
    }

    fn take_reports(&self, client: &Client, status: &StatusView) {
        loop {
            let after = lock(&self.met).seen.max(status.spool.acknowledged);
            let page = match client.reports(after) {
                Ok(page) => page,
                Err(error) => {
                    tracing::warn!(error = %words(&error), "the gateway's reports cannot be read");
                    return;
                }
            };
            let Some(last) = page.reports.last().map(|r| r.seq) else {
                return;
            };
            for report in page.reports {
                self.take(report, status);
            }
            if let Err(error) = client.acknowledge(last) {
                tracing::warn!(error = %words(&error), "the gateway's reports are seen again");
                return;
            }
            if !page.more {
                return;
            }
        }
    }

    fn take(&self, report: Report, status: &StatusView) {
        let mut met = lock(&self.met);
        met.seen = met.seen.max(report.seq);
        match report.body {
            ReportBody::Exhausted { session, until } => {
                if met.refusals.len() >= REFUSALS_MAX {
                    met.refusals.pop_first();
                }
                let notice = exhausted(&session, until, status);
                met.refusals.insert(session, notice);
            }
            ReportBody::OverBudget {
                session,
                unknown_price,
            } => {
                tracing::warn!(
                    session,
                    unknown_price,
                    "refused by the gateway: over budget"
                );
            }
            ReportBody::Moved { session, from, to } => {
                tracing::info!(session, from, to, "goes on with another account");
            }
            ReportBody::Account { account, condition } => {
                tracing::info!(account, ?condition, "an account's condition");
            }
            ReportBody::Limit {
                account,
                status,
                notice,
                ..
            } => {
                tracing::info!(account, status, class = notice.class.as_str(), until = ?notice.reset_at, "a provider refused")
            }
            ReportBody::Candidate {
                provider,
                status,
                snippet,
            } => {
                tracing::info!(provider = provider.as_str(), status, %snippet, "a refusal that no rule knows");
            }
            ReportBody::Dropped { count } => {
                tracing::warn!(
                    count,
                    "reports of the gateway were dropped before anybody read them"
                );
            }
            ReportBody::Usage { .. } | ReportBody::Windows { .. } => {}
        }
    }
}

impl Accounts for Gatekeeper {
    fn serve(&self, provider: Provider) -> bool {
        let served = self.with_known(|known| {
            let mut accounts = known.request.accounts.iter();
            known.settings.gateway && accounts.any(|a| a.provider == provider)
        });
        served.unwrap_or_else(|why| {
            tracing::error!(%why, "the accounts cannot be read");
            false
        })
    }

    fn home(&self, account: &str) -> Result<HomeFolder, String> {
        let found = self.with_homes(|homes| homes.folder(account));
        found.unwrap_or_else(|| Err("the configuration cannot be read".to_owned()))
    }

    fn first_home(&self, harness: &str) -> Option<String> {
        let set = self.homes().0.remove(harness)?;
        set.homes.into_iter().next().map(|home| home.name)
    }

    fn admit(&self, session: &SpawnKey, guest: &Guest) -> Result<Door, String> {
        let strategy = self.with_known(|known| known.settings.strategy)?;
        let (client, status) = self.open()?;
        let token = tokens::token(&self.paths.gateway_dir(), session.as_str())
            .map_err(|e| format!("no token can be made: {e}"))?;
        let spec = SessionSpec {
            token_hash: token.hash(),
            task: Some(guest.task),
            fence: guest.fence,
            provider: guest.provider,
            accounts: longhaul_gateway::api::AccountChoice::Any,
            strategy,
            budget: Budget {
                cost: guest.money,
                tokens: guest.tokens,
            },
            waits: false,
            holds: false,
        };
        let put = client.put_session(session.as_str(), &spec);
        put.map_err(|e| words(&e))?;
        lock(&self.met).inside.insert(session.to_string());
        Ok(Door {
            url: status.url(),
            token: token.expose().to_owned(),
        })
    }

    fn refusal(&self, session: &SpawnKey) -> Option<LimitNotice> {
        // The last word may still lie with the gateway.
        self.collect();
        lock(&self.met).refusals.get(session.as_str()).cloned()
    }

    fn dismiss(&self, session: &SpawnKey) {
        let known = {
            let mut met = lock(&self.met);
            met.refusals.remove(session.as_str());
            met.inside.remove(session.as_str())
        };
        if !known && !self.launch.socket.exists() {
            return;
        }
        let client = Client::new(&self.launch.socket);
        match client.delete_session(session.as_str()) {
            Err(error) if !error.is_absent() => {
                tracing::warn!(%session, error = %words(&error), "its token is still good");
            }
            _ => {}
        }
    }
}

/// What it means that nothing could serve a session.
fn exhausted(session: &str, until: Option<UnixMs>, status: &StatusView) -> LimitNotice {
    let provider = status.sessions.iter().find(|s| s.id == session);
    let provider = provider.map(|s| s.provider);
    let accounts = status.accounts.iter();
    let served: Vec<&AccountView> = accounts
        .filter(|a| provider.is_none_or(|p| p == a.provider))
        .collect();
    let all = |what: fn(&AccountCondition) -> bool| {
        !served.is_empty() && served.iter().all(|a| what(&a.condition))
    };
    let rests = |a: &&AccountView| {
        !a.resting_models.is_empty() || matches!(a.condition, AccountCondition::Resting { .. })
    };
    let class = if all(|c| matches!(c, AccountCondition::Broken)) {
        LimitClass::Auth
    } else if all(|c| matches!(c, AccountCondition::Broken | AccountCondition::NoCredit)) {
        LimitClass::Billing
    } else if served.iter().any(rests) {
        LimitClass::Quota
    } else {
        LimitClass::Overload
    };
    LimitNotice {
        class,
        reset_at: until.filter(|_| class == LimitClass::Quota),
        window: None,
        snippet: "no account can serve it now".to_owned(),
    }
}

pub(super) fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(&format!(": {source}"));
        next = source.source();
    }
    text
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
