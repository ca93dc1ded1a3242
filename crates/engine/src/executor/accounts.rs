//! Accounts with a key, as sessions meet them: behind the gateway, which a session enters with a token of its own
//! (A8). Who they are and which of them answers is not the executor's to know.

use std::fmt;

use camino::Utf8PathBuf;
use longhaul_core::account::Provider;
use longhaul_core::ids::{Fence, SpawnKey, TaskId};
use longhaul_core::limit::LimitNotice;
use longhaul_core::usage::MicroUsd;

/// The accounts behind the gateway.
pub trait Accounts: Send + Sync {
    /// Whether the provider has an account that sessions are to use.
    fn serve(&self, provider: Provider) -> bool;

    /// The folder of an account home, or why it cannot be used; in words.
    ///
    /// # Errors
    /// There is no such account, or its folder is gone.
    fn home(&self, account: &str) -> Result<HomeFolder, String>;

    /// The home that a session of this harness uses where nothing chose one: a reviewer's, of another harness than
    /// its author's.
    fn first_home(&self, harness: &str) -> Option<String>;

    /// Lets a session in. Asked again for the same session, it gives the same door.
    ///
    /// # Errors
    /// In words; asking again may help.
    fn admit(&self, session: &SpawnKey, guest: &Guest) -> Result<Door, String>;

    /// Why the session was refused last, if nothing could serve it.
    fn refusal(&self, session: &SpawnKey) -> Option<LimitNotice>;

    /// The session is over: its token is worth nothing any more.
    fn dismiss(&self, session: &SpawnKey);
}

/// No accounts: sessions use what their environment holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoAccounts;

impl Accounts for NoAccounts {
    fn serve(&self, _: Provider) -> bool {
        false
    }

    fn home(&self, account: &str) -> Result<HomeFolder, String> {
        Err(format!("there is no account home `{account}`"))
    }

    fn first_home(&self, _: &str) -> Option<String> {
        None
    }

    fn admit(&self, _: &SpawnKey, _: &Guest) -> Result<Door, String> {
        Err("there are no accounts".to_owned())
    }

    fn refusal(&self, _: &SpawnKey) -> Option<LimitNotice> {
        None
    }

    fn dismiss(&self, _: &SpawnKey) {}
}

/// An agent's config home as a session gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HomeFolder {
    /// The folder.
    pub dir: Utf8PathBuf,
    /// What its links lead to: a session writes its conversation there (A18).
    pub shared: Vec<Utf8PathBuf>,
}

/// A session that is to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// Its task.
    pub task: TaskId,
    /// The attempt.
    pub fence: Fence,
    /// Whose accounts it uses.
    pub provider: Provider,
    /// Money that it may spend (I10).
    pub money: Option<MicroUsd>,
    /// Tokens that it may use (I10).
    pub tokens: Option<u64>,
}

/// How a session gets in.
#[derive(Clone)]
pub struct Door {
    /// The gateway, without a path.
    pub url: String,
    /// The session's token, for its environment alone (I12).
    pub token: String,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}
