//! A model provider on loopback that answers by script: Anthropic Messages, OpenAI Responses and
//! Chat Completions, Gemini generateContent, each session under `/s/<session>/…`.
//!
//! Agents ask more than the conversation: titles, routing, quota probes, token counts. Those are
//! recognised, answered, recorded as [`RequestKind::Side`], and never take a step; a script for `NAME.side` says what
//! those of the session `NAME` are answered.

mod anthropic;
mod gemini;
mod openai_chat;
mod openai_responses;
mod record;
mod respond;
mod serve;
mod step;
mod wire;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;

pub use record::{Request, RequestKind};
pub use step::{Reply, Step, StepUsage};

use record::Sessions;

/// A running mock provider. Dropping it closes its port and every connection.
#[must_use = "the provider stops when it is dropped"]
#[derive(Debug)]
pub struct MockProvider {
    address: SocketAddr,
    sessions: Arc<Sessions>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl MockProvider {
    /// Starts on a free loopback port; when this returns, connections are taken.
    ///
    /// # Errors
    /// No port, or no thread.
    pub fn start() -> io::Result<Self> {
        Self::start_on(0)
    }

    /// Starts on this loopback port (0 = any free one).
    ///
    /// # Errors
    /// The port is taken, or no thread.
    pub fn start_on(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let sessions = Arc::new(Sessions::default());
        let (stop, stopped) = oneshot::channel();
        let served = Arc::clone(&sessions);
        let thread = std::thread::Builder::new()
            .name("mock-provider".to_owned())
            .spawn(move || runtime.block_on(accept(listener, served, stopped)))?;
        Ok(Self {
            address,
            sessions,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Base URL of a session, without a final slash: `http://127.0.0.1:PORT/s/NAME`.
    #[must_use]
    pub fn url(&self, session: &str) -> String {
        format!("http://{}/s/{session}", self.address)
    }

    /// Replaces what is left of the session's script.
    pub fn script(&self, session: &str, steps: impl IntoIterator<Item = Step>) {
        self.sessions.script(session, steps.into_iter().collect());
    }

    /// Steps of the session that were not asked for yet.
    #[must_use]
    pub fn steps_left(&self, session: &str) -> usize {
        self.sessions.left(session)
    }

    /// Everything the session asked so far, oldest first.
    #[must_use]
    pub fn requests(&self, session: &str) -> Vec<Request> {
        self.sessions.requests(session)
    }

    /// The session's steps of conversation so far, without side requests.
    #[must_use]
    pub fn turns(&self, session: &str) -> Vec<Request> {
        let mut requests = self.requests(session);
        requests.retain(Request::is_turn);
        requests
    }

    /// Waits until the session made at least `count` steps of conversation and returns them; `None`
    /// if it did not within `limit`.
    #[must_use]
    pub fn wait_turns(&self, session: &str, count: usize, limit: Duration) -> Option<Vec<Request>> {
        let enough = |all: &[Request]| all.iter().filter(|r| r.is_turn()).count() >= count;
        let mut requests = self.sessions.wait(session, limit, enough)?;
        requests.retain(Request::is_turn);
        Some(requests)
    }

    /// Blocks until the server's thread ends, which it does only by a failure: for the program.
    pub fn serve_forever(mut self) {
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Drop for MockProvider {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the mock provider's thread panicked");
        }
    }
}

/// Takes connections until `stopped`; leaving the runtime ends them all.
async fn accept(
    listener: TcpListener,
    sessions: Arc<Sessions>,
    mut stopped: oneshot::Receiver<()>,
) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    loop {
        // Both arms are cancel-safe: no connection is taken by a cancelled `accept`.
        let stream = tokio::select! {
            _ = &mut stopped => return,
            taken = listener.accept() => match taken {
                Ok((stream, _)) => stream,
                Err(_) => continue,
            },
        };
        let sessions = Arc::clone(&sessions);
        tokio::spawn(async move {
            let service = service_fn(move |request| serve::answer(Arc::clone(&sessions), request));
            // A client that went away in the middle is an everyday event.
            drop(
                http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await,
            );
        });
    }
}
