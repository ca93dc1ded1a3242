//! What every route shares.

use std::sync::Arc;
use std::time::Duration;

use longhaul_api::Payload;
use longhaul_core::ids::TaskId;
use longhaul_core::time::UnixMs;
use longhaul_engine::handle::{Command, EngineHandle, LiveSession, Reply};
use longhaul_store::Reader;
use serde::Serialize;
use tokio::sync::{Semaphore, oneshot, watch};

use super::authority::RefusedCall;
use super::body::Answer;
use super::foresight::Foresight;
use super::logs::LogSource;
use super::pool::Pool;
use super::problem::{ApiError, not_followed};
use super::serve::{Reload, ServerDeps};
use crate::views::{ViewError, Views};
use crate::wording::Phrasing;

/// How long the engine may take to answer a command.
const COMMAND_TIME: Duration = Duration::from_secs(60);
/// How long a view waits for what the engine knows of live sessions; without it, it says less.
const LIVE_TIME: Duration = Duration::from_secs(2);
/// Bodies that are read and parsed at the same time.
const BODIES: usize = 8;

/// What every route shares. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) engine: EngineHandle,
    pub(crate) pool: Pool,
    pub(crate) phrasing: Phrasing,
    pub(crate) clock: Arc<dyn Fn() -> UnixMs + Send + Sync>,
    pub(crate) logs: Arc<dyn LogSource>,
    pub(crate) foresight: Arc<dyn Foresight>,
    pub(crate) reload_accounts: Reload,
    pub(crate) advance: watch::Receiver<u64>,
    pub(crate) shutdown: watch::Receiver<bool>,
    pub(crate) version: String,
    pub(crate) on_refused: Arc<dyn Fn(&RefusedCall) + Send + Sync>,
    pub(crate) bodies: Semaphore,
}

impl std::ops::Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl App {
    pub(crate) fn new(deps: &ServerDeps) -> Self {
        Self(Arc::new(Shared {
            engine: deps.engine.clone(),
            pool: Pool::new(Arc::clone(&deps.readers)),
            phrasing: deps.phrasing.clone(),
            clock: Arc::clone(&deps.clock),
            logs: Arc::clone(&deps.logs),
            foresight: Arc::clone(&deps.foresight),
            reload_accounts: Arc::clone(&deps.reload_accounts),
            advance: deps.advance.clone(),
            shutdown: deps.shutdown.clone(),
            version: deps.version.clone(),
            on_refused: Arc::clone(&deps.on_refused),
            bodies: Semaphore::new(BODIES),
        }))
    }

    /// Reads the store.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Reader) -> Result<T, ViewError> + Send + 'static,
    ) -> Result<T, ApiError> {
        self.pool.read(work).await
    }

    /// Looks at the store, with what is known of live sessions.
    pub(crate) async fn view<T: Send + 'static>(
        &self,
        live: Vec<LiveSession>,
        look: impl FnOnce(&Views<'_>) -> Result<T, ViewError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let app = self.clone();
        self.read(move |reader| {
            let now = (app.clock)();
            look(&Views::new(reader, &app.phrasing, now).with_live(live))
        })
        .await
    }

    /// Asks git, on a thread that may block.
    pub(crate) async fn foresee<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&dyn Foresight) -> Result<T, String> + Send + 'static,
    ) -> Result<T, ApiError> {
        let foresight = Arc::clone(&self.foresight);
        let asked = tokio::task::spawn_blocking(move || ask(&*foresight));
        match asked.await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(why)) => Err(ApiError::new(
                longhaul_api::ErrorClass::Conflict,
                "git_failed",
                self.phrasing.line(&why),
            )),
            Err(_) => Err(ApiError::bug("a question to git panicked")),
        }
    }

    /// Reads the accounts anew, on a thread that may block: a keyring may ask somebody first.
    pub(crate) async fn reload_accounts(&self) -> Result<String, ApiError> {
        let reload = Arc::clone(&self.reload_accounts);
        match tokio::task::spawn_blocking(move || reload()).await {
            Ok(Ok(said)) => Ok(said),
            Ok(Err(why)) => Err(ApiError::new(
                longhaul_api::ErrorClass::Conflict,
                "accounts_not_read",
                self.phrasing.line(&why),
            )
            .hint("the accounts that were known before are used until then")),
            Err(_) => Err(ApiError::bug("reading the accounts panicked")),
        }
    }

    /// Looks at the store and writes the answer out, both on a thread that may block.
    pub(crate) async fn show<T: Payload + Serialize>(
        &self,
        live: Vec<LiveSession>,
        look: impl FnOnce(&Views<'_>) -> Result<T, ViewError> + Send + 'static,
    ) -> Result<Answer, ApiError> {
        self.view(live, move |views| look(views).map(Answer::new))
            .await?
    }

    /// Gives the engine a command and waits for its answer.
    pub(crate) async fn command(&self, command: Command) -> Result<Reply, ApiError> {
        match self.ask(command, COMMAND_TIME).await? {
            Reply::Refused { class, message } => Err(not_followed(class, message)),
            reply => Ok(reply),
        }
    }

    /// What the engine knows of live sessions; nothing, if it does not say in time.
    pub(crate) async fn live(&self, tasks: Option<Vec<TaskId>>) -> Vec<LiveSession> {
        match self.ask(Command::Live { tasks }, LIVE_TIME).await {
            Ok(Reply::Live(sessions)) => sessions,
            _ => Vec::new(),
        }
    }

    async fn ask(&self, command: Command, time: Duration) -> Result<Reply, ApiError> {
        let (answer, answered) = oneshot::channel();
        // A client that hung up has dropped the other end; the command is followed all the same.
        let reply = move |reply| drop(answer.send(reply));
        self.engine
            .request(command, reply)
            .map_err(|_| ApiError::shutting_down())?;
        match tokio::time::timeout(time, answered).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(_)) => Err(ApiError::shutting_down()),
            Err(_) => Err(ApiError::new(
                longhaul_api::ErrorClass::Unavailable,
                "engine_slow",
                "the daemon did not answer in time; the command may still be followed",
            )
            .hint("look with `longhaul status` before you repeat it")),
        }
    }
}
