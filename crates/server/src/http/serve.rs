//! Accepts connections, finds out who is there, serves them, and ends in order.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use longhaul_core::time::UnixMs;
use longhaul_engine::handle::EngineHandle;
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::app::App;
use super::authority::{Authority, Peer, PeerAuthority, RefusedCall};
use super::foresight::Foresight;
use super::guard::Caller;
use super::logs::LogSource;
pub use super::pool::OpenReader;
pub use super::socket::{BindError, Listener, bind, listen_private};
use crate::routes::router;
use crate::wording::Phrasing;

/// Connections at the same time; the next ones wait in the kernel's queue.
const CONNECTIONS: usize = 512;
/// Of those, connections of sessions: they cannot shut a person out.
const SESSION_CONNECTIONS: usize = 128;
/// How long a request's head may take to arrive, and how long a connection may idle.
const HEAD_TIME: Duration = Duration::from_secs(20);
/// Largest head, and the buffer that a slow reader can fill.
const BUFFER_BYTES: usize = 64 << 10;
/// How long requests may take to finish after the shutdown began.
const DRAIN_TIME: Duration = Duration::from_secs(5);
/// How often the socket's file is looked for.
const SOCKET_LOOK: Duration = Duration::from_secs(5);
/// Pause after `accept` failed, which happens when there are no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Does something again and says what came of it, or why it could not.
pub type Reload = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

/// What the server is given by the composition root.
#[derive(Clone)]
pub struct ServerDeps {
    /// The only way to change anything.
    pub engine: EngineHandle,
    /// Opens a reader of the store; called rarely.
    pub readers: OpenReader,
    /// Says on whose behalf a peer asks (I17).
    pub authority: Arc<dyn Authority>,
    /// Is told of every refused request; must not block.
    pub on_refused: Arc<dyn Fn(&RefusedCall) + Send + Sync>,
    /// Reads sessions' logs.
    pub logs: Arc<dyn LogSource>,
    /// Asks git about the merge queue.
    pub foresight: Arc<dyn Foresight>,
    /// Reads the accounts anew and says what came of it; may block (A1).
    pub reload_accounts: Reload,
    /// The newest sequence number of the ledger: right at the start, raised after every commit. A
    /// hint: a missed one delays an event and loses none.
    pub advance: watch::Receiver<u64>,
    /// Turns true, or its sender goes, when the daemon ends.
    pub shutdown: watch::Receiver<bool>,
    /// How sentences are told.
    pub phrasing: Phrasing,
    /// The wall clock.
    pub clock: Arc<dyn Fn() -> UnixMs + Send + Sync>,
    /// Version of the daemon's program (T29).
    pub version: String,
}

/// Serves until the shutdown begins; then accepts nothing more, ends the streams, gives requests
/// five seconds to finish, and returns. The socket's file is gone when it returns.
pub async fn serve(mut listener: Listener, deps: ServerDeps) {
    let app = App::new(&deps);
    let router = router(app);
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    let sessions = Arc::new(Semaphore::new(SESSION_CONNECTIONS));
    let mut shutdown = deps.shutdown.clone();
    let mut served = JoinSet::new();
    let mut look = tokio::time::interval(SOCKET_LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let next = async {
            let permit = Arc::clone(&connections).acquire_owned().await;
            (permit, listener.socket.accept().await)
        };
        tokio::select! {
            // Cancel-safe: `watch::Receiver::wait_for` loses nothing.
            () = ended(&mut shutdown) => break,
            // Cancel-safe: a tick that was not taken comes again.
            _ = look.tick() => match listener.keep_reachable() {
                Ok(false) => {}
                Ok(true) => tracing::warn!("the socket's file was gone and is back"),
                Err(error) => tracing::error!(%error, "the socket's file is gone"),
            },
            // Cancel-safe by `JoinSet`; it only reaps what has ended.
            Some(joined) = served.join_next() => {
                if let Err(error) = joined && error.is_panic() {
                    tracing::error!(%error, "a connection panicked");
                }
            }
            // Cancel-safe: `accept` is, and a permit that was not used goes back.
            (permit, accepted) = next => match (permit, accepted) {
                (Ok(permit), Ok((stream, _))) => {
                    let guest = Guest {
                        router: router.clone(),
                        authority: Arc::clone(&deps.authority),
                        sessions: Arc::clone(&sessions),
                        shutdown: deps.shutdown.clone(),
                    };
                    served.spawn(guest.serve(stream, permit));
                }
                (_, Err(error)) => {
                    tracing::warn!(%error, "no connection could be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
                // The semaphore is never closed.
                (Err(_), Ok(_)) => break,
            },
        }
    }
    drop(listener);
    let drained = async { while served.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_TIME, drained).await.is_err() {
        tracing::warn!(
            open = served.len(),
            "requests did not finish in time and are cut off"
        );
        served.shutdown().await;
    }
}

/// Resolves when the daemon ends.
pub(crate) async fn ended(shutdown: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, and with it the daemon.
    drop(shutdown.wait_for(|ended| *ended).await);
}

/// One connection.
struct Guest {
    router: Router,
    authority: Arc<dyn Authority>,
    sessions: Arc<Semaphore>,
    shutdown: watch::Receiver<bool>,
}

impl Guest {
    async fn serve(mut self, stream: UnixStream, _permit: OwnedSemaphorePermit) {
        // Before anything is read: see `Authority`.
        let Some(caller) = self.identify(&stream).await else {
            return;
        };
        let _session = match caller.who {
            PeerAuthority::Person => None,
            _ => match Arc::clone(&self.sessions).try_acquire_owned() {
                Ok(permit) => Some(permit),
                Err(_) => {
                    tracing::warn!(pid = caller.pid, "too many connections of sessions");
                    return;
                }
            },
        };
        let inner = TowerToHyperService::new(self.router);
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(caller);
            inner.call(request)
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_buf_size(BUFFER_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let result = tokio::select! {
            // Pinned outside: not cancelled by the other arm, which goes on with it.
            result = connection.as_mut() => result,
            // Cancel-safe: see `ended`.
            () = ended(&mut self.shutdown) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = result {
            // A client that hung up, was too slow, or did not speak HTTP.
            tracing::debug!(%error, pid = caller.pid, "a connection ended early");
        }
    }

    async fn identify(&self, stream: &UnixStream) -> Option<Caller> {
        let credentials = match stream.peer_cred() {
            Ok(credentials) => credentials,
            Err(error) => {
                tracing::warn!(%error, "a peer could not be identified");
                return None;
            }
        };
        let socket: OwnedFd = stream.as_fd().try_clone_to_owned().ok()?;
        let authority = Arc::clone(&self.authority);
        let (pid, uid) = (credentials.pid(), credentials.uid());
        let who = tokio::task::spawn_blocking(move || {
            authority.of_peer(&Peer {
                pid,
                uid,
                socket: socket.as_fd(),
            })
        });
        // An implementation that panicked vouches for nobody.
        Some(Caller {
            who: who.await.unwrap_or(PeerAuthority::Unknown),
            pid,
        })
    }
}
