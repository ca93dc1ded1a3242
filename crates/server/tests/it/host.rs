//! A running server with a pretended engine, authority and log source.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use longhaul_api::LogStream;
use longhaul_core::ids::{Fence, TaskId};
use longhaul_core::queue::{
    ConflictKind, ConflictPath, ConflictReport, Forecast, Foreseen, Head, Landing, LineId, Meeting,
    Undoing,
};
use longhaul_core::time::UnixMs;
use longhaul_engine::handle::{
    Command, DaemonStatus, EngineHandle, LiveSession, OrderResult, RefusalClass, Reply, Request,
};
use longhaul_server::{
    Authority, Foresight, LogPiece, LogSource, Peer, PeerAuthority, Phrasing, RefusedCall,
    ServerDeps, bind, serve,
};
use longhaul_store::StoreError;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::history::{History, SUBMISSION, usage};

/// What a pretended engine was asked, without `Live` and `Status`.
pub(crate) type Asked = Arc<Mutex<Vec<String>>>;

type Pieces = HashMap<(TaskId, Fence, LogStream), Vec<(u64, Vec<u8>)>>;

/// Logs in memory: pieces with the offset they begin at.
#[derive(Default)]
pub(crate) struct Logs(Mutex<Pieces>);

impl Logs {
    pub(crate) fn append(&self, key: (TaskId, Fence, LogStream), at: u64, bytes: &str) {
        self.0
            .lock()
            .unwrap()
            .entry(key)
            .or_default()
            .push((at, bytes.into()));
    }
}

/// A git that made a commit for everything but what landed as `built-on`.
struct Git;

impl Foresight for Git {
    fn undo(&self, landing: &Landing) -> Result<Undoing, String> {
        if landing.commit != "built-on" {
            let commit = "5".repeat(40);
            return Ok(Undoing::Made { commit });
        }
        let path = |path: &str| ConflictPath {
            path: path.to_owned(),
            kind: ConflictKind::Content,
        };
        let report = ConflictReport {
            paths: vec![path("f.txt"), path("src/\u{1b}[1mlib.rs")],
            ..ConflictReport::default()
        };
        let later = true;
        Ok(Undoing::Conflict { report, later })
    }

    /// The second conflicts with base, each further one with the first.
    fn forecast(&self, line: &LineId, heads: &[Head]) -> Result<Forecast, String> {
        if line.base == "broken" {
            return Err("git said \u{1b}[1mno".to_owned());
        }
        let foreseen = (0..heads.len()).map(|at| {
            let meeting = |with| Meeting {
                with,
                paths: vec![ConflictPath {
                    path: "f.txt".to_owned(),
                    kind: ConflictKind::Content,
                }],
                preview: "<<<<<<<\n\u{1b}[1mours\n".to_owned(),
                reproduce: None,
            };
            Foreseen {
                commit: Some(format!("c{at}")),
                meetings: match at {
                    0 => Vec::new(),
                    1 => vec![meeting(None)],
                    _ => vec![meeting(Some(0))],
                },
                ..Foreseen::default()
            }
        });
        Ok(Forecast {
            onto: "tip".to_owned(),
            heads: foreseen.collect(),
        })
    }
}

impl LogSource for Logs {
    fn read_at(
        &self,
        task: TaskId,
        fence: Fence,
        stream: LogStream,
        offset: u64,
        buffer: &mut [u8],
    ) -> io::Result<LogPiece> {
        let pieces = self.0.lock().unwrap();
        let pieces = pieces
            .get(&(task, fence, stream))
            .map_or(&[][..], Vec::as_slice);
        for (start, bytes) in pieces {
            if offset < *start {
                return Ok(LogPiece::Cut { next: *start });
            }
            let skip = usize::try_from(offset - start).unwrap();
            if skip < bytes.len() {
                let n = buffer.len().min(bytes.len() - skip);
                buffer[..n].copy_from_slice(&bytes[skip..skip + n]);
                return Ok(LogPiece::Bytes(n));
            }
        }
        Ok(LogPiece::End)
    }

    fn end(&self, task: TaskId, fence: Fence, stream: LogStream) -> io::Result<u64> {
        let pieces = self.0.lock().unwrap();
        let last = pieces.get(&(task, fence, stream)).and_then(|p| p.last());
        Ok(last.map_or(0, |(start, bytes)| start + bytes.len() as u64))
    }
}

/// Says what it was told to say.
pub(crate) struct Says(pub(crate) Mutex<PeerAuthority>);

impl Authority for Says {
    fn of_peer(&self, peer: &Peer<'_>) -> PeerAuthority {
        assert_eq!(
            peer.pid,
            i32::try_from(std::process::id()).ok(),
            "the client is this process"
        );
        *self.0.lock().unwrap()
    }
}

pub(crate) struct Host {
    pub(crate) socket: PathBuf,
    pub(crate) history: Arc<Mutex<History>>,
    pub(crate) asked: Asked,
    pub(crate) refused: Arc<Mutex<Vec<RefusedCall>>>,
    pub(crate) logs: Arc<Logs>,
    pub(crate) says: Arc<Says>,
    pub(crate) advance: watch::Sender<u64>,
    shutdown: watch::Sender<bool>,
    server: JoinHandle<()>,
    broken: Arc<AtomicBool>,
    _folder: TempDir,
}

impl Host {
    /// Serves a history to a person.
    pub(crate) fn new(history: History) -> Self {
        Self::with_engine(history, engine)
    }

    /// Serves with another engine.
    pub(crate) fn with_engine(
        history: History,
        answer: impl Fn(Command) -> Reply + Send + 'static,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("api.sock");
        let newest = history
            .store
            .reader()
            .unwrap()
            .ledger_tail(0, usize::MAX >> 1)
            .unwrap();
        let (advance, advanced) = watch::channel(newest.last().map_or(0, |row| row.seq));
        let (shutdown, ending) = watch::channel(false);
        let now = history.now;
        let history = Arc::new(Mutex::new(history));
        let asked = Asked::default();
        let broken = Arc::new(AtomicBool::new(false));
        let refused: Arc<Mutex<Vec<RefusedCall>>> = Arc::default();
        let logs = Arc::new(Logs::default());
        let says = Arc::new(Says(Mutex::new(PeerAuthority::Person)));
        let (engine, requests) = EngineHandle::channel();
        let log = Arc::clone(&asked);
        // Ends when the server drops its handle.
        std::thread::spawn(move || {
            for Request { command, reply } in requests {
                if !matches!(command, Command::Live { .. } | Command::Status) {
                    log.lock().unwrap().push(format!("{command:?}"));
                }
                reply(answer(command));
            }
        });
        let deps = ServerDeps {
            engine,
            readers: {
                let (history, broken) = (Arc::clone(&history), Arc::clone(&broken));
                Arc::new(move || {
                    if broken.load(Ordering::Relaxed) {
                        return Err(StoreError::Busy {
                            source: "in a test".into(),
                        });
                    }
                    history.lock().unwrap().store.reader()
                })
            },
            authority: Arc::clone(&says) as Arc<dyn Authority>,
            on_refused: {
                let refused = Arc::clone(&refused);
                Arc::new(move |call| refused.lock().unwrap().push(call.clone()))
            },
            logs: Arc::clone(&logs) as Arc<dyn LogSource>,
            foresight: Arc::new(Git),
            reload_accounts: Arc::new(|| Ok("the gateway has 2 accounts".to_owned())),
            advance: advanced,
            shutdown: ending,
            phrasing: phrasing(),
            clock: Arc::new(move || now),
            version: "1.2.3".to_owned(),
        };
        let listener = bind(&socket).unwrap();
        let server = tokio::spawn(serve(listener, deps));
        Self {
            socket,
            history,
            asked,
            refused,
            logs,
            says,
            advance,
            shutdown,
            server,
            broken,
            _folder: folder,
        }
    }

    pub(crate) fn become_peer(&self, who: PeerAuthority) {
        *self.says.0.lock().unwrap() = who;
    }

    /// Changes the past and hints that the ledger grew.
    pub(crate) fn happen(&self, change: impl FnOnce(&mut History)) {
        change(&mut self.history.lock().unwrap());
        self.advance.send_modify(|seq| *seq += 1);
    }

    /// Begins the shutdown and waits until the server has ended.
    pub(crate) async fn end(self) {
        self.shutdown.send_replace(true);
        let ended = tokio::time::timeout(Duration::from_secs(10), self.server).await;
        ended.expect("the server ends").expect("without a panic");
        assert!(!self.socket.exists(), "the socket is gone");
    }

    /// No reader can be opened from now on; to be called before the first request.
    pub(crate) fn break_store(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }

    pub(crate) fn begin_end(&self) {
        self.shutdown.send_replace(true);
    }
}

/// UTC, and `hunter2` is a secret.
pub(crate) fn phrasing() -> Phrasing {
    let plain = Phrasing::default();
    Phrasing::new(
        move |at, now| plain.at(at, now),
        |text| text.replace("hunter2", "*******"),
    )
}

/// An engine that follows everything, but refuses texts.
fn engine(command: Command) -> Reply {
    match command {
        Command::Submit(submit) => Reply::Submitted {
            submission: Uuid::from_u128(7),
            tasks: submit.tasks.iter().map(|(id, _)| *id).collect(),
            reattached: submit.again,
        },
        Command::Order { tasks, .. } => Reply::Orders(
            tasks
                .into_iter()
                .enumerate()
                .map(|(n, id)| {
                    let result = match n {
                        0 => OrderResult::Done("parked".to_owned()),
                        1 => OrderResult::Already("stopped already".to_owned()),
                        2 => OrderResult::Refused("no \u{1b}[1mwork".to_owned()),
                        _ => OrderResult::NotFound,
                    };
                    (id, result)
                })
                .collect(),
        ),
        Command::Drain { .. }
        | Command::Undrain
        | Command::Estop
        | Command::Thaw
        | Command::ClearLimit { .. }
        | Command::Queue { .. }
        | Command::Enqueue { .. }
        | Command::Land { .. }
        | Command::Shutdown => Reply::Ok("so be it".to_owned()),
        Command::Send { .. } => Reply::Refused {
            class: RefusalClass::Invalid,
            message: "this session takes no text".to_owned(),
        },
        Command::Status => Reply::Status(Box::new(status())),
        Command::Live { tasks } => Reply::Live(live(tasks)),
    }
}

pub(crate) fn status() -> DaemonStatus {
    DaemonStatus {
        pid: 77,
        version: "1.2.3".to_owned(),
        started_at: UnixMs(1_795_249_000_000),
        sessions: 1,
        slots: 4,
        ready: 1,
        draining: false,
        estopped: false,
        holding: None,
        resting: Vec::new(),
    }
}

/// The third task of a history edits a file.
fn live(tasks: Option<Vec<TaskId>>) -> Vec<LiveSession> {
    let id = crate::history::id(2);
    let session = LiveSession {
        task: Some(id),
        activity: "edits src/\u{1b}[31mlib.rs".to_owned(),
        usage: usage(500),
        logs: Some("/state/jobs/x".to_owned()),
        ..LiveSession::default()
    };
    let wanted = tasks.is_none_or(|ids| ids.contains(&id));
    if wanted { vec![session] } else { Vec::new() }
}

/// Nothing of the submission's id is random.
pub(crate) fn submission_path() -> String {
    format!("/v1/submissions/{SUBMISSION}")
}
