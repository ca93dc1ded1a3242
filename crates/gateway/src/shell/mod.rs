//! The gateway as a process: sockets, files and clocks around `routing`, `signals` and `meter`.

mod body;
mod check;
mod control;
mod place;
mod proxy;
mod shared;
mod spool;
mod upstream;
mod way;

use std::io;
use std::net::TcpListener as StdTcpListener;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};

pub use place::{Place, PlaceError};
pub use shared::Times;
pub use way::WayOut;

use crate::routing::Router;
use shared::Shared;
use spool::Spool;
use upstream::Upstream;

/// Connections of clients at the same time.
const MAX_CONNECTIONS: usize = 4096;
/// Control connections at the same time.
const MAX_CONTROL: usize = 64;
/// A connection's buffer; each of many keeps what it once needed. The head of a request must fit.
const BUFFER_BYTES: usize = 64 << 10;
/// How long the head of an order may take.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// How often what was learned is kept, if nothing asks for it sooner.
const KEEP_EVERY: Duration = Duration::from_secs(5);
const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// How long answers may go on after the gateway was told to end.
const GRACE: Duration = Duration::from_secs(10);

/// The process at the other end of a control connection, as the kernel says.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Its pid, where the system tells.
    pub pid: Option<i32>,
    /// Its user.
    pub uid: u32,
}

/// Whether a process may give orders: it is the user's own, and no session's (I17). May block.
pub type MayControl = Arc<dyn Fn(Peer) -> bool + Send + Sync>;

/// What the gateway is made of.
pub struct Parts {
    /// Its folder.
    pub place: Place,
    /// The control socket, bound 0600 by the holder of the place.
    pub control: StdUnixListener,
    /// Who may use it.
    pub may_control: MayControl,
    /// The program's version.
    pub version: String,
    /// How long things may take.
    pub times: Times,
    /// The way to the providers.
    pub way: WayOut,
}

/// Why the gateway ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Its folder.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// What the system refused.
    #[error("the gateway cannot go on")]
    Io(#[from] io::Error),
}

/// Serves until it is told to end, by the control socket or by TERM. Blocks; builds its own runtime.
///
/// # Errors
/// It could not begin: see [`ServeError`].
pub fn run(parts: Parts) -> Result<(), ServeError> {
    let (listener, saved) = parts.place.open()?;
    let port = listener.local_addr()?.port();
    let spool = Spool::open(&parts.place.spool())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // One is enough for many more requests than agents make, and a wake of another costs more than it gives.
        .worker_threads(1)
        .max_blocking_threads(8)
        .thread_name("gateway")
        .enable_all()
        .build()?;
    let upstream = Upstream::new(&parts.times, &parts.way)?;
    let router = Router::restored(saved);
    let shared = Arc::new(Shared::new(
        (parts.place, spool, router),
        upstream,
        port,
        parts.version,
        parts.times,
    ));
    // The port is on the disk before anybody is told of it.
    shared.keep()?;
    runtime.block_on(serve(&shared, listener, parts.control, parts.may_control))?;
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(shared.keep()?)
}

async fn serve(
    shared: &Arc<Shared>,
    data: StdTcpListener,
    control: StdUnixListener,
    may_control: MayControl,
) -> io::Result<()> {
    control.set_nonblocking(true)?;
    let data = TcpListener::from_std(data)?;
    let control = UnixListener::from_std(control)?;
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let (end, ending) = watch::channel(());
    let clients = accept_clients(Arc::clone(shared), data, Arc::clone(&room), ending);
    let clients = tokio::spawn(clients);
    let orders = tokio::spawn(accept_orders(Arc::clone(shared), control, may_control));
    let keeper = tokio::spawn(keep_on(Arc::clone(shared)));
    let checker = tokio::spawn(check::check_idle(Arc::clone(shared)));
    let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    // Both arms are cancel-safe: nothing is taken by waiting.
    tokio::select! {
        () = shared.stop.notified() => {}
        _ = term.recv() => {}
    }
    tracing::info!("the gateway ends");
    clients.abort();
    orders.abort();
    keeper.abort();
    checker.abort();
    // Idle connections are closed at once, others after the answer that is on its way.
    drop(end);
    let all = u32::try_from(MAX_CONNECTIONS).unwrap_or(u32::MAX);
    drop(tokio::time::timeout(GRACE, room.acquire_many(all)).await);
    Ok(())
}

async fn accept_clients(
    shared: Arc<Shared>,
    listener: TcpListener,
    room: Arc<Semaphore>,
    ending: watch::Receiver<()>,
) {
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, most likely: others become free.
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        drop(stream.set_nodelay(true));
        let (shared, mut ending) = (Arc::clone(&shared), ending.clone());
        tokio::spawn(async move {
            let head_time = shared.times.request_head;
            let service = service_fn(move |request| proxy::answer(Arc::clone(&shared), request));
            let mut server = auto::Builder::new(TokioExecutor::new());
            server
                .http1()
                .max_buf_size(BUFFER_BYTES)
                .timer(TokioTimer::new())
                .header_read_timeout(head_time);
            server
                .http2()
                .timer(TokioTimer::new())
                .max_concurrent_streams(256)
                .keep_alive_interval(Duration::from_secs(20));
            // Clients that go away in the middle are an everyday event.
            let connection = server.serve_connection(TokioIo::new(stream), service);
            let mut connection = std::pin::pin!(connection);
            // Both arms are cancel-safe: the connection goes on where it was.
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                _ = ending.changed() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended");
            }
            drop(permit);
        });
    }
}

async fn accept_orders(shared: Arc<Shared>, listener: UnixListener, may_control: MayControl) {
    let room = Arc::new(Semaphore::new(MAX_CONTROL));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (shared, may_control) = (Arc::clone(&shared), Arc::clone(&may_control));
        tokio::spawn(async move {
            take_orders(shared, stream, may_control).await;
            drop(permit);
        });
    }
}

async fn take_orders(shared: Arc<Shared>, stream: UnixStream, may_control: MayControl) {
    let Ok(peer) = stream.peer_cred() else {
        return;
    };
    let peer = Peer {
        pid: peer.pid(),
        uid: peer.uid(),
    };
    let judged = tokio::task::spawn_blocking(move || may_control(peer)).await;
    let may = judged.unwrap_or(false);
    if !may {
        tracing::warn!(
            pid = peer.pid,
            uid = peer.uid,
            "refused: may not control (I17)"
        );
    }
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move {
            if may {
                control::answer(shared, request).await
            } else {
                Ok(control::foreign())
            }
        }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME);
    if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a control connection ended");
    }
}

/// Keeps what was learned on the disk: at once what matters, now and then the rest.
async fn keep_on(shared: Arc<Shared>) {
    let mut flush = tokio::time::interval(FLUSH_EVERY);
    let mut keep = tokio::time::interval(KEEP_EVERY);
    let mut seen = 0;
    loop {
        // All arms are cancel-safe.
        let due = tokio::select! {
            () = shared.urgent.notified() => true,
            _ = keep.tick() => {
                let last = shared.spool().view().last;
                std::mem::replace(&mut seen, last) != last
            }
            _ = flush.tick() => false,
        };
        let file = shared.spool().unflushed_file();
        let shared = Arc::clone(&shared);
        let work = move || -> io::Result<()> {
            if let Some(file) = file {
                longhaul_acts::files::sync_data("gateway.spool.flush", &file)?;
            }
            if due { shared.keep() } else { Ok(()) }
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the gateway's state could not be kept"),
            Err(_) => return,
        }
    }
}
