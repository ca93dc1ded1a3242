//! The shim's loop: output to disk, the socket, the end of the main process and of its tree, the
//! exit record.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{SigSet, Signal as NixSignal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{WaitOptions, WaitStatus};

use super::child::{self, SpawnFailure, Spawned};
use super::clients::Clients;
use super::feed::Fed;
use super::sink::Sink;
use super::{ShimError, doing, report_started};
use crate::bundle::{Bundle, EXIT, SOCKET};
use crate::durable::Reserved;
use crate::identity::ProcessIdentity;
use crate::logs::Stream;
use crate::protocol::{Event, MAX_INPUT_BYTES, Refusal, Request, from_hex};
use crate::record::{ExitRecord, Outcome, PROTOCOL_VERSION, Usage};
use crate::spec::JobSpec;
use crate::tree::{Stopping, Tree};

/// What is left of the tree when the main process has ended gets so long between TERM and KILL.
const LEFTOVER_GRACE: Duration = Duration::from_secs(1);

/// Read from one stream before the others have their turn.
const TURN_BYTES: usize = 256 * 1024;

/// Most that is read at the very end from a pipe that somebody outside the tree keeps filling.
const LAST_BYTES: usize = 4 * 1024 * 1024;

/// How often, and how far apart, a full disk is tried for the exit record.
const RECORD_TRIES: u32 = 100;
const RECORD_PAUSE: Duration = Duration::from_millis(100);

/// A job about to run, with all that can fail before its program does anything already done.
#[derive(Debug)]
pub(super) struct Job {
    bundle: Bundle,
    spec: JobSpec,
    me: ProcessIdentity,
    reserved: Reserved,
    sinks: [Sink; 2],
    signals: SignalFd,
    listener: UnixListener,
    started_ms: i64,
    started: Instant,
    spawned: Result<Spawned, SpawnFailure>,
}

impl Job {
    /// Takes the disk space, opens logs and socket, and starts the main process. A main process
    /// that does not start is no error here: it becomes an exit record.
    pub(super) fn start(bundle: Bundle, spec: JobSpec) -> Result<Self, ShimError> {
        let dir = bundle.dir();
        let reserved =
            Reserved::take(dir, EXIT, "shim.exit").map_err(doing("reserving the exit record"))?;
        let sinks = [
            Sink::create(dir, Stream::Out, spec.max_log_bytes).map_err(doing("creating a log"))?,
            Sink::create(dir, Stream::Err, spec.max_log_bytes).map_err(doing("creating a log"))?,
        ];
        let signals = block_signals().map_err(doing("blocking signals"))?;
        let listener = listen(&bundle).map_err(doing("opening the socket"))?;
        let me = ProcessIdentity::current()?;
        let (started_ms, started) = (unix_ms(), Instant::now());
        let spawned = child::spawn(&bundle, &spec, &me, started_ms);
        Ok(Self {
            bundle,
            spec,
            me,
            reserved,
            sinks,
            signals,
            listener,
            started_ms,
            started,
            spawned,
        })
    }
}

/// Runs the job until its tree is gone and its exit record is on disk.
pub(super) fn to_the_end(job: Job) -> Result<(), ShimError> {
    let spawned = match job.spawned {
        Ok(spawned) => spawned,
        Err(failure) => {
            let ending = Ending {
                outcome: failure.outcome(),
                ended_ms: unix_ms(),
                duration: Duration::ZERO,
            };
            let record = ExitRecord {
                version: PROTOCOL_VERSION,
                key: job.spec.key,
                outcome: ending.outcome,
                stop_requested: false,
                started_ms: job.started_ms,
                ended_ms: ending.ended_ms,
                duration_ms: 0,
                usage: Usage::default(),
                out: job.sinks[0].stats(),
                err: job.sinks[1].stats(),
                leftovers_stopped: 0,
                survivors: 0,
            };
            leave_record(&job.bundle, &job.reserved, &record)?;
            remove_socket(&job.bundle);
            return Ok(());
        }
    };
    report_started()?;
    let cgroup = spawned.cgroup.as_ref().map(|group| group.path().to_owned());
    let tree = Tree::new(&job.spec.key, vec![job.me], cgroup.as_deref());
    let mut work = Work {
        main_pid: spawned.pid,
        sources: [Some(spawned.out), spawned.err],
        feed: spawned.feed,
        terminal: spawned.terminal,
        tree,
        sinks: job.sinks,
        started: job.started,
        ending: None,
        stop: None,
        stop_requested: false,
        leftovers: HashSet::new(),
        survivors: 0,
        empty_looks: 0,
        childless: false,
        look_at: Instant::now(),
        look_pause: MIN_LOOK,
        buffer: vec![0; 64 * 1024],
    };
    let mut clients = Clients::default();
    let ending = loop {
        if let Some(ending) = work.step() {
            break ending;
        }
        let growth_at = clients.tell_growth(work.lengths());
        clients.flush();
        let ready = wait(&job.signals, &job.listener, &work, &clients, growth_at)
            .map_err(|errno| doing("waiting")(errno.into()))?;
        if ready.signals {
            work.take_signals(&job.signals, job.spec.stop_grace());
        }
        for index in 0..work.sources.len() {
            if ready.sources[index] {
                work.drain(index, TURN_BYTES);
            }
        }
        if ready.feed {
            work.advance_feed();
        }
        for index in ready.clients {
            clients.serve(index, &job.spec.key, |request| work.carry_out(request));
        }
        clients.flush();
        if ready.listener {
            clients.accept(&job.listener);
        }
    };
    for index in 0..work.sources.len() {
        work.drain(index, LAST_BYTES);
    }
    let removed = work.tree.remove_cgroup();
    tracing::debug!(removed, "cgroup");
    for sink in &work.sinks {
        // A log that cannot be flushed is no reason to lose the record.
        sink.sync().ok();
    }
    let record = ExitRecord {
        version: PROTOCOL_VERSION,
        key: job.spec.key,
        outcome: ending.outcome,
        stop_requested: work.stop_requested,
        started_ms: job.started_ms,
        ended_ms: ending.ended_ms,
        duration_ms: u64::try_from(ending.duration.as_millis()).unwrap_or(u64::MAX),
        usage: usage(),
        out: work.sinks[0].stats(),
        err: work.sinks[1].stats(),
        leftovers_stopped: work.leftovers.len(),
        survivors: work.survivors,
    };
    leave_record(&job.bundle, &job.reserved, &record)?;
    remove_socket(&job.bundle);
    clients.tell_end(work.lengths());
    Ok(())
}

/// How the main process ended.
#[derive(Clone, Debug)]
struct Ending {
    outcome: Outcome,
    ended_ms: i64,
    duration: Duration,
}

const MIN_LOOK: Duration = Duration::from_millis(2);
const MAX_LOOK: Duration = Duration::from_millis(50);

/// The running job.
#[derive(Debug)]
struct Work {
    main_pid: u32,
    /// Standard output (or the terminal) and standard error, until their end.
    sources: [Option<OwnedFd>; 2],
    feed: Option<super::feed::Feed>,
    terminal: Option<OwnedFd>,
    tree: Tree,
    sinks: [Sink; 2],
    started: Instant,
    ending: Option<Ending>,
    stop: Option<Stopping>,
    stop_requested: bool,
    /// Who was still there after the main process.
    leftovers: HashSet<(u32, u64)>,
    survivors: usize,
    empty_looks: u32,
    /// Whether the kernel said that we have no child left.
    childless: bool,
    look_at: Instant,
    look_pause: Duration,
    buffer: Vec<u8>,
}

impl Work {
    fn lengths(&self) -> (u64, u64) {
        (self.sinks[0].stats().bytes, self.sinks[1].stats().bytes)
    }

    /// Presses on with a stop, if there is one; the ending once nobody is left.
    fn step(&mut self) -> Option<Ending> {
        let stop = self.stop.as_mut()?;
        if Instant::now() < self.look_at {
            return None;
        }
        match self.tree.members() {
            Ok(members) => {
                if self.ending.is_some() {
                    let names = members.iter().map(|m| (m.pid, m.start_ticks));
                    self.leftovers.extend(names);
                }
                if members.is_empty() {
                    self.empty_looks += 1;
                } else {
                    self.empty_looks = 0;
                    if stop.out_of_patience() && self.ending.is_some() {
                        self.survivors = members.len();
                        return self.ending.clone();
                    }
                    stop.press(&members, &self.tree);
                    self.look_at = Instant::now() + self.look_pause;
                    self.look_pause = (self.look_pause * 2).min(MAX_LOOK);
                }
            }
            // Who cannot be told apart is not killed (I6); look again later, or give up with what
            // is known for sure.
            Err(_) => {
                if stop.out_of_patience() && self.ending.is_some() {
                    return self.ending.clone();
                }
                self.look_at = Instant::now() + MAX_LOOK;
            }
        }
        if self.empty_looks == 0 {
            return None;
        }
        // The second confirmation (I8) is the kernel's: orphans of the job become our children, so
        // having no child at all is surer than another look. A process that was born and left by
        // its parent during the look still shows here.
        self.reap();
        let out_of_patience = self.stop.as_ref().is_some_and(Stopping::out_of_patience);
        if !self.childless && !out_of_patience {
            self.look_at = Instant::now() + MIN_LOOK;
            return None;
        }
        self.ending.clone()
    }

    /// Starts a stop, or hastens the one under way.
    fn stop(&mut self, grace: Duration) {
        match &mut self.stop {
            Some(stop) => stop.hasten(grace),
            None => self.stop = Some(Stopping::new(grace)),
        }
        self.look_at = Instant::now();
        self.look_pause = MIN_LOOK;
    }

    fn take_signals(&mut self, signals: &SignalFd, grace: Duration) {
        while let Ok(Some(info)) = signals.read_signal() {
            match i32::try_from(info.ssi_signo).map(NixSignal::try_from) {
                Ok(Ok(NixSignal::SIGTERM)) => {
                    self.stop_requested = true;
                    self.stop(grace);
                }
                Ok(Ok(NixSignal::SIGCHLD)) => self.reap(),
                // HUP and INT: a closed terminal or Ctrl-C of the launcher is not our business.
                _ => {}
            }
        }
    }

    /// Takes in every ended child, orphans of the job among them.
    fn reap(&mut self) {
        loop {
            let (pid, status) = match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some(ended)) => ended,
                Ok(None) => return,
                Err(Errno::INTR) => continue,
                Err(_) => {
                    self.childless = true;
                    return;
                }
            };
            if u32::try_from(pid.as_raw_nonzero().get()) == Ok(self.main_pid) {
                self.ending = Some(Ending {
                    outcome: outcome(status),
                    ended_ms: unix_ms(),
                    duration: self.started.elapsed(),
                });
                // A background child that keeps a pipe open does not keep the job alive (S2).
                self.stop(LEFTOVER_GRACE);
                self.empty_looks = 0;
            } else if self.stop.is_some() {
                self.look_at = Instant::now();
            }
        }
    }

    /// Moves what a stream has to say to its log, up to about `limit` bytes.
    fn drain(&mut self, index: usize, limit: usize) {
        let mut taken = 0;
        while taken < limit {
            let Some(source) = &self.sources[index] else {
                return;
            };
            match rustix::io::read(source, &mut self.buffer[..]) {
                Ok(0) => self.sources[index] = None,
                Ok(read) => {
                    self.sinks[index].write(&self.buffer[..read]);
                    taken += read;
                }
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                // A terminal says EIO when its last user is gone.
                Err(_) => self.sources[index] = None,
            }
        }
    }

    fn advance_feed(&mut self) {
        if let Some(feed) = &mut self.feed
            && feed.advance() == Fed::Finished
        {
            self.feed = None;
        }
    }

    fn carry_out(&mut self, request: Request) -> Event {
        let refused = |reason| Event::Refused { reason };
        match request {
            Request::Stop { grace_ms } => {
                longhaul_acts::point("shim.stop");
                self.stop_requested = true;
                self.stop(Duration::from_millis(grace_ms));
                Event::Ok
            }
            Request::Input { hex } => {
                let Some(bytes) = from_hex(&hex).filter(|bytes| bytes.len() <= MAX_INPUT_BYTES)
                else {
                    return refused(Refusal::BadRequest);
                };
                match &mut self.feed {
                    Some(feed) if !feed.is_closing() => {
                        if !feed.push(&bytes) {
                            return refused(Refusal::Busy);
                        }
                        self.advance_feed();
                        Event::Ok
                    }
                    _ => refused(Refusal::NoInput),
                }
            }
            Request::CloseStdin => match &mut self.feed {
                Some(feed) => {
                    feed.close();
                    self.advance_feed();
                    Event::Ok
                }
                None => refused(Refusal::NoInput),
            },
            Request::Resize { rows, cols } => {
                let resized = self.terminal.as_ref().is_some_and(|terminal| {
                    rustix::termios::tcsetwinsize(terminal, child::size(rows, cols)).is_ok()
                });
                if resized {
                    Event::Ok
                } else {
                    refused(Refusal::NoTerminal)
                }
            }
            // Answered where the connection is known.
            Request::Hello { .. } | Request::Watch => refused(Refusal::BadRequest),
        }
    }

    /// When to wake even if nothing happens.
    fn wake_at(&self) -> Option<Instant> {
        self.stop
            .as_ref()
            .map(|stop| self.look_at.min(stop.kill_at().max(self.look_at)))
    }
}

/// Which descriptors have something for us.
#[derive(Debug)]
struct Ready {
    signals: bool,
    listener: bool,
    sources: [bool; 2],
    feed: bool,
    clients: Vec<usize>,
}

fn wait(
    signals: &SignalFd,
    listener: &UnixListener,
    work: &Work,
    clients: &Clients,
    growth_at: Option<Instant>,
) -> rustix::io::Result<Ready> {
    let mut fds = vec![
        PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
        PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN),
    ];
    let mut source_at = [None; 2];
    for (index, source) in work.sources.iter().enumerate() {
        if let Some(source) = source {
            source_at[index] = Some(fds.len());
            fds.push(PollFd::new(source, PollFlags::IN));
        }
    }
    let feed_at = work
        .feed
        .as_ref()
        .filter(|feed| feed.is_waiting())
        .map(|feed| {
            fds.push(PollFd::new(feed.fd(), PollFlags::OUT));
            fds.len() - 1
        });
    let clients_from = fds.len();
    for (socket, has_waiting) in clients.sockets() {
        let out = if has_waiting {
            PollFlags::OUT
        } else {
            PollFlags::empty()
        };
        fds.push(PollFd::new(socket, PollFlags::IN | out));
    }
    let until = [work.wake_at(), growth_at].into_iter().flatten().min();
    let timeout = until.map(|until| timespec(until.saturating_duration_since(Instant::now())));
    match rustix::event::poll(&mut fds, timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(err) => return Err(err),
    }
    let any = |index: usize| fds.get(index).is_some_and(|fd| !fd.revents().is_empty());
    Ok(Ready {
        signals: any(0),
        listener: any(1),
        sources: source_at.map(|index| index.is_some_and(any)),
        feed: feed_at.is_some_and(any),
        clients: (clients_from..fds.len())
            .filter(|index| any(*index))
            .map(|index| index - clients_from)
            .collect(),
    })
}

fn timespec(span: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(span.subsec_nanos()),
    }
}

fn block_signals() -> io::Result<SignalFd> {
    let mut mask = SigSet::empty();
    for signal in [
        NixSignal::SIGCHLD,
        NixSignal::SIGTERM,
        NixSignal::SIGHUP,
        NixSignal::SIGINT,
    ] {
        mask.add(signal);
    }
    mask.thread_block()?;
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    Ok(SignalFd::with_flags(&mask, flags)?)
}

/// Binds the socket in the bundle, through a short path: a socket's address holds 107 bytes only.
fn listen(bundle: &Bundle) -> io::Result<UnixListener> {
    let path = bundle.file(SOCKET);
    // We hold the lock, so a socket that is there belongs to nobody.
    match longhaul_acts::files::remove_file("shim.socket.clear", &path) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
        _ => {}
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    #[expect(
        clippy::disallowed_methods,
        reason = "a folder is only looked up through it"
    )]
    let dir = rustix::fs::open(bundle.dir(), flags, Mode::empty())?;
    let mask = rustix::process::umask(Mode::RWXG | Mode::RWXO | Mode::XUSR);
    let short = format!("/proc/self/fd/{}/{SOCKET}", dir.as_raw_fd());
    let bound = longhaul_acts::files::bind("shim.socket", short);
    rustix::process::umask(mask);
    let listener = bound?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn remove_socket(bundle: &Bundle) {
    // If it stays, connecting to it is refused, which says the same.
    longhaul_acts::files::remove_file("shim.socket.remove", bundle.file(SOCKET)).ok();
}

/// Leaves the exit record, waiting a while for room if there is none in spite of the reserve.
fn leave_record(
    bundle: &Bundle,
    reserved: &Reserved,
    record: &ExitRecord,
) -> Result<(), ShimError> {
    let bytes =
        serde_json::to_vec(record).map_err(|err| doing("encoding the record")(err.into()))?;
    let mut tries = 0;
    loop {
        match reserved.fill(bundle.dir(), EXIT, &bytes, "shim.exit") {
            Ok(()) => return Ok(()),
            Err(err) => {
                tries += 1;
                if tries == RECORD_TRIES {
                    return Err(doing("writing the exit record")(err));
                }
                std::thread::sleep(RECORD_PAUSE);
            }
        }
    }
}

fn outcome(status: WaitStatus) -> Outcome {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Outcome::Exited {
            code: u8::try_from(code).unwrap_or(u8::MAX),
        },
        (None, signal) => Outcome::Signalled {
            signal: signal.unwrap_or(0),
            core: status.as_raw() & 0x80 != 0,
        },
    }
}

/// What every process that was waited for has used, orphans included.
fn usage() -> Usage {
    let Ok(used) = getrusage(UsageWho::RUSAGE_CHILDREN) else {
        return Usage::default();
    };
    let millis = |time: nix::sys::time::TimeVal| {
        let ms = time.tv_sec().saturating_mul(1000) + time.tv_usec() / 1000;
        u64::try_from(ms).unwrap_or(0)
    };
    Usage {
        user_ms: millis(used.user_time()),
        system_ms: millis(used.system_time()),
        max_rss_kib: u64::try_from(used.max_rss()).unwrap_or(0),
    }
}

fn unix_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        })
}
