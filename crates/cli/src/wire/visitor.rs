//! The gateway for whoever is not the daemon (A8): `supervise`, and other programs of the user's. A visitor brings the
//! accounts of its own environment and takes them along when it goes; those of the daemon stay as they are.

use std::sync::{Arc, Mutex, PoisonError};

use longhaul_core::time::UnixMs;
use longhaul_engine::clock::{Clock as _, SystemClock};
use longhaul_gateway::Client;
use longhaul_gateway::api::{
    AccountCondition, AccountSpec, AccountsRequest, SessionSpec, StatusView,
};
use longhaul_gateway::launch::{self, Launch};

use super::accounts::words;
use super::gateway::gateway_launch;
use crate::client::{self, Presence};
use crate::failure::Failure;
use crate::paths::Paths;

/// A visitor of the gateway.
pub(crate) struct Visitor {
    launch: Launch,
    giver: String,
    request: AccountsRequest,
    /// True once it has left: whoever still looks makes nothing there any more.
    gone: Gone,
}

/// Held while something is made at the gateway.
pub(crate) type Gone = Arc<Mutex<bool>>;

impl Visitor {
    /// Under this name, with these accounts. Nothing is started yet.
    ///
    /// # Errors
    /// This process's own program cannot be found; the folders of the installation cannot be made.
    pub(crate) fn new(
        paths: &Paths,
        giver: &str,
        mut request: AccountsRequest,
    ) -> Result<Self, Failure> {
        paths.create()?;
        request.giver = giver.to_owned();
        for account in &mut request.accounts {
            // What the gateway knows against a key is not forgotten because somebody else has it, too.
            account.generation = 0;
        }
        Ok(Self {
            launch: gateway_launch(paths)?,
            giver: giver.to_owned(),
            request,
            gone: Gone::default(),
        })
    }

    /// A way to the gateway; nothing is said on it yet.
    pub(crate) fn client(&self) -> Client {
        Client::new(&self.launch.socket)
    }

    /// To be set, under its lock, before the visitor's things are taken away.
    pub(crate) fn gone(&self) -> Gone {
        Arc::clone(&self.gone)
    }

    /// Makes something there, unless the visitor has left.
    fn make<T>(&self, work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
        let gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        if *gone {
            return Err("the visitor has left".to_owned());
        }
        work()
    }

    /// The accounts, by the names that they have in the gateway.
    pub(crate) fn accounts(&self) -> &[AccountSpec] {
        &self.request.accounts
    }

    /// The gateway, started if need be, with our accounts in it. Another key that the daemon has under the same name
    /// keeps that name; ours gets its fingerprint behind it.
    ///
    /// # Errors
    /// In words.
    pub(crate) fn enter(&mut self) -> Result<StatusView, String> {
        let client = launch::ensure(&self.launch).map_err(|e| words(&e))?;
        let status = client.status().map_err(|e| words(&e))?;
        for account in &mut self.request.accounts {
            let fingerprint = account.key.fingerprint();
            let taken = |v: &&longhaul_gateway::api::AccountView| {
                v.id == account.id && v.fingerprint != fingerprint
            };
            if status.accounts.iter().any(|v| taken(&v)) {
                account.id = format!("{}@{fingerprint}", account.id);
            }
        }
        let status = self.give(&client)?;
        // Whoever begins anew means that a key that was refused is to be tried again.
        let now = u64::try_from(SystemClock.now().wall.0).unwrap_or_default();
        let mut again = false;
        for account in &mut self.request.accounts {
            let view = status.accounts.iter().find(|v| v.id == account.id);
            let dead = |c: AccountCondition| {
                matches!(c, AccountCondition::Broken | AccountCondition::NoCredit)
            };
            if view.is_some_and(|v| dead(v.condition)) {
                account.generation = now;
                again = true;
            }
        }
        if again {
            self.give(&client)
        } else {
            Ok(status)
        }
    }

    fn give(&self, client: &Client) -> Result<StatusView, String> {
        let put = client.put_accounts(&self.request);
        put.map_err(|e| words(&e))?;
        client.status().map_err(|e| words(&e))
    }

    /// How the gateway is; where it died and came back, or was started anew, it has our accounts again. True: so it
    /// was, and sessions are to be looked after.
    ///
    /// # Errors
    /// In words.
    pub(crate) fn look(&self) -> Result<StatusView, String> {
        match self.client().status() {
            Ok(status) if status.givers.contains(&self.giver) => Ok(status),
            Ok(_) => self.make(|| self.give(&self.client())),
            Err(error) if error.is_absent() => self.make(|| {
                let client = launch::ensure(&self.launch).map_err(|e| words(&e))?;
                self.give(&client)
            }),
            Err(error) => Err(words(&error)),
        }
    }

    /// Makes or changes a session.
    ///
    /// # Errors
    /// In words.
    pub(crate) fn put_session(&self, id: &str, spec: &SessionSpec) -> Result<(), String> {
        self.make(|| {
            let put = self.client().put_session(id, spec);
            put.map_err(|e| words(&e))
        })
    }
}

/// Takes sessions and the accounts of a visitor out of the gateway, if it runs, and ends it if nobody else needs it.
pub(crate) fn forget(paths: &Paths, giver: &str, sessions: &[String]) {
    let client = Client::new(paths.gateway_socket());
    let gone = AccountsRequest {
        giver: giver.to_owned(),
        ..AccountsRequest::default()
    };
    let left = sessions
        .iter()
        .try_for_each(|id| client.delete_session(id))
        .and_then(|()| client.put_accounts(&gone))
        .and_then(|()| client.status());
    match left {
        Ok(status) if status.sessions.is_empty() && nobody_else(&status, paths) => {
            if let Err(error) = client.shut_down() {
                tracing::debug!(error = %words(&error), "the gateway does not end");
            }
        }
        Ok(_) => {}
        Err(error) if error.is_absent() => {}
        Err(error) => tracing::warn!(error = %words(&error), "the gateway still has sessions"),
    }
}

/// Whether neither another visitor nor a daemon is there.
fn nobody_else(status: &StatusView, paths: &Paths) -> bool {
    let daemon = || matches!(client::look(paths), Ok(Presence::There(_)));
    status.givers.iter().all(String::is_empty) && (status.givers.is_empty() || !daemon())
}

/// The wall clock.
pub(crate) fn now() -> UnixMs {
    SystemClock.now().wall
}
